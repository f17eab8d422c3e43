"""A sandbox as the store tests use it, and what its images are as records."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bc_images.bigcommerce import StoreClient, open_store
from bc_images.bigcommerce.mapping import Record
from bc_images.bigcommerce.transport import HttpClient
from bc_images.settings import Settings
from bigcommerce_sandbox import STORE_HASH, TOKEN, SandboxServer
from bigcommerce_sandbox.flags import FLAGS

PICTURE = (
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x00\x00\x00\x00:~\x9bU\x00\x00\x00\n"
    b"IDATx\x9cc`\x00\x00\x00\x02\x00\x01H\xaf\xa4q\x00\x00\x00\x00IEND\xaeB`\x82"
)
"""One grey pixel."""


class Meddling(HttpClient):
    """A client whose store is changed by others just before it sends something."""

    before: Callable[[str, str], None] = staticmethod(lambda _method, _path: None)

    def request(self, method: str, path: str, **how: Any) -> Any:
        self.before(method, path)
        return super().request(method, path, **how)


class Connection:
    """A sandbox and the store behind our protocol, in one API version."""

    def __init__(self, sandbox: SandboxServer, version: str, **config: Any) -> None:
        self.sandbox = sandbox
        self.version = version
        self.config = config
        self.client = self.new_client()
        self.store: StoreClient = open_store(self.client.settings, self.client)

    def new_client(self, **config: Any) -> Meddling:
        given = {
            "store_hash": STORE_HASH,
            "access_token": TOKEN,
            "api_url": self.sandbox.url,
            "store_url": self.sandbox.url,
            "api_version": self.version,
            "request_timeout": 20,
        }
        return Meddling(Settings.from_config({**given, **self.config, **config}))

    def renew(self, products: int, images: int = 0, **flags: Any) -> None:
        """Begin again with a store of this size."""
        self.sandbox.set_flags(**{name: flag.default for name, flag in FLAGS.items()} | flags)
        self.sandbox.reset(products=products, images=images, seed=0)

    def product_ids(self) -> list[int]:
        return [product["id"] for product in self.sandbox.dump(files=False)["products"]]

    def images(self, product_id: int | None = None) -> list[dict[str, Any]]:
        """What the sandbox holds, past the API."""
        images = self.sandbox.dump(files=False)["images"]
        return [image for image in images if product_id in {None, image["product_id"]}]

    def lines(self) -> list[str]:
        """The requests since the last look, as ``METHOD /path``."""
        lines = [f"{request['method']} {request['path']}" for request in self.sandbox.requests()]
        self.sandbox.clear_requests()
        return lines

    def url_of(self, image: dict[str, Any]) -> str:
        return f"{self.sandbox.url}/product_images/{image['image_file']}"


def plain(record: Record | dict[str, Any]) -> dict[str, Any]:
    """What the sandbox's own view and a record have in common."""
    names = ("id", "product_id", "image_file", "is_thumbnail", "sort_order")
    return {**{name: record[name] for name in names}, "description": record["description"] or ""}
