"""The store over the V3 API: one request per 250 products."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import islice
from typing import Any, ClassVar
from urllib.parse import quote

import orjson

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
from bc_images.bigcommerce.mapping import Record, unexpected_response, utc_from_iso
from bc_images.bigcommerce.pagination import read_pages
from bc_images.bigcommerce.product_pages import Listing, decode_products, read_listing
from bc_images.bigcommerce.range_scan import Page, scan_ranges
from bc_images.bigcommerce.responses import require_short_texts
from bc_images.bigcommerce.transport import Decode
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

    api_version = "v3"
    read_date = staticmethod(utc_from_iso)
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
            return self._page_with_images({**_between(after, before), "limit": PAGE_SIZE}, after, before)

        before = None if last is None else last + 1
        concurrency = self.settings.concurrency
        with closing(scan_ranges(fetch_page, self._product_id_at, first - 1, before, concurrency)) as pages:
            for content in pages:
                yield from self._decoded(content)
                del content  # or two would be held while the next one is read

    def products(self, ids: Sequence[int]) -> Iterator[Product]:
        """Read 250 products with their images a request."""
        wanted = sorted(set(ids))
        chunks = [wanted[start : start + PAGE_SIZE] for start in range(0, len(wanted), PAGE_SIZE)]
        with worker_pool(self.settings.concurrency, "read") as executor:
            for products in ordered_map(executor, self._chunk, chunks, self.settings.concurrency):
                yield from products

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
                return answer.rows, answer.is_last

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
            for row in self._product_page(page).rows:
                other = self._notices.optional_text(row, "sku")
                if other and other not in {sku, *found} and same_sku(other, sku):
                    found[other] = [row["id"]]
        return found

    def image(self, product_id: int, image_id: int) -> Record:
        """Return one image."""
        answer = self._http.get(self._image_path(product_id, image_id))
        return self._record(_data(answer), product_id, f"image {image_id}: data")

    def create(self, product_id: int, source: ImageSource, fields: Mapping[str, Any]) -> Record:
        """POST an image: the bytes as multipart, or the address the store shall fetch."""
        path = self._images_path(product_id)
        answer = self._send("POST", path, source, fields, repeatable=False)
        data = _data(answer)
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
        data = _data(answer)
        if answer is None or (isinstance(data, dict) and "image_file" not in data):
            data = _data(self._http.get(self._image_path(product_id, image_id)))
        return self._written_record(data, product_id, image_id, f"product {product_id}, image {image_id}: data")

    def _chunk(self, ids: list[int]) -> list[Product]:
        """Read at most 250 products by id."""
        products: list[Product] = []
        while ids:
            page = self._page_with_images({"id:in": ",".join(map(str, ids)), "sort": "id", "limit": PAGE_SIZE})
            page_products = list(self._decoded(page.content))
            strange = {product.id for product in page_products}.difference(ids)
            if strange:
                raise unexpected_response(_PRODUCTS, f"product {min(strange)} came although others were asked for")
            products += page_products
            if page.is_last:
                break
            ids = [product_id for product_id in ids if product_id > page.end]
        return products

    def _page_with_images(self, query: Mapping[str, Any], after: int = 0, before: int | None = None) -> Page:
        """Read one page of products; as bytes, so that little is held of it until it is decoded in its turn."""
        page = self._product_page({**query, **_WITH_IMAGES}, after, before, read_listing)
        if page.content:
            return page
        self._fill_long_lists(page.rows)
        return Page(orjson.dumps({"data": page.rows}), [], len(page.rows), page.total, page.end, page.is_last)

    def _decoded(self, content: bytes) -> Iterator[Product]:
        """Yield the products of a page; what does not fit the schemas is read value by value, to say what is wrong."""
        number = 0
        try:
            for number, product in enumerate(decode_products(content, self.settings.store_hash), 1):  # noqa: B007
                yield product
        except (ValueError, RecursionError, UnexpectedResponse):
            yield from islice(self._checked(content), number, None)

    def _checked(self, content: bytes) -> Iterator[Product]:
        try:
            answer = orjson.loads(content)
        except orjson.JSONDecodeError as error:  # a number that is not finite
            raise unexpected_response(_PRODUCTS, f"invalid JSON ({error})") from error
        require_short_texts(answer, f"GET {_PRODUCTS}")
        for row in answer["data"]:
            product = self._product(row)
            product.images, product.invalid = self._records(row["images"], product.id, product.sku)
            yield product

    def _product_page(
        self,
        query: Mapping[str, Any],
        after: int = 0,
        before: int | None = None,
        decode: Decode = orjson.loads,
    ) -> Page:
        """Read one page of products in id order, with ``after < id < before``."""
        total = 0
        for _ in range(_TRIES):
            try:
                answer = self._http.get(_PRODUCTS, query, decode=decode)
            except RequestRejected as error:
                raise incomplete_listing(error) from error
            page = answer if isinstance(answer, Listing) else _listing(answer)  # slow, and says what is wrong
            check_ascending(page.ids, after, before, _PRODUCTS)
            total = page.total
            seen = (query.get("page", 1) - 1) * page.per_page + len(page.ids)
            # It is the last where both signs say so: the page may be cut below what was asked for, silently.
            is_last = len(page.ids) < max(1, page.per_page) and total <= seen
            if page.ids or is_last:
                end = page.ids[-1] if page.ids else after
                return Page(page.content, page.rows, len(page.ids), total, end, is_last)
            # None of those that are there: something was deleted between the store's counting and its reading.
        raise unexpected_response(_PRODUCTS, f"an empty page, of {total} products in all")

    def _product_id_at(self, after: int, before: int | None, position: int) -> int | None:
        """Return the id at a position, from 0, among the products with ``after < id < before``."""
        query = {**_between(after, before), "limit": 1, "page": position + 1, "include_fields": "id"}
        rows = self._product_page(query, after, before).rows
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


def _listing(answer: Any) -> Listing:
    rows = expect_objects(_data(answer), f"{_PRODUCTS}: data")
    ids = [expect_int(row, "id", _PRODUCTS) for row in rows]
    pagination = _pagination(answer, _PRODUCTS)
    total, per_page = (expect_int(pagination, name, _PRODUCTS) for name in ("total", "per_page"))
    return Listing(ids, total, per_page, rows=rows)


def _data(answer: Any) -> Any:
    return answer.get("data") if isinstance(answer, dict) else None


def _pagination(answer: Any, path: str) -> Mapping[str, Any]:
    meta = answer.get("meta")
    pagination = meta.get("pagination") if isinstance(meta, dict) else None
    if not isinstance(pagination, dict):
        raise unexpected_response(path, "the page has no meta.pagination")
    return pagination
