"""Pages that are read ahead of their turn, kept on disk so that memory does not grow with the store."""

from __future__ import annotations

import tempfile
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from bc_images.errors import FatalError

__all__ = ["PageBuffer"]


class PageBuffer:
    """A queue of byte strings between one writing thread and one reading thread, in a nameless temporary file.

    Raises:
        FatalError: the temporary folder (TMPDIR) cannot be written to; also from the methods.
    """

    def __init__(self) -> None:
        with _readable_errors():
            self._file: IO[bytes] = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed by close()
        self._changed = threading.Condition()
        self._places: deque[tuple[int, int]] = deque()  # offset and length of each unread page
        self._end = 0
        self._finished = False
        self._error: BaseException | None = None

    @property
    def closed(self) -> bool:
        """Whether the reader has left: the writer need not go on."""
        return self._file.closed

    def put(self, page: bytes) -> None:
        """Append a page; one that nobody will read is dropped."""
        with self._changed:
            if self.closed:
                return
            with _readable_errors():
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
                with _readable_errors():
                    self._file.seek(offset)
                    page = self._file.read(length)
            yield page

    def close(self) -> None:
        """Leave: what was put and not read is gone."""
        with self._changed:
            self._file.close()


@contextmanager
def _readable_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FatalError(
            f"The temporary folder {tempfile.gettempdir()} cannot hold the pages read ahead: {error.strerror}. "
            "Free some space, or name another folder by TMPDIR."
        ) from error
