"""The filters of V3 products (products_catalog.v3.yml, GET /catalog/products)."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Any, Final

import orjson

from bigcommerce_sandbox.api import integer
from bigcommerce_sandbox.responses import ApiError, not_emulated

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bigcommerce_sandbox.state import State

FILTERS: Final[dict[str, tuple[str, str]]] = {  # name -> (SQL, kind of value); ``IN ?`` stands for a list
    "id": ("id = ?", "int"),
    "id:in": ("id IN ?", "ints"),
    "id:not_in": ("id NOT IN ?", "ints"),
    "id:min": ("id >= ?", "int"),
    "id:max": ("id <= ?", "int"),
    "id:greater": ("id > ?", "int"),
    "id:less": ("id < ?", "int"),
    "sku": ("sku = ?", "text"),
    "sku:in": ("sku IN ?", "texts"),
    "keyword": ("(instr(lower(name), lower(?)) OR instr(lower(sku), lower(?)))", "keyword"),
}
NOT_EMULATED: Final = frozenset(  # what stands before the colon of the other documented filters
    {
        "availability",
        "brand_id",
        "categories",
        "channel_id",
        "condition",
        "date_last_imported",
        "date_modified",
        "inventory_level",
        "inventory_low",
        "is_featured",
        "is_free_shipping",
        "is_visible",
        "keyword_context",
        "mpn",
        "name",
        "out_of_stock",
        "price",
        "total_sold",
        "type",
        "upc",
        "weight",
    }
)
CONTROLS: Final = frozenset({"page", "limit", "sort", "direction", "include", "include_fields", "exclude_fields"})


def bad(name: str, why: str = "is not valid") -> ApiError:
    """The 422 of a parameter or field."""
    return ApiError(422, f"{name} {why}", {name: f"{name} {why}"})


def unknown(names: Sequence[str]) -> ApiError:
    """The 422 of filters that do not exist."""
    return ApiError(422, f"The filter(s): {', '.join(names)} are not valid filter parameter(s).", {})


def _integers(name: str, text: str) -> list[int]:
    values = [integer(part.strip()) for part in text.split(",")] if text else []
    if not values or None in values:
        raise bad(name, "must be a list of integers")
    return [value for value in values if value is not None]


def _integer(name: str, text: str) -> list[int]:
    value = integer(text)
    if value is None:
        raise bad(name, "must be an integer")
    return [value]


_PARSERS: Final[dict[str, Callable[[str, str], list[Any]]]] = {
    "int": _integer,
    "ints": _integers,
    "text": lambda _, text: [text],
    "texts": lambda _, text: text.split(","),
    "keyword": lambda _, text: [text, text],
}


def where(query: Mapping[str, str]) -> tuple[str, list[Any]]:
    """(SQL condition, values) of a query; 422 for filters that do not exist and values that do not fit, or 501."""
    others = [name for name in query if name not in FILTERS and name not in CONTROLS]
    wrong = [name for name in others if name.partition(":")[0] not in NOT_EMULATED]
    if wrong:
        raise unknown(wrong)
    if others:
        raise not_emulated(f"The filter '{others[0]}'")
    clauses, values = [], []
    for name, text in query.items():
        if name in CONTROLS:
            continue
        clause, kind = FILTERS[name]
        parameters = _PARSERS[kind](name, text)
        if clause.endswith("IN ?"):
            # one JSON value instead of many parameters, whose number SQLite limits
            clause = f"{clause[:-1]}(SELECT value FROM json_each(?))"  # noqa: S608
            parameters = [orjson.dumps(parameters).decode()]
        clauses.append(clause)
        values += parameters
    return " AND ".join(clauses) or "1", values


def count(state: State, query: Mapping[str, str], clauses: str, values: list[Any]) -> int:
    """Ranges of ids, which a range scan asks for at every page, are counted without SQL."""
    ids = state.product_ids
    ranges = {"id:min", "id:max", "id:greater", "id:less"}
    named = [name for name in query if name not in CONTROLS]
    if not ranges.issuperset(named):
        return int(state.scalar(f"SELECT count(*) FROM products WHERE {clauses}", values))  # noqa: S608
    low, high = 0, len(ids)
    for name, value in zip(named, values, strict=True):
        if name in ("id:min", "id:greater"):
            low = max(low, (bisect_left if name == "id:min" else bisect_right)(ids, value))
        else:
            high = min(high, (bisect_right if name == "id:max" else bisect_left)(ids, value))
    return max(0, high - low)
