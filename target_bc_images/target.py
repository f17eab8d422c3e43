"""The Singer target: reads the whole input, then restores it."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping
from functools import cached_property
from types import FrameType
from typing import IO, TYPE_CHECKING, Any, ClassVar

import click
from singer_sdk.exceptions import MapExpressionError, StreamMapConfigError
from singer_sdk.helpers.capabilities import PluginCapabilities
from singer_sdk.sinks import Sink
from singer_sdk.target_base import Target

from bc_images import door
from bc_images.config import checked, from_environment
from bc_images.errors import DamagedInput, SettingsError, SomeFailed
from bc_images.settings import PROPERTIES, REQUIRED, Settings
from bc_images.store import Store, open_store
from target_bc_images.inbox import Inbox
from target_bc_images.options import PROPERTIES as TARGET_PROPERTIES
from target_bc_images.options import Options
from target_bc_images.reader import LineReader
from target_bc_images.report import Report
from target_bc_images.restore import Restore
from target_bc_images.sinks import sink_class

if TYPE_CHECKING:
    from singer_sdk.helpers.capabilities import CapabilitiesEnum
    from singer_sdk.plugin_base import _ConfigInput

__all__ = ["TargetBCImages", "main"]


PROG = "target-bc-images"
PREFIX = "TARGET_BC_IMAGES_"


class TargetBCImages(Target):
    """Puts product images back into a BigCommerce store: exactly what was lost, exactly once."""

    name = PROG
    package_name = "bc-images"
    message_reader_class = LineReader
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

    settings: Settings
    options: Options

    def __init__(
        self,
        *,
        config: Mapping[str, Any] | None = None,
        parse_env_config: bool = True,  # noqa: ARG002 - the SDK's signature; the environment is always read
        **rest: Any,
    ) -> None:
        """Take the settings from `config` and, above it, from the environment (``TARGET_BC_IMAGES_<NAME>``).

        Raises:
            SettingsError: they cannot be used.
        """
        self.append_builtin_config(self.config_jsonschema)
        environment = from_environment(PREFIX, self.config_jsonschema["properties"], os.environ)
        self._stop = threading.Event()
        self._signal: int | None = None
        self._applying = False
        super().__init__(config={**(config or {}), **environment}, parse_env_config=False, **rest)
        self.inbox = Inbox(self.settings.store_hash)
        self.report = Report(self.options.report, by_product=self.options.plan_by_product)

    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        """Check every setting, in our own words: the SDK's would show a secret of a wrong type."""
        if raise_errors:
            self._config = checked(self._config, self.config_jsonschema)
            self.settings = Settings.from_config(self._config)
            self.options = Options.from_config(self._config)
        return []

    @classmethod
    def cb_config(cls, ctx: click.Context, param: click.Option, value: tuple[str, ...]) -> _ConfigInput:
        """Read the files of ``--config``.

        Raises:
            SettingsError: one of them is missing or damaged.
        """
        try:
            return super().cb_config(ctx, param, value)
        except (OSError, ValueError, TypeError) as error:
            raise SettingsError(f"--config {' '.join(value)}: {error} Give a file with one JSON object.") from error

    @classmethod
    def invoke(  # type: ignore[override]
        cls,
        *,
        about: bool = False,
        about_format: str | None = None,
        config: _ConfigInput | None = None,
        file_input: IO[str] | None = None,
    ) -> None:
        """Run the target as the command line asks."""
        if about:
            cls.print_about(about_format)
            return
        cls.print_version(print_fn=cls.logger.info)
        target = cls(config=config.config if config else None)
        target.listen(file_input)

    @cached_property
    def store(self) -> Store:
        """The store that is written to; opened when first needed."""
        return open_store(self.settings)

    def get_sink_class(self, stream_name: str) -> type[Sink]:
        """Return what the records of a stream become."""
        return sink_class(stream_name)

    def _process_record_message(self, message_dict: dict[str, Any]) -> None:
        """Hand a record to its sink.

        The SDK's own way (maps, metadata, clocks, counters) costs more than everything else that is done for a
        record that needs no write: it is taken only where stream maps or flattening are configured.
        """
        try:
            if self._reshapes:
                super()._process_record_message(message_dict)
            else:
                self._sinks_active[message_dict["stream"]].process_record(message_dict["record"], {})
        except KeyError as error:
            stream = message_dict.get("stream")
            if stream is None or "record" not in message_dict:
                raise DamagedInput("a RECORD without stream or record. Check the tap or the file.") from error
            raise DamagedInput(f"a RECORD of {stream} before its SCHEMA. Check the tap or the file.") from error

    @cached_property
    def _reshapes(self) -> bool:
        return bool(self.config.get("stream_maps") or self.config.get("flattening_enabled"))

    def _handle_max_record_age(self) -> None:
        """Keep the SDK from passing on a STATE in the middle of the input."""

    def process_endofpipe(self) -> None:
        """Restore what was read, then pass on the last STATE if, and only if, all of it is in the store."""
        restore = Restore(self.settings, self.options, self.store, self.report, self._stop)
        self._applying = True
        try:
            restore.run(self.inbox)
        finally:
            self._applying = False
            self.report.close()
            self.store.close()
            if self.report.counts or self.report.skipped:
                print(self.report.table(), file=sys.stderr)
            if restore.undo_path is not None:
                print(f"What this run changed can be taken back: {restore.undo_path}", file=sys.stderr)
        if self._signal is not None:
            raise SystemExit(128 + self._signal)
        if restore.kept_all is not None:
            raise SomeFailed(f"mirror deleted nothing, because {restore.kept_all}.")
        if self.report.bad:
            raise SomeFailed(f"{self.report.bad} records were rejected or failed{self._where()}.")
        if not self.options.dry_run:
            super().process_endofpipe()

    def _where(self) -> str:
        if self.options.report:
            return f": see {self.options.report}"
        return ": set report to a path to have them listed, with the store's own words"

    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """End the run with 143 or 130: while reading at once; while applying after the requests under way."""
        if not self._applying or self._signal is not None:
            raise SystemExit(128 + signum)
        self._signal = signum
        self.logger.warning("Stopping: requests under way are finished, nothing new is started.")
        self._stop.set()
        self.store.close()


def main() -> None:
    """Run ``target-bc-images``: every way it can end is one line on stderr and a documented exit code."""
    door.quieten(PREFIX)
    door.run(
        PROG,
        lambda: TargetBCImages.cli.main(prog_name=PROG, standalone_mode=False),
        farewell="stopped by a signal. What was begun is finished and recorded; run again to go on.",
        bad_settings=(StreamMapConfigError, MapExpressionError),
        secrets=(os.environ.get(f"{PREFIX}ACCESS_TOKEN"), os.environ.get(f"{PREFIX}WEBDAV_PASSWORD")),
    )
