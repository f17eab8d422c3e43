"""Judging records of the input by our own schema, whatever schema they came with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from operator import itemgetter
from typing import Any

import jsonschema_rs
from jsonschema import Draft202012Validator

from bc_images import schema
from bc_images.images import Record

__all__ = ["Judge"]

_MAX_ID = 2**63 - 1


class Judge:
    """Tells whether records fit the schema of a stream: quickly for those that do, precisely for those that do not.

    Args:
        stream: ``product_images`` or ``products``.
    """

    def __init__(self, stream: str) -> None:
        definition = schema.load(stream)
        self._validator = jsonschema_rs.validator_for(definition)
        self._explainer = Draft202012Validator(definition)
        fields = definition["properties"]
        self._integers = [name for name in definition["required"] if fields[name]["type"] == "integer"]
        self._numbers = itemgetter(*self._integers)

    def fitting(self, record: Record) -> Record | None:
        """Return the record as it is to be used; None if it does not fit."""
        if self._fits(record):
            return record
        record = _plain(record)
        return record if self._fits(record) else None

    def complaint(self, record: Record) -> str:
        """Say precisely what is wrong with a record that does not fit."""
        record = _plain(record)
        errors = sorted(self._explainer.iter_errors(record), key=lambda error: [str(part) for part in error.path])
        words = [f"{error.path[0]}: {error.message}" if error.path else error.message for error in errors]
        words += [f"{name} is no number that the store can have" for name in self._integers if _too_large(record, name)]
        return f"does not fit the schema: {'; '.join(words) or 'it is not JSON'}"

    def _fits(self, record: Record) -> bool:
        try:
            if not self._validator.is_valid(record):
                return False
        except ValueError:  # it holds what JSON does not know
            return False
        numbers = self._numbers(record)
        # To JSON Schema 5.0 is an integer, and integers have no end.
        return {*map(type, numbers)} == {int} and max(numbers) <= _MAX_ID


def _too_large(record: Mapping[str, Any], name: str) -> bool:
    return isinstance(record.get(name), int | float) and record[name] > _MAX_ID


def _plain(record: Mapping[str, Any]) -> Record:
    """Return a record in JSON's own types, with null for an absent store taken as absent.

    Stream maps, loaders and databases turn times into `datetime`, and numbers into `Decimal` or 5.0.
    """
    return {name: _value(value) for name, value in record.items() if not (name == "store_hash" and value is None)}


def _value(value: Any) -> Any:
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, float | Decimal) and math.isfinite(value):
        return int(value) if value == int(value) else float(value)
    return value
