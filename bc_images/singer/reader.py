"""Singer messages for the target, each handed to the callback of its type."""

from __future__ import annotations

import io
import sys
from collections import Counter
from collections.abc import Callable
from typing import IO, Any

from singer_sdk.singerlib.encoding.base import GenericSingerReader

from bc_images import jsonl
from bc_images.errors import InvalidInput

__all__ = ["LineReader"]


class LineReader(GenericSingerReader[bytes]):
    """Reads every message to the end of the input.

    Attributes:
        input_name: what the input is called in an error.
        advice: what follows in an error about a line.
        is_empty: no message has come.
        is_truncated: the input is an undo file that ends in the middle of a line.

    Raises:
        InvalidInput: it cannot be read, or a line is no message that Singer knows.
    """

    input_name = "the input"
    advice = "nothing was written to the store. Check the tap or the file."
    is_empty = True
    is_truncated = False

    @property
    def default_input(self) -> IO[bytes]:
        """Standard input as bytes; nothing where a caller has closed it."""
        return sys.stdin.buffer if sys.stdin is not None else io.BytesIO()

    def deserialize_json(self, line: bytes) -> dict[str, Any]:
        """Parse one line."""
        message: dict[str, Any] = jsonl.parse(line)
        return message

    def process_lines(
        self, file_input: IO[bytes] | None, callbacks: dict[str, Callable[[dict[str, Any]], None]]
    ) -> Counter[str]:
        """Hand each message to the callback of its type; return how many there were of each."""
        counts: Counter[str] = Counter()
        source = self.default_input if file_input is None else file_input
        for number, _, message in jsonl.messages(source, self.input_name, self.advice, self._note_truncated):
            try:
                kind = message["type"]
                callback = callbacks[kind]
            except KeyError as error:
                raise self.invalid(number, f"has no known message type ({jsonl.shortened(error)})") from error
            except TypeError as error:  # a list or an object
                raise self.invalid(number, "is no Singer message") from error
            try:
                callback(message)
            except InvalidInput as error:
                raise type(error)(f"Line {number} of {self.input_name}: {error}") from error
            counts[kind] += 1
        self.is_empty = self.is_empty and not counts
        return counts

    def _note_truncated(self) -> None:
        self.is_truncated = True

    def invalid(self, number: int, what: str) -> InvalidInput:
        """Return the error for a line."""
        return InvalidInput(f"Line {number} of {self.input_name} {what}: {self.advice}")
