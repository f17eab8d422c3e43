"""Writes, lists and reads archives."""

from __future__ import annotations

import logging
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO

from bc_images import decompression, jsonl
from bc_images.errors import FatalError, InvalidInput, SettingsError
from bc_images.files import FileStore
from bc_images.files.backends.base import Upload

__all__ = ["Archive", "Archives", "read_archive"]

logger = logging.getLogger(__name__)

FOLDER = "archives"
COMPLETE = ".singer.gz"
INCOMPLETE = ".incomplete.singer.gz"
_TIME = "%Y%m%dT%H%M%SZ"
_GZIP = 31  # zlib's word for: with the header and the checksum of gzip
_LEVEL = 4  # JSON shrinks to a tenth by it; more takes twice the time for little
_BLOCK = 1 << 16


class Archive(str):
    """The file name of an archive, such as ``20250131T020000Z.singer.gz``; sorts by time."""

    __slots__ = ()

    @property
    def is_complete(self) -> bool:
        """Whether the syncs in it were complete."""
        return not self.endswith(INCOMPLETE)


class Archives:
    """The archives of one name in a file store.

    Args:
        files: the file store.
        name: a word for what is archived, such as the store's hash: letters, digits, ``-`` and ``_``.

    Raises:
        SettingsError: the name is none.
    """

    def __init__(self, files: FileStore, name: str) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
            raise SettingsError(f"name is {name!r}: it may hold letters, digits, '-' and '_' only.")
        self._backend = files.backend
        self._folder = f"{FOLDER}/{name}"
        self.display_name = f"{files.display_name}/{self._folder}"

    def list(self) -> list[Archive]:
        """Return all archives, the oldest first."""
        found = []
        for entry in self._backend.listing(self._folder):
            name = Archive(entry.key.removeprefix(f"{self._folder}/"))
            if not name.endswith(COMPLETE) or "/" in name:
                continue
            if entry.problem is not None:
                logger.warning("%s in %s %s: it is passed over.", name, self.display_name, entry.problem)
            else:
                found.append(name)
        return sorted(found)

    def newest(self, at: str | None = None) -> Archive:
        """Return the newest complete archive; `at`, a date or a time, means the newest that is not later.

        Raises:
            SettingsError: `at` is neither.
            FatalError: there is no such archive.
        """
        end = _end(at) if at else None
        found = [each for each in self.list() if each.is_complete and (end is None or each[: len(end)] < end)]
        if not found:
            when = f" that is not later than {at}" if at else ""
            raise FatalError(
                f"No complete archive found{when} in {self.display_name}: make one with target-singer-archive."
            )
        return found[-1]

    def messages(self, archive: str) -> Iterator[tuple[int, bytes, dict[str, Any]]]:
        """Yield number, text and content of every message of an archive.

        Raises:
            InvalidInput: it is not there, or damaged.
            FileStoreError: the file store cannot be used.
        """
        return jsonl.messages(self.open(archive), f"the archive {archive}", "take another archive.")

    def open(self, archive: str) -> BinaryIO:
        """Return an archive as a file.

        Raises:
            InvalidInput: it is not there, or damaged.
            FileStoreError: the file store cannot be used.
        """
        if "/" in archive or not archive.endswith(COMPLETE):
            raise SettingsError(f"archive is {archive!r}: give the name of one, such as 20250131T020000Z{COMPLETE}.")
        return decompression.as_file(self._chunks(archive))

    def _chunks(self, archive: str) -> Iterator[bytes]:
        try:
            yield from decompression.inflated(self._backend.chunks(f"{self._folder}/{archive}"))
        except FileNotFoundError as error:
            raise InvalidInput(f"There is no archive {archive} in {self.display_name}.") from error
        except OSError as error:
            raise InvalidInput(f"The archive {archive} cannot be read: {error.strerror or error}.") from error
        except (zlib.error, EOFError) as error:
            raise InvalidInput(f"The archive {archive} is corrupt ({error}): take another one.") from error

    @contextmanager
    def create(self, began: datetime) -> Iterator[Writer]:
        """Begin an archive of what is so at the time `began`; without `Writer.commit` nothing of it remains."""
        with self._backend.begin(private=True) as upload:
            yield Writer(self, upload, began)

    def unused_name(self, began: datetime, ending: str) -> tuple[Archive, str]:
        """Return a name that is not taken, and its key: two runs may begin in the same second."""
        while True:
            name = Archive(began.astimezone(UTC).strftime(_TIME) + ending)
            key = f"{self._folder}/{name}"
            if self._backend.size(key) is None:
                return name, key
            began += timedelta(seconds=1)


class Writer:
    """An archive being written."""

    def __init__(self, archives: Archives, upload: Upload, began: datetime) -> None:
        self._archives = archives
        self._staging = upload
        self._began = began
        self._gzip = zlib.compressobj(_LEVEL, wbits=_GZIP)
        self._waiting: list[bytes] = []
        self._waits = 0
        self._size = 0

    def write(self, line: bytes) -> None:
        """Append one line, with its line break."""
        self._waiting.append(line)
        self._waits += len(line)
        if self._waits >= _BLOCK:
            self._put(self._gzip.compress(b"".join(self._waiting)))
            self._waiting.clear()
            self._waits = 0

    def commit(self, *, is_complete: bool) -> Archive:
        """Make the archive durable and return its name."""
        self._put(self._gzip.compress(b"".join(self._waiting)) + self._gzip.flush())
        name, key = self._archives.unused_name(self._began, COMPLETE if is_complete else INCOMPLETE)
        self._staging.commit(key, self._size)
        return name

    def _put(self, block: bytes) -> None:
        if block:
            self._staging.write(block)
            self._size += len(block)


def read_archive(
    files: FileStore, name: str, archive: str | None = None, at: str | None = None
) -> tuple[str, BinaryIO]:
    """Return the archive of that name, or the newest complete one (not later than `at`): its name, and an open file."""
    archives = Archives(files, name)
    archive = archive or archives.newest(at)
    return f"the archive {archive}", archives.open(archive)


def _end(at: str) -> str:
    """Return what a name must be below: a day counts to its end."""
    try:
        moment = datetime.fromisoformat(at)
    except ValueError as error:
        raise SettingsError(f"at is {at!r}, no date: give one such as 2025-01-31 or 2025-01-31T06:00:00Z.") from error
    moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    is_day = len(at) == len("2025-01-31")
    return (moment + (timedelta(days=1) if is_day else timedelta(seconds=1))).strftime(_TIME)
