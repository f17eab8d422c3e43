"""The ledger: which source image became which image in the store. SQLite, durable.

An intent is on disk before the POST that creates an image, and is settled after it. An intent that is left over says:
look whether the image is there. Losing the ledger costs time, not correctness: names and digests still match.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, Self

from bc_images.bigcommerce.mapping import Record
from target_bc_images.changes import SourceKey
from target_bc_images.context import LedgerEntry
from target_bc_images.differences import Difference, KeptValue
from target_bc_images.ledger_file import LedgerFile

__all__ = ["Intent", "Ledger"]

_SIBLINGS_KEPT = 24 * 3600  # seconds


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
        SettingsError: the folder cannot be used, another process has the ledger open, or it is another store's.
    """

    def __init__(self, state_dir: Path | None, store_hash: str, *, read_only: bool = False) -> None:
        self._file = LedgerFile.copy_of(state_dir, store_hash) if read_only else LedgerFile(state_dir, store_hash)
        self._transaction = self._file.transaction

    @classmethod
    def read_only(cls, state_dir: Path, store_hash: str) -> Self:
        """Return what `state_dir` knows of the store, from a copy in memory: nothing is written there.

        Raises:
            SettingsError: it cannot be read.
        """
        return cls(state_dir, store_hash, read_only=True)

    def close(self) -> None:
        """Let the next run have the ledger."""
        self._file.close()

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
            links = {key: self._link(db, key, existing) for key in sources}
        return {key: entry for key, entry in links.items() if entry is not None}

    def _link(self, db: sqlite3.Connection, key: SourceKey, existing: Mapping[int, str]) -> LedgerEntry | None:
        query = "SELECT target_id, source_file, target_file FROM images WHERE source_store = ? AND source_id = ?"
        (own,) = db.execute("SELECT hash FROM store").fetchone()
        entry: LedgerEntry | None = None
        seen = {key}
        while (row := db.execute(query, key).fetchone()) is not None:
            step = LedgerEntry(*row)
            if entry is not None:
                # Where it had got another picture in between, nothing vouches for the picture.
                is_linked = step.source_file == entry.target_file
                step = step._replace(source_file=entry.source_file if is_linked else "")
            entry = step
            key = own, entry.target_id
            if existing.get(entry.target_id) == entry.target_file or key in seen:
                break
            seen.add(key)
        return entry

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

    def recognise(self, entries: Mapping[SourceKey, LedgerEntry]) -> None:
        """Write down which live images were found to have the content of source images: they need no second look."""
        rows = [(*key, entry.source_file, entry.target_id, entry.target_file) for key, entry in entries.items()]
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

    def commit(self, product_id: int, source: SourceKey, entry: LedgerEntry, *, is_new: bool = False) -> None:
        """Write down, durably, what a source image has become; the product's intent is settled by that.

        Args:
            product_id: the product.
            source: the image of the backup.
            entry: what it has become.
            is_new: the image was created, and may not be as it should be yet.
        """
        row = (*source, entry.source_file, entry.target_id, entry.target_file)
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
            (*key, difference.field, json.dumps(difference.sent), json.dumps(difference.kept), difference.error)
            for key, kept in differences.items()
            for difference in kept
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
            key: {name: KeptValue(json.loads(sent), json.loads(kept), error) for name, sent, kept, error in kept}
            for key, kept in rows.items()
            if kept
        }
