"""V3 products: sorting, paging, fields and includes (products_catalog.v3.yml, GET /catalog/products)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import orjson

from bigcommerce_sandbox import serializers, v3_filters
from bigcommerce_sandbox.api import paging
from bigcommerce_sandbox.state import IMAGE, PRODUCT, Product
from bigcommerce_sandbox.v3_filters import bad, unknown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bigcommerce_sandbox.api import Call

SORTS: Final = {
    **{
        name: name
        for name in (
            "id",
            "name",
            "sku",
            "price",
            "date_modified",
            "date_last_imported",
            "inventory_level",
            "is_visible",
            "total_sold",
        )
    },
    "calculated_price": "price",
}
EMPTY_INCLUDES: Final = (
    "bulk_pricing_rules",
    "custom_fields",
    "modifiers",
    "options",
    "parent_relations",
    "reviews",
    "videos",
)
INCLUDES: Final = frozenset({*EMPTY_INCLUDES, "channels", "images", "primary_image", "variants"})
CAPPED: Final = 10


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _includes(query: Mapping[str, str]) -> frozenset[str]:
    named = frozenset(_split(query.get("include", "")))
    if not named <= INCLUDES:
        raise bad("include", f"has unknown values: {', '.join(sorted(named - INCLUDES))}")
    return named


def fields(query: Mapping[str, str], known: Sequence[str]) -> list[str]:
    """The fields that include_fields and exclude_fields leave, id always; unknown names are ignored (assumed)."""
    keep = set(known)
    if query.get("include_fields"):
        keep = set(_split(query["include_fields"]))
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


def _embedded(call: Call, ids: list[int], *, only_primary: bool) -> dict[int, list[bytes]]:
    """Images by product as JSON text, in id order."""
    images: dict[int, list[bytes]] = {number: [] for number in ids}
    url = call.context.url
    extra = " AND is_thumbnail" if only_primary else ""
    sql = f"SELECT {IMAGE} FROM images WHERE product_id IN (SELECT value FROM json_each(?)){extra} ORDER BY product_id, id"  # noqa: S608, E501
    for row in call.context.state.rows(sql, (orjson.dumps(ids).decode(),)):
        images[row[1]].append(serializers.v3_image_json(row, url))
    return images


def _variant(product: Product) -> serializers.JsonObject:
    """The base variant, which every product has; a short form of the documented object."""
    return {
        "id": product.id,
        "product_id": product.id,
        "sku": product.sku,
        "price": None,
        "calculated_price": product.price,
        "weight": None,
        "calculated_weight": product.weight,
        "inventory_level": product.inventory_level,
        "upc": product.upc,
        "mpn": product.mpn,
        "option_values": [],
    }


def _shaped(call: Call, products: list[Product], query: Mapping[str, str]) -> list[serializers.JsonObject]:
    wanted, include = fields(query, list(serializers.V3_PRODUCT)), _includes(query)
    ids = [product.id for product in products]
    images = _embedded(call, ids, only_primary=False) if "images" in include else {}
    primary = _embedded(call, ids, only_primary=True) if "primary_image" in include else {}
    limit = call.context.flags.embedded_images_max
    bodies = []
    for product in products:
        body = serializers.v3_product(product, wanted)
        for name in EMPTY_INCLUDES:
            if name in include:
                body[name] = []
        if "channels" in include:
            body["channels"] = [1]
        if "variants" in include:
            body["variants"] = [_variant(product)]
        if "images" in include:
            body["images"] = orjson.Fragment(b"[" + b",".join(images[product.id][:limit]) + b"]")
        if primary.get(product.id):
            body["primary_image"] = orjson.Fragment(primary[product.id][0])
        bodies.append(body)
    return bodies


def page(call: Call) -> tuple[list[serializers.JsonObject], dict[str, Any]]:
    """(data, meta) of one page."""
    query = call.query()
    where, values = v3_filters.where(query)
    number, limit = paging(query, call.context.flags, lambda name: bad(name, "must be an integer"))
    if _includes(query) & {"options", "modifiers"}:
        limit = min(limit, CAPPED)
    sort, direction = query.get("sort", "id"), query.get("direction", "asc")
    if sort not in SORTS:
        raise bad("sort")
    if direction not in ("asc", "desc"):
        raise bad("direction")
    total = v3_filters.count(call.context.state, query, where, values)
    rows = call.context.state.rows(
        f"SELECT {PRODUCT} FROM products WHERE {where}"  # noqa: S608
        f" ORDER BY {SORTS[sort]} {direction}, id {direction} LIMIT ? OFFSET ?",
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
