"""Sources of Singer messages: a file, or standard input. No SDK: commands that read messages start without it."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from typing import IO, Any

from bc_images import jsonl
from bc_images.errors import InvalidInput

__all__ = ["Message", "MessageSource", "SingerFile", "standard_input"]

Message = dict[str, Any]


class MessageSource:
    """Singer messages with their lines; to be iterated once.

    Args:
        name: what the source is called in an error.
        advice: what follows in an error: what was not done, and the next step.

    Attributes:
        is_truncated: an undo file ended in the middle of a line.
    """

    is_truncated = False

    def __init__(self, name: str, advice: str) -> None:
        self.name = name
        self._advice = advice

    def __iter__(self) -> Iterator[tuple[int, bytes, Message]]:
        """Yield line number, line and message.

        Raises:
            InvalidInput: the source cannot be read, or a line is not a JSON object.
        """
        raise NotImplementedError

    def invalid(self, number: int, problem: str, error: type[InvalidInput] = InvalidInput) -> InvalidInput:
        """Return the error for a line; `problem` follows ``Line 5 of the input``."""
        return error(f"Line {number} of {self.name} {problem}: {self._advice}")


class SingerFile(MessageSource):
    """The messages of a Singer file, plain or gzip; of standard input where `file` is None."""

    def __init__(
        self,
        file: Any,
        name: str = "the input",
        advice: str = "nothing was written to the store. Check the tap or the file.",
    ) -> None:
        super().__init__(name, advice)
        self._file = standard_input() if file is None else file

    def __iter__(self) -> Iterator[tuple[int, bytes, Message]]:
        return jsonl.messages(self._file, self.name, self._advice, self._note_truncated)

    def _note_truncated(self) -> None:
        self.is_truncated = True


def standard_input() -> IO[bytes]:
    """Return standard input as bytes; an empty file where a caller has closed it."""
    return sys.stdin.buffer if sys.stdin is not None else io.BytesIO()
