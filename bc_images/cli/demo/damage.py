"""Damage a store through its API: ``python -m bc_images.cli.demo.damage URL --api-version v3``.

What it deletes is gone for good: the store keeps neither the original nor its renditions.
"""

from __future__ import annotations

import random
from collections import Counter
from itertools import islice
from typing import Any

import click
import requests

from bigcommerce_sandbox.constants import STORE_HASH, TOKEN

DELETED = 40  # single images
REWRITTEN = 60  # descriptions
MIXED_UP = 10  # products whose first picture becomes that of another product
SHUFFLED = 20  # products whose thumbnail and orders change


class Corrupter:
    """Calls the API of one version by hand: an independent voice, it knows nothing of our client."""

    def __init__(self, url: str, version: str) -> None:
        self._url = url
        self._root = f"{url}/stores/{STORE_HASH}"
        self._version = version
        self._session = requests.Session()
        self._session.headers.update({"X-Auth-Token": TOKEN, "Accept": "application/json"})
        self.done: Counter[str] = Counter()

    def images(self) -> dict[int, list[dict[str, Any]]]:
        """Return the images of every product that has some (read by V3 in either case: it is one page a request)."""
        found: dict[int, list[dict[str, Any]]] = {}
        last = 0
        while True:
            page = self._call(
                "GET", f"/v3/catalog/products?limit=250&sort=id&id:greater={last}&include=images&include_fields=id"
            )["data"]
            if not page:
                return found
            last = page[-1]["id"]
            found |= {product["id"]: product["images"] for product in page if product["images"]}

    def delete(self, product: int, image: int) -> None:
        """Delete one image."""
        self._call("DELETE", self._image(product, image))
        self.done["images deleted"] += 1

    def delete_all(self, product: int, count: int) -> None:
        """Delete all images of a product in one request; only V2 can do that."""
        self._call("DELETE", f"/v2/products/{product}/images")
        self.done[f"product emptied ({count} images)"] += 1

    def change(self, product: int, image: int, what: str, **fields: object) -> None:
        """Overwrite fields of an image."""
        self._call("PUT", self._image(product, image), fields)
        self.done[what] += 1

    def mix_up(self, product: int, image: int, other: str) -> None:
        """Give an image the picture of another: what stood there is gone."""
        field = "image_url" if self._version == "v3" else "image_file"
        self.change(product, image, "pictures replaced by wrong ones", **{field: f"{self._url}/product_images/{other}"})

    def _image(self, product: int, image: int) -> str:
        catalog = "catalog/" if self._version == "v3" else ""
        return f"/{self._version}/{catalog}products/{product}/images/{image}"

    def _call(self, method: str, path: str, body: object = None) -> Any:
        response = self._session.request(method, self._root + path, json=body, timeout=30)
        response.raise_for_status()
        return response.json() if response.content else None


def corrupt(corrupter: Corrupter, seed: int) -> None:
    """Do the damage; the same seed does the same to the same store."""
    dice = random.Random(seed)  # noqa: S311 - no secret
    stock = corrupter.images()
    ids = iter(dice.sample(sorted(stock), len(stock)))

    emptied = next(ids)
    corrupter.delete_all(emptied, len(stock[emptied]))
    for product in islice(ids, DELETED // 2):
        for image in dice.sample(stock[product], min(2, len(stock[product]))):
            corrupter.delete(product, image["id"])
    for product in islice(ids, REWRITTEN // 3):
        for image in stock[product]:
            corrupter.change(product, image["id"], "descriptions overwritten", description="IMPORT ERROR #REF!")
    for product in islice(ids, MIXED_UP):
        corrupter.mix_up(product, stock[product][0]["id"], stock[next(ids)][0]["image_file"])
    for product in islice(ids, SHUFFLED):
        first, last = stock[product][0], stock[product][-1]
        corrupter.change(product, last["id"], "orders and thumbnails swapped", sort_order=0, is_thumbnail=True)
        corrupter.change(product, first["id"], "orders and thumbnails swapped", sort_order=99, is_thumbnail=False)


@click.command
@click.argument("url")
@click.option("--api-version", type=click.Choice(["v2", "v3"]), default="v3", show_default=True)
@click.option("--seed", type=int, default=1, show_default=True, help="Another seed, other victims.")
def main(url: str, api_version: str, seed: int) -> None:
    """Wreck the images of the sandbox store at URL."""
    corrupter = Corrupter(url, api_version)
    corrupt(corrupter, seed)
    for what, count in corrupter.done.items():
        click.echo(f"{count:6} {what}")


if __name__ == "__main__":
    main()
