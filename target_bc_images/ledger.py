"""What restores have done so far, durable: which source image became which image in the store.

An intent is on disk before the POST that creates an image, and is settled after it. An intent that is left over says:
look whether the image is there. Losing the ledger costs time, not correctness: names and digests still match.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from bc_images.bigcommerce.mapping import Record
from bc_images.errors import FatalError, SettingsError
from bc_images.private_files import create_private, make_private_folder, write_private
from bc_images.regular_files import FileProblem, file_problem
from target_bc_images.changes import SourceKey
from target_bc_images.context import LedgerEntry
from target_bc_images.differences import Difference, KeptValue

__all__ = ["Intent", "Ledger"]

_SIBLINGS_KEPT = 24 * 3600  # seconds

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


class Intent(NamedTuple):
    """An image that is about to be created, one at a time in a product: how to know it, should the answer be lost."""

    product_id: int
    source: SourceKey
    source_file: str
    names: frozenset[str]  # the keys of names that the store may give it
    others: frozenset[int]  # the ids of the images that the product had just before
    at: float  # unix seconds
    sha256: str | None = None  # of the bytes that are sent; None where the store takes them from an address


class Ledger:
    """The ledger of one store, in ``state_dir``; held by one process at a time; safe to share between threads.

    Args:
        state_dir: the folder, made if need be; None keeps the ledger in memory.
        store_hash: the store that is written to; each has a ledger of its own.

    Raises:
        SettingsError: the folder cannot be used, another process holds the ledger, or it is another store's.
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
        with self._transaction() as db:
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
    def read_only(cls, state_dir: Path, store_hash: str) -> Ledger:
        """Return what `state_dir` knows of the store, from a copy: whoever is to write nothing writes nothing there.

        Raises:
            SettingsError: it cannot be read.
        """
        path = _path(state_dir, store_hash)
        ledger = cls(None, store_hash)
        if not path.exists():
            return ledger
        try:
            with tempfile.TemporaryDirectory() as scratch:
                for each in state_dir.glob(f"{path.name}*"):  # with the log that a killed process has left
                    shutil.copy(each, scratch)
                copy = sqlite3.connect(Path(scratch) / path.name)
                copy.backup(ledger._db)
                copy.close()
        except (OSError, sqlite3.Error) as error:
            raise SettingsError(f"The ledger {path} cannot be read: {error}. Is another run using it?") from error
        ledger._prepare(store_hash, state_dir)  # a run that was killed at its start has left an empty file
        return ledger

    def close(self) -> None:
        """Let the next run have the ledger."""
        with self._lock:
            if self._lock_path is not None:
                self._lock_path.unlink(missing_ok=True)
            self._db.close()

    def entries(
        self, sources: Iterable[SourceKey], existing: Mapping[int, str] = MappingProxyType({})
    ) -> dict[SourceKey, LedgerEntry]:
        """Return what is known of those source images that any restore has put into the store.

        An image that was restored, lost, and restored once more is a chain. The answer is the link whose image is
        live and still has the file that it was given; where there is none, the last link.

        Args:
            sources: the images of the backup.
            existing: the paths of images that are in the store now, by their ids.
        """
        with self._transaction() as db:
            found = {key: self._link(db, key, existing) for key in sources}
        return {key: known for key, known in found.items() if known is not None}

    def _link(self, db: sqlite3.Connection, key: SourceKey, existing: Mapping[int, str]) -> LedgerEntry | None:
        query = "SELECT target_id, source_file, target_file FROM images WHERE source_store = ? AND source_id = ?"
        (own,) = db.execute("SELECT hash FROM store").fetchone()
        known: LedgerEntry | None = None
        seen = {key}
        while (row := db.execute(query, key).fetchone()) is not None:
            step = LedgerEntry(*row)
            if known is not None:
                # Where it had got another picture in between, nothing vouches for the picture.
                is_linked = step.source_file == known.target_file
                step = step._replace(source_file=known.source_file if is_linked else "")
            known = step
            key = own, known.target_id
            if existing.get(known.target_id) == known.target_file or key in seen:
                break
            seen.add(key)
        return known

    def owner_of(self, existing: Mapping[int, str]) -> dict[int, SourceKey]:
        """Return, for those images that restores have put into the store, whose they are.

        Only for images that still have the file that they were given: the store may have reused an id.

        Args:
            existing: the paths of images that are in the store now, by their ids.
        """
        query = "SELECT source_store, source_id FROM images WHERE target_id = ? AND target_file = ?"
        with self._transaction() as db:
            rows = {target_id: db.execute(query, (target_id, path)).fetchone() for target_id, path in existing.items()}
        return {target_id: (row[0], row[1]) for target_id, row in rows.items() if row is not None}

    def recognise(self, found: Mapping[SourceKey, LedgerEntry]) -> None:
        """Write down which live images were found to have the content of source images: they need no second look."""
        rows = [(*key, known.source_file, known.target_id, known.target_file) for key, known in found.items()]
        with self._transaction() as db:
            db.executemany("INSERT OR REPLACE INTO images VALUES (?, ?, ?, ?, ?)", rows)

    def begin(self, intent: Intent) -> None:
        """Write down, durably, that an image is about to be created."""
        row = (
            intent.product_id,
            *intent.source,
            intent.source_file,
            json.dumps(sorted(intent.names)),
            json.dumps(sorted(intent.others)),
            intent.at,
            intent.sha256,
        )
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO intents VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)

    def commit(self, product_id: int, source: SourceKey, known: LedgerEntry, *, is_new: bool = False) -> None:
        """Write down, durably, what a source image has become; the product's intent is settled by that.

        Args:
            product_id: the product.
            source: the image of the backup.
            known: what it has become.
            is_new: the image was created, and may not be as it should be yet.
        """
        row = (*source, known.source_file, known.target_id, known.target_file)
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO images VALUES (?, ?, ?, ?, ?)", row)
            if is_new:
                db.execute("INSERT OR REPLACE INTO unfinished VALUES (?, ?, ?)", (*source, product_id))
            db.execute("DELETE FROM intents WHERE product_id = ?", (product_id,))

    def abort(self, intent: Intent) -> None:
        """Forget an intent: the image was not created."""
        with self._transaction() as db:
            db.execute("DELETE FROM intents WHERE product_id = ?", (intent.product_id,))

    def open_intents(self) -> list[Intent]:
        """Return the intents whose outcome is not known."""
        with self._transaction() as db:
            rows = db.execute("SELECT * FROM intents ORDER BY product_id").fetchall()
        return [
            Intent(product, (store, source), file, frozenset(json.loads(names)), frozenset(json.loads(others)), *rest)
            for product, store, source, file, names, others, *rest in rows
        ]

    def started(self, name: str) -> None:
        """Write down, durably, that a file is about to be put into the import folder of WebDAV."""
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO imports VALUES (?)", (name,))

    def removed(self, name: str) -> None:
        """Write down that a file is not there any more."""
        with self._transaction() as db:
            db.execute("DELETE FROM imports WHERE name = ?", (name,))

    def imports(self) -> list[str]:
        """Return the files that may have been left there."""
        with self._transaction() as db:
            return [name for (name,) in db.execute("SELECT name FROM imports ORDER BY name")]

    def save_siblings(self, siblings: Mapping[int, Iterable[Record]], now: float) -> None:
        """Write down, durably, how images that the store may move are before the first write; by product.

        Args:
            siblings: the images.
            now: unix seconds, by the store's clock.
        """
        rows = [
            (image["id"], product_id, image["sort_order"], image["is_thumbnail"], now)
            for product_id, images in siblings.items()
            for image in images
        ]
        with self._transaction() as db:
            db.executemany("INSERT OR REPLACE INTO siblings VALUES (?, ?, ?, ?, ?)", rows)

    def load_siblings(self, product_ids: Iterable[int], now: float) -> dict[int, Record]:
        """Return, by image id, what `save_siblings` saved down of products that no run has finished since.

        Not for ever: what somebody changes after an interrupted run is not for a later one to undo.

        Args:
            product_ids: the products.
            now: unix seconds, by the store's clock.
        """
        query = "SELECT image_id, sort_order, is_thumbnail FROM siblings WHERE product_id = ? AND at > ?"
        since = now - _SIBLINGS_KEPT
        with self._transaction() as db:
            if db.execute("SELECT 1 FROM siblings LIMIT 1").fetchone() is None:
                return {}
            rows = [row for product_id in product_ids for row in db.execute(query, (product_id, since))]
        return {image: {"sort_order": order, "is_thumbnail": bool(thumbnail)} for image, order, thumbnail in rows}

    def clear_siblings(self, product_ids: Iterable[int]) -> None:
        """Drop what is written down of products that are finished: how siblings were, and which images are new."""
        rows = [(product_id,) for product_id in product_ids]
        with self._transaction() as db:
            db.executemany("DELETE FROM siblings WHERE product_id = ?", rows)
            db.executemany("DELETE FROM unfinished WHERE product_id = ?", rows)

    def unfinished(self, product_ids: Iterable[int]) -> set[SourceKey]:
        """Return the source images that were created in products that no run has finished since."""
        query = "SELECT source_store, source_id FROM unfinished WHERE product_id = ?"
        with self._transaction() as db:
            if db.execute("SELECT 1 FROM unfinished LIMIT 1").fetchone() is None:
                return set()
            rows = [row for product_id in product_ids for row in db.execute(query, (product_id,))]
        return {(store_hash, source_id) for store_hash, source_id in rows}

    def save_kept_values(self, differences: Mapping[SourceKey, Iterable[Difference]]) -> None:
        """Write down, durably, what the store keeps of images in place of other values; by image, all that is known."""
        rows = [
            (*key, each.field, json.dumps(each.sent), json.dumps(each.kept), each.error)
            for key, found in differences.items()
            for each in found
        ]
        with self._transaction() as db:
            db.executemany("DELETE FROM kept_values WHERE source_store = ? AND source_id = ?", list(differences))
            db.executemany("INSERT INTO kept_values VALUES (?, ?, ?, ?, ?, ?)", rows)

    def kept_values(self, sources: Iterable[SourceKey]) -> dict[SourceKey, dict[str, KeptValue]]:
        """Return, by image and field, what the store has kept in place of values of these source images."""
        query = "SELECT field, sent, kept, error FROM kept_values WHERE source_store = ? AND source_id = ?"
        with self._transaction() as db:
            if db.execute("SELECT 1 FROM kept_values LIMIT 1").fetchone() is None:
                return {}
            rows = {key: db.execute(query, key).fetchall() for key in sources}
        return {
            key: {name: KeptValue(json.loads(sent), json.loads(kept), error) for name, sent, kept, error in found}
            for key, found in rows.items()
            if found
        }

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
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
                    f"The ledger cannot be used: {error}. Free the disk or mend state_dir, then run again. A restore "
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
        raise SettingsError(f"state_dir {state_dir} cannot be used: {error}. Name a folder that can.") from error
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
            words = f"process {owner['pid']} on {owner['host']} (since {owner['since']})"
        except (OSError, ValueError, KeyError):
            words = "another process"
        return f"{words} is restoring to this store with this state_dir: wait for it, or stop it. Nothing was written."
    if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
        return f"{path} is no ledger ({error}). Move it away: a restore without it still makes no duplicates."
    return f"The ledger {path} cannot be used: {error}. Name a state_dir that can be written."
