"""The file of the report: replaces an earlier one only once it is complete."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from bc_images.durable import fsync_file, rename
from bc_images.errors import FatalError, SettingsError
from bc_images.private_files import create_private, make_private_folder
from bc_images.regular_files import FileProblem, file_problem, open_output

__all__ = ["ReportFile"]


class ReportFile:
    """Writes JSON lines beside `path`, and renames the file when it is closed.

    What is still to be done after an earlier run stands in an earlier report, which a run that is refused, or killed,
    must not destroy.

    Raises:
        SettingsError: the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._partial: Path | None = None  # the file on its way; a device is written to at once
        self._file: BinaryIO | None = None
        self._has_failed = False
        _check_writable(path)
        if _is_replaceable(path):
            self._path = path.resolve()
            self._partial = self._path.with_name(f"{self._path.name}.{secrets.token_hex(4)}.partial")
        else:
            self._file = _open_now(path)

    def write(self, *lines: dict[str, Any]) -> None:
        """Write lines.

        Raises:
            FatalError: the disk is full, or the like.
        """
        with self._wrap_os_errors():
            if self._file is None:
                self._file = create_private(self._partial or self._path)
            self._file.writelines(orjson.dumps(line, str, orjson.OPT_APPEND_NEWLINE) for line in lines)

    def flush(self) -> None:
        """Put on disk what was written so far."""
        if self._file is not None:
            with self._wrap_os_errors():
                self._file.flush()

    def close(self, summary: dict[str, Any] | None) -> None:
        """Write the last line and publish the file, or forget it where there is none, or where a line is missing.

        Raises:
            FatalError: it cannot be written; an earlier one is left as it was.
        """
        try:
            if summary is not None and not self._has_failed:
                self.write(summary)
                self._publish()
        finally:
            if self._file is not None:
                with suppress(OSError):  # what could not be written has been reported
                    self._file.close()
                if self._partial is not None:
                    self._partial.unlink(missing_ok=True)

    def _publish(self) -> None:
        with self._wrap_os_errors():
            if self._file is not None:
                if self._partial is None:
                    self._file.flush()
                else:
                    fsync_file(self._file)
                    self._file.close()
                    rename(self._partial, self._path)

    @contextmanager
    def _wrap_os_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._has_failed = True
            raise FatalError(f"The report {self._path} cannot be written: {error.strerror}. Free the disk.") from error


def _check_writable(path: Path) -> None:
    """Find out before anything is done, without touching what is there."""
    try:
        make_private_folder(path.parent)
    except OSError as error:
        raise SettingsError(f"The report {path} cannot be written: {error.strerror}.") from error
    problem = file_problem(path)
    if problem in {FileProblem.DIRECTORY, FileProblem.LOOP}:
        raise SettingsError(f"The report {path} cannot be written: it {problem}. Name another file.")
    if not os.access(path.parent if _is_replaceable(path) else path, os.W_OK):
        raise SettingsError(f"The report {path} cannot be written: permission denied.")


def _open_now(path: Path) -> BinaryIO:
    """Open what is no regular file at the start: nothing is to be waited for at the end of a restore."""
    try:
        return open_output(path)
    except OSError as error:
        raise SettingsError(f"The report {path} cannot be written: {error.strerror}. Name another file.") from error


def _is_replaceable(path: Path) -> bool:
    """Whether a new file can take the place: not that of a terminal, a pipe, or what a shell has opened."""
    return path.parts[:2] not in {("/", "dev"), ("/", "proc")} and (path.is_file() or not path.exists())
