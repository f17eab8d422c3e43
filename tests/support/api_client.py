"""The door that the sandbox's tests use: plain HTTP to a running sandbox."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import requests
from PIL import Image

from bigcommerce_sandbox import TOKEN, SandboxServer

FIRST = 101  # the id of the first seeded product


def picture(colour: str = "red", kind: str = "PNG", size: tuple[int, int] = (20, 10)) -> bytes:
    out = BytesIO()
    Image.new("RGB", size, colour).save(out, kind)
    return out.getvalue()


class ApiClient:
    """A running sandbox, asked over HTTP with the full token and JSON unless a test says otherwise."""

    def __init__(self, sandbox: SandboxServer) -> None:
        self.sandbox = sandbox
        self.session = requests.Session()
        self.session.headers.update({"X-Auth-Token": TOKEN, "Accept": "application/json"})

    def __call__(self, method: str, path: str, **options: Any) -> requests.Response:
        return self.session.request(method, self.sandbox.url + "/stores/sandbox" + path, timeout=20, **options)

    def get(self, path: str, **options: Any) -> requests.Response:
        return self("GET", path, **options)

    def file(self, path: str, **options: Any) -> requests.Response:
        return requests.get(self.sandbox.url + path, timeout=20, **options)

    def images(self, product_id: int = FIRST) -> list[dict[str, Any]]:
        """What the state holds of a product's images."""
        found = self.sandbox.dump(files=False)["images"]
        return [image for image in found if image["product_id"] == product_id]

    def original_url(self, image: dict[str, Any]) -> str:
        return f"{self.sandbox.url}/product_images/{image['image_file']}"

    def create(self, version: str = "v2", product_id: int = FIRST, **fields: Any) -> requests.Response:
        """Create an image from the original of the store's first seeded one."""
        url = self.original_url(self.sandbox.dump(files=False)["images"][0])
        if version == "v2":
            return self("POST", f"/v2/products/{product_id}/images", json={"image_file": url, **fields})
        path = f"/v3/catalog/products/{product_id}/images"
        return self("POST", path, json={"image_url": url, **fields})

    def thumbnails(self, product_id: int = FIRST) -> list[int]:
        return [image["id"] for image in self.images(product_id) if image["is_thumbnail"]]

    def orders(self, product_id: int = FIRST) -> list[int]:
        return [image["sort_order"] for image in self.images(product_id)]
