"""V3 products: sorting, paging, fields and includes (products_catalog.v3.yml, GET /catalog/products)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import orjson

from bigcommerce_sandbox import serializers, v3_filters
from bigcommerce_sandbox.api import paging
from bigcommerce_sandbox.responses import not_emulated
from bigcommerce_sandbox.state import IMAGE, PRODUCT, Product
from bigcommerce_sandbox.v3_filters import bad, unknown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bigcommerce_sandbox.api import Call

OTHER_SORTS: Final = frozenset(
    {
        "name",
        "sku",
        "price",
        "date_modified",
        "date_last_imported",
        "inventory_level",
        "is_visible",
        "total_sold",
        "calculated_price",
    }
)
OTHER_INCLUDES: Final = frozenset(
    {
        "bulk_pricing_rules",
        "channels",
        "custom_fields",
        "modifiers",
        "options",
        "parent_relations",
        "primary_image",
        "reviews",
        "variants",
        "videos",
    }
)


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _with_images(query: Mapping[str, str]) -> bool:
    """Whether ``include`` names images; 422 for what does not exist, 501 for what is not emulated."""
    named = set(_split(query.get("include", ""))) - {"images"}
    if not named <= OTHER_INCLUDES:
        raise bad("include", f"has unknown values: {', '.join(sorted(named - OTHER_INCLUDES))}")
    if named:
        raise not_emulated(f"The include '{min(named)}'")
    return "images" in _split(query.get("include", ""))


def fields(query: Mapping[str, str], known: Sequence[str]) -> list[str]:
    """The fields that include_fields and exclude_fields leave, id always; 501 for other names in include_fields."""
    keep = set(known)
    if query.get("include_fields"):
        keep = set(_split(query["include_fields"]))
        if not keep.issubset(known):
            raise not_emulated(f"The field '{min(keep.difference(known))}' in include_fields")
    keep -= set(_split(query.get("exclude_fields", "")))
    return [name for name in known if name in keep or name == "id"]


def pagination(query: Mapping[str, str], total: int, count: int, page: int, limit: int) -> dict[str, Any]:
    """``meta.pagination``; the links are query strings, and there is no ``next`` on the last page."""
    pages = -(-total // limit)
    rest = {name: value for name, value in query.items() if name not in ("page", "limit")}

    def link(number: int) -> str:
        return "?" + urlencode({**rest, "page": number, "limit": limit}, safe=":,")

    links = {"current": link(page)}
    if page > 1:
        links = {"previous": link(page - 1), **links}
    if page < pages:
        links["next"] = link(page + 1)
    numbers = {"total": total, "count": count, "per_page": limit, "current_page": page, "total_pages": pages}
    return {"pagination": {**numbers, "links": links}}


def _embedded(call: Call, ids: list[int]) -> dict[int, list[bytes]]:
    """Images by product as JSON text, in id order."""
    images: dict[int, list[bytes]] = {number: [] for number in ids}
    url = call.context.url
    sql = f"SELECT {IMAGE} FROM images WHERE product_id IN (SELECT value FROM json_each(?)) ORDER BY product_id, id"  # noqa: S608
    for row in call.context.state.rows(sql, (orjson.dumps(ids).decode(),)):
        images[row[1]].append(serializers.v3_image_json(row, url))
    return images


def _shaped(call: Call, products: list[Product], query: Mapping[str, str]) -> list[serializers.JsonObject]:
    bodies = [serializers.v3_product(product, fields(query, list(serializers.V3_PRODUCT))) for product in products]
    if _with_images(query):
        images = _embedded(call, [product.id for product in products])
        limit = call.context.flags.embedded_images_max
        for product, body in zip(products, bodies, strict=True):
            body["images"] = orjson.Fragment(b"[" + b",".join(images[product.id][:limit]) + b"]")
    return bodies


def page(call: Call) -> tuple[list[serializers.JsonObject], dict[str, Any]]:
    """(data, meta) of one page."""
    query = call.query()
    where, values = v3_filters.where(query)
    number, limit = paging(query, call.context.flags, lambda name: bad(name, "must be an integer"))
    sort, direction = query.get("sort", "id"), query.get("direction", "asc")
    if sort in OTHER_SORTS:
        raise not_emulated(f"Sorting by '{sort}'")
    if sort != "id":
        raise bad("sort")
    if direction not in ("asc", "desc"):
        raise bad("direction")
    total = v3_filters.count(call.context.state, query, where, values)
    rows = call.context.state.rows(
        f"SELECT {PRODUCT} FROM products WHERE {where}"  # noqa: S608
        f" ORDER BY id {direction} LIMIT ? OFFSET ?",
        [*values, limit, (number - 1) * limit],
    )
    data = _shaped(call, [Product._make(row) for row in rows], query)
    return data, pagination(query, total, len(data), number, limit)


def one(call: Call, product_id: int) -> serializers.JsonObject:
    """One product that exists."""
    query = call.query()
    wrong = [name for name in query if name not in ("include", "include_fields", "exclude_fields")]
    if wrong:
        raise unknown(wrong)
    rows = call.context.state.rows(f"SELECT {PRODUCT} FROM products WHERE id = ?", (product_id,))  # noqa: S608
    return _shaped(call, [Product._make(rows[0])], query)[0]
