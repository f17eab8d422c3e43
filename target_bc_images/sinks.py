"""What becomes of each stream's records while the input is read: kept, rejected, or skipped and counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from singer_sdk.exceptions import MissingKeyPropertiesError
from singer_sdk.sinks import Sink

from bc_images.errors import DamagedInput
from target_bc_images.records import Judge

if TYPE_CHECKING:
    from singer_sdk.sinks.core import BaseJSONSchemaValidator

    from target_bc_images.target import TargetBCImages

__all__ = ["ImagesSink", "ProductsSink", "ReadingSink", "SkippedSink", "sink_class"]


def sink_class(stream: str) -> type[ReadingSink]:
    """Return what a stream's records become.

    The last part of the name after ``-`` or ``.`` counts: a warehouse table read back is ``raw-product_images``.
    """
    name = stream.replace("-", ".").rpartition(".")[2]
    return {"product_images": ImagesSink, "products": ProductsSink}.get(name, SkippedSink)


class ReadingSink(Sink):
    """A sink whose work is done once a record is read.

    The SDK's machinery around it (validation against the incoming schema, clocks, counters) is not needed: records
    are judged by our schema, whatever schema they came with.
    """

    def __init__(self, target: TargetBCImages, stream_name: str, *rest: Any, **more: Any) -> None:
        super().__init__(target, stream_name, *rest, **more)
        self._inbox = target.inbox
        self._report = target.report

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

    _judge = Judge("product_images")

    def process_record(self, record: dict[str, Any], context: Mapping[str, Any]) -> None:
        """Keep the record, or reject it with what is wrong."""
        fitting = self._judge.fitting(record)
        if fitting is None:
            self._report.reject(record, self._judge.complaint(record))
        else:
            self._inbox.add(fitting, context.get("version"))

    def activate_version(self, new_version: int) -> None:
        """Take the message as what it is: the sweep before it was complete."""
        self._inbox.activate(new_version)


class ProductsSink(ReadingSink):
    """Keeps which products the input speaks for.

    Any tap may have a stream of this name: records that are none of ours are skipped, and speak for no product.
    """

    _judge = Judge("products")

    def process_record(self, record: dict[str, Any], context: Mapping[str, Any]) -> None:  # noqa: ARG002
        """Keep the product's id and SKU."""
        fitting = self._judge.fitting(record)
        if fitting is None:
            self._report.skipped[self.stream_name] += 1
        self._inbox.add_product(fitting)


class KeyMissing(DamagedInput, MissingKeyPropertiesError):
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
            what = f"a RECORD of {self.stream_name} without its key {min(missing)}"
            raise KeyMissing(f"{what}. Check the tap or the file.")
        self._report.skipped[self.stream_name] += 1
