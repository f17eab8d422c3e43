"""Normalises streams and records that warehouses and files give back. Pure.

Whatever has one meaning only is taken: 0/1 for a boolean, ``12.0`` or ``"12"`` for a number, upper-case names, empty
text for null. What could mean two things is left as it is, for the schema to refuse.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from bc_images import schema

__all__ = ["Columns", "Normalizer", "clashing", "deleted", "stream_kind"]

_VIEW = re.compile(r"(?:(?:v|vw|view)_)?(product_images|products)(?:_(?:v|vw|view|mv|matview|current|latest))?")


def stream_kind(name: str) -> str | None:
    """Return which of our streams a name means, or None: ``RAW-PRODUCT_IMAGES``, ``raw.product_images_view``.

    The last part after ``-`` or ``.`` counts, whatever the case of its letters and without what views are called by.
    """
    last = name.replace("-", ".").rpartition(".")[2].strip('"`[] \ufeff').casefold()
    match = _VIEW.fullmatch(last)
    return match.group(1) if match else None


def _column(name: str) -> str:
    """Return a column's name for comparing: databases change the case of letters, and files begin with a BOM."""
    return name.strip('\ufeff \t"`').casefold()


class Columns(NamedTuple):
    """How the columns of a record are called in our schema.

    Attributes:
        renamed: the column of the record for each of ours that has another name there.
        clashing: columns of the record that mean the same one of ours.
    """

    renamed: Mapping[str, str]
    clashing: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, names: Iterable[str], ours: Iterable[str]) -> Columns:
        """Compare the columns of a record with ours."""
        known = set(ours)
        found: dict[str, list[str]] = {}
        for name in names:
            if (meant := _column(name)) in known:
                found.setdefault(meant, []).append(name)
        several = tuple(tuple(same) for same in found.values() if len(same) > 1)
        return cls({meant: same[0] for meant, same in found.items() if len(same) == 1 and same[0] != meant}, several)


def clashing(groups: Iterable[tuple[str, ...]]) -> str:
    """Say which columns mean the same."""
    return "; ".join(f"{' and '.join(map(repr, names))} mean the same column" for names in groups)


# Values

_NO_VALUE = frozenset({"", "none", "null", "nan", "nat", "<na>", "\\n"})
"""How databases, pandas and dumps write null where text is not free."""

_TRUE = frozenset({"true", "t", "yes", "y", "on", "1", "1.0"})  # as PostgreSQL reads a boolean
_FALSE = frozenset({"false", "f", "no", "n", "off", "0", "0.0"})
_NUMBER = re.compile(r"[+-]?[0-9]{1,20}(?:\.0*)?", re.ASCII)
_POWER = re.compile(r"[+-]?[0-9]\.?[0-9]{0,20}[eE]\+?[0-9]{1,2}", re.ASCII)
_EXACT = 2**53  # a float beyond it may have been another integer


def _is_no_value(value: Any) -> bool:
    return (isinstance(value, str) and value.strip().casefold() in _NO_VALUE) or _is_nan(value)


def _is_nan(value: Any) -> bool:
    return isinstance(value, float | Decimal) and math.isnan(value)


def _integer(value: Any) -> Any:
    if isinstance(value, str):
        text = value.strip()
        if not (_NUMBER.fullmatch(text) or _POWER.fullmatch(text)):
            return value
        number = Decimal(text)
        return int(number) if number == number.to_integral_value() else value
    if isinstance(value, float):
        return int(value) if abs(value) <= _EXACT and value.is_integer() else value
    if isinstance(value, Decimal) and value.is_finite() and value == value.to_integral_value():
        return int(value)
    return value


def _boolean(value: Any) -> Any:
    if isinstance(value, str):
        text = value.strip().casefold()
        return True if text in _TRUE else False if text in _FALSE else value
    if isinstance(value, int | float | Decimal) and value in {0, 1}:
        return bool(value)
    return value


def _text(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date | datetime) else value


def _or_null(take: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if _is_no_value(value) else take(value)


def _sku(value: Any) -> Any:
    return None if value == "" or _is_nan(value) else value


def _digest(value: Any) -> Any:
    return None if _is_no_value(value) else value.strip().lower() if isinstance(value, str) else value


def _free_text(value: Any) -> Any:
    return None if _is_nan(value) else value


_BY_NAME: dict[str, Callable[[Any], Any]] = {
    "description": _free_text,  # "None" is a text like any other
    "name": _free_text,
    "product_sku": _sku,
    "sku": _sku,
    "image_file": _text,
    "file_sha256": _digest,
}
_BY_TYPE: dict[str, Callable[[Any], Any]] = {
    "integer": _or_null(_integer),
    "boolean": _or_null(_boolean),
    "string": _or_null(_text),
}

_UNUSED = {
    "product_images": frozenset(
        {
            *("zoom_url", "standard_url", "thumbnail_url", "tiny_url"),
            *("date_created", "date_modified", "file_size", "file_type"),
        }
    ),
    "products": frozenset({"name", "date_modified"}),
}
"""What a restore can do without: a value that does not fit is null there, and no reason to reject a record."""


class Normalizer:
    """Puts records of a stream into the names and types of its schema.

    Args:
        stream: ``product_images`` or ``products``.
        skus: whether the SKU is used.
    """

    def __init__(self, stream: str, *, skus: bool) -> None:
        self._fields: dict[str, Any] = schema.load(stream)["properties"]
        self._take = {name: _BY_NAME.get(name) or _BY_TYPE[_first_type(field)] for name, field in self._fields.items()}
        self._unused = _UNUSED[stream] | (frozenset() if skus else {"product_sku", "sku"})
        self._columns: dict[tuple[str, ...], Columns] = {}

    def columns(self, record: Mapping[str, Any]) -> Columns:
        """Return how the columns of a record are called; columns that a restore does not use never clash."""
        names = tuple(record)
        known = self._columns.get(names)
        if known is None:
            found = Columns.of(names, self._fields)
            serious = [same for same in found.clashing if _column(same[0]) not in self._unused]
            known = found._replace(clashing=tuple(serious))
            if len(self._columns) < 1000:
                self._columns[names] = known
        return known

    def renamed(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Return a record whose columns have our names."""
        columns = self.columns(record).renamed
        if not columns:
            return dict(record)
        theirs = {name: meant for meant, name in columns.items()}
        return {theirs.get(name, name): value for name, value in record.items()}

    def normalized(self, record: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Return a record in our names and types, and the unused columns whose value does not fit and is null now."""
        values = self.renamed(record)
        ignored = []
        for name, value in values.items():
            if (take := self._take.get(name)) is not None and value is not None:
                values[name] = take(value)
                if name in self._unused and not _fits(values[name], self._fields[name]):
                    values[name] = None
                    ignored.append(name)
        if values.get("store_hash", "") is None:
            del values["store_hash"]  # absent, it is the store written to
        return values, ignored


def _first_type(field: Mapping[str, Any]) -> str:
    kind = field["type"]
    return str(kind if isinstance(kind, str) else kind[0])


def _fits(value: Any, field: Mapping[str, Any]) -> bool:
    if value is None:
        return True
    if _first_type(field) == "integer":
        return type(value) is int and field.get("minimum", value) <= value < 2**63
    return isinstance(value, str)


_NAT = -(2**63)  # what NumPy and pandas keep for a missing time
_ZERO_DATE = re.compile(r"[0:. TZ+-]*", re.ASCII)


def deleted(value: Any) -> bool:
    """Whether what a loader has written into ``_sdc_deleted_at`` is a time: the image had left the store.

    Null in any of its spellings (``NaT``, ``None``, ``0000-00-00``) is none.
    """
    if isinstance(value, str):
        return not _is_no_value(value) and not _ZERO_DATE.fullmatch(value) and value.strip().casefold() not in _FALSE
    return bool(value) and not _is_nan(value) and value != _NAT
