"""V2 products: filters, paging, and the choice of fields (v2-products.mdx)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from bigcommerce_sandbox import serializers
from bigcommerce_sandbox.api import integer, paging
from bigcommerce_sandbox.responses import ApiError, not_emulated
from bigcommerce_sandbox.state import IMAGE, PRODUCT, Image, Product

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bigcommerce_sandbox.api import Call

FILTERS: Final[dict[str, tuple[str, str]]] = {
    "min_id": ("id >= ?", "int"),
    "max_id": ("id <= ?", "int"),
    "sku": ("sku = ?", "text"),
}
NOT_EMULATED: Final = frozenset(
    {
        "availability",
        "brand_id",
        "category",
        "condition",
        "description",
        "include_sku",
        "is_featured",
        "is_visible",
        "keyword_filter",
        "max_date_created",
        "max_date_last_imported",
        "max_date_modified",
        "max_inventory_level",
        "max_number_sold",
        "max_price",
        "min_date_created",
        "min_date_last_imported",
        "min_date_modified",
        "min_inventory_level",
        "min_number_sold",
        "min_price",
        "name",
        "product_tax_code",
    }
)
CONTROLS: Final = frozenset({"page", "limit", "include", "exclude"})


def _bad(name: str) -> ApiError:
    return ApiError(400, f"The field '{name}' is invalid.", {"invalid_reason": "It must be a whole number."})


def _value(name: str, kind: str, text: str) -> int | str:
    if kind == "text":
        return text
    value = integer(text)
    if value is None:
        raise _bad(name)
    return value


def _where(query: Mapping[str, str]) -> tuple[str, list[Any]]:
    clauses, values = ["1"], []
    for name, text in query.items():
        if name in CONTROLS:
            continue
        if name in NOT_EMULATED:
            raise not_emulated(f"The filter '{name}'")
        if name not in FILTERS:
            raise ApiError(400, f"The field '{name}' is not supported by this resource.")
        clause, kind = FILTERS[name]
        clauses.append(clause)
        values.append(_value(name, kind, text))
    return " AND ".join(clauses), values


def _wanted(query: Mapping[str, str]) -> list[str]:
    """The fields to answer with, in documented order; 501 for other names in ``include``."""
    keep = set(serializers.V2_PRODUCT)
    if query.get("include"):
        keep = set(query["include"].split(","))
        if not keep <= serializers.V2_PRODUCT.keys():
            raise not_emulated(f"The field '{min(keep - serializers.V2_PRODUCT.keys())}' in include")
    if query.get("exclude"):
        keep -= set(query["exclude"].split(","))
    keep |= serializers.V2_MANDATORY
    return [name for name in serializers.V2_PRODUCT if name in keep]


def _shaped(call: Call, products: list[Product], wanted: list[str]) -> list[serializers.JsonObject]:
    state = call.context.state
    places = ", ".join("?" * len(products))
    found = state.rows(
        f"SELECT {IMAGE} FROM images WHERE product_id IN ({places}) AND is_thumbnail",  # noqa: S608
        [product.id for product in products],
    )
    primary = {row[1]: Image._make(row) for row in found}
    return [serializers.v2_product(item, primary.get(item.id), call.context.url, wanted) for item in products]


def page(call: Call) -> list[serializers.JsonObject]:
    """One page of products."""
    query = call.query()
    where, values = _where(query)
    number, limit = paging(query, call.context.flags, _bad)
    rows = call.context.state.rows(
        f"SELECT {PRODUCT} FROM products WHERE {where} ORDER BY id LIMIT ? OFFSET ?",  # noqa: S608
        [*values, limit, (number - 1) * limit],
    )
    return _shaped(call, [Product._make(row) for row in rows], _wanted(query))


def one(call: Call, product_id: int) -> serializers.JsonObject:
    """One product that exists."""
    query = call.query()
    for name in query:
        if name not in ("include", "exclude"):
            raise ApiError(400, f"The field '{name}' is not supported by this resource.")
    rows = call.context.state.rows(f"SELECT {PRODUCT} FROM products WHERE id = ?", (product_id,))  # noqa: S608
    return _shaped(call, [Product._make(rows[0])], _wanted(query))[0]


def count(call: Call) -> int:
    """How many products the filters let through."""
    where, values = _where(call.query())
    return int(call.context.state.scalar(f"SELECT count(*) FROM products WHERE {where}", values))  # noqa: S608
