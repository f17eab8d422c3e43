"""The store over the V3 API: one request per 250 products (specs/products_catalog.v3.yml)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from bc_images.errors import NotFound, RequestRejected, UnexpectedResponse
from bc_images.http import Client
from bc_images.images import Record, from_v3, utc_from_iso
from bc_images.store import PAGE, FromFile, FromUrl, Product, Source
from bc_images.store.concurrent import ordered_map
from bc_images.store.paging import read_pages
from bc_images.store.shapes import ascending, count, integer, objects, optional_text
from bc_images.store.sweep import Page, sweep

__all__ = ["StoreV3"]

_PRODUCTS = "/v3/catalog/products"
_WITH_IMAGES = {"include": "images", "include_fields": "sku,name,date_modified"}
_SKUS_A_REQUEST = 50  # keeps the address short, whatever the SKUs look like


class StoreV3:
    """The `Store` protocol over V3."""

    def __init__(self, client: Client) -> None:
        self.settings = client.settings
        self._client = client

    def close(self) -> None:
        """Send nothing more and wake every thread that waits."""
        self._client.close()

    def count_images(self) -> int | None:
        """Ask V2, the only API that counts images; None where V2 is gone."""
        path = "/v2/products/images/count"
        try:
            return count(self._client.get(path), path)
        except RequestRejected:
            return None

    def count_products(self) -> int:
        """Return how many products the store has."""
        answer = self._client.get(_PRODUCTS, {"limit": 1, "include_fields": "id"})
        return integer(_pagination(answer), "total", _PRODUCTS)

    def sweep(self, first: int = 1, last: int | None = None) -> Iterator[Product]:
        """Walk the products by id, several ranges at once; a long image list is read through its own endpoint."""

        def fetch_page(after: int, before: int | None) -> Page:
            return self._product_page({**_between(after, before), **_WITH_IMAGES, "limit": PAGE}, after)

        def find_rank(after: int, before: int | None, rank: int) -> int | None:
            query = {**_between(after, before), "limit": 1, "page": rank + 1, "include_fields": "id"}
            rows = self._product_page(query, after).products
            return rows[0]["id"] if rows else None

        before = None if last is None else last + 1
        for row in sweep(fetch_page, find_rank, first - 1, before, self.settings.concurrency):
            product = self._product(row)
            if product is not None:
                yield product

    def products(self, ids: Sequence[int]) -> Iterator[Product]:
        """Read 250 products with their images a request."""
        wanted = sorted(set(ids))
        chunks = [wanted[start : start + PAGE] for start in range(0, len(wanted), PAGE)]

        def read(chunk: list[int]) -> list[dict[str, Any]]:
            query = {"id:in": ",".join(map(str, chunk)), **_WITH_IMAGES, "sort": "id", "limit": PAGE}
            return self._product_page(query, 0).products

        with ThreadPoolExecutor(self.settings.concurrency, "read") as executor:
            for rows in ordered_map(executor, read, chunks, self.settings.concurrency):
                for row in rows:
                    product = self._product(row)
                    if product is not None:
                        yield product

    def find(self, skus: Iterable[str]) -> dict[str, list[int]]:
        """Ask for many SKUs a request; one with a comma, which would fall apart in a list, is asked for alone."""
        found: dict[str, list[int]] = {sku: [] for sku in skus}
        listable = sorted(sku for sku in found if "," not in sku)
        queries = [
            {"sku:in": ",".join(listable[start : start + _SKUS_A_REQUEST])}
            for start in range(0, len(listable), _SKUS_A_REQUEST)
        ]
        queries += [{"sku": sku} for sku in found if "," in sku]

        def ask(query: dict[str, str]) -> list[dict[str, Any]]:
            def read_page(number: int) -> list[dict[str, Any]]:
                page = {"sort": "id", "limit": PAGE, "page": number, "include_fields": "sku"}
                return self._product_page({**query, **page}, 0).products

            return read_pages(read_page, _PRODUCTS)

        with ThreadPoolExecutor(self.settings.concurrency, "find") as executor:
            for rows in ordered_map(executor, ask, queries, self.settings.concurrency):
                for row in rows:
                    if row.get("sku") in found:
                        found[row["sku"]].append(row["id"])
        return found

    def images(self, product_id: int) -> list[Record]:
        """Return a product's images in id order."""
        return self._records(self._image_rows(product_id), product_id, None)

    def create(self, product_id: int, source: Source, fields: Mapping[str, Any]) -> Record:
        """POST an image: the bytes as multipart, or the address the store shall fetch."""
        return self._send("POST", f"{_PRODUCTS}/{product_id}/images", product_id, source, fields, repeatable=False)

    def replace(self, product_id: int, image_id: int, source: Source, fields: Mapping[str, Any]) -> Record:
        """Give an image another picture: bytes by POST to the image's own address, as the spec says, else PUT.

        Both may be repeated: the image has an id already.
        """
        method = "POST" if isinstance(source, FromFile) else "PUT"
        path = f"{_PRODUCTS}/{product_id}/images/{image_id}"
        return self._send(method, path, product_id, source, fields, repeatable=True)

    def update(self, product_id: int, image_id: int, fields: Mapping[str, Any]) -> Record:
        """PUT the fields alone."""
        answer = self._client.request("PUT", f"{_PRODUCTS}/{product_id}/images/{image_id}", json=fields)
        return self._record(answer, product_id)

    def delete(self, product_id: int, image_id: int) -> None:
        """DELETE one image."""
        with suppress(NotFound):
            self._client.request("DELETE", f"{_PRODUCTS}/{product_id}/images/{image_id}")

    def delete_all(self, product_id: int) -> None:
        """DELETE the images one by one: V3 has no collection DELETE, and V2 may be gone."""
        for image in self.images(product_id):
            self.delete(product_id, image["id"])

    def _send(
        self, method: str, path: str, product_id: int, source: Source, fields: Mapping[str, Any], *, repeatable: bool
    ) -> Record:
        if isinstance(source, FromFile):
            form = {name: _form_value(value) for name, value in fields.items()}
            with source.open() as opened:
                parts = {"image_file": (source.name, opened)}
                answer = self._client.request(method, path, repeatable=repeatable, data=form, files=parts)
        elif isinstance(source, FromUrl):
            body = {"image_url": source.url, **fields}
            answer = self._client.request(method, path, repeatable=repeatable, json=body)
        else:  # a file in the import folder is public: V3 fetches it like any other address
            body = {"image_url": f"{self.settings.store_url}/product_images/import/{source.name}", **fields}
            answer = self._client.request(method, path, repeatable=repeatable, json=body)
        return self._record(answer, product_id)

    def _product_page(self, query: Mapping[str, Any], after: int) -> Page:
        """Read one page of products in id order, all beyond `after`."""
        answer = self._client.get(_PRODUCTS, query)
        if answer is None:
            return Page([], 0, is_last=True)
        rows = objects(answer.get("data") if isinstance(answer, dict) else None, f"{_PRODUCTS}: data")
        ascending((integer(row, "id", _PRODUCTS) for row in rows), after, _PRODUCTS)
        pagination = _pagination(answer)
        # The page may be cut smaller than asked for, silently: only one shorter than itself says ends.
        per_page = integer(pagination, "per_page", _PRODUCTS)
        return Page(rows, integer(pagination, "total", _PRODUCTS), is_last=len(rows) < max(1, per_page))

    def _product(self, row: Mapping[str, Any]) -> Product | None:
        """Return the product with all its images; None where it has been deleted meanwhile."""
        product_id: int = row["id"]
        what = f"{_PRODUCTS}, product {product_id}"
        sku = optional_text(row, "sku", what)
        images = row.get("images")
        if not isinstance(images, list):
            raise UnexpectedResponse(
                f"{what}: the field images is {images!r}, not a list. The answer does not fit the API."
            )
        if len(images) >= PAGE:  # whether a longer list is embedded whole is not documented
            try:
                images = self._image_rows(product_id)
            except NotFound:
                return None
        modified = optional_text(row, "date_modified", what)
        return Product(
            id=product_id,
            sku=sku,
            name=optional_text(row, "name", what),
            date_modified=utc_from_iso(modified, row, "date_modified") if modified else None,
            images=self._records(images, product_id, sku),
        )

    def _records(self, rows: Sequence[Mapping[str, Any]], product_id: int, sku: str | None) -> list[Record]:
        store_hash = self.settings.store_hash
        records = [from_v3(row, store_hash, product_id, sku) for row in rows]
        records.sort(key=_by_id)
        return records

    def _image_rows(self, product_id: int) -> list[dict[str, Any]]:
        path = f"{_PRODUCTS}/{product_id}/images"

        def read_page(number: int) -> list[dict[str, Any]]:
            query = {"limit": PAGE} if number == 1 else {"limit": PAGE, "page": number}
            answer = self._client.get(path, query)
            # An empty list is documented as 204 and seen as 200.
            return [] if answer is None else objects(answer.get("data") if isinstance(answer, dict) else None, path)

        return read_pages(read_page, path)

    def _record(self, answer: Any, product_id: int) -> Record:
        (image,) = objects([answer.get("data") if isinstance(answer, dict) else None], f"product {product_id}, image")
        return from_v3(image, self.settings.store_hash, product_id, None)


def _by_id(record: Record) -> int:
    image_id: int = record["id"]
    return image_id


def _between(after: int, before: int | None) -> dict[str, Any]:
    query: dict[str, Any] = {"id:greater": after, "sort": "id"}
    if before is not None:
        query["id:less"] = before
    return query


def _pagination(answer: Any) -> Mapping[str, Any]:
    meta = answer.get("meta") if isinstance(answer, dict) else None
    pagination = meta.get("pagination") if isinstance(meta, dict) else None
    if not isinstance(pagination, dict):
        raise UnexpectedResponse(f"{_PRODUCTS}: the page has no meta.pagination. The answer does not fit the API.")
    return pagination


def _form_value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
