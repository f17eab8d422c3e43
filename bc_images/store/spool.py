"""Pages that are read ahead of their turn, kept on disk so that memory does not grow with the store."""

from __future__ import annotations

import tempfile
import threading
from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import Self

__all__ = ["Spool"]


class Spool:
    """A queue of byte strings between one writing thread and one reading thread, in a nameless temporary file."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed by close()
        self._changed = threading.Condition()
        self._places: deque[tuple[int, int]] = deque()  # offset and length of each unread page
        self._end = 0
        self._finished = False
        self._error: BaseException | None = None
        self.abandoned = False  # the reader has left: the writer need not go on

    def put(self, page: bytes) -> None:
        """Append a page."""
        with self._changed:
            if self.abandoned:
                return
            self._file.seek(self._end)
            view = memoryview(page)
            while view:
                view = view[self._file.write(view) :]
            self._places.append((self._end, len(page)))
            self._end += len(page)
            self._changed.notify()

    def finish(self, error: BaseException | None = None) -> None:
        """Say that no page follows, because all were put or because `error` came first."""
        with self._changed:
            self._finished, self._error = True, error
            self._changed.notify()

    def abandon(self) -> None:
        """Say that no page will be read any more."""
        with self._changed:
            self.abandoned = True

    def __iter__(self) -> Iterator[bytes]:
        """Yield each page once, waiting for the next; raise the writer's error after its last page."""
        while True:
            with self._changed:
                while not self._places and not self._finished:
                    self._changed.wait()
                if not self._places:
                    if self._error is not None:
                        raise self._error
                    return
                offset, length = self._places.popleft()
                self._file.seek(offset)
                page = self._file.read(length)
            yield page

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()
