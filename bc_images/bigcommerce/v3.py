"""The store over the V3 API: one request per 250 products."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any, ClassVar
from urllib.parse import quote

from bc_images.bigcommerce.base import BaseClient, form_fields, json_fields, media_type
from bc_images.bigcommerce.client import (
    PAGE_SIZE,
    Capabilities,
    FileSource,
    ImageSource,
    Product,
    SkuMatches,
    UrlSource,
)
from bc_images.bigcommerce.mapping import InvalidImage, Record, from_v3, unexpected_response, utc_from_iso
from bc_images.bigcommerce.pagination import read_pages
from bc_images.bigcommerce.range_scan import Page, scan_ranges
from bc_images.bigcommerce.validation import (
    check_ascending,
    expect_count,
    expect_int,
    expect_list,
    expect_objects,
    ids_with_sku,
    incomplete_listing,
    queryable_skus,
    same_sku,
    sku_variants,
    sorted_by_id,
    unknown_outcome,
)
from bc_images.concurrency import ordered_map, worker_pool
from bc_images.errors import FatalError, NotFound, OutcomeUnknown, RequestRejected, UnexpectedResponse

__all__ = ["V3Client"]

_PRODUCTS = "/v3/catalog/products"
_WITH_IMAGES = {"include": "images", "include_fields": "sku,name,date_modified"}
_TRIES = 3
_LONGEST_LIST = 4000  # characters of an address that a list of SKUs may take


class V3Client(BaseClient):
    """The `StoreClient` protocol over V3."""

    capabilities: ClassVar = Capabilities(accepts_image_bytes=True, reports_date_modified=True)
    products_path = _PRODUCTS
    id_only: ClassVar = {"include_fields": "id"}

    def count_images(self) -> int | None:
        """Ask V2, the only API that counts images; None where it does not say so at once: the scan can do without."""
        path = "/v2/products/images/count"
        try:
            return expect_count(self._http.get(path, max_retries=0), path)
        except (RequestRejected, FatalError):
            if self._http.stop.is_set():
                raise
            return None  # harmless: whatever is wrong with token, address or network, V3 will say so itself

    def count_products(self) -> int:
        """Return how many products the store has."""
        return self._product_page({"limit": 1, "include_fields": "id"}).total

    def product_id_at(self, position: int) -> int | None:
        """Read a page of one product."""
        return self._product_id_at(0, None, position)

    def scan(self, first: int = 1, last: int | None = None) -> Iterator[Product]:
        """Walk the products by id, several ranges at once; a long image list is read through its own endpoint."""

        def fetch_page(after: int, before: int | None) -> Page:
            page = self._product_page({**_between(after, before), **_WITH_IMAGES, "limit": PAGE_SIZE}, after, before)
            self._fill_long_lists(page.products)
            return page

        before = None if last is None else last + 1
        with closing(
            scan_ranges(fetch_page, self._product_id_at, first - 1, before, self.settings.concurrency)
        ) as rows:
            yield from map(self._product, rows)

    def products(self, ids: Sequence[int]) -> Iterator[Product]:
        """Read 250 products with their images a request."""
        wanted = sorted(set(ids))
        chunks = [wanted[start : start + PAGE_SIZE] for start in range(0, len(wanted), PAGE_SIZE)]
        with worker_pool(self.settings.concurrency, "read") as executor:
            for rows in ordered_map(executor, self._chunk, chunks, self.settings.concurrency):
                yield from map(self._product, rows)

    def products_by_sku(self, skus: Iterable[str]) -> SkuMatches:
        """Ask for many SKUs a request; one with a comma, which would fall apart in a list, is asked for alone.

        Where an answer has a SKU that is no text, all that were asked for with it are asked for alone, too.
        """
        found = SkuMatches(skus)
        wanted = queryable_skus(found)
        batches = [*_batches(sku for sku in wanted if "," not in sku), *([sku] for sku in wanted if "," in sku)]

        def ask(skus: list[str]) -> list[dict[str, Any]]:
            query = {"sku": skus[0]} if len(skus) == 1 else {"sku:in": ",".join(skus)}

            def read_page(number: int) -> tuple[list[dict[str, Any]], bool]:
                page = {"sort": "id", "limit": PAGE_SIZE, "page": number, "include_fields": "sku"}
                answer = self._product_page({**query, **page})
                return answer.products, answer.is_last

            return read_pages(read_page, _PRODUCTS)

        with worker_pool(self.settings.concurrency, "find") as executor:
            for batch, rows in zip(
                batches, ordered_map(executor, ask, batches, self.settings.concurrency), strict=True
            ):
                if all(row.get("sku") is None or isinstance(row["sku"], str) for row in rows):
                    for row in rows:
                        if row.get("sku") in found:  # exactly: the store may not mind the case of letters
                            found[row["sku"]].append(row["id"])
                    continue
                for sku in batch:
                    found[sku] = list(ids_with_sku(ask([sku]) if len(batch) > 1 else rows, sku, found.invalid))
        return found

    def similar_skus(self, sku: str) -> dict[str, list[int]]:
        """Ask for other spellings, and for the SKU as a keyword, for which case does not count."""
        found = {other: ids for other, ids in self.products_by_sku(sku_variants(sku)).items() if ids}
        for keyword in queryable_skus([sku.strip()]):
            page = {"keyword": keyword, "sort": "id", "limit": PAGE_SIZE, "page": 1, "include_fields": "sku"}
            for row in self._product_page(page).products:
                other = self._notices.optional_text(row, "sku")
                if other and other not in {sku, *found} and same_sku(other, sku):
                    found[other] = [row["id"]]
        return found

    def images(self, product_id: int) -> list[Record]:
        """Return a product's images in id order."""
        return self._records(self._image_rows(product_id), product_id, None)[0]

    def image(self, product_id: int, image_id: int) -> Record:
        """Return one image."""
        answer = self._http.get(self._image_path(product_id, image_id))
        (image,) = expect_objects([answer.get("data") if isinstance(answer, dict) else None], f"image {image_id}: data")
        return from_v3(image, self.settings.store_hash, product_id, None, self._notices)

    def create(self, product_id: int, source: ImageSource, fields: Mapping[str, Any]) -> Record:
        """POST an image: the bytes as multipart, or the address the store shall fetch."""
        path = self._images_path(product_id)
        answer = self._send("POST", path, source, fields, repeatable=False)
        data = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(data, dict) or type(data.get("id")) is not int:
            raise unknown_outcome(f"POST {path}", "the answer names no image")
        try:
            return self._written(answer, product_id, data["id"])
        except RequestRejected as error:  # to read it, not to make it: a record must not count as rejected for that
            raise OutcomeUnknown(
                f"POST {path}: image {data['id']} was made and cannot be read ({error}). It may be gone already."
            ) from error

    def replace(self, product_id: int, image_id: int, source: ImageSource, fields: Mapping[str, Any]) -> Record:
        """Give an image another picture: bytes by POST to the image's own address, as the spec says, else PUT.

        Both may be repeated: the image has an id already.
        """
        method = "POST" if isinstance(source, FileSource) else "PUT"
        answer = self._send(method, self._image_path(product_id, image_id), source, fields, repeatable=True)
        return self._written(answer, product_id, image_id)

    def update(self, product_id: int, image_id: int, fields: Mapping[str, Any]) -> Record:
        """PUT the fields alone."""
        answer = self._http.request("PUT", self._image_path(product_id, image_id), json=json_fields(fields))
        return self._written(answer, product_id, image_id)

    def delete_all(self, product_id: int, image_ids: Collection[int]) -> None:
        """DELETE the images one by one: V3 has no collection DELETE, and V2 may be gone."""
        for image_id in image_ids:
            self.delete(product_id, image_id)

    def _send(self, method: str, path: str, source: ImageSource, fields: Mapping[str, Any], *, repeatable: bool) -> Any:
        if isinstance(source, FileSource):
            with source.open() as opened:
                parts = {"image_file": (source.name, opened, media_type(source.name))}
                return self._http.request(method, path, repeatable=repeatable, data=form_fields(fields), files=parts)
        # A file in the import folder is public: V3 fetches it like any other address.
        imported = f"{self.settings.store_url}/product_images/import/"
        url = source.url if isinstance(source, UrlSource) else imported + quote(source.name)
        return self._http.request(method, path, repeatable=repeatable, json={"image_url": url, **json_fields(fields)})

    def _written(self, answer: Any, product_id: int, image_id: int) -> Record:
        """Return the image that a write answered with; where the answer leaves out too much, read it.

        The spec's newest response schema has no ``image_file``, and its 201 of a PUT no body, unlike all examples.
        """
        data = answer.get("data") if isinstance(answer, dict) else None
        if answer is None or (isinstance(data, dict) and "image_file" not in data):
            answer = self._http.get(self._image_path(product_id, image_id))
            data = answer.get("data") if isinstance(answer, dict) else None
        what = f"product {product_id}, image {image_id}"
        try:
            (image,) = expect_objects([data], f"{what}: data")
            record = from_v3(image, self.settings.store_hash, product_id, None, self._notices)
        except UnexpectedResponse as error:
            raise unknown_outcome(f"{what}: the answer to the write", str(error)) from error
        if record["id"] != image_id:
            raise unknown_outcome(f"{what}: the answer to the write", f"describes image {record['id']}")
        return record

    def _chunk(self, ids: list[int]) -> list[dict[str, Any]]:
        """Read at most 250 products by id."""
        found: list[dict[str, Any]] = []
        while ids:
            query = {"id:in": ",".join(map(str, ids)), **_WITH_IMAGES, "sort": "id", "limit": PAGE_SIZE}
            page = self._product_page(query)
            strange = {row["id"] for row in page.products}.difference(ids)
            if strange:
                raise unexpected_response(_PRODUCTS, f"product {min(strange)} came although others were asked for")
            found += page.products
            if page.is_last:
                break
            ids = [product_id for product_id in ids if product_id > page.end]
        self._fill_long_lists(found)
        return found

    def _product_page(self, query: Mapping[str, Any], after: int = 0, before: int | None = None) -> Page:
        """Read one page of products in id order, with ``after < id < before``."""
        total = 0
        for _ in range(_TRIES):
            try:
                answer = self._http.get(_PRODUCTS, query)
            except RequestRejected as error:
                raise incomplete_listing(error) from error
            rows = _rows(answer, _PRODUCTS)
            check_ascending((expect_int(row, "id", _PRODUCTS) for row in rows), after, before, _PRODUCTS)
            pagination = _pagination(answer, _PRODUCTS)
            total, per_page = expect_int(pagination, "total", _PRODUCTS), expect_int(pagination, "per_page", _PRODUCTS)
            seen = (query.get("page", 1) - 1) * per_page + len(rows)
            # It is the last where both signs say so: the page may be cut below what was asked for, silently.
            is_last = len(rows) < max(1, per_page) and total <= seen
            if rows or is_last:
                return Page(rows, total, rows[-1]["id"] if rows else after, is_last)
            # None of those that are there: something was deleted between the store's counting and its reading.
        raise unexpected_response(_PRODUCTS, f"an empty page, of {total} products in all")

    def _product_id_at(self, after: int, before: int | None, position: int) -> int | None:
        """Return the id at a position, from 0, among the products with ``after < id < before``."""
        query = {**_between(after, before), "limit": 1, "page": position + 1, "include_fields": "id"}
        rows = self._product_page(query, after, before).products
        return rows[0]["id"] if rows else None

    def _fill_long_lists(self, rows: list[dict[str, Any]]) -> None:
        """Read image lists that are missing, or may not be embedded whole (not documented), through their own route."""
        for row in list(rows):
            images = row.get("images")
            if not isinstance(images, list) or len(images) >= PAGE_SIZE:
                try:
                    row["images"] = self._image_rows(row["id"])
                except NotFound:
                    self._confirm_gone(row["id"])
                    rows.remove(row)
                except RequestRejected as error:
                    raise incomplete_listing(error) from error

    def _product(self, row: Mapping[str, Any]) -> Product:
        product_id, sku = row["id"], self._notices.optional_text(row, "sku")
        images, invalid = self._records(row["images"], product_id, sku)
        return Product(
            id=product_id,
            sku=sku,
            name=self._notices.optional_text(row, "name"),
            date_modified=self._notices.optional_date(row, "date_modified", utc_from_iso),
            images=images,
            invalid=invalid,
        )

    def _records(
        self, rows: Sequence[Any], product_id: int, sku: str | None
    ) -> tuple[list[Record], list[InvalidImage]]:
        store_hash, notices = self.settings.store_hash, self._notices
        return sorted_by_id(rows, product_id, lambda row: from_v3(row, store_hash, product_id, sku, notices))

    def _image_rows(self, product_id: int) -> list[Any]:
        path = self._images_path(product_id)

        def read_page(number: int) -> tuple[list[Any], bool]:
            answer = self._http.get(path, {"limit": PAGE_SIZE, "page": number})
            if answer is None:  # an empty list is documented as 204 and seen as 200
                return [], True
            rows = expect_list(_data(answer), f"{path}: data")
            # The page may be cut below what was asked for, silently.
            return rows, len(rows) < max(1, expect_int(_pagination(answer, path), "per_page", path))

        return read_pages(read_page, path)


def _between(after: int, before: int | None) -> dict[str, Any]:
    query: dict[str, Any] = {"id:greater": after, "sort": "id", "direction": "asc"}
    if before is not None:
        query["id:less"] = before
    return query


def _batches(skus: Iterable[str]) -> Iterator[list[str]]:
    """Yield lists of SKUs that each fit into an address and have at most a page of answers."""
    batch: list[str] = []
    length = 0
    for sku in skus:
        length += len(quote(f"{sku},", safe=""))
        if batch and (length > _LONGEST_LIST or len(batch) == PAGE_SIZE):
            yield batch
            batch, length = [], len(quote(f"{sku},", safe=""))
        batch.append(sku)
    if batch:
        yield batch


def _rows(answer: Any, path: str) -> list[dict[str, Any]]:
    return expect_objects(_data(answer), f"{path}: data")


def _data(answer: Any) -> Any:
    return answer.get("data") if isinstance(answer, dict) else None


def _pagination(answer: Any, path: str) -> Mapping[str, Any]:
    meta = answer.get("meta")
    pagination = meta.get("pagination") if isinstance(meta, dict) else None
    if not isinstance(pagination, dict):
        raise unexpected_response(path, "the page has no meta.pagination")
    return pagination
