"""The store's state in SQLite: products, images, the bytes of uploaded files."""

from __future__ import annotations

import hashlib
import sqlite3
from bisect import bisect_left, insort
from contextlib import contextmanager
from threading import RLock
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from bigcommerce_sandbox import product_list
from bigcommerce_sandbox import seed as stock
from bigcommerce_sandbox.seed import NEW_PRODUCT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

APPLICATION_ID: Final = 0x42435343  # marks a file as a sandbox's; one more for each change of SCHEMA

SCHEMA: Final = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE products (
  id INTEGER PRIMARY KEY AUTOINCREMENT, sku TEXT NOT NULL, name TEXT NOT NULL,
  date_created INTEGER NOT NULL, date_modified INTEGER NOT NULL);
CREATE TABLE images (
  id INTEGER PRIMARY KEY AUTOINCREMENT, product_id INTEGER NOT NULL, image_file TEXT NOT NULL,
  is_thumbnail INTEGER NOT NULL, sort_order INTEGER NOT NULL, description TEXT,
  date_created INTEGER NOT NULL, date_modified INTEGER NOT NULL,
  seeded INTEGER, digest TEXT, size INTEGER);
CREATE TABLE blobs (digest TEXT PRIMARY KEY, content BLOB NOT NULL);
CREATE TABLE lingering (image_file TEXT PRIMARY KEY, seeded INTEGER, digest TEXT);
"""
INDEXES: Final = """
CREATE INDEX images_of_product ON images (product_id);
CREATE UNIQUE INDEX images_by_file ON images (image_file);
CREATE INDEX products_by_sku ON products (sku);
"""
LOST: Final = 1
LOST_WITH_RENDITIONS: Final = 2
TABLES: Final = ("meta", "products", "images", "blobs", "lingering")


class BadData(Exception):
    """The data file cannot be used; the text says why."""


class BytesDiscarded(LookupError):
    """The bytes of a picture are asked for, and this sandbox keeps none."""


class Image(NamedTuple):
    """One row of images; the dates are unix seconds."""

    id: int
    product_id: int
    image_file: str
    is_thumbnail: int
    sort_order: int
    description: str | None
    date_created: int
    date_modified: int


class Product(NamedTuple):
    """One row of products; the dates are unix seconds."""

    id: int
    sku: str
    name: str
    date_created: int
    date_modified: int


IMAGE: Final = ", ".join(Image._fields)
PRODUCT: Final = ", ".join(Product._fields)


class State:
    """One SQLite connection behind a lock: in memory, or in a file that survives restarts.

    ``listed`` is a file of further products to seed. Without ``keeps_bytes``, of a picture that is sent only digest
    and size are kept: enough to compare it, and no room is taken.

    Raises `BadData` when ``path`` is something else than a sandbox's file, or is in use by another one.
    """

    def __init__(self, path: Path | None = None, listed: Path | None = None, *, keeps_bytes: bool = True) -> None:
        self.lock = RLock()
        self.keeps_bytes = keeps_bytes
        self._listed = listed
        self.product_ids: list[int] = []
        try:
            self.db = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False, timeout=1)
            self.fresh = self._open()
        except sqlite3.Error as error:
            raise BadData(f"cannot use {path} as the sandbox's data file: {error}") from error
        self._load_ids()

    def _open(self) -> bool:
        self.db.execute("PRAGMA locking_mode = EXCLUSIVE")
        found = self.db.execute("PRAGMA application_id").fetchone()[0]
        tables = self.db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables and found != APPLICATION_ID:
            raise sqlite3.DatabaseError("it holds another program's data, or that of an earlier sandbox")
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute("PRAGMA synchronous = NORMAL")
        self.db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        if tables:
            return False
        self.db.executescript(f"BEGIN; {SCHEMA} {INDEXES} COMMIT;")
        return True

    def close(self) -> None:
        """Close the connection; an in-memory state is gone with it."""
        with self.lock:
            self.db.close()

    def _load_ids(self) -> None:
        with self.lock:
            self.product_ids = [row[0] for row in self.db.execute("SELECT id FROM products ORDER BY id")]

    # ------------------------------------------------------------ plain access

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        with self.lock:
            return self.db.execute(sql, values).fetchall()

    def scalar(self, sql: str, values: Sequence[Any] = ()) -> Any:
        """The first column of the first row, or None."""
        with self.lock:
            row = self.db.execute(sql, values).fetchone()
        return row[0] if row else None

    @contextmanager
    def write(self, *, discard: bool = False) -> Iterator[sqlite3.Connection]:
        """A transaction; with ``discard`` all of it is undone at the end, except that its ids stay used."""
        with self.lock:
            self.db.execute("BEGIN IMMEDIATE")
            try:
                yield self.db
            except BaseException:
                self.db.execute("ROLLBACK")
                self._load_ids()
                raise
            if not discard:
                self.db.execute("COMMIT")
                return
            used = self.scalar("SELECT seq FROM sqlite_sequence WHERE name = 'images'")
            paths = self.meta("paths")
            self.db.execute("ROLLBACK")
            self._load_ids()
            if used is not None:
                self.db.execute("DELETE FROM sqlite_sequence WHERE name = 'images'")
                self.db.execute("INSERT INTO sqlite_sequence VALUES ('images', ?)", (used,))
            self.set_meta("paths", paths)

    def meta(self, key: str) -> int:
        """A stored number; 0 when it was never set."""
        return self.scalar("SELECT value FROM meta WHERE key = ?", (key,)) or 0

    def set_meta(self, key: str, value: int) -> None:
        """Store a number."""
        with self.lock:
            self.db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    # ------------------------------------------------------------ seeding

    def reseed(self, products: int, images: int, seed: int, picture_bytes: int, without: int) -> None:
        """Throw everything away and seed anew; ids begin again."""
        with self.lock:
            self.db.execute("BEGIN IMMEDIATE")
            for table in TABLES:
                self.db.execute(f"DROP TABLE {table}")
            for statement in filter(str.strip, SCHEMA.split(";")):
                self.db.execute(statement)
            places = ", ".join("?" * len(Product._fields))
            self.db.executemany(f"INSERT INTO products VALUES ({places})", stock.products(products))  # noqa: S608
            self.db.executemany(
                "INSERT INTO images VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                stock.images(products, images, seed, without),
            )
            if self._listed is not None:
                names = ("id", *NEW_PRODUCT, "date_created", "date_modified")
                self.db.executemany(
                    f"INSERT INTO products ({', '.join(names)}) VALUES ({', '.join(f':{name}' for name in names)})",  # noqa: S608
                    product_list.read(self._listed),
                )
            for statement in filter(str.strip, INDEXES.split(";")):
                self.db.execute(statement)
            self.set_meta("seed", seed)
            self.set_meta("picture_bytes", picture_bytes)
            self.db.execute("COMMIT")
            self._load_ids()

    # ------------------------------------------------------------ products

    def has_product(self, product_id: int) -> bool:
        """Whether the product exists."""
        ids = self.product_ids
        at = bisect_left(ids, product_id)
        return at < len(ids) and ids[at] == product_id

    def add_product(self, row: dict[str, Any]) -> int:
        """Insert a product with all columns but the id; returns the id."""
        with self.write() as db:
            names = ", ".join(row)
            places = ", ".join("?" * len(row))
            cursor = db.execute(f"INSERT INTO products ({names}) VALUES ({places})", tuple(row.values()))  # noqa: S608
            new = int(cursor.lastrowid or 0)
            insort(self.product_ids, new)
        return new

    def delete_product(self, product_id: int) -> None:
        """Delete a product's row; its images are the caller's business."""
        self.db.execute("DELETE FROM products WHERE id = ?", (product_id,))
        at = bisect_left(self.product_ids, product_id)
        del self.product_ids[at]

    # ------------------------------------------------------------ images

    def image(self, image_id: int) -> Image | None:
        """One image, or None."""
        rows = self.rows(f"SELECT {IMAGE} FROM images WHERE id = ?", (image_id,))  # noqa: S608
        return Image._make(rows[0]) if rows else None

    def images_of(self, product_id: int, limit: int = -1, offset: int = 0) -> list[Image]:
        """A product's images in id order."""
        sql = f"SELECT {IMAGE} FROM images WHERE product_id = ? ORDER BY id LIMIT ? OFFSET ?"  # noqa: S608
        return [Image._make(row) for row in self.rows(sql, (product_id, limit, offset))]

    def count_images(self, product_id: int | None = None) -> int:
        """Number of images of the store, or of one product."""
        if product_id is None:
            return int(self.scalar("SELECT count(*) FROM images"))
        return int(self.scalar("SELECT count(*) FROM images WHERE product_id = ?", (product_id,)))

    # ------------------------------------------------------------ bytes

    def keep_blob(self, content: bytes) -> str:
        """Store bytes under their sha256 (hex), which is returned."""
        digest = hashlib.sha256(content).hexdigest()
        if self.keeps_bytes:
            with self.lock:
                self.db.execute("INSERT OR IGNORE INTO blobs VALUES (?, ?)", (digest, content))
        return digest

    def original_source(self, image_file: str) -> tuple[int | None, str | None] | None:
        """Where the bytes at this path come from: (number of a seeded picture, digest of an upload), or None."""
        for table in ("images", "lingering"):
            rows = self.rows(f"SELECT seeded, digest FROM {table} WHERE image_file = ?", (image_file,))  # noqa: S608
            if rows:
                return rows[0][0], rows[0][1]
        return None

    def drawn(self, seeded: int, image_file: str) -> bytes:
        """The seeded picture of this number, in the format that its path ends with."""
        ext = image_file.rpartition(".")[2]
        return stock.picture(self.meta("seed"), seeded, ext, self.meta("picture_bytes"))

    def lost(self, image_file: str) -> int:
        """Whether the file at a path is lost although its row is there: 0, `LOST` or `LOST_WITH_RENDITIONS`."""
        return self.meta(f"lost {image_file}")

    def lose(self, image_file: str, how: int) -> None:
        """Lose a file and leave its row."""
        self.set_meta(f"lost {image_file}", how)

    def served_original(self, image_file: str) -> bytes | None:
        """The bytes at a path under product_images/ as the store serves them: None where they are lost."""
        return None if self.lost(image_file) else self.original(image_file)

    def original(self, image_file: str) -> bytes | None:
        """The bytes at a path under product_images/, or None; seeded pictures are drawn here."""
        source = self.original_source(image_file)
        if source is None:
            return None
        seeded, digest = source
        if seeded is not None:
            return self.drawn(seeded, image_file)
        content = self.scalar("SELECT content FROM blobs WHERE digest = ?", (digest,))
        if content is None:
            raise BytesDiscarded(f"of {image_file} this sandbox has kept digest and size alone")
        return bytes(content)
