"""The store over the V2 API: one request per product."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from typing import Any, ClassVar

from bc_images.bigcommerce.base import BaseClient, json_fields
from bc_images.bigcommerce.client import (
    PAGE_SIZE,
    Capabilities,
    FileSource,
    ImageSource,
    Product,
    SkuMatches,
    UrlSource,
)
from bc_images.bigcommerce.mapping import Record, utc_from_rfc2822
from bc_images.bigcommerce.pagination import read_pages
from bc_images.bigcommerce.validation import (
    check_ascending,
    expect_count,
    expect_int,
    expect_list,
    expect_objects,
    ids_with_sku,
    incomplete_listing,
    queryable_skus,
    sku_variants,
    unknown_outcome,
)
from bc_images.concurrency import ordered_map, worker_pool
from bc_images.errors import NotFound, RequestRejected

__all__ = ["V2Client"]


class V2Client(BaseClient):
    """The `StoreClient` protocol over V2."""

    api_version = "v2"
    read_date = staticmethod(utc_from_rfc2822)
    capabilities: ClassVar = Capabilities(accepts_image_bytes=False, reports_date_modified=False)
    products_path = "/v2/products"
    id_only: ClassVar = {"include": "id"}

    def count_images(self) -> int | None:
        """Return how many images the store has."""
        path = "/v2/products/images/count"
        return expect_count(self._http.get(path), path)

    def count_products(self) -> int:
        """Return how many products the store has."""
        path = "/v2/products/count"
        return expect_count(self._http.get(path), path)

    def product_id_at(self, position: int) -> int | None:
        """Read a page of one product; V2 lists them in id order."""
        rows = self._product_rows({"include": "id", "page": position + 1}, 0, None, limit=1)
        return rows[0]["id"] if rows else None

    def scan(self, first: int = 1, last: int | None = None) -> Iterator[Product]:
        """Walk the products by id and fetch the images of several at once.

        Walking by ``min_id`` is stable while products come and go; walking by page number is not.
        """

        def fill(product: Product) -> Product | None:
            filled = self._filled(product)
            if filled is None:
                self._confirm_gone(product.id)
            return filled

        with worker_pool(self.settings.concurrency, "scan") as executor:
            # Twice the threads: the next ones are ready while the first in line is slow.
            rows = self._all_products(executor, first, last)
            yield from filter(None, ordered_map(executor, fill, rows, 2 * self.settings.concurrency))

    def products(self, ids: Sequence[int]) -> Iterator[Product]:
        """Read the images of each product on its own; V2 has no request for several."""
        with worker_pool(self.settings.concurrency, "read") as executor:
            rows = (Product(product_id, None, None, None, []) for product_id in sorted(set(ids)))
            yield from filter(None, ordered_map(executor, self._filled, rows, 2 * self.settings.concurrency))

    def products_by_sku(self, skus: Iterable[str]) -> SkuMatches:
        """Ask for each SKU on its own."""
        found = SkuMatches(skus)

        def ask(sku: str) -> tuple[str, list[dict[str, Any]]]:
            return sku, self._product_rows({"sku": sku, "include": "sku"}, 0, None)

        with worker_pool(self.settings.concurrency, "find") as executor:
            asked = ordered_map(executor, ask, queryable_skus(found), 2 * self.settings.concurrency)
            for sku, rows in asked:
                found[sku] = list(ids_with_sku(rows, sku, found.invalid))
        return found

    def similar_skus(self, sku: str) -> dict[str, list[int]]:
        """Ask for other spellings."""
        return {other: ids for other, ids in self.products_by_sku(sku_variants(sku)).items() if ids}

    def create(self, product_id: int, source: ImageSource, fields: Mapping[str, Any]) -> Record:
        """POST an image; 201 comes without the rendition addresses."""
        path = self._images_path(product_id)
        body = {"image_file": _image_file(source), **json_fields(fields)}
        answer = self._http.request("POST", path, repeatable=False, json=body)
        if not isinstance(answer, dict) or type(answer.get("id")) is not int:
            raise unknown_outcome(f"POST {path}", "the answer names no image")
        return self._written(answer, product_id, answer["id"])

    def replace(self, product_id: int, image_id: int, source: ImageSource, fields: Mapping[str, Any]) -> Record:
        """PUT another picture under the old id."""
        return self.update(product_id, image_id, {"image_file": _image_file(source), **fields})

    def image(self, product_id: int, image_id: int) -> Record:
        """Return one image."""
        answer = self._http.get(self._image_path(product_id, image_id))
        return self._record(answer, product_id, f"product {product_id}, image {image_id}")

    def update(self, product_id: int, image_id: int, fields: Mapping[str, Any]) -> Record:
        """PUT the fields alone."""
        path = self._image_path(product_id, image_id)
        answer = self._http.request("PUT", path, json=json_fields(fields))
        return self._written(self._http.get(path) if answer is None else answer, product_id, image_id)

    def delete_all(self, product_id: int, image_ids: Collection[int]) -> None:
        """DELETE the collection while it holds these alone: one request may take one page only.

        Where another image has come in, or the store deletes none, the rest is deleted one by one.
        """
        doomed, before = {*image_ids}, set[object]()
        with suppress(NotFound):
            while left := {_id_of(image) for image in self._image_page(product_id, 1)}:
                if left == before or not left <= doomed:
                    break
                before = left
                self._http.request("DELETE", self._images_path(product_id), params={"limit": PAGE_SIZE})
            for image_id in doomed if left else ():
                self.delete(product_id, image_id)

    def _filled(self, product: Product) -> Product | None:
        """Add the images; None where there is no such product."""
        try:
            product.images, product.invalid = self._records(self._image_rows(product.id), product.id, product.sku)
        except NotFound:
            return None
        except RequestRejected as error:
            raise incomplete_listing(error) from error
        return product

    def _image_rows(self, product_id: int) -> list[Any]:
        def read_page(number: int) -> tuple[list[Any], bool]:
            page = self._image_page(product_id, number)
            return page, len(page) < PAGE_SIZE

        return read_pages(read_page, self._images_path(product_id))

    def _image_page(self, product_id: int, number: int) -> list[Any]:
        path = self._images_path(product_id)
        answer = self._http.get(path, {"limit": PAGE_SIZE} if number == 1 else {"limit": PAGE_SIZE, "page": number})
        return expect_list([] if answer is None else answer, path)

    def _all_products(self, executor: Executor, first: int, last: int | None) -> Iterator[Product]:
        """Yield products without images; the next page is fetched while this one is worked on."""

        def read(after: int) -> list[dict[str, Any]]:
            bounds = {"min_id": after + 1} if last is None else {"min_id": after + 1, "max_id": last}
            return self._product_rows({**bounds, "include": "sku,name,date_modified"}, after, last)

        page = read(first - 1)
        while page:  # the end is an empty page: a short one may be cut below what was asked for, silently
            following = executor.submit(read, page[-1]["id"])
            yield from map(self._product, page)
            page = following.result()

    def _product_rows(
        self, query: Mapping[str, Any], after: int, last: int | None, limit: int = PAGE_SIZE
    ) -> list[dict[str, Any]]:
        path = "/v2/products"
        try:
            answer = self._http.get(path, {**query, "limit": limit})
        except RequestRejected as error:
            raise incomplete_listing(error) from error
        rows = expect_objects([] if answer is None else answer, path)
        check_ascending((expect_int(row, "id", path) for row in rows), after, None if last is None else last + 1, path)
        return rows

    def _written(self, answer: Any, product_id: int, image_id: int) -> Record:
        return self._written_record(answer, product_id, image_id, f"product {product_id}: the image written")


def _id_of(row: object) -> object:
    found = row.get("id") if isinstance(row, dict) else None
    return found if isinstance(found, int) else None


def _image_file(source: ImageSource) -> str:
    """Return what V2 takes as ``image_file``: a public address, or a name in the import folder."""
    if isinstance(source, FileSource):
        raise TypeError("V2 takes no picture bytes: upload them by WebDAV first and pass FromImport")
    return source.url if isinstance(source, UrlSource) else source.name
