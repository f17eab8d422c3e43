"""Opens regular files only, or pipes that were asked for: a FIFO or device must not block a command.

``open`` waits on a FIFO until another process opens it too, and a thread that waits there ends with no signal.
"""

from __future__ import annotations

import errno
import io
import os
import select
import stat
import time
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

__all__ = ["FileProblem", "NotRegularFile", "file_problem", "open_input", "open_output", "open_regular", "read_input"]

_WAIT = 5_000  # milliseconds, for another process that opens the other end of a FIFO
_NONBLOCK = getattr(os, "O_NONBLOCK", 0)  # Windows has neither these nor FIFOs among its files
_READ = os.O_RDONLY | _NONBLOCK | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _NONBLOCK | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)


class FileProblem(StrEnum):
    """What stands in the place of a regular file, in words that follow a name."""

    BROKEN_LINK = "is a link that leads nowhere"
    LOOP = "is a link that leads to itself"
    DIRECTORY = "is a directory, not a regular file"
    FIFO = "is a FIFO, not a regular file"
    SOCKET = "is a socket, not a regular file"
    CHARACTER_DEVICE = "is a character device, not a regular file"
    BLOCK_DEVICE = "is a block device, not a regular file"
    SPECIAL = "is a special file, not a regular one"
    GONE = "went away while it was listed"


_TYPES = {
    stat.S_IFDIR: FileProblem.DIRECTORY,
    stat.S_IFIFO: FileProblem.FIFO,
    stat.S_IFSOCK: FileProblem.SOCKET,
    stat.S_IFCHR: FileProblem.CHARACTER_DEVICE,
    stat.S_IFBLK: FileProblem.BLOCK_DEVICE,
}
_WRITABLE = {FileProblem.FIFO, FileProblem.CHARACTER_DEVICE, FileProblem.BROKEN_LINK}


class NotRegularFile(OSError):
    """What stands at a path is no regular file; ``str()`` says what it is."""

    def __init__(self, problem: str | None, path: str | Path) -> None:
        super().__init__(errno.EINVAL, f"it {problem}", str(path))

    def __str__(self) -> str:
        return str(self.strerror)


def file_problem(path: str | Path) -> FileProblem | None:
    """Return what stands at a path if it is no regular file; None where it is one, or there is nothing.

    Raises:
        OSError: the path cannot be looked at.
    """
    try:
        return _problem(os.stat(path).st_mode)  # noqa: PTH116 - as fast as it can be
    except FileNotFoundError:
        return FileProblem.BROKEN_LINK if os.path.islink(path) else None  # noqa: PTH114
    except OSError as error:
        if error.errno == errno.ELOOP:
            return FileProblem.LOOP
        raise


def open_regular(path: str | Path) -> io.FileIO:
    """Open a regular file for reading, unbuffered; never waits.

    Raises:
        NotRegularFile: it is something else.
        OSError: it cannot be read.
    """
    problem = file_problem(path)  # first by name: to open a device may do something
    if problem not in {None, FileProblem.BROKEN_LINK}:
        raise NotRegularFile(problem, path)
    opened = io.FileIO(os.open(path, _READ))
    if (problem := _problem(os.fstat(opened.fileno()).st_mode)) is not None:  # it has just been replaced
        opened.close()
        raise NotRegularFile(problem, path)
    return opened


def open_input(path: str | Path) -> io.BufferedReader:
    """Open what the command line names for reading: a regular file, or a pipe such as ``<(command)`` or ``/dev/stdin``.

    Of a FIFO that no process writes to, it waits a few seconds for one.

    Raises:
        NotRegularFile: it is something else, or a FIFO without a writer.
        OSError: it cannot be read.
    """
    try:
        is_pipe = stat.S_ISFIFO(os.stat(path).st_mode)  # noqa: PTH116
    except OSError:
        is_pipe = False  # what is wrong with it is said when it is opened
    return io.BufferedReader(_open_pipe(path) if is_pipe else open_regular(path))


def read_input(path: str | Path) -> str:
    """Return the text of a file or pipe that the command line names.

    Raises:
        OSError: it cannot be read.
        UnicodeDecodeError: it is not UTF-8.
    """
    with open_input(path) as opened:
        return opened.read().decode()


def open_output(path: str | Path) -> BinaryIO:
    """Open a file for writing, or what a shell puts in its place: a terminal or a pipe that another process reads.

    Of a FIFO that no process reads, it waits a few seconds for one.

    Raises:
        NotRegularFile: it is a directory, a socket, a block device, or a FIFO that no process reads.
        OSError: it cannot be written.
    """
    problem = file_problem(path)
    if problem is not None and problem not in _WRITABLE:
        raise NotRegularFile(problem, path)
    deadline = time.monotonic() + _WAIT / 1000
    while True:
        try:
            descriptor = os.open(path, _WRITE, 0o666)
            break
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            if time.monotonic() > deadline:
                raise NotRegularFile("is a FIFO that no process reads", path) from error
            time.sleep(0.05)
    if hasattr(os, "O_NONBLOCK"):
        os.set_blocking(descriptor, True)
    return os.fdopen(descriptor, "wb")


def _problem(mode: int) -> FileProblem | None:
    kind = stat.S_IFMT(mode)
    return None if kind == stat.S_IFREG else _TYPES.get(kind, FileProblem.SPECIAL)


class _Pipe(io.RawIOBase):
    """The reading end of a pipe, of which a first byte may have been read already."""

    def __init__(self, descriptor: int, head: bytes) -> None:
        self._file = io.FileIO(descriptor)
        self._head = head

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int | None:  # type: ignore[override]
        if self._head:
            buffer[:1], self._head = self._head, b""
            return 1
        return self._file.readinto(buffer)

    def close(self) -> None:
        self._file.close()
        super().close()


def _open_pipe(path: str | Path) -> io.RawIOBase:
    descriptor = os.open(path, _READ)
    try:
        waiting = select.poll()
        waiting.register(descriptor, select.POLLIN)
        head = b""
        if not waiting.poll(_WAIT):  # nothing yet: is there a writer at all?
            try:
                head = os.read(descriptor, 1)
            except BlockingIOError:
                pass  # there is one, which takes its time
            else:
                if not head:
                    raise NotRegularFile("is a FIFO that no process writes to", path)
        os.set_blocking(descriptor, True)
        return _Pipe(descriptor, head)
    except BaseException:
        os.close(descriptor)
        raise
