"""What restores have done so far, durable: which source image became which image in the store.

An intent is on disk before the POST that creates an image, and is settled after it. An intent that is left over says:
look whether the image is there. Losing the ledger costs time, not correctness: names and digests still match.
"""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bc_images.errors import SettingsError, Stopped
from target_bc_images.plan import Known, SourceKey

__all__ = ["Intent", "Ledger"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS images (
    source_store TEXT NOT NULL, source_id INTEGER NOT NULL, source_file TEXT NOT NULL,
    target_id INTEGER NOT NULL, target_file TEXT NOT NULL,
    PRIMARY KEY (source_store, source_id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS intents (
    product_id INTEGER NOT NULL, source_store TEXT NOT NULL, source_id INTEGER NOT NULL,
    source_file TEXT NOT NULL, sha256 TEXT NOT NULL, before TEXT NOT NULL,
    PRIMARY KEY (product_id, source_store, source_id)
);
"""


@dataclass(frozen=True, slots=True)
class Intent:
    """An image that is about to be created: what it will be recognised by, should the answer be lost."""

    product_id: int
    source: SourceKey
    source_file: str
    sha256: str  # of the picture that is sent, or nothing where it is not known
    before: frozenset[int]  # the product's image ids just before


class Ledger:
    """The ledger of one store, in ``state_dir``; held by one process at a time; safe to share between threads.

    Args:
        state_dir: the folder, made if need be; None keeps the ledger in memory.
        store_hash: the store that is written to; each has a ledger of its own.

    Raises:
        SettingsError: the folder cannot be used, or another process holds the ledger.
    """

    def __init__(self, state_dir: Path | None, store_hash: str) -> None:
        self._lock = threading.Lock()
        self._holder: Path | None = None
        if state_dir is None:
            self._db = sqlite3.connect(":memory:", check_same_thread=False)
        else:
            self._db = _hold(state_dir, store_hash)
            self._holder = _holder(state_dir, store_hash)
        with self._transaction() as db:
            db.executescript(_SCHEMA)

    @classmethod
    def read_only(cls, state_dir: Path, store_hash: str) -> Ledger:
        """Return a copy in memory of what `state_dir` knows of the store: a dry run writes nothing.

        Raises:
            SettingsError: it cannot be read.
        """
        ledger = cls(None, store_hash)
        path = _path(state_dir, store_hash)
        if path.exists():
            try:
                with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as source:
                    source.backup(ledger._db)
            except sqlite3.Error as error:
                raise SettingsError(f"The ledger {path} cannot be read: {error}. Is another run using it?") from error
        return ledger

    def close(self) -> None:
        """Let the next run have the ledger."""
        with self._lock:
            if self._holder is not None:
                self._holder.unlink(missing_ok=True)
            self._db.close()

    def known(self, sources: Iterable[SourceKey]) -> dict[SourceKey, Known]:
        """Return what is known of those source images that any restore has put into the store."""
        query = "SELECT target_id, source_file, target_file FROM images WHERE source_store = ? AND source_id = ?"
        with self._transaction() as db:
            rows = {key: db.execute(query, key).fetchone() for key in sources}
        return {key: Known(*row) for key, row in rows.items() if row is not None}

    def intend(self, intents: Sequence[Intent]) -> None:
        """Write down, durably, that these images are about to be created."""
        rows = [
            (i.product_id, *i.source, i.source_file, i.sha256, ",".join(map(str, sorted(i.before)))) for i in intents
        ]
        with self._transaction() as db:
            db.executemany("INSERT OR REPLACE INTO intents VALUES (?, ?, ?, ?, ?, ?)", rows)

    def settle(self, intents: Iterable[Intent], done: Mapping[SourceKey, Known]) -> None:
        """Write down, durably, what became of `done`, and drop the intents."""
        images = [(*key, known.source_file, known.target_id, known.target_file) for key, known in done.items()]
        settled = [(intent.product_id, *intent.source) for intent in intents]
        with self._transaction() as db:
            db.executemany("INSERT OR REPLACE INTO images VALUES (?, ?, ?, ?, ?)", images)
            db.executemany("DELETE FROM intents WHERE product_id = ? AND source_store = ? AND source_id = ?", settled)

    def open_intents(self) -> list[Intent]:
        """Return the intents whose outcome is not known, in the order of their creation within a product."""
        with self._transaction() as db:
            rows = db.execute("SELECT * FROM intents ORDER BY product_id, rowid").fetchall()
        return [
            Intent(product, (store, source), file, digest, frozenset(int(part) for part in before.split(",") if part))
            for product, store, source, file, digest, before in rows
        ]

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """One thread at a time, all or nothing, on disk when it is left.

        Raises:
            Stopped: the ledger cannot be written (a full disk): nothing may be written to the store then.
        """
        with self._lock:
            try:
                with self._db:
                    yield self._db
            except sqlite3.Error as error:
                raise Stopped(
                    f"The ledger cannot be used: {error}. Free the disk or mend state_dir, then run again."
                ) from error


def _path(state_dir: Path, store_hash: str) -> Path:
    return state_dir / f"ledger-{store_hash}.sqlite"


def _holder(state_dir: Path, store_hash: str) -> Path:
    return state_dir / f"ledger-{store_hash}.holder"


def _hold(state_dir: Path, store_hash: str) -> sqlite3.Connection:
    """Open the ledger for this process alone. The lock is the file system's and dies with the process."""
    path = _path(state_dir, store_hash)
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(path, timeout=0, check_same_thread=False)
    except (OSError, sqlite3.Error) as error:
        raise SettingsError(f"state_dir {state_dir} cannot be used: {error}. Name a folder that can.") from error
    try:
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("BEGIN EXCLUSIVE")
        db.execute("COMMIT")
        who = {"pid": os.getpid(), "host": socket.gethostname(), "since": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"}
        _holder(state_dir, store_hash).write_text(json.dumps(who), encoding="utf-8")
    except (OSError, sqlite3.Error) as error:
        db.close()
        raise SettingsError(_refusal(path, _holder(state_dir, store_hash), error)) from error
    return db


def _refusal(path: Path, holder: Path, error: Exception) -> str:
    if getattr(error, "sqlite_errorname", "") in {"SQLITE_BUSY", "SQLITE_LOCKED"}:
        try:
            who = json.loads(holder.read_text(encoding="utf-8"))
            words = f"process {who['pid']} on {who['host']} (since {who['since']})"
        except (OSError, ValueError, KeyError):
            words = "another process"
        return f"{words} is restoring to this store with this state_dir: wait for it, or stop it. Nothing was written."
    if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
        return f"{path} is no ledger ({error}). Move it away: a restore without it still makes no duplicates."
    return f"The ledger {path} cannot be used: {error}. Name a state_dir that can be written."
