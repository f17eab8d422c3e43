"""V2 products: filters, paging, and the choice of fields (v2-products.mdx)."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

from bigcommerce_sandbox import serializers
from bigcommerce_sandbox.api import integer, paging
from bigcommerce_sandbox.responses import ApiError
from bigcommerce_sandbox.state import IMAGE, PRODUCT, Image, Product

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bigcommerce_sandbox.api import Call

FILTERS: Final[dict[str, tuple[str, str]]] = {
    "min_id": ("id >= ?", "int"),
    "max_id": ("id <= ?", "int"),
    "name": ("name = ?", "text"),
    "sku": ("sku = ?", "text"),
    "description": ("description = ?", "text"),
    "condition": ("condition = ? COLLATE NOCASE", "text"),
    "availability": ("availability = ?", "text"),
    "brand_id": ("brand_id = ?", "int"),
    "category": ("category_id = ?", "int"),
    "is_visible": ("is_visible = ?", "bool"),
    "is_featured": ("is_featured = ?", "bool"),
    "min_date_created": ("date_created >= ?", "date"),
    "max_date_created": ("date_created <= ?", "date"),
    "min_date_modified": ("date_modified >= ?", "date"),
    "max_date_modified": ("date_modified <= ?", "date"),
    "min_date_last_imported": ("date_last_imported >= ?", "date"),
    "max_date_last_imported": ("date_last_imported <= ?", "date"),
    "min_price": ("price >= ?", "number"),
    "max_price": ("price <= ?", "number"),
    "min_number_sold": ("total_sold >= ?", "int"),
    "max_number_sold": ("total_sold <= ?", "int"),
    "min_inventory_level": ("inventory_level >= ?", "int"),
    "max_inventory_level": ("inventory_level <= ?", "int"),
}
NOT_EMULATED: Final = frozenset({"keyword_filter", "include_sku", "product_tax_code"})
CONTROLS: Final = frozenset({"page", "limit", "include", "exclude"})


_KINDS: Final = {
    "int": "a whole number",
    "bool": "true or false",
    "date": "a date, in RFC 2822 or ISO 8601",
    "number": "a number",
}


def _bad(name: str, kind: str = "int") -> ApiError:
    return ApiError(400, f"The field '{name}' is invalid.", {"invalid_reason": f"It must be {_KINDS[kind]}."})


def _date(text: str) -> int | None:
    """RFC 2822 or ISO 8601; without a zone it is UTC."""
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            when = read(text)
            return int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp())
        except (ValueError, OverflowError, TypeError, IndexError):
            continue
    return None


def _value(name: str, kind: str, text: str) -> Any:
    value: Any = text
    if kind == "int":
        value = integer(text)
    elif kind == "bool":
        value = {"true": 1, "1": 1, "false": 0, "0": 0}.get(text.lower())
    elif kind == "date":
        value = _date(text)
    elif kind == "number":
        try:
            value = float(text)
        except ValueError:
            value = None
    if value is None:
        raise _bad(name, kind)
    return value


def _where(query: Mapping[str, str]) -> tuple[str, list[Any]]:
    clauses, values = ["1"], []
    for name, text in query.items():
        if name in CONTROLS:
            continue
        if name in NOT_EMULATED:
            raise ApiError(501, f"The filter '{name}' is not emulated by the sandbox; see docs/sandbox.md.")
        if name not in FILTERS:
            raise ApiError(400, f"The field '{name}' is not supported by this resource.")
        clause, kind = FILTERS[name]
        clauses.append(clause)
        values.append(_value(name, kind, text))
    return " AND ".join(clauses), values


def _wanted(query: Mapping[str, str]) -> list[str]:
    """The fields to answer with, in documented order; names that do not exist are ignored (assumed)."""
    keep = set(serializers.V2_PRODUCT)
    if query.get("include"):
        named = set(query["include"].split(","))
        keep = named | (serializers.V2_SUMMARY if "@summary" in named else frozenset())
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
