"""Writes Singer messages to stdout: serialised by orjson, buffered, whole lines only."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from typing import Any

import orjson
from singer_sdk.singerlib.encoding.base import GenericSingerWriter, SingerMessageType
from singer_sdk.singerlib.encoding.simple import Message
from singer_sdk.singerlib.json import serialize_json

from bc_images.cli.exit import OutputClosedError
from bc_images.errors import FatalError

__all__ = ["BufferedWriter", "RecordTemplate"]

_BUFFER = 1 << 16  # bytes: what a pipe holds


class RecordTemplate:
    """The constant parts of a RECORD message, before and after its record: serialised once for many records.

    `after` holds the time of extraction; `refresh_time` renews it.
    """

    __slots__ = ("_expires_at", "_version", "after", "before")

    def __init__(self, stream: str, version: int | None) -> None:
        self.before = b'{"type":"RECORD","stream":%b,"record":' % orjson.dumps(stream)
        self._version = "" if version is None else f',"version":{version}'
        self._expires_at = 0.0
        self.refresh_time()

    def refresh_time(self) -> None:
        """Set the extraction time of the records that follow to now, to a tenth of a second."""
        now = time.monotonic()
        if now >= self._expires_at:
            self._expires_at = now + 0.1
            self.after = f'{self._version},"time_extracted":"{datetime.now(UTC).isoformat()}"}}\n'.encode()


class BufferedWriter(GenericSingerWriter[bytes, Message]):
    """Writes records in blocks, and every other message at once with all that came before it.

    A signal that arrives while a block is under way takes effect after it: see `exit`.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._exit_code: int | None = None
        self._closed = False
        self.writing = False
        """Whether a block is on its way out: the process must not end now."""

    def serialize_message(self, message: Message) -> bytes:
        """Return the message as one line of JSON."""
        content = message.to_dict()
        try:
            return orjson.dumps(content, option=orjson.OPT_APPEND_NEWLINE)
        except TypeError:  # a stream map may compute what only the SDK's own serialiser knows, such as a Decimal
            return serialize_json(content).encode() + b"\n"

    def write_message(self, message: Message) -> None:
        """Write one message of any type."""
        self._buffer += self.format_message(message)
        if message.type is not SingerMessageType.RECORD or len(self._buffer) >= _BUFFER:
            self.flush()

    def write_record(self, template: RecordTemplate, record: dict[str, Any]) -> None:
        """Write a RECORD message from its parts: for every record that no stream map changes."""
        self._buffer += template.before
        self._buffer += orjson.dumps(record)
        self._buffer += template.after
        if len(self._buffer) >= _BUFFER:
            self.flush()

    def flush(self) -> None:
        """Write what is buffered; nothing any more after an error or `exit`, for what came before it is lost.

        Raises:
            OutputClosedError: the output was closed by its reader.
            FatalError: the output cannot be written (a full disk).
        """
        block, self._buffer = self._buffer, bytearray()
        if self._closed or not block:
            return
        self.writing = True
        try:
            self.write_block(block)
        except OSError as error:
            self._closed = True
            if isinstance(error, BrokenPipeError):
                raise OutputClosedError from error
            raise FatalError(f"The output cannot be written: {error.strerror or error}.") from error
        finally:
            self.writing = False
        if self._exit_code is not None:
            self.exit(self._exit_code)

    def write_block(self, block: bytearray) -> None:
        """Write whole lines to stdout; a subclass may send them elsewhere.

        Raises:
            OSError: they cannot be written.
        """
        _write(block)

    def exit(self, code: int) -> None:
        """End the program with this exit code: now, or after the block that is on its way out.

        Meant for a signal handler. What is buffered and not yet on its way is dropped: it may end within a line.
        """
        self._exit_code = code
        if not self.writing:
            self._closed = True
            raise SystemExit(code)


def _write(block: bytearray) -> None:
    """Write to stdout as it is now: the SDK's test runners put another in its place.

    Past Python's own buffer, which would keep what cannot be written and complain about it when the program ends.
    """
    binary = getattr(sys.stdout, "buffer", None)
    if binary is None:  # an in-memory text stream
        sys.stdout.write(block.decode())
        return
    raw = getattr(binary, "raw", binary)
    view = memoryview(block)
    while view:
        view = view[raw.write(view) or 0 :]
