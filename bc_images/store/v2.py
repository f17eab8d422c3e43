"""The store over the V2 API: one request per product (specs/v2-product-images.mdx, specs/v2-products.mdx)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from bc_images.errors import NotFound, RequestRejected
from bc_images.http import Client
from bc_images.images import Record, from_v2, utc_from_rfc2822
from bc_images.store import PAGE, FromFile, FromUrl, Product, Source
from bc_images.store.concurrent import ordered_map
from bc_images.store.paging import read_pages
from bc_images.store.shapes import ascending, count, integer, objects, optional_text

__all__ = ["StoreV2"]


class StoreV2:
    """The `Store` protocol over V2."""

    def __init__(self, client: Client) -> None:
        self.settings = client.settings
        self._client = client

    def close(self) -> None:
        """Send nothing more and wake every thread that waits."""
        self._client.close()

    def count_images(self) -> int | None:
        """Return how many images the store has."""
        path = "/v2/products/images/count"
        return count(self._client.get(path), path)

    def count_products(self) -> int:
        """Return how many products the store has."""
        path = "/v2/products/count"
        return count(self._client.get(path), path)

    def sweep(self, first: int = 1, last: int | None = None) -> Iterator[Product]:
        """Walk the products by id and fetch the images of several at once.

        Walking by ``min_id`` is stable while products come and go; walking by page number is not.
        """
        with ThreadPoolExecutor(self.settings.concurrency, "sweep") as executor:
            # Twice the threads: the next ones are ready while the first in line is slow.
            rows = self._product_rows(executor, first, last)
            for product in ordered_map(executor, self._filled, rows, 2 * self.settings.concurrency):
                if product is not None:
                    yield product

    def products(self, ids: Sequence[int]) -> Iterator[Product]:
        """Read the images of each product on its own; V2 has no request for several."""
        with ThreadPoolExecutor(self.settings.concurrency, "read") as executor:
            rows = (Product(product_id, None, None, None, []) for product_id in sorted(set(ids)))
            for product in ordered_map(executor, self._filled, rows, 2 * self.settings.concurrency):
                if product is not None:
                    yield product

    def find(self, skus: Iterable[str]) -> dict[str, list[int]]:
        """Ask for each SKU on its own; the filter is exact."""

        def ask(sku: str) -> tuple[str, list[int]]:
            rows = objects(self._client.get("/v2/products", {"sku": sku, "limit": PAGE, "include": "sku"}) or [], sku)
            return sku, [integer(row, "id", "/v2/products") for row in rows if row.get("sku") == sku]

        with ThreadPoolExecutor(self.settings.concurrency, "find") as executor:
            return dict(ordered_map(executor, ask, sorted(set(skus)), 2 * self.settings.concurrency))

    def images(self, product_id: int) -> list[Record]:
        """Return a product's images in id order."""
        return self._images_of(product_id, None)

    def create(self, product_id: int, source: Source, fields: Mapping[str, Any]) -> Record:
        """POST an image; 201 comes without the rendition addresses."""
        body = {"image_file": _image_file(source), **fields}
        answer = self._client.request("POST", f"/v2/products/{product_id}/images", repeatable=False, json=body)
        return self._record(answer, product_id)

    def replace(self, product_id: int, image_id: int, source: Source, fields: Mapping[str, Any]) -> Record:
        """PUT another picture under the old id."""
        return self.update(product_id, image_id, {"image_file": _image_file(source), **fields})

    def update(self, product_id: int, image_id: int, fields: Mapping[str, Any]) -> Record:
        """PUT the fields alone."""
        answer = self._client.request("PUT", f"/v2/products/{product_id}/images/{image_id}", json=fields)
        return self._record(answer, product_id)

    def delete(self, product_id: int, image_id: int) -> None:
        """DELETE one image."""
        with suppress(NotFound):
            self._client.request("DELETE", f"/v2/products/{product_id}/images/{image_id}")

    def delete_all(self, product_id: int) -> None:
        """DELETE the collection until it is empty: one request may take one page only."""
        path = f"/v2/products/{product_id}/images"
        left = len(self.images(product_id))
        while left:
            self._client.request("DELETE", path, params={"limit": PAGE})
            before, left = left, len(self.images(product_id))
            if left >= before:
                raise RequestRejected(
                    f"DELETE {path}: {left} images stay although the store agreed. Delete them by hand."
                )

    def _filled(self, product: Product) -> Product | None:
        """Add the images; None where the product has been deleted meanwhile."""
        try:
            product.images = self._images_of(product.id, product.sku)
        except NotFound:
            return None
        return product

    def _images_of(self, product_id: int, sku: str | None) -> list[Record]:
        path = f"/v2/products/{product_id}/images"

        def read_page(number: int) -> list[dict[str, Any]]:
            params = {"limit": PAGE} if number == 1 else {"limit": PAGE, "page": number}
            return objects(self._client.get(path, params) or [], path)

        return [from_v2(image, self.settings.store_hash, product_id, sku) for image in read_pages(read_page, path)]

    def _product_rows(self, executor: ThreadPoolExecutor, first: int, last: int | None) -> Iterator[Product]:
        """Yield products without images; the next page is fetched while this one is worked on."""
        page = self._product_page(first, last)
        while len(page) == PAGE:
            following = executor.submit(self._product_page, page[-1].id + 1, last)
            yield from page
            page = following.result()
        yield from page

    def _product_page(self, first: int, last: int | None) -> list[Product]:
        path = "/v2/products"
        params: dict[str, Any] = {"min_id": first, "limit": PAGE, "include": "sku,name,date_modified"}
        if last is not None:
            params["max_id"] = last
        products = [_product(row) for row in objects(self._client.get(path, params) or [], path)]
        ascending((product.id for product in products), first - 1, path)
        return products

    def _record(self, answer: Any, product_id: int) -> Record:
        (image,) = objects([answer], f"/v2/products/{product_id}/images")
        return from_v2(image, self.settings.store_hash, product_id, None)


def _product(row: Mapping[str, Any]) -> Product:
    product_id = integer(row, "id", "/v2/products")
    what = f"/v2/products, product {product_id}"
    modified = optional_text(row, "date_modified", what)
    return Product(
        id=product_id,
        sku=optional_text(row, "sku", what),
        name=optional_text(row, "name", what),
        date_modified=utc_from_rfc2822(modified, row, "date_modified") if modified else None,
        images=[],
    )


def _image_file(source: Source) -> str:
    """Return what V2 takes as ``image_file``: a public address, or a name in the import folder."""
    if isinstance(source, FromFile):
        raise TypeError("V2 takes no picture bytes: upload them by WebDAV first and pass FromImport")
    return source.url if isinstance(source, FromUrl) else source.name
