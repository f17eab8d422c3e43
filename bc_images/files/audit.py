"""Compares a file store with backups: missing, corrupt and orphaned files. Memory stays constant."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from bc_images import jsonl
from bc_images.concurrency import ordered_map
from bc_images.errors import FileUnavailable, InvalidInput, SettingsError
from bc_images.files.backup import ADVICE, opened_backup
from bc_images.files.inspection import refusal
from bc_images.files.layout import DIGEST, OBJECTS, REFS, object_key, parse_ref
from bc_images.files.media_type import MAX_UPLOAD
from bc_images.files.store import CorruptFile, FileStore
from bc_images.normalize import Normalizer, stream_kind
from bc_images.regular_files import FileProblem
from bc_images.settings import Sample
from bc_images.tempfiles import temporary_database

__all__ = ["Audit", "Finding"]

_RANKS = {"zoom": 0, "cdn": 1, "original": 2}
_RENDITIONS = {
    "zoom": "is a rendition of at most 1280 x 1280 pixels, not the original",
    "cdn": "is what a CDN has made of the original",
}
_NO_SIZE = 2**63  # bytes: SQLite counts no further, and no file is as long
_READERS = 8  # files re-hashed at once
_WAITING = 32

_TABLES = """
CREATE TABLE objects (sha256 TEXT PRIMARY KEY, size INTEGER) WITHOUT ROWID;
CREATE TABLE named (sha256 TEXT PRIMARY KEY, size INTEGER, by TEXT) WITHOUT ROWID;
CREATE TABLE irregular (key TEXT PRIMARY KEY, sha256 TEXT, reason TEXT) WITHOUT ROWID;
CREATE TABLE strays (key TEXT PRIMARY KEY, reason TEXT) WITHOUT ROWID;
CREATE TABLE invalid_digests (sha256 TEXT PRIMARY KEY, by TEXT) WITHOUT ROWID;
CREATE TABLE unsaved (store TEXT, image_file TEXT, by TEXT);
CREATE TABLE sources (path TEXT PRIMARY KEY, sha256 TEXT, source TEXT, rank INTEGER, by TEXT) WITHOUT ROWID;
CREATE TABLE sample (sha256 TEXT PRIMARY KEY, size INTEGER, named INTEGER, by TEXT) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that needs a second look: its kind, its key in the file store, why, and who names it (or None).

    ``wrong_size`` is a sound file of which a backup, or a ref, tells another length; ``refused`` one that the store
    would not take back; ``rendition`` one that stands in for an original.
    """

    kind: Literal["corrupt", "missing", "orphaned", "wrong_size", "refused", "rendition"]
    key: str
    reason: str
    named_by: str | None = None


class Audit:
    """Lists a file store, and what names its files, into a nameless SQLite file.

    Attributes:
        files, bytes: what is stored; where the listing has no lengths, the bytes of what was re-hashed.
        records, without_file: image records in the backups, and how many of them name no file.
        refs: names of pictures in the file store that name a file.
    """

    def __init__(self, files: FileStore) -> None:
        self._store = files
        self._lock = threading.Lock()
        self._db = temporary_database()
        self._db.executescript(_TABLES)
        self._normalizer = Normalizer("product_images", skus=False)
        self.files = 0
        self.bytes = 0
        self.records = 0
        self.without_file = 0
        self.refs = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def index_files(self) -> None:
        """List what is stored.

        Raises:
            FileStoreError: there is no file store, or it cannot be listed.
        """
        self._store.must_exist()
        backend = self._store.backend
        self._db.execute("BEGIN")
        for key, size, problem in backend.listing(OBJECTS):
            digest = key.rpartition("/")[2]
            if problem is FileProblem.BROKEN_LINK:
                self._stray(key, problem)
            elif problem is not None:
                self._irregular(key, problem)
            elif DIGEST.fullmatch(digest) and key == object_key(digest):
                self._db.execute("INSERT OR IGNORE INTO objects VALUES (?, ?)", (digest, size))
                self.files += 1
                self.bytes += size or 0
            else:
                self._stray(key, "is not a file of this file store")
        for key in backend.stale_temporaries():
            self._stray(key, "was left behind by an interrupted run")
        for key, problem in backend.irregular(OBJECTS):
            if DIGEST.fullmatch(key.rpartition("/")[2]):
                self._irregular(key, problem)
        for key, problem in backend.irregular(REFS):
            if parse_ref(key) is not None:
                self._irregular(key, problem)
        self._db.execute("COMMIT")

    def _irregular(self, key: str, problem: str) -> None:
        self._db.execute("INSERT OR IGNORE INTO irregular VALUES (?, ?, ?)", (key, key.rpartition("/")[2], problem))

    def _stray(self, key: str, reason: str) -> None:
        self._db.execute("INSERT OR IGNORE INTO strays VALUES (?, ?)", (key, reason))

    def read_refs(self) -> None:
        """Let every ref name its file: what is known where no backup is given."""
        self._db.execute("BEGIN")
        backend = self._store.backend
        for folder in backend.folders(REFS):
            for key in backend.keys(folder):
                if (ref := parse_ref(key)) is not None:
                    store_hash, name, saved = ref
                    self.refs += 1
                    by = f"{name} of store {store_hash}"
                    self._name(saved.sha256, saved.size, by)
                    rank = 10 * saved.generation + _RANKS[saved.source]
                    self._source(f"{store_hash}/{name}", saved.sha256, saved.source, rank, by)
        self._db.execute("COMMIT")

    def read_backup(self, path: Path) -> None:
        """Let every image record of a Singer file, plain or gzip, name its file.

        Raises:
            InvalidInput: the file cannot be read, or a line is not a Singer message.
        """
        with opened_backup(path) as file:
            self._read_messages(jsonl.messages(file, str(path), ADVICE), str(path), path.name)

    def read_snapshot(self, messages: Iterable[tuple[int, bytes, dict[str, Any]]], name: str) -> None:
        """Let every image record of a snapshot name its file; records that name none are counted alone.

        Args:
            messages: number, text and content of each line.
            name: what it is called, such as ``store/20250131T020000Z.singer.gz``.

        Raises:
            InvalidInput: it cannot be read, or a line is not a Singer message.
        """
        self._read_messages(messages, f"the snapshot {name}", name, needs_files=False)

    def _read_messages(
        self,
        messages: Iterable[tuple[int, bytes, dict[str, Any]]],
        title: str,
        name: str,
        *,
        needs_files: bool = True,
    ) -> None:
        self._db.execute("BEGIN")
        try:
            for number, _, message in messages:
                self._read(message, f"Line {number} of {title}", name, needs_files=needs_files)
        finally:  # of a damaged backup, what was read counts
            self._db.execute("COMMIT")

    def _read(self, message: dict[str, Any], where: str, backup: str, *, needs_files: bool) -> None:
        if "type" not in message:
            raise InvalidInput(f"{where} is not a Singer message: {ADVICE}")
        if message["type"] != "RECORD" or stream_kind(str(message.get("stream"))) != "product_images":
            return
        record = message.get("record")
        if not isinstance(record, dict):
            raise InvalidInput(f"{where}: the RECORD has no record.")
        self.records += 1
        digest = record.get("file_sha256")
        if not (isinstance(digest, str) and DIGEST.fullmatch(digest)):  # a warehouse may spell it in another way
            record, _ = self._normalizer.normalized(record)
            digest = record.get("file_sha256")
        size = record.get("file_size")
        by = f"product {record.get('product_id')}, image {record.get('id')} in {backup}"
        if digest is None and record.get("_sdc_deleted_at"):
            return  # a loader has marked the row: no restore uses it
        if digest is None:
            self.without_file += 1
            if not needs_files:  # every later snapshot says the same again
                return
            facts = (str(record.get("store_hash")), str(record.get("image_file")), by)
            self._db.execute("INSERT INTO unsaved VALUES (?, ?, ?)", facts)
        elif isinstance(digest, str) and DIGEST.fullmatch(digest):
            self._name(digest, size if type(size) is int and 0 <= size < _NO_SIZE else None, by)
            if record.get("file_source") in {"cdn", "zoom"}:
                self._source(by, digest, record["file_source"], 0, by)
        else:
            self._db.execute("INSERT OR IGNORE INTO invalid_digests VALUES (?, ?)", (repr(digest)[:80], by))

    def _name(self, digest: str, size: int | None, by: str) -> None:
        self._db.execute("INSERT OR IGNORE INTO named VALUES (?, ?, ?)", (digest, size, by))

    def _source(self, path: str, digest: str, source: str, rank: int, by: str) -> None:
        """Note where the file of a path came from; that of the highest rank counts."""
        self._db.execute(
            "INSERT INTO sources VALUES (?, ?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET sha256 = excluded.sha256,"
            " source = excluded.source, rank = excluded.rank WHERE excluded.rank > rank",
            (path, digest, source, rank, by),
        )

    def compare(self) -> Iterator[Finding]:
        """Yield what the listings alone tell: missing, orphaned and too large files, renditions, no regular files.

        Raises:
            FileStoreError: the refs cannot be listed.
        """
        yield from self._unsaved()
        for digest, by in self._db.execute("SELECT sha256, by FROM invalid_digests"):
            yield Finding("missing", digest, "is not a SHA-256 in hex", by)
        query = "SELECT key, reason, by FROM irregular LEFT JOIN named USING (sha256)"
        for key, reason, by in self._db.execute(query):
            yield Finding("corrupt", key, reason, by)
        query = (
            "SELECT sha256, by FROM named WHERE sha256 NOT IN (SELECT sha256 FROM objects)"
            " AND sha256 NOT IN (SELECT sha256 FROM irregular)"
        )
        for digest, by in self._db.execute(query):
            yield Finding("missing", object_key(digest), "is not there", by)
        query = "SELECT sha256 FROM objects WHERE sha256 NOT IN (SELECT sha256 FROM named)"
        for (digest,) in self._db.execute(query):
            yield Finding("orphaned", object_key(digest), "is named by nothing")
        for key, reason in self._db.execute("SELECT key, reason FROM strays"):
            yield Finding("orphaned", key, reason)
        query = "SELECT sha256, o.size, by FROM objects o JOIN named USING (sha256) WHERE o.size > ?"
        for digest, size, by in self._db.execute(query, (MAX_UPLOAD,)):
            yield Finding("refused", object_key(digest), f"would be refused by the store: {refusal(size, None)}", by)
        query = "SELECT sha256, source, by FROM sources WHERE source <> 'original' ORDER BY by"
        for digest, source, by in self._db.execute(query):
            yield Finding("rendition", object_key(digest), _RENDITIONS[source], by)

    def _unsaved(self) -> Iterator[Finding]:
        """Yield the records that name no file, unless the refs know one of their path, as a restore would find it."""
        for store_hash, image_file, by in self._db.execute("SELECT store, image_file, by FROM unsaved"):
            saved = None
            with suppress(SettingsError):  # no hash that a store can have
                saved = self._store.refs(store_hash).get(image_file)
            if saved is None:
                yield Finding("missing", image_file, "was not saved, the record names no file", by)

    def choose_sample(self, sample: Sample) -> tuple[int, int]:
        """Choose at random what to re-hash; what has another length than its name's always; return files, bytes."""
        query = "SELECT count(*) FROM objects o JOIN named n USING (sha256) WHERE n.size <> o.size"
        (doubtful,) = self._db.execute(query).fetchone()
        self._db.execute("DELETE FROM sample")
        self._db.execute(
            "INSERT INTO sample SELECT sha256, o.size, n.size, by FROM objects o LEFT JOIN named n USING (sha256)"
            " ORDER BY coalesce(n.size <> o.size, 0) DESC, random() LIMIT ?",
            (max(doubtful, sample.of(self.files)),),
        )
        files, size = self._db.execute("SELECT count(*), coalesce(sum(size), 0) FROM sample").fetchone()
        return files, size

    def rehash(self) -> Iterator[tuple[int, Finding | None]]:
        """Read every file that was drawn; yield its length by the listing, and what is wrong with it.

        Raises:
            FileStoreError: the file store as a whole cannot be read.
        """
        rows = self._db.execute("SELECT sha256, size, named, by FROM sample")
        with ThreadPoolExecutor(_READERS, "check") as executor:
            yield from ordered_map(executor, self._rehash, rows, _WAITING)

    def _rehash(self, row: tuple[str, int | None, int | None, str | None]) -> tuple[int, Finding | None]:
        digest, listed, named, by = row
        key = object_key(digest)
        try:
            stored = self._store.inspect(digest)
            size = stored.size
        except CorruptFile as error:
            doubtful = named is not None and listed is not None and named != listed
            return listed or 0, Finding(
                "corrupt", key, f"has {listed:,} bytes, not {named:,}" if doubtful else error.what, by
            )
        except FileUnavailable:
            return listed or 0, Finding("missing", key, "went away during the check", by)
        if listed is None:
            with self._lock:
                self.bytes += size
        if named is not None and named != size:
            return size, Finding("wrong_size", key, f"is sound, with {size:,} bytes, not {named:,}", by)
        if stored.defect and by:
            reason = f"would be refused by the store: {refusal(size, stored.defect)}"
            return size, Finding("refused", key, reason, by)
        return size, None
