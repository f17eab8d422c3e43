"""Singer messages from stdin: bytes, parsed by orjson; a line that is none is named by its number."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from typing import IO, Any

import orjson
from singer_sdk.singerlib.encoding.base import GenericSingerReader

from bc_images.errors import DamagedInput

__all__ = ["LineReader"]


class LineReader(GenericSingerReader[bytes]):
    """Reads every line to the end of the input.

    Raises:
        DamagedInput: a line is no JSON object, has no ``type``, or one that Singer does not know.
    """

    @property
    def default_input(self) -> IO[bytes]:
        """Standard input as bytes."""
        return sys.stdin.buffer

    def deserialize_json(self, line: bytes) -> dict[str, Any]:
        """Parse one line."""
        message: dict[str, Any] = orjson.loads(line)
        return message

    def process_lines(
        self, file_input: IO[bytes] | None, callbacks: dict[str, Callable[[dict[str, Any]], None]]
    ) -> Counter[str]:
        """Hand each message to the callback of its type; return how many there were of each."""
        counts: Counter[str] = Counter()
        for number, line in enumerate(file_input or self.default_input, 1):
            try:
                message = orjson.loads(line)
                kind = message["type"]
                callback = callbacks[kind]
            except (orjson.JSONDecodeError, KeyError, TypeError) as error:
                if not line.strip():
                    continue
                raise DamagedInput(_complaint(number, line, error)) from error
            try:
                callback(message)
            except DamagedInput as error:
                raise type(error)(f"Line {number} of the input: {error}") from error
            counts[kind] += 1
        return counts


def _complaint(number: int, line: bytes | str, error: Exception) -> str:
    if isinstance(error, orjson.JSONDecodeError):
        what = "is no JSON" if line[-1:] in {b"\n", "\n"} else "is cut off"
    elif isinstance(error, KeyError):
        what = f"has no known message type ({error})"
    else:
        what = "is no Singer message"
    return f"Line {number} of the input {what}: nothing was written to the store. Check the tap or the file."
