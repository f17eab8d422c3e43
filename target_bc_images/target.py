"""The Singer target: reads the whole input, then restores it."""

from __future__ import annotations

import shutil
import sys
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import IO, TYPE_CHECKING, Any, ClassVar

from singer_sdk.exceptions import MapExpressionError, RecordsWithoutSchemaException, StreamMapConfigError
from singer_sdk.helpers.capabilities import PluginCapabilities
from singer_sdk.mapper import RemoveRecordTransform
from singer_sdk.target_base import Target

from bc_images import jsonl, logs
from bc_images.bigcommerce import open_store
from bc_images.cli.exit import OutputClosedError
from bc_images.errors import InvalidInput, PartialFailure
from bc_images.normalize import deleted
from bc_images.settings import PROPERTIES, REQUIRED
from bc_images.singer.plugin import SingerPlugin, run_plugin
from bc_images.singer.reader import LineReader
from bc_images.units import counted
from target_bc_images.input import RestoreInput
from target_bc_images.report import Report
from target_bc_images.restore import Restore
from target_bc_images.settings import PROPERTIES as TARGET_PROPERTIES
from target_bc_images.settings import TargetSettings
from target_bc_images.sinks import ReadingSink, sink_class
from target_bc_images.streams import StreamNames, without_images

if TYPE_CHECKING:
    from singer_sdk.helpers.capabilities import CapabilitiesEnum

__all__ = ["TargetBCImages", "main"]


PROG = "target-bc-images"


class SchemaMissing(InvalidInput, RecordsWithoutSchemaException):
    """A message of a stream comes before its SCHEMA."""


class TargetBCImages(SingerPlugin, Target):
    """Puts product images back into a BigCommerce store: exactly what was lost, exactly once."""

    name = PROG
    package_name = "bc-images"
    message_reader_class = LineReader
    message_reader: LineReader
    input_mode = "rb"
    # What the SDK offers beside these would do nothing here: records are judged by our own schema.
    capabilities: ClassVar[list[CapabilitiesEnum]] = [
        PluginCapabilities.ABOUT,
        PluginCapabilities.STREAM_MAPS,
        PluginCapabilities.FLATTENING,
        PluginCapabilities.STRUCTURED_LOGGING,
    ]
    config_jsonschema: ClassVar[dict[str, Any]] = {
        "type": "object",
        "properties": {**PROPERTIES, **TARGET_PROPERTIES},
        "required": REQUIRED,
    }

    options: TargetSettings

    def __init__(self, *, adapt: Callable[[TargetSettings], TargetSettings] | None = None, **rest: Any) -> None:
        """Take the settings.

        Args:
            adapt: what a command that is no ordinary restore makes of the target's own settings.
            rest: as for `SingerPlugin`.

        Raises:
            SettingsError: they cannot be used.
        """
        self._adapt = adapt
        self._applying = False
        self.stream_names = StreamNames()
        self._is_undo = False
        self.ignored_columns: set[str] = set()  # those that have been warned of
        self._uncounted: Counter[str] = Counter()  # records of each stream that have passed by the SDK's counter
        super().__init__(**rest)
        self.max_parallelism = 1  # of the SDK's drain, where nothing waits
        self.store = open_store(self.settings)
        self.restore = Restore(self.settings, self.options, self.store)
        self.restore_input = RestoreInput(self.settings.store_hash, self.options.product_ids)
        self.restore_input.has_stream_maps = self._reshapes
        self.report = Report(self.options.report, by_product=self.options.report_by_product)

    def load_settings(self, config: Mapping[str, Any]) -> None:
        """Read the settings."""
        super().load_settings(config)
        # Now: the SDK takes out of stream_maps what it has understood.
        self._reshapes = bool(config.get("stream_maps") or config.get("flattening_enabled"))
        options = TargetSettings.from_config(config)
        self.options = self._adapt(options) if self._adapt is not None else options

    @classmethod
    def run(cls, config: Mapping[str, Any], file_input: IO[str] | None = None) -> None:  # type: ignore[override]
        """Restore what is on the input."""
        with closing(cls(config=config)) as target:
            target.listen(file_input)

    def close(self) -> None:
        """Let go of everything, and say on stderr what was done."""
        self.restore_input.close()
        self.store.close()
        with closing(self.report):
            self._tell()

    def _tell(self) -> None:
        if self.report.counts or self.report.skipped:
            width = shutil.get_terminal_size().columns if sys.stderr and sys.stderr.isatty() else None
            lines = [*self.report.changes(width), self.report.table(), *self.report.problem_lines()]
            logs.write_text(PROG, "\n".join(lines))
        if self.restore.undo_path is not None:
            logs.write_text(PROG, f"What this run changed can be taken back: {self.restore.undo_path}")

    # Reading

    # Final to a type checker only. Its two steps are all that the SDK calls between first and last message, and its
    # standard tests call them with streams that are none of ours: there they pass.
    def listen(self, file_input: IO[str] | None = None) -> None:  # type: ignore[misc]
        """Read the whole input and restore it.

        Raises:
            InvalidInput: there is no message at all.
            PartialFailure: there is no stream that this target understands.
        """
        counts = self.process_lines(file_input)
        if self.message_reader.is_empty:
            raise InvalidInput("The input is empty: nothing was restored. See what the tap says.")
        if not self.stream_names.has_images:
            reason = without_images([*self.mapper.stream_maps])
            raise PartialFailure(f"{reason} Nothing was restored, and no STATE is passed on.")
        if (self._is_undo or self.message_reader.is_truncated) and self.options.mode.deletes:
            self.restore_input.drop_unmarked()  # what may list a product in part must not delete from it
        self.logger.info("Read %d messages: %s.", counts.total(), dict(counts))
        self.process_endofpipe()

    def get_sink_class(self, stream_name: str) -> type[ReadingSink]:
        """Return what the records of a stream become."""
        return sink_class(stream_name)

    def _process_schema_message(self, message_dict: dict[str, Any]) -> None:
        """Take in a SCHEMA: that it is there is all that counts, and what stream maps need of it."""
        schema = message_dict.get("schema")
        properties = schema.get("properties") if isinstance(schema, dict) else None
        if not isinstance(message_dict.get("stream"), str) or not isinstance(properties, dict):
            raise InvalidInput("a SCHEMA without stream, schema or properties. Check the tap or the file.")
        keys = message_dict.get("key_properties") or []
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise InvalidInput("a SCHEMA whose key_properties are no list of names. Check the tap or the file.")
        self._check_depth(message_dict, "a SCHEMA")
        self._is_undo |= message_dict.get(jsonl.UNDO) is True
        if self._reshapes and schema is not None:  # stream maps want the keys among the properties
            schema = {**schema, "properties": {**{key: {} for key in keys}, **properties}}
            message_dict = {**message_dict, "schema": schema}
        try:
            super()._process_schema_message(message_dict)
        except (AttributeError, KeyError, TypeError, ValueError) as error:  # flattening goes through all of it
            raise InvalidInput("a SCHEMA that is no JSON Schema. Check the tap or the file.") from error
        for stream_map in self.mapper.stream_maps[message_dict["stream"]]:
            self.stream_names.add(stream_map.stream_alias, is_removed=isinstance(stream_map, RemoveRecordTransform))

    def _process_record_message(self, message_dict: dict[str, Any]) -> None:
        """Hand a record to its sink.

        Without the SDK's own way (metadata, clocks, counters, parsing by the schema that came), which costs more than
        everything else that is done for a record that needs no write, and ends the run for a date that is none.
        """
        stream, record = message_dict.get("stream"), message_dict.get("record")
        if not isinstance(record, dict):
            raise InvalidInput("a RECORD that holds no object. Check the tap or the file.")
        mark = record.get("_sdc_deleted_at") or record.get("_SDC_DELETED_AT")
        if mark and deleted(mark):  # a loader has marked the row: the image had left the store
            self._need_schema(stream, "a RECORD")
            self.report.skipped[f"{stream} (deleted rows)"] += 1
        elif self._reshapes or type(stream) is not str or stream not in self._sinks_active:
            self._need_schema(stream, "a RECORD")
            self._check_depth(record, "a RECORD")
            self._map_record(str(stream), message_dict)
        else:
            self._uncounted[stream] += 1
            self._sinks_active[stream].process_record(record, message_dict)

    def _map_record(self, stream: str, message: dict[str, Any]) -> None:
        for stream_map in self.mapper.stream_maps[stream]:
            record = stream_map.transform(dict(message["record"]))
            if record is not None:
                self._uncounted[stream_map.stream_alias] += 1
                self._sinks_active[stream_map.stream_alias].process_record(record, message)

    def _process_activate_version_message(self, message_dict: dict[str, Any]) -> None:
        """Take in the mark of a complete sweep; the SDK would warn of columns that this target has not."""
        stream, version = message_dict.get("stream"), message_dict.get("version")
        self._need_schema(stream, "an ACTIVATE_VERSION")
        if type(version) is not int:
            raise InvalidInput("an ACTIVATE_VERSION without a version. Check the tap or the file.")
        for mapped in self.mapper.stream_maps[str(stream)]:
            self.get_sink(mapped.stream_alias).activate_version(version)

    def _process_batch_message(self, message_dict: dict[str, Any]) -> None:  # noqa: ARG002
        raise InvalidInput("a BATCH message, which this target does not read. Switch batches off in the tap.")

    def _process_state_message(self, message_dict: dict[str, Any]) -> None:
        """Keep the latest STATE, to be passed on when everything is done."""
        if not isinstance(message_dict.get("value"), dict):
            raise InvalidInput("a STATE without a value. Check the tap or the file.")
        self._check_depth(message_dict, "a STATE")
        super()._process_state_message(message_dict)

    @staticmethod
    def _check_depth(content: dict[str, Any], message: str) -> None:
        """Keep from the SDK, which recurses, what is nested without end."""
        if jsonl.is_deep(content):
            raise InvalidInput(f"{message} that is nested too deeply. Check the tap or the file.")

    def _need_schema(self, stream: object, message: str) -> None:
        if not isinstance(stream, str) or stream not in self.mapper.stream_maps:
            name = jsonl.shortened(stream)
            raise SchemaMissing(f"{message} of {name} before its SCHEMA. Check the tap or the file.")

    def _handle_max_record_age(self) -> None:
        """Keep the SDK from passing on a STATE in the middle of the input."""

    # Restoring

    def process_endofpipe(self) -> None:
        """Restore what was read, then pass on the last STATE if, and only if, all of it is in the store."""
        self._applying = True
        try:
            self.restore.run(self.restore_input, self.report)
        except Exception:
            if self.signal_exit_code is None:
                raise
            self.logger.debug("After the signal:", exc_info=True)  # what was cut off by it
        if self.signal_exit_code is not None:
            raise SystemExit(self.signal_exit_code)
        self._applying = False
        if self.restore.deletes_skipped_reason is not None:
            raise PartialFailure(f"mirror deleted nothing, because {self.restore.deletes_skipped_reason}.")
        if self.report.problem_count:
            raise PartialFailure(f"{self._how_many()}{self._where()}.")
        for stream, count in self._uncounted.items():
            self._sinks_active[stream].record_counter_metric.increment(count)
        if not self.options.dry_run:
            try:
                super().process_endofpipe()
            except BrokenPipeError as error:
                raise OutputClosedError from error

    def _how_many(self) -> str:
        """Say how many records are still to be done."""
        report = self.report
        failed = report.with_status("rejected") + report.with_status("failed")
        were = "was" if failed == 1 else "were"
        parts = [f"{counted(failed, 'record')} {were} rejected or failed"] if failed else []
        if undecided := report.with_status("undecided"):
            parts.append(f"{undecided} undecided")
        if unverified := report.with_status("unverified"):
            parts.append(f"{unverified} written and not verified")
        if not_reached := report.with_status("not reached"):
            parts.append(f"{not_reached} not reached")
        if report.different:
            parts.append(f"{report.different} restored but for values that the store does not take")
        return ", ".join(parts)

    def _where(self) -> str:
        if self.options.report:
            return f": see {self.options.report}"
        return ": set report to a path to have all of them in a file, with their records"

    def interrupt(self, code: int) -> None:
        """End the run with 143 or 130: while reading at once; while applying after the requests under way.

        A second signal waits for nothing. Then the ledger tells the next run what to look for.
        """
        if not self._applying:
            raise SystemExit(code)
        self.logger.warning("Stopping: requests under way are finished, nothing new is started.")
        # Not here: whatever the signal has interrupted may hold a lock.
        threading.Thread(target=self.restore.stop, name="stop", daemon=True).start()


def main() -> None:
    """Run ``target-bc-images``: every way it can end is one line on stderr and a documented exit code."""
    run_plugin(
        TargetBCImages,
        interrupted_message="stopped by a signal. What was begun is finished and recorded; run again to go on.",
        bad_settings=(StreamMapConfigError, MapExpressionError),
    )
