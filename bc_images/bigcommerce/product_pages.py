"""Decodes pages of V3 products straight into the types that the schemas give: parsed and checked in one pass.

Whatever does not fit is not judged here: the caller reads the page again value by value, and says what is wrong.
"""

from __future__ import annotations

from codecs import getincrementaldecoder
from collections.abc import Iterator, Mapping
from operator import attrgetter
from types import GenericAlias
from typing import Annotated, Any, NamedTuple, TypeAlias

import orjson
from msgspec import NODEFAULT, Meta, Raw, Struct, defstruct
from msgspec.json import Decoder
from msgspec.structs import asdict

from bc_images.bigcommerce.client import PAGE_SIZE, Product
from bc_images.bigcommerce.mapping import EMPTY_RECORD, field_types, sources, utc_from_iso
from bc_images.schema import load

__all__ = ["Listing", "decode_products", "read_listing"]

_PIECE = 2**16  # bytes
_LARGE = 2**20  # bytes above which the products of a page are decoded one at a time, so that few are in memory

_COUNT: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1)]


def _struct(stream: str, more: Mapping[str, Any]) -> Any:
    """Return the type of what V3 sends of a stream: its fields are named as in the schema, and read by V3's names."""
    names, types, required = sources(stream, "v3"), field_types(stream), load(stream)["required"]
    fields = [(name, types[name], NODEFAULT if name in required else None) for name in names]
    return defstruct(stream, [*fields, *more.items()], rename=names, kw_only=True, gc=False)


_Image = _struct("product_images", {})
_Product = _struct("products", {"images": GenericAlias(list, _Image)})
_Page: Any = defstruct("_Page", [("data", GenericAlias(list, _Product))])


class _RawPage(Struct):
    data: list[Raw]


class _AnyObject(Struct):
    pass


class _Row(Struct):
    id: _COUNT
    images: Annotated[list[_AnyObject], Meta(max_length=PAGE_SIZE - 1)]  # a longer list may not be whole


class _Pagination(Struct):
    total: _COUNT
    per_page: _COUNT


class _Meta(Struct):
    pagination: _Pagination


class _Outline(Struct):
    data: list[_Row]
    meta: _Meta


class Listing(NamedTuple):
    """What a page of products says of itself; the page is kept as it came, in `content`, or parsed, in `rows`."""

    ids: list[int]
    total: int  # products that match, on this page and others
    per_page: int
    content: bytes = b""
    rows: list[dict[str, Any]] = []  # noqa: RUF012


_outline = Decoder(_Outline).decode
_page = Decoder(_Page).decode
_raw_page = Decoder(_RawPage).decode
_product = Decoder(_Product).decode
_image_id = attrgetter("id")


def read_listing(content: bytes) -> Listing | Any:
    """Return the `Listing` of a page, which stays bytes; the parsed JSON where it is to be read value by value.

    That is where something does not fit, or an image list may not be whole.

    Raises:
        orjson.JSONDecodeError: it is not valid JSON.
    """
    try:
        _require_utf8(content)  # msgspec does not look into the texts that it skips
        page = _outline(content)
    except (ValueError, RecursionError):
        return orjson.loads(content)
    pagination = page.meta.pagination
    return Listing([row.id for row in page.data], pagination.total, pagination.per_page, content)


def _require_utf8(content: bytes) -> None:
    """Raise `UnicodeDecodeError` where it is not; decoded as a whole, it could take four times its size."""
    decoder = getincrementaldecoder("utf-8")()
    for start in range(0, len(content), _PIECE):
        decoder.decode(content[start : start + _PIECE], start + _PIECE >= len(content))


def _rows(content: bytes) -> Iterator[Any]:
    return iter(_page(content).data) if len(content) < _LARGE else map(_product, _raw_page(content).data)


def decode_products(content: bytes, store_hash: str) -> Iterator[Product]:
    """Yield the products of a page, with their images as records in id order.

    Raises:
        ValueError, UnexpectedResponse: a value does not fit its type, or an image of the next product that product.
    """
    for row in _rows(content):
        common = EMPTY_RECORD | {"store_hash": store_hash, "product_sku": row.sku}
        images = []
        before = 0
        row.images.sort(key=_image_id)
        for image in row.images:
            if image.id == before or image.product_id != row.id:
                raise ValueError
            before = image.id
            record = {**common, **asdict(image)}
            record["date_modified"] = utc_from_iso(image.date_modified, record, "date_modified")
            images.append(record)
        date_modified = utc_from_iso(row.date_modified, {"id": row.id}, "date_modified")
        yield Product(row.id, row.sku, row.name, date_modified, images)
