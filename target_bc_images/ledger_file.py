"""The file of the ledger: lock, schema, durable transactions."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from bc_images.errors import FatalError, SettingsError
from bc_images.private_files import create_private, make_private_folder, write_private
from bc_images.regular_files import FileProblem, file_problem

__all__ = ["LedgerFile"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS store (hash TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS images (
    source_store TEXT NOT NULL, source_id INTEGER NOT NULL, source_file TEXT NOT NULL,
    target_id INTEGER NOT NULL, target_file TEXT NOT NULL,
    PRIMARY KEY (source_store, source_id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS intents (
    product_id INTEGER PRIMARY KEY, source_store TEXT NOT NULL, source_id INTEGER NOT NULL,
    source_file TEXT NOT NULL, names TEXT NOT NULL, others TEXT NOT NULL, at REAL NOT NULL, sha256 TEXT
);
CREATE TABLE IF NOT EXISTS siblings (
    image_id INTEGER PRIMARY KEY, product_id INTEGER NOT NULL,
    sort_order INTEGER NOT NULL, is_thumbnail INTEGER NOT NULL, at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS kept_values (
    source_store TEXT NOT NULL, source_id INTEGER NOT NULL, field TEXT NOT NULL,
    sent TEXT NOT NULL, kept TEXT NOT NULL, error TEXT,
    PRIMARY KEY (source_store, source_id, field)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS unfinished (
    source_store TEXT NOT NULL, source_id INTEGER NOT NULL, product_id INTEGER NOT NULL,
    PRIMARY KEY (source_store, source_id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS imports (name TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS images_by_target ON images (target_id);
CREATE INDEX IF NOT EXISTS unfinished_of_product ON unfinished (product_id);
CREATE INDEX IF NOT EXISTS siblings_of_product ON siblings (product_id);
"""


class LedgerFile:
    """The SQLite database of one store's ledger; open in one process at a time; safe to share between threads.

    Args:
        state_dir: the folder, made if need be; None keeps the ledger in memory.
        store_hash: the store that is written to.

    Raises:
        SettingsError: the folder cannot be used, another process has the ledger open, or it is another store's.
    """

    def __init__(self, state_dir: Path | None, store_hash: str) -> None:
        self._lock = threading.Lock()
        self._lock_path: Path | None = None
        if state_dir is None:
            self._db = sqlite3.connect(":memory:", check_same_thread=False)
        else:
            self._db = _acquire_lock(state_dir, store_hash)
            self._lock_path = _lock_file(state_dir, store_hash)
        self._prepare(store_hash, state_dir)

    def _prepare(self, store_hash: str, state_dir: Path | None) -> None:
        """Make what a new ledger lacks, and make sure of whose it is: in another store, the ids in it mean nothing."""
        with self.transaction() as db:
            db.executescript(_SCHEMA)
            if "sha256" not in {row[1] for row in db.execute("PRAGMA table_info(intents)")}:
                db.execute("ALTER TABLE intents ADD COLUMN sha256 TEXT")  # a ledger of an earlier version
            if db.execute("SELECT 1 FROM store").fetchone() is None:
                db.execute("INSERT INTO store VALUES (?)", (store_hash,))
            (owner,) = db.execute("SELECT hash FROM store").fetchone()
        if owner != store_hash:
            self.close()
            raise SettingsError(
                f"The ledger {_path(state_dir, store_hash)} is that of the store {owner}. Move it away: a restore "
                "without it still makes no duplicates."
            )

    @classmethod
    def copy_of(cls, state_dir: Path | None, store_hash: str) -> Self:
        """Return a copy in memory: whoever is to write nothing writes nothing to `state_dir`.

        Raises:
            SettingsError: it cannot be read.
        """
        path = _path(state_dir, store_hash)
        file = cls(None, store_hash)
        if not path.exists():
            return file
        try:
            with tempfile.TemporaryDirectory() as scratch:
                for part in path.parent.glob(f"{path.name}*"):  # with the log that a killed process has left
                    shutil.copy(part, scratch)
                copy = sqlite3.connect(Path(scratch) / path.name)
                copy.backup(file._db)
                copy.close()
        except (OSError, sqlite3.Error) as error:
            raise SettingsError(f"The ledger {path} cannot be read: {error}. Is another run using it?") from error
        file._prepare(store_hash, state_dir)  # a run that was killed at its start has left an empty file
        return file

    def close(self) -> None:
        """Give up the lock."""
        with self._lock:
            if self._lock_path is not None:
                self._lock_path.unlink(missing_ok=True)
            self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One thread at a time, all or nothing, on disk when it is left.

        Raises:
            FatalError: the ledger cannot be written (a full disk): nothing may be written to the store then.
        """
        with self._lock:
            try:
                with self._db:
                    yield self._db
            except sqlite3.Error as error:
                raise FatalError(
                    f"The ledger cannot be used: {error}. Free the disk or fix state_dir, then run again. A restore "
                    "without its ledger still makes no duplicates."
                ) from error


def _path(state_dir: Path | None, store_hash: str) -> Path:
    return (state_dir or Path()) / f"ledger-{store_hash}.sqlite"


def _lock_file(state_dir: Path, store_hash: str) -> Path:
    return state_dir / f"ledger-{store_hash}.lock"


def _acquire_lock(state_dir: Path, store_hash: str) -> sqlite3.Connection:
    """Open the ledger for this process alone. The lock is the file system's and dies with the process."""
    path = _path(state_dir, store_hash)
    try:
        make_private_folder(state_dir)
        with suppress(FileExistsError):  # or SQLite would create it, for all to read
            create_private(path).close()
        for file in (path, _lock_file(state_dir, store_hash)):
            if (problem := file_problem(file)) not in {None, FileProblem.BROKEN_LINK}:
                raise SettingsError(f"{file} {problem}. Move it away, or set state_dir to another folder.")
        db = sqlite3.connect(path, timeout=0, check_same_thread=False)
    except (OSError, sqlite3.Error) as error:
        raise SettingsError(
            f"state_dir {state_dir} cannot be used: {error}. Set state_dir to a writable folder."
        ) from error
    try:
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("BEGIN EXCLUSIVE")
        db.execute("COMMIT")
        owner = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC",
        }
        write_private(_lock_file(state_dir, store_hash), json.dumps(owner).encode())
    except (OSError, sqlite3.Error) as error:
        db.close()
        raise SettingsError(_refusal(path, _lock_file(state_dir, store_hash), error)) from error
    return db


def _refusal(path: Path, lock_path: Path, error: Exception) -> str:
    if getattr(error, "sqlite_errorname", "") in {"SQLITE_BUSY", "SQLITE_LOCKED"}:
        try:
            owner = json.loads(lock_path.read_text(encoding="utf-8"))
            holder = f"process {owner['pid']} on {owner['host']} (since {owner['since']})"
        except (OSError, ValueError, KeyError):
            holder = "another process"
        return f"{holder} is restoring to this store with this state_dir: wait for it, or stop it. Nothing was written."
    if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
        return f"{path} is not a ledger ({error}). Move it away: a restore without it still makes no duplicates."
    return f"The ledger {path} cannot be used: {error}. Set state_dir to a writable folder."
