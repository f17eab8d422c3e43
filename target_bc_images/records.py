"""Validates records by our schema, whatever schema they came with."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from operator import itemgetter
from typing import Any

import jsonschema_rs
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from bc_images import schema
from bc_images.bigcommerce.mapping import Record
from bc_images.jsonl import shortened
from bc_images.normalize import Normalizer, clashing

__all__ = ["RecordValidator"]

_MAX_ID = 2**63 - 1


class RecordValidator:
    """Tells whether records fit the schema of a stream: quickly for those that do, precisely for those that do not.

    Args:
        stream: ``product_images`` or ``products``.
        name: what the stream is called in the input.
        declared: the columns that the input's own schema declares.
        skus: whether a restore uses the SKU.

    Attributes:
        ignored: the columns whose value did not fit and is not used, in the record that was changed last.
    """

    def __init__(self, stream: str, name: str, declared: Mapping[str, Any], *, skus: bool) -> None:
        definition = schema.load(stream)
        self._name = name
        self._fields = definition["properties"]
        self._validator = jsonschema_rs.validator_for(definition)
        self._explainer = Draft202012Validator(definition)
        self._integers = [field for field in definition["required"] if self._fields[field]["type"] == "integer"]
        self._numbers = itemgetter(*self._integers)
        self._normalizer = Normalizer(stream, skus=skus)
        columns = self._normalizer.columns(dict.fromkeys(declared))
        # Where the schema of the input says so, no record needs to be looked at for other names.
        self._has_our_names = self._fields.keys() <= declared.keys() and not columns.renamed and not columns.clashing
        self.ignored: list[str] = []

    def validate(self, record: Record) -> Record | None:
        """Return the record as it is to be used; None if it does not fit."""
        if not self._has_our_names:
            columns = self._normalizer.columns(record)
            if columns.clashing:
                return None
            if columns.renamed:
                record, self.ignored = self._normalizer.renamed(record), []
        if self._fits(record):
            return record
        normalized, ignored = self._normalizer.normalized(record)
        if not self._fits(normalized) or self._normalizer.columns(record).clashing:
            return None
        self.ignored = ignored
        return normalized

    def explain(self, record: Record) -> str:
        """Say precisely what is wrong with a record that does not fit, and what setting would mend it."""
        columns = self._normalizer.columns(record)
        if columns.clashing:
            unused = dict.fromkeys((names[-1] for names in columns.clashing), "__NULL__")
            return f"{clashing(columns.clashing)}: leave one out, {self._stream_map(unused)}"
        normalized, _ = self._normalizer.normalized(record)
        errors = sorted(self._explainer.iter_errors(normalized), key=lambda error: [str(part) for part in error.path])
        reasons = [
            f"{error.path[0]}: {shortened(error.message, 160)}" if error.path else error.message for error in errors
        ]
        inexact = [name for name in self._integers if not errors and not _is_exact(normalized.get(name))]
        reasons += [f"{name} is no number that the store can have" for name in inexact]
        problem = f"does not fit the schema: {'; '.join(reasons) or 'it is not JSON'}"
        fields = [str(error.path[0]) if error.path else _missing(error) for error in errors] + inexact
        mends = dict(_mend(field, columns.renamed.get(field, field), record) for field in fields if field)
        return f"{problem}. To mend it, {self._stream_map(mends)}" if mends else problem

    def _stream_map(self, columns: Mapping[str, str]) -> str:
        return f"set stream_maps to {json.dumps({self._name: columns}, ensure_ascii=False)}"

    def _fits(self, record: Record) -> bool:
        try:
            if not self._validator.is_valid(record):
                return False
        except ValueError:  # it holds what JSON does not know
            return False
        numbers = self._numbers(record)
        # To JSON Schema 5.0 is an integer, and integers have no end.
        return {*map(type, numbers)} == {int} and max(numbers) <= _MAX_ID


def _missing(error: ValidationError) -> str:
    """Return the name of the column that a record lacks."""
    required: Any = error.validator_value
    return next((name for name in required if repr(name) in error.message), "")


_INDISPENSABLE = {"id", "product_id", "image_file", "image_count"}
_DEFAULTS = {"sort_order": "0", "is_thumbnail": "False"}
_TEXTS = {"description", "product_sku", "sku"}
_LONGEST_VALUE = 60  # characters of a value that stand in an expression


def _mend(field: str, column: str, record: Record) -> tuple[str, str]:
    """Return the entry of a stream map that makes a record fit, and leaves others alone."""
    default = _DEFAULTS.get(field, "None")
    if column not in record:
        return field, "name_of_your_column" if field in _INDISPENSABLE else default
    value = record[column]
    name = column if column.isidentifier() else f"record[{column!r}]"
    is_infinite = isinstance(value, float) and math.isinf(value)
    text = repr(value).replace("inf", "1e999") if is_infinite else repr(value)
    if len(text) > _LONGEST_VALUE:
        name_of_value, text = f"str({name})[:{_LONGEST_VALUE}]", repr(str(value)[:_LONGEST_VALUE])
    else:
        name_of_value = name
    if field in _INDISPENSABLE:
        return "__filter__", f"{name_of_value} != {text}"  # nothing else can take its place
    if field in _TEXTS and isinstance(value, int | float):
        return column, f"str({name}) if {name} != None else None"
    return column, f"{default} if {name_of_value} == {text} else {name}"


def _is_exact(value: object) -> bool:
    """Whether a number is one that was surely meant, and not a float that may have been another one."""
    return type(value) is int and value <= _MAX_ID
