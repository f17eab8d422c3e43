"""The manifest of a snapshot: its id, its counts, who wrote it, and what checks and drills have found."""

from __future__ import annotations

import hashlib
import re
import sqlite3
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any

import orjson

from bc_images.normalize import stream_kind
from bc_images.tempfiles import disk_errors, temporary_database

__all__ = ["SHORT", "TIME", "Manifest", "Tally", "parse_manifest"]

TIME = "%Y%m%dT%H%M%SZ"
"""How the name of a snapshot states its time, in UTC."""

SHORT = 8
"""Hex digits of an id that are shown."""

_FORMAT = 1
_DIGEST = re.compile(r"[0-9a-f]{64}")
_BATCH = 1000  # pictures that are written at a time
_MAX_STORES = 100  # store hashes that are noted
_TABLES = """
CREATE TABLE pictures (sha256 BLOB PRIMARY KEY, size INTEGER) WITHOUT ROWID;
CREATE TABLE products (id INTEGER PRIMARY KEY) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is known of a snapshot.

    Attributes:
        file: name of the snapshot's file.
        file_size: its bytes, compressed.
        id: SHA-256 of the uncompressed content, in hex.
        time: when the snapshot was begun, ISO 8601 in UTC; None where the file's name does not say.
        store_hashes: the stores that its records are of, usually one.
        products: products with a record of their own or an image.
        images: image records.
        records: all records.
        pictures: distinct pictures that the records name.
        picture_bytes: sum of their sizes, as far as the records state them.
        new_pictures: pictures that were downloaded for it; None where nobody has said.
        is_complete: whether the syncs in it were complete.
        tool_version: version of bc-images that wrote it; None where the manifest was made later.
        record_schema: short digest of the schema of its image records; None where there is none.
        last_check, last_drill: time and result of the last one, or None.
    """

    file: str
    file_size: int
    id: str
    time: str | None
    store_hashes: list[str]
    products: int
    images: int
    records: int
    pictures: int
    picture_bytes: int
    is_complete: bool
    new_pictures: int | None = None
    tool_version: str | None = None
    record_schema: str | None = None
    last_check: dict[str, Any] | None = None
    last_drill: dict[str, Any] | None = None

    @property
    def short_id(self) -> str:
        """The id as it is shown."""
        return self.id[:SHORT]

    def as_json(self) -> bytes:
        """Return the content of the manifest's file; it ends with a digest of itself."""
        content = {"format": _FORMAT, **asdict(self)}
        return orjson.dumps({**content, "digest": _digest(content)}, option=orjson.OPT_INDENT_2)


def parse_manifest(content: bytes, file: str, file_size: int | None) -> Manifest:
    """Return the manifest of a snapshot.

    Args:
        content: of the manifest's file.
        file: name of the snapshot's file.
        file_size: its bytes; None where the file store does not say.

    Raises:
        ValueError: it is damaged or truncated, or it is that of another snapshot; `str()` says which.
    """
    try:
        values = orjson.loads(content)
    except ValueError as error:
        raise ValueError("is not valid JSON") from error
    if not isinstance(values, dict) or values.pop("format", None) != _FORMAT:
        raise ValueError("is not a manifest of this version")
    digest = values.pop("digest", None)
    if digest != _digest({"format": _FORMAT, **values}):
        raise ValueError("was changed or damaged")
    if values.keys() != {field.name for field in fields(Manifest)}:
        raise ValueError("is not a manifest of this version")
    manifest = Manifest(**values)
    if manifest.file != file or (file_size is not None and manifest.file_size != file_size):
        raise ValueError("is that of another snapshot")
    return manifest


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()


class Tally:
    """Counts what passes into or out of a snapshot, for its manifest; close it in the end. Memory stays constant.

    Raises:
        FatalError: the temporary folder cannot be written to; also from the methods.
    """

    def __init__(self) -> None:
        self._content = hashlib.sha256()
        self._stores: set[str] = set()
        self._images = 0
        self._records = 0
        self._schema: str | None = None
        self._product: object = None
        self._pictures: list[tuple[bytes, int]] = []
        self._db = temporary_database()
        with self._disk_errors():
            self._db.executescript(f"{_TABLES} BEGIN;")

    def update(self, content: bytes) -> None:
        """Add bytes of the uncompressed content."""
        self._content.update(content)

    def add(self, message: dict[str, Any]) -> None:
        """Count a message."""
        kind = message.get("type")
        if kind == "RECORD":
            self._records += 1
        elif kind != "SCHEMA":
            return
        stream = stream_kind(str(message.get("stream")))
        if stream is None:
            return
        if kind == "SCHEMA":
            if stream == "product_images":
                schema = orjson.dumps(message.get("schema"), option=orjson.OPT_SORT_KEYS)
                self._schema = hashlib.sha256(schema).hexdigest()[:12]
            return
        record = message.get("record")
        if isinstance(record, dict):
            self._add_record(record, is_image=stream == "product_images")

    def _add_record(self, record: dict[str, Any], *, is_image: bool) -> None:
        store_hash = record.get("store_hash")
        if isinstance(store_hash, str) and len(self._stores) < _MAX_STORES:
            self._stores.add(store_hash)
        product = record.get("product_id" if is_image else "id")
        if product != self._product and type(product) is int and abs(product) < 2**63:
            self._product = product
            with self._disk_errors():
                self._db.execute("INSERT OR IGNORE INTO products VALUES (?)", (product,))
        if not is_image:
            return
        self._images += 1
        digest = record.get("file_sha256")
        if isinstance(digest, str) and _DIGEST.fullmatch(digest):
            size = record.get("file_size")
            self._pictures.append((bytes.fromhex(digest), size if type(size) is int and 0 <= size < 2**40 else 0))
            if len(self._pictures) >= _BATCH:
                self._write_pictures()

    def _write_pictures(self) -> None:
        with self._disk_errors():
            self._db.executemany("INSERT OR IGNORE INTO pictures VALUES (?, ?)", self._pictures)
        self._pictures.clear()

    def manifest(self, file: str, file_size: int, *, is_complete: bool, tool_version: str | None = None) -> Manifest:
        """Return the manifest of the snapshot that all of this was."""
        self._write_pictures()
        (products,) = self._db.execute("SELECT count(*) FROM products").fetchone()
        pictures, size = self._db.execute("SELECT count(*), coalesce(sum(size), 0) FROM pictures").fetchone()
        return Manifest(
            file=file,
            file_size=file_size,
            id=self._content.hexdigest(),
            time=_time(file),
            store_hashes=sorted(self._stores),
            products=products,
            images=self._images,
            records=self._records,
            pictures=pictures,
            picture_bytes=size,
            is_complete=is_complete,
            tool_version=tool_version,
            record_schema=self._schema,
        )

    def close(self) -> None:
        """Delete the temporary files."""
        self._db.close()

    @staticmethod
    def _disk_errors() -> Any:
        return disk_errors("the counts of the snapshot", sqlite3.OperationalError)


def _time(file: str) -> str | None:
    try:
        moment = datetime.strptime(file.partition(".")[0], TIME).replace(tzinfo=UTC)
    except ValueError:
        return None
    return moment.isoformat()
