"""A pipe within the process: a tap writes Singer messages, and another thread reads them as lines."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from bc_images.errors import FatalError
from bc_images.singer.writer import BufferedWriter

__all__ = ["Pipe", "PipeWriter"]

T = TypeVar("T")

_BLOCKS = 8  # of 64 KiB each, that wait for the reader
_POLL = 0.1  # seconds


class _AbortedError(Exception):
    """The writer has given up: what came is worth nothing."""


class Pipe(Generic[T]):
    """Hands lines to `read`, in a thread of its own.

    Args:
        read: takes the lines to their end; what it returns or raises is what `finish` returns or raises.

    Attributes:
        is_finished: the last line has been written, so that nothing can be taken back any more.
    """

    def __init__(self, read: Callable[[Iterator[bytes]], T]) -> None:
        self._read = read
        self._blocks: queue.Queue[bytes | None] = queue.Queue(_BLOCKS)
        self._result: list[T] = []
        self._error: Exception | None = None
        # A plain attribute: a signal handler sets it, and must not wait for a lock that it has interrupted.
        self._is_aborted = False
        self.is_finished = False
        self._thread = threading.Thread(target=self._run, name="pipe", daemon=True)
        self._thread.start()

    @property
    def is_read(self) -> bool:
        """Whether the reader is still at work."""
        return self._thread.is_alive()

    def write(self, lines: bytes | None) -> None:
        """Write whole lines; waits while the reader is behind.

        Raises:
            BcImagesError: of any kind, where the reader has failed.
        """
        while self.is_read:
            try:
                self._blocks.put(lines, timeout=_POLL)
            except queue.Full:
                continue
            return
        if self._error is not None:
            raise self._error
        raise FatalError("The snapshot's writer ended before its input: this is a bug, please report it.")

    def finish(self) -> T:
        """Tell the reader that this was all, and return its result."""
        self.is_finished = True
        self.write(None)
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._result[0]

    def abort(self) -> None:
        """Let the reader fail, so that it undoes what it has begun; without effect after `finish`. Does not wait."""
        self._is_aborted = not self.is_finished

    def join(self) -> None:
        """Wait for the reader."""
        self._thread.join()

    def _run(self) -> None:
        try:
            self._result.append(self._read(self._lines()))
        except Exception as error:  # noqa: BLE001 - raised in the writer's thread
            self._error = error

    def _lines(self) -> Iterator[bytes]:
        while True:
            try:
                block = self._blocks.get(timeout=_POLL)
            except queue.Empty:
                block = b""
            if self._is_aborted:
                raise _AbortedError
            if block is None:
                return
            yield from block.splitlines(keepends=True)


class PipeWriter(BufferedWriter):
    """Writes the messages of a tap into a pipe in place of stdout."""

    pipe: Pipe[Any] | None = None

    @property
    def writing(self) -> bool:
        """Whether the process must not end now: the reader has something to finish, or to undo."""
        return self.pipe is not None and self.pipe.is_read

    @writing.setter
    def writing(self, value: bool) -> None:
        """Take no note: the base class tells of single blocks."""

    def write_block(self, block: bytearray) -> None:
        """Hand on whole lines."""
        if self.pipe is not None:
            self.pipe.write(bytes(block))

    def exit(self, code: int) -> None:
        """Drop what was written, and end the program with this exit code."""
        self._closed = True
        if self.pipe is not None:
            self.pipe.abort()
        raise SystemExit(code)
