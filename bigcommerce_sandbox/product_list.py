"""A store seeded with products of given ids: a file of JSON lines, one product a line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from bigcommerce_sandbox.seed import EPOCH, NEW_PRODUCT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_TYPES: Final[dict[str, type]] = {"id": int, "sku": str, "name": str}
LARGEST_ID: Final = 2**63 - 1


class BadProductList(ValueError):
    """The list cannot be used; the text says why, with the number of the line."""


def read(path: Path) -> Iterator[dict[str, Any]]:
    """Yield a row of the table products for each line: its ``id``, and perhaps ``sku`` and ``name``.

    Raises `BadProductList`.
    """
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                yield {**NEW_PRODUCT, "date_created": EPOCH, "date_modified": EPOCH, **_fields(path, number, line)}
    except OSError as error:
        raise BadProductList(f"cannot read the product list {path}: {error.strerror}") from error


def _fields(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise BadProductList(f"line {number} of {path} is not valid JSON: {error}") from error
    if (
        not isinstance(fields, dict)
        or not fields.keys() <= _TYPES.keys()
        or any(type(value) is not _TYPES[name] for name, value in fields.items())
        or not 0 < fields.get("id", 0) <= LARGEST_ID
    ):
        raise BadProductList(f"line {number} of {path} is no product: an object with id, sku and name")
    return fields
