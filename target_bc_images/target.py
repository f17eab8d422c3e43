"""The Singer target: reads the input to its end, then restores it."""

from __future__ import annotations

import json
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, closing
from typing import IO, TYPE_CHECKING, Any, ClassVar

from singer_sdk import metrics
from singer_sdk.exceptions import MapExpressionError, StreamMapConfigError
from singer_sdk.helpers.capabilities import PluginCapabilities
from singer_sdk.singerlib.encoding.base import GenericSingerReader
from singer_sdk.target_base import Target

from bc_images import jsonl
from bc_images.cli.exit import OutputClosedError
from bc_images.errors import InvalidInput, PartialFailure
from bc_images.settings import PROPERTIES, REQUIRED
from bc_images.singer.plugin import SingerPlugin, run_plugin
from bc_images.singer.reader import Message, MessageSource, SingerFile, standard_input
from target_bc_images.context import EarlierRun
from target_bc_images.input import read_input
from target_bc_images.restore_input import RestoreInput
from target_bc_images.session import RestoreSession
from target_bc_images.settings import PROPERTIES as TARGET_PROPERTIES
from target_bc_images.settings import TargetSettings

if TYPE_CHECKING:
    from singer_sdk.helpers.capabilities import CapabilitiesEnum

__all__ = ["TargetBCImages", "main"]


PROG = "target-bc-images"


class SdkReader(GenericSingerReader[bytes]):
    """The SDK's seam for reading: passes the file to `read_file` in place of the SDK's callbacks.

    Attributes:
        read_file: reads a file, standard input where it is None; returns how many messages there were of each type.
    """

    read_file: Callable[[IO[bytes] | None], Counter[str]]

    @property
    def default_input(self) -> IO[bytes]:
        """Standard input."""
        return standard_input()

    def deserialize_json(self, line: bytes) -> Message:
        """Parse one line."""
        message: Message = jsonl.parse(line)
        return message

    def process_lines(
        self,
        file_input: IO[bytes] | None,
        callbacks: dict[str, Callable[[Message], None]],  # noqa: ARG002 - they know sinks, and this target has none
    ) -> Counter[str]:
        """Read the file."""
        return self.read_file(file_input)


class TargetBCImages(SingerPlugin, Target):
    """Puts product images back into a BigCommerce store: exactly what was lost, exactly once.

    Attributes:
        target_settings: the target's own settings.
        session: the restore, its store and its report.
        restore_input: what was read last.
    """

    name = PROG
    package_name = "bc-images"
    message_reader_class = SdkReader
    message_reader: SdkReader
    input_mode = "rb"
    # What the SDK offers beside these would do nothing here: records are validated by our own schema.
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

    target_settings: TargetSettings
    restore_input: RestoreInput

    def __init__(self, *, adapt: Callable[[TargetSettings], TargetSettings] | None = None, **rest: Any) -> None:
        """Take the settings.

        Args:
            adapt: returns the target's own settings as a command changes them that is not an ordinary restore.
            rest: as for `SingerPlugin`.

        Raises:
            SettingsError: they cannot be used.
        """
        self._adapt = adapt
        self._is_restoring = False
        super().__init__(**rest)
        self._cleanup = ExitStack()
        self.session = RestoreSession(self.name, self.settings, self.target_settings)
        self.message_reader.read_file = self._read_file

    def load_settings(self, config: Mapping[str, Any]) -> None:
        """Read the settings."""
        super().load_settings(config)
        target_settings = TargetSettings.from_config(config)
        self.target_settings = self._adapt(target_settings) if self._adapt is not None else target_settings

    @classmethod
    def run(cls, config: Mapping[str, Any], file_input: IO[bytes] | None = None) -> None:  # type: ignore[override]
        """Restore what is on the input."""
        with closing(cls(config=config)) as target:
            target.restore(file_input)

    def restore(self, file: IO[bytes] | None = None) -> None:
        """Read a Singer file, or standard input, restore it, and pass on its last STATE.

        Raises:
            InvalidInput: there is no message at all.
            PartialFailure: there is no stream that this target understands.
        """
        counts = self._read_file(file)
        if not counts:
            raise InvalidInput("The input is empty: nothing was restored. See what the tap says.")
        if not self.restore_input.streams.has_images:
            reason = self.restore_input.streams.no_images_reason()
            raise PartialFailure(f"{reason} Nothing was restored, and no STATE is passed on.")
        self.logger.info("Read %d messages: %s.", counts.total(), dict(counts))
        self.process_endofpipe()

    def source(self, file: IO[bytes] | None) -> MessageSource:
        """Return the messages of a file, or of standard input."""
        return SingerFile(file)

    def read(self, sources: Iterable[MessageSource]) -> RestoreInput:
        """Read the input of a restore; it is closed with the target."""
        self.restore_input = read_input(sources, self.mapper, self.settings.store_hash, self.target_settings)
        self._cleanup.callback(self.restore_input.close)
        return self.restore_input

    def _read_file(self, file: IO[bytes] | None) -> Counter[str]:
        return self.read([self.source(file)]).message_counts

    def process_endofpipe(self) -> None:
        """Restore what was read, then pass on the last STATE if, and only if, all of it is in the store.

        The SDK's standard tests call this after streams that are not ours: there is nothing to restore then.
        """
        self.apply(self.restore_input)
        for stream, count in self.restore_input.record_counts.items():
            with metrics.record_counter(stream) as counter:
                counter.increment(count)
        if self.restore_input.state and not self.target_settings.dry_run:
            try:
                self.write_state(self.restore_input.state)
            except BrokenPipeError as error:
                raise OutputClosedError from error

    def apply(self, restore_input: RestoreInput, earlier_run: EarlierRun | None = None) -> None:
        """Restore an input, as `Restore.run` does.

        Raises:
            PartialFailure: not all of it is in the store.
            SystemExit: a signal has stopped the restore.
        """
        self._is_restoring = True
        try:
            self.session.run(restore_input, earlier_run)
        except Exception:
            if self.signal_exit_code is None:
                raise
            self.logger.debug("After the signal:", exc_info=True)  # what was cut off by it
        if self.signal_exit_code is not None:
            raise SystemExit(self.signal_exit_code)
        self._is_restoring = False
        self.session.require_success()

    def write_state(self, state: dict[str, Any]) -> None:
        """Write the last STATE of the input to standard output."""
        sys.stdout.write(f"{json.dumps(state)}\n")
        sys.stdout.flush()

    def interrupt(self, code: int) -> None:
        """End the run with 143 or 130: at once while reading; after the requests under way while restoring.

        A second signal waits for nothing. Then the ledger tells the next run what to look for.
        """
        if not self._is_restoring:
            raise SystemExit(code)
        self.logger.warning("Stopping: requests under way are finished, nothing new is started.")
        # Not here: whatever the signal has interrupted may hold a lock.
        threading.Thread(target=self.session.restore.stop, name="stop", daemon=True).start()

    def close(self) -> None:
        """Delete the input's temporary files, and close the session."""
        with closing(self.session):
            self._cleanup.close()


def main() -> None:
    """Run ``target-bc-images``: every way it can end is one line on stderr and a documented exit code."""
    run_plugin(
        TargetBCImages,
        interrupted_message="stopped by a signal. What was begun is finished and recorded; run again to go on.",
        bad_settings=(StreamMapConfigError, MapExpressionError),
    )
