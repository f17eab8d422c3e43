"""What becomes of each stream's records while the input is read: kept, rejected, or skipped and counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson
from singer_sdk.exceptions import MissingKeyPropertiesError
from singer_sdk.sinks import Sink

from bc_images.errors import InvalidInput
from bc_images.jsonl import shortened
from bc_images.normalize import stream_kind
from target_bc_images.records import RecordValidator

if TYPE_CHECKING:
    from singer_sdk.sinks.core import BaseJSONSchemaValidator

    from target_bc_images.target import TargetBCImages

__all__ = ["ImagesSink", "ProductsSink", "ReadingSink", "SkippedSink", "sink_class"]


def sink_class(stream: str) -> type[ReadingSink]:
    """Return what a stream's records become."""
    return {"product_images": ImagesSink, "products": ProductsSink}.get(stream_kind(stream) or "", SkippedSink)


class ReadingSink(Sink):
    """A sink whose work is done once a record is read.

    The SDK's machinery around it (validation against the incoming schema, clocks, counters) is not needed: records
    are judged by our schema, whatever schema they came with.
    """

    def __init__(self, target: TargetBCImages, stream_name: str, *rest: Any, **more: Any) -> None:
        super().__init__(target, stream_name, *rest, **more)
        self._restore_input = target.restore_input
        self._report = target.report
        self._skus = target.options.match_products_by == "sku"
        self._warned = target.ignored_columns

    def get_validator(self) -> BaseJSONSchemaValidator | None:
        """Leave the incoming schema alone."""
        return None

    def process_record(self, record: dict[str, Any], context: Mapping[str, Any]) -> None:
        """Take in one record; `context` is its message, where no stream map stands between."""
        raise NotImplementedError

    def activate_version(self, new_version: int) -> None:
        """Take in the mark of a complete sweep; it means something for images only."""

    def process_batch(self, context: dict[str, Any]) -> None:
        """Do nothing: nothing waits here."""


class ImagesSink(ReadingSink):
    """Judges each record by ``schemas/product_images.json`` and keeps those that fit."""

    def setup(self) -> None:
        """Compare the columns of the stream with ours."""
        self._records = RecordValidator(
            "product_images", self.stream_name, self.original_schema["properties"], skus=self._skus
        )

    def process_record(self, record: dict[str, Any], context: Mapping[str, Any]) -> None:
        """Keep the record, or reject it with what is wrong."""
        valid = self._records.validate(record)
        try:
            if valid is None:
                self._report.reject(record, self._records.explain(record))
                return
            version = context.get("version")
            self._restore_input.add(valid, version if type(version) is int else None)
        except (orjson.JSONEncodeError, RecursionError) as error:
            raise InvalidInput("a RECORD that is nested too deeply. Check the tap or the file.") from error
        if valid is not record and self._records.ignored:
            self._warn(record, valid)

    def _warn(self, record: dict[str, Any], valid: dict[str, Any]) -> None:
        """Name each column once whose values are not used since they do not fit."""
        for column in self._records.ignored:
            if column not in self._warned:
                self._warned.add(column)
                self.logger.warning(
                    "%s: %s of image %s of product %s is invalid (%s) and counts as null, as it does wherever it is "
                    "invalid: a restore does not need it.",
                    self.stream_name,
                    column,
                    valid["id"],
                    valid["product_id"],
                    shortened(repr(record.get(column))),
                )

    def activate_version(self, new_version: int) -> None:
        """Take the message as what it is: the sweep before it was complete."""
        self._restore_input.apply_activate_version(new_version)


class ProductsSink(ReadingSink):
    """Keeps which products the input speaks for.

    Any tap may have a stream of this name: records that are none of ours are skipped, and speak for no product.
    """

    def setup(self) -> None:
        """Compare the columns of the stream with ours."""
        self._records = RecordValidator(
            "products", self.stream_name, self.original_schema["properties"], skus=self._skus
        )

    def process_record(self, record: dict[str, Any], context: Mapping[str, Any]) -> None:  # noqa: ARG002
        """Keep the product's id and SKU."""
        valid = self._records.validate(record)
        if valid is None:
            self._report.skipped[self.stream_name] += 1
        self._restore_input.add_product(valid)


class KeyMissing(InvalidInput, MissingKeyPropertiesError):
    """A record lacks a key that its own SCHEMA declares: what made the stream is broken."""


class SkippedSink(ReadingSink):
    """A stream that is not ours."""

    def setup(self) -> None:
        """Warn once."""
        self.logger.warning("The stream %s is not product_images: its records are skipped.", self.stream_name)

    def process_record(self, record: dict[str, Any], context: Mapping[str, Any]) -> None:  # noqa: ARG002
        """Count the record.

        Raises:
            KeyMissing: it has not the keys that its SCHEMA declares.
        """
        if missing := set(self.key_properties) - record.keys():
            what = f"a RECORD of {shortened(self.stream_name)} without its key {shortened(min(missing))}"
            raise KeyMissing(f"{what}. Check the tap or the file.")
        self._report.skipped[self.stream_name] += 1
