"""Temporary files on disk, so that memory does not grow with the store: JSON lines, pages, databases."""

from __future__ import annotations

import sqlite3
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import IO, Any

import orjson

from bc_images.errors import FatalError

__all__ = ["JsonLines", "PageBuffer", "disk_errors", "disk_full", "temporary_database"]

_BUFFER = 1 << 20  # bytes


def disk_full(content: str, error: Exception) -> str:
    """Return the message for a temporary file that cannot be written.

    Args:
        content: what was to be written, such as ``the input``.
        error: of the operating system or of SQLite.
    """
    reason = error.strerror if isinstance(error, OSError) else error
    return (
        f"Cannot write {content} to the temporary folder {tempfile.gettempdir()}: {reason}. "
        "Free some space there, or set TMPDIR to another folder."
    )


@contextmanager
def disk_errors(content: str, kind: type[Exception] = OSError) -> Iterator[None]:
    """Raise `FatalError` where a temporary file cannot be written.

    Args:
        content: what is written, as for `disk_full`.
        kind: the errors meant: `OSError`, or `sqlite3.OperationalError` around a temporary database.
    """
    try:
        yield
    except kind as error:
        raise FatalError(disk_full(content, error)) from error


def temporary_database() -> sqlite3.Connection:
    """Return a SQLite database in autocommit mode, usable from any thread, in a file that SQLite deletes itself."""
    return sqlite3.connect("", check_same_thread=False, isolation_level=None)


class JsonLines:
    """JSON values in a nameless temporary file: all of them are written first, then read as often as needed.

    Args:
        content: what they are, for the message where the disk is full.

    Raises:
        FatalError: the temporary folder cannot be written to; also from the methods.
    """

    def __init__(self, content: str) -> None:
        self._content = content
        with disk_errors(content):
            self._file: IO[bytes] = tempfile.TemporaryFile(buffering=_BUFFER)  # noqa: SIM115 - closed by close()

    def add(self, value: Any, default: Callable[[Any], Any] | None = None) -> None:
        """Append a value; `default` returns one in place of what JSON does not have."""
        line = orjson.dumps(value, default, orjson.OPT_APPEND_NEWLINE)
        try:  # and no context manager: there are millions
            self._file.write(line)
        except OSError as error:
            raise FatalError(disk_full(self._content, error)) from error

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Yield each line with its offset, to be read again by `read`."""
        with disk_errors(self._content):  # what is buffered is written now
            self._file.seek(0)
        offset = 0
        for line in self._file:
            yield offset, line
            offset += len(line)

    def __iter__(self) -> Iterator[Any]:
        with disk_errors(self._content):
            self._file.seek(0)
        return map(orjson.loads, self._file)

    def read(self, offset: int) -> Any:
        """Return the value of the line at an offset."""
        self._file.seek(offset)
        return orjson.loads(self._file.readline())

    def close(self) -> None:
        """Delete the file."""
        with suppress(OSError):  # closing writes what is buffered, which nobody needs any more
            self._file.close()


_disk_errors = partial(disk_errors, "the pages read ahead")


class PageBuffer:
    """A queue of byte strings between one writing thread and one reading thread, in a nameless temporary file.

    Raises:
        FatalError: the temporary folder cannot be written to; also from the methods.
    """

    def __init__(self) -> None:
        with _disk_errors():
            self._file: IO[bytes] = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed by close()
        self._changed = threading.Condition()
        self._unread: deque[tuple[int, int]] = deque()  # offset and length of each unread page
        self._end = 0
        self._finished = False
        self._error: BaseException | None = None

    @property
    def closed(self) -> bool:
        """Whether the reader has left: the writer need not go on."""
        return self._file.closed

    def put(self, page: bytes) -> None:
        """Append a page; dropped if the buffer is closed."""
        with self._changed:
            if self.closed:
                return
            with _disk_errors():
                self._file.seek(self._end)
                view = memoryview(page)
                while view:
                    view = view[self._file.write(view) :]
            self._unread.append((self._end, len(page)))
            self._end += len(page)
            self._changed.notify()

    def finish(self, error: BaseException | None = None) -> None:
        """Mark the end of the pages: all were put, or `error` came first."""
        with self._changed:
            self._finished, self._error = True, error
            self._changed.notify()

    def __iter__(self) -> Iterator[bytes]:
        """Yield each page once, waiting for the next; raise the writer's error after its last page."""
        while True:
            with self._changed:
                while not self._unread and not self._finished:
                    self._changed.wait()
                if not self._unread:
                    if self._error is not None:
                        raise self._error
                    return
                offset, length = self._unread.popleft()
                with _disk_errors():
                    self._file.seek(offset)
                    page = self._file.read(length)
            yield page
            del page  # or two would be held while the next one is read

    def close(self) -> None:
        """Delete the file, with the pages that were not read."""
        with self._changed:
            self._file.close()
