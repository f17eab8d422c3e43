"""What becomes of each stream's records while the input is read: kept, or skipped and counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import jsonschema_rs
from jsonschema import Draft202012Validator
from singer_sdk.sinks import Sink
from singer_sdk.target_base import Target

from bc_images import schema

if TYPE_CHECKING:
    from singer_sdk.sinks.core import BaseJSONSchemaValidator

    from target_bc_images.inbox import Inbox
    from target_bc_images.report import Report

__all__ = ["ImagesSink", "ProductsSink", "SkippedSink", "sink_class"]

# The SDK's machinery around a sink (its own validation against the incoming schema, its clocks and counters) is
# not needed: records are judged by our schema, whatever schema they came with.


def sink_class(stream: str) -> type[Sink]:
    """Return what a stream's records become.

    The last part of the name after ``-`` or ``.`` counts: a warehouse table read back is ``raw-product_images``.
    """
    name = stream.replace("-", ".").rsplit(".", 1)[-1]
    return {"product_images": ImagesSink, "products": ProductsSink}.get(name, SkippedSink)


class _ReadingSink(Sink):
    """A sink whose work is done once a record is read."""

    inbox: Inbox
    report: Report

    def __init__(
        self, target: Target, stream_name: str, schema: dict[str, Any], key_properties: Sequence[str] | None
    ) -> None:
        super().__init__(target, stream_name, schema, key_properties)
        self.inbox = target.inbox  # type: ignore[attr-defined] # our own target
        self.report = target.report  # type: ignore[attr-defined]

    def get_validator(self) -> BaseJSONSchemaValidator | None:
        """Leave the incoming schema alone."""
        return None

    def process_batch(self, context: dict[str, Any]) -> None:
        """Nothing waits here."""


class ImagesSink(_ReadingSink):
    """Judges each record by ``schemas/product_images.json`` and keeps the valid ones."""

    def __init__(
        self, target: Target, stream_name: str, schema: dict[str, Any], key_properties: Sequence[str] | None
    ) -> None:
        super().__init__(target, stream_name, schema, key_properties)
        self._is_valid = _is_valid
        self._only: frozenset[int] | None = target.options.product_ids  # type: ignore[attr-defined]

    def process_record(self, record: dict[str, Any], context: dict[str, Any]) -> None:  # noqa: ARG002
        """Keep the record, or reject it with what is wrong."""
        if not self._is_valid(record):
            record = plain(record)
            if not self._is_valid(record):
                self.report.reject(record, complaint(record))
                return
        if self._only is None or record["product_id"] in self._only:
            self.inbox.add(record)

    def activate_version(self, new_version: int) -> None:  # noqa: ARG002
        """Take the message as what it is: the sweep before it was complete."""
        self.inbox.is_whole = True


class ProductsSink(_ReadingSink):
    """Keeps which products the input speaks for."""

    def process_record(self, record: dict[str, Any], context: dict[str, Any]) -> None:  # noqa: ARG002
        """Keep the product's id and SKU."""
        if isinstance(record.get("id"), int):
            self.inbox.add_product(record)

    def activate_version(self, new_version: int) -> None:
        """Nothing hangs on it here."""


class SkippedSink(_ReadingSink):
    """A stream that is not ours."""

    def setup(self) -> None:
        """Warn once."""
        self.logger.warning("The stream %s is not product_images: its records are skipped.", self.stream_name)

    def process_record(self, record: dict[str, Any], context: dict[str, Any]) -> None:  # noqa: ARG002
        """Count the record."""
        self.report.skipped[self.stream_name] += 1

    def activate_version(self, new_version: int) -> None:
        """Nothing hangs on it here."""


_validator = jsonschema_rs.validator_for(schema.load("product_images"))
_explainer = Draft202012Validator(schema.load("product_images"))


def _is_valid(record: Mapping[str, Any]) -> bool:
    try:
        return bool(_validator.is_valid(record))
    except ValueError:  # it holds what JSON does not know
        return False


def plain(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record in JSON's own types, with null for an absent store taken as absent.

    A stream map or a loader may have turned times into `datetime` and numbers into `Decimal`.
    """
    return {name: _plain(value) for name, value in record.items() if not (name == "store_hash" and value is None)}


def _plain(value: Any) -> Any:
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value


def complaint(record: Mapping[str, Any]) -> str:
    """Say precisely what is wrong with a record."""
    errors = sorted(_explainer.iter_errors(record), key=lambda error: [str(part) for part in error.path])
    words = [f"{error.path[0]}: {error.message}" if error.path else error.message for error in errors]
    return f"does not fit the schema: {'; '.join(words) or 'not JSON'}"
