"""The index of saved files: the refs of a store, listed once, kept on disk."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from bc_images.files.layout import DIGEST, OBJECTS, REFS, FileInfo, parse_ref, ref_key, ref_name
from bc_images.tempfiles import disk_errors, temporary_database

if TYPE_CHECKING:
    from bc_images.files.backends.base import Backend

__all__ = ["FileIndex"]


def _rank(saved: FileInfo) -> int:
    """Order the refs of one content: by where the file came from, then those that were looked into."""
    return 2 * ("zoom", "cdn", "original").index(saved.source) + (saved.defect is not None)


def _row(name: str, saved: FileInfo) -> tuple[str | int | None, ...]:
    """Return a row of the listing's table."""
    return name, *saved, _rank(saved)


class FileIndex:
    """The refs of one store, listed once and held in a nameless SQLite file: memory does not grow with the store.

    Safe to share between threads. A ref is believed only if its object is listed too, with the same length: else
    the picture is downloaded again, which heals a lost file.

    Attributes:
        has_refs: whether there was a ref of this store.
        has_objects: whether there was a picture, of whatever store.

    Raises:
        FileStoreError: the file store cannot be listed.
        FatalError: there is no room for the listing.
    """

    def __init__(self, backend: Backend, store_hash: str) -> None:
        self._backend = backend
        self._store_hash = store_hash
        self._lock = threading.Lock()
        with _disk_errors():
            self._db = temporary_database()
            self._list()

    def _list(self) -> None:
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.execute("CREATE TABLE objects (sha256 TEXT PRIMARY KEY, size INTEGER) WITHOUT ROWID")
        self._db.execute(
            "CREATE TABLE refs (name TEXT PRIMARY KEY, sha256 TEXT, size INTEGER, type TEXT, source TEXT, defect TEXT,"
            " generation INTEGER, rank INTEGER) WITHOUT ROWID"
        )
        self._db.execute("BEGIN")
        listed = self._backend.listing(OBJECTS)
        found = ((entry.key.rpartition("/")[2], entry) for entry in listed if entry.problem is None)
        objects = ((name, entry.size) for name, entry in found if DIGEST.fullmatch(name))
        self._db.executemany("INSERT OR IGNORE INTO objects VALUES (?, ?)", objects)
        self.has_objects = self._db.execute("SELECT EXISTS (SELECT 1 FROM objects)").fetchone() == (1,)
        self._db.executemany(
            # Of several refs of one path the newest content counts, even where its file is lost; of the same content,
            # a file that is there, and the original before what once stood in for it.
            "INSERT INTO refs SELECT name, sha256, size, type, source, defect, generation, rank + 10 * EXISTS"
            " (SELECT 1 FROM objects WHERE sha256 = ref.sha256 AND coalesce(size, ref.size) = ref.size) FROM"
            " (SELECT ? AS name, ? AS sha256, ? AS size, ? AS type, ? AS source, ? AS defect, ? AS generation,"
            " ? AS rank) AS ref WHERE true"
            " ON CONFLICT (name) DO UPDATE SET sha256 = excluded.sha256, size = excluded.size, type = excluded.type,"
            " source = excluded.source, defect = excluded.defect,"
            " generation = excluded.generation, rank = excluded.rank"
            " WHERE (excluded.generation, excluded.rank) > (refs.generation, refs.rank)",
            self._rows(),
        )
        self.has_refs = self._db.execute("SELECT EXISTS (SELECT 1 FROM refs)").fetchone() == (1,)
        self._db.execute("DELETE FROM refs WHERE rank < 10")
        self._db.execute("COMMIT")
        if self.has_refs:
            self._db.execute("DROP TABLE objects")

    def _rows(self) -> Iterator[tuple[str | int | None, ...]]:
        for key in self._backend.keys(f"{REFS}/{self._store_hash}"):
            if (ref := parse_ref(key)) is not None:
                _, name, saved = ref
                yield _row(name, saved)

    def get(self, image_file: str) -> FileInfo | None:
        """Return the saved file of an image path, or None where it has to be downloaded."""
        with self._lock:
            query = "SELECT sha256, size, type, source, defect, generation FROM refs WHERE name = ?"
            row = self._db.execute(query, (ref_name(image_file),)).fetchone()
        return None if row is None else FileInfo(*row)

    def put(self, image_file: str, saved: FileInfo) -> None:
        """Remember a file that is stored already.

        Raises:
            FileStoreError: the file store cannot be written.
            FatalError: there is no room for it in the listing.
        """
        self._backend.touch(ref_key(self._store_hash, ref_name(image_file), saved))
        self.cache(image_file, saved)

    def cache(self, image_file: str, saved: FileInfo) -> None:
        """Remember a file that is stored already for this run alone.

        Raises:
            FatalError: there is no room for it in the listing.
        """
        with self._lock, _disk_errors():
            row = _row(ref_name(image_file), saved)
            self._db.execute("INSERT OR REPLACE INTO refs VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)

    def has_object(self, saved: FileInfo) -> bool:
        """Whether a picture was listed, with this length; only where no ref was listed."""
        with self._lock:
            query = "SELECT 1 FROM objects WHERE sha256 = ? AND coalesce(size, ?) = ?"
            return self._db.execute(query, (saved.sha256, saved.size, saved.size)).fetchone() is not None

    def close(self) -> None:
        """Let go of the temporary file."""
        with self._lock:
            self._db.close()


def _disk_errors() -> AbstractContextManager[None]:
    return disk_errors("the list of files", sqlite3.OperationalError)
