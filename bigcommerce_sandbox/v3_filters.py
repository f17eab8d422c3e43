"""The filters of V3 products (products_catalog.v3.yml, GET /catalog/products)."""

from __future__ import annotations

import re
import time
from bisect import bisect_left, bisect_right
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import orjson

from bigcommerce_sandbox.api import integer
from bigcommerce_sandbox.responses import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bigcommerce_sandbox.state import State

_DATE: Final = re.compile(r"\d{4}-?\d\d-?\d\d", re.ASCII)
_COMPARE: Final = {"min": ">=", "max": "<=", "greater": ">", "less": "<"}


def _filters() -> dict[str, tuple[str, str]]:
    """Filter name -> (SQL, kind of value); ``IN ?`` stands for a list."""
    filters: dict[str, tuple[str, str]] = {}
    for name in ("id", "inventory_level"):
        filters[name] = (f"{name} = ?", "int")
        filters[f"{name}:in"] = (f"{name} IN ?", "ints")
        filters[f"{name}:not_in"] = (f"{name} NOT IN ?", "ints")
        for suffix, sign in _COMPARE.items():
            filters[f"{name}:{suffix}"] = (f"{name} {sign} ?", "int")
    for name in ("name", "mpn", "upc", "sku", "type", "availability"):
        filters[name] = (f"{name} = ?", "text")
    filters["condition"] = ("condition = ? COLLATE NOCASE", "text")
    filters["sku:in"] = ("sku IN ?", "texts")
    for name in ("brand_id", "total_sold"):
        filters[name] = (f"{name} = ?", "int")
    for name in ("price", "weight"):
        filters[name] = (f"{name} = ?", "number")
    for name in ("is_visible", "is_featured", "is_free_shipping"):
        filters[name] = (f"{name} = ?", "bool")
    for name in ("date_modified", "date_last_imported"):
        filters[name] = (f"{name} BETWEEN ? AND ?", "day")
        filters[f"{name}:min"] = (f"{name} >= ?", "date")
        filters[f"{name}:max"] = (f"{name} <= ?", "date")
    filters["date_last_imported:not"] = ("date_last_imported NOT BETWEEN ? AND ?", "day")
    filters["categories"] = ("category_id = ?", "int")
    filters["categories:in"] = ("category_id IN ?", "ints")
    filters["channel_id:in"] = ("1 IN ?", "ints")
    filters["inventory_low"] = ("(inventory_level <= inventory_warning_level) = ?", "bool")
    filters["out_of_stock"] = ("(inventory_level <= 0) = ?", "bool")
    filters["keyword"] = ("(instr(lower(name), lower(?)) OR instr(lower(sku), lower(?)))", "keyword")
    filters["keyword_context"] = ("1", "context")
    return filters


FILTERS: Final = _filters()
CONTROLS: Final = frozenset({"page", "limit", "sort", "direction", "include", "include_fields", "exclude_fields"})
ENUMS: Final = {
    "condition": {"new", "used", "refurbished"},
    "type": {"digital", "physical"},
    "availability": {"available", "disabled", "preorder"},
    "keyword_context": {"shopper", "merchant"},
}


def bad(name: str, why: str = "is not valid") -> ApiError:
    """The 422 of a parameter or field."""
    return ApiError(422, f"{name} {why}", {name: f"{name} {why}"})


def unknown(names: Sequence[str]) -> ApiError:
    """The 422 of filters that do not exist."""
    return ApiError(422, f"The filter(s): {', '.join(names)} are not valid filter parameter(s).", {})


def _moment(name: str, text: str) -> int:
    """ISO 8601 or unix seconds. A date alone gets the present time of day (bigcommerce/api issue 94)."""
    try:
        when = datetime.fromisoformat(text)
        seconds = int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError) as error:
        number = integer(text)
        if number is None or number < 0:
            raise bad(name, "is not a valid date") from error
        return number
    return seconds + int(time.time()) % 86400 if _DATE.fullmatch(text) else seconds


def _day(name: str, text: str) -> list[int]:
    """The span that an equality filter means: one second, or the whole day of a date alone (assumed)."""
    moment = _moment(name, text)
    if _DATE.fullmatch(text):
        start = moment - moment % 86400
        return [start, start + 86399]
    return [moment, moment]


def _integers(name: str, text: str) -> list[int]:
    values = [integer(part.strip()) for part in text.split(",")] if text else []
    if not values or None in values:
        raise bad(name, "must be a list of integers")
    return [value for value in values if value is not None]


def _boolean(name: str, text: str) -> list[int]:
    value = {"true": 1, "1": 1, "false": 0, "0": 0}.get(text.lower())
    if value is None:
        raise bad(name, "must be a boolean")
    return [value]


def _number(name: str, text: str) -> list[float]:
    try:
        return [float(text)]
    except ValueError as error:
        raise bad(name, "must be a number") from error


def _integer(name: str, text: str) -> list[int]:
    value = integer(text)
    if value is None:
        raise bad(name, "must be an integer")
    return [value]


_PARSERS: Final[dict[str, Callable[[str, str], list[Any]]]] = {
    "int": _integer,
    "ints": _integers,
    "bool": _boolean,
    "number": _number,
    "text": lambda _, text: [text],
    "texts": lambda _, text: text.split(","),
    "date": lambda name, text: [_moment(name, text)],
    "day": _day,
    "keyword": lambda _, text: [text, text],
    "context": lambda _name, _text: [],
}


def _values(name: str, kind: str, text: str) -> list[Any]:
    if name in ENUMS and text.lower() not in ENUMS[name]:
        raise bad(name)
    return _PARSERS[kind](name, text)


def where(query: Mapping[str, str]) -> tuple[str, list[Any]]:
    """(SQL condition, values) of a query; 422 for filters that do not exist and values that do not fit."""
    wrong = [name for name in query if name not in FILTERS and name not in CONTROLS]
    if wrong:
        raise unknown(wrong)
    clauses, values = [], []
    for name, text in query.items():
        if name in CONTROLS:
            continue
        clause, kind = FILTERS[name]
        parameters = _values(name, kind, text)
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
