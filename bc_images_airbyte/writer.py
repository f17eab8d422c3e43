"""Singer messages in, Airbyte messages out: the writer of the source."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
from airbyte_protocol_dataclasses.models import AirbyteStreamStatus

from bc_images.singer.writer import BufferedWriter, RecordTemplate
from bc_images_airbyte import messages

__all__ = ["AirbyteWriter"]

BLOCK = 1 << 16  # bytes: what a pipe holds


class AirbyteWriter(BufferedWriter):
    """Writes each stream as STARTED, RUNNING, its records and states, and at last COMPLETE or INCOMPLETE.

    Airbyte drops rows of older generations by itself once a stream is COMPLETE, so ACTIVATE_VERSION is not passed on.
    """

    def __init__(self) -> None:
        super().__init__()
        self.is_complete: Callable[[str], bool] = lambda _: True
        """Asked at the end of a stream's sync whether all of it could be had."""
        self._stream: str | None = None
        self._records = 0  # of the stream since its last STATE
        self._is_running = False
        self._before = self._after = b""
        self._has_state = False  # whether the stream has been given a STATE
        self._bookmarks: dict[str, Any] = {}  # of all streams, as the tap has last told them

    def write_record(self, template: RecordTemplate, record: dict[str, Any]) -> None:  # noqa: ARG002 - that is Singer's
        """Write a record that no stream map changes."""
        self._write(orjson.dumps(record))

    def write_message(self, message: Any) -> None:
        """Write what a Singer message means in Airbyte."""
        content = message.to_dict()
        kind = content["type"]
        if kind == "SCHEMA" and content["stream"] != self._stream:
            self.end()
            self._begin(content["stream"])
        elif kind == "RECORD":
            self._write(orjson.dumps(content["record"], default=str))  # a stream map may make what JSON does not know
        elif kind == "STATE":
            self._bookmarks = content["value"].get("bookmarks", {})
            self._write_state()

    def end(self, *, failed: bool = False) -> None:
        """End the stream that is under way: with its status, and before that, if it went well, with a last state.

        The tap leaves out a STATE that says nothing new; Airbyte wants one that accounts for the last records.
        """
        if self._stream is None:
            return
        if not failed and (self._records or not self._has_state):
            self._write_state()
        is_complete = not failed and self.is_complete(self._stream)
        self._say(AirbyteStreamStatus.COMPLETE if is_complete else AirbyteStreamStatus.INCOMPLETE)
        self._stream = None

    def _begin(self, stream: str) -> None:
        self._stream, self._records, self._is_running, self._has_state = stream, 0, False, False
        self._say(AirbyteStreamStatus.STARTED)

    def _write(self, record: bytes) -> None:
        if not self._is_running:
            self._is_running = True
            self._say(AirbyteStreamStatus.RUNNING)
        if not self._buffer and self._stream is not None:  # a new block: the records in it are of now
            self._before, self._after = messages.around_records(self._stream)
        self._records += 1
        self._buffer += self._before
        self._buffer += record
        self._buffer += self._after
        if len(self._buffer) >= BLOCK:
            self.flush()

    def _say(self, what: AirbyteStreamStatus) -> None:
        if self._stream is not None:
            self._buffer += messages.line(messages.status(self._stream, what))
            self.flush()

    def _write_state(self) -> None:
        if self._stream is not None:  # what the tap says before its first stream is where the last run stopped
            bookmark = self._bookmarks.get(self._stream, {})
            self._buffer += messages.line(messages.state(self._stream, bookmark, self._records))
            self._records, self._has_state = 0, True
            self.flush()
