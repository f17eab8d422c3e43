"""Compares a restored store with the snapshot, independently of the target: order, thumbnail, text, picture.

Both sides are rows of a temporary database, so that memory does not grow with the snapshot. Ids, addresses and dates
are not compared: a restored image is a new image to the store.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from bc_images.tempfiles import disk_errors, temporary_database
from bc_images.text import counted, printable, shortened

__all__ = ["ExpectedImages", "Proof"]

_IMAGE = "product_id, sort_order, is_thumbnail, description, sha256"
_TABLES = f"""
CREATE TABLE products (id INTEGER PRIMARY KEY, sku TEXT NOT NULL, name TEXT NOT NULL, is_chosen INTEGER NOT NULL);
CREATE TABLE expected ({_IMAGE}, store_hash TEXT, id INTEGER, PRIMARY KEY (store_hash, id));
CREATE TABLE restored ({_IMAGE});
"""
# A gallery without a thumbnail is one that not every store can hold: whether one is chosen is not compared there.
_WITHOUT_THUMBNAIL = """
UPDATE {table} SET is_thumbnail = NULL
WHERE product_id NOT IN (SELECT product_id FROM expected WHERE is_thumbnail = 1)
"""
_DIFFERENCES = f"""
WITH wanted AS (SELECT {_IMAGE}, count(*) AS number FROM expected
                WHERE product_id IN (SELECT id FROM products WHERE is_chosen) GROUP BY {_IMAGE}),
     present AS (SELECT {_IMAGE}, count(*) AS number FROM restored GROUP BY {_IMAGE})
SELECT '-' AS sign, * FROM (SELECT * FROM wanted EXCEPT SELECT * FROM present)
UNION ALL SELECT '+', * FROM (SELECT * FROM present EXCEPT SELECT * FROM wanted)
ORDER BY product_id, sort_order
"""  # noqa: S608 - our own names
_INVALID = (  # what a record that is not valid ends in
    KeyError,
    TypeError,
    AttributeError,
    OverflowError,
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
)
MAX_LINES = 20  # of differences
_PART = 1000  # products that are read from the restored store at a time


@dataclass(frozen=True, slots=True)
class Proof:
    """What a restore has proved: how many products and images there are, and how many of them were restored exactly.

    Attributes:
        differences: a line for each of the first differences: `-` an image that is missing, `+` one that should not be
            there, `!` a record of the snapshot that is not valid.
    """

    products: int
    exact_products: int
    images: int
    exact_images: int
    differences: list[str]

    @property
    def is_complete(self) -> bool:
        """Whether everything was restored exactly."""
        return not self.differences

    def __str__(self) -> str:
        return (
            f"{self.exact_products:,} of {counted(self.products, 'product')}, "
            f"{self.exact_images:,} of {counted(self.images, 'picture')}"
        )


class ExpectedImages:
    """The products and images of a snapshot; close it in the end.

    Args:
        messages: the Singer messages of the snapshot.

    Raises:
        FatalError: the temporary folder cannot be written to.
    """

    def __init__(self, messages: Iterable[dict[str, Any]]) -> None:
        self._db = temporary_database()
        self._invalid: list[str] = []
        self._invalid_count = 0
        with disk_errors("the images of the snapshot", sqlite3.OperationalError):
            self._db.executescript(f"BEGIN; {_TABLES}")
            for message in messages:
                if message["type"] == "RECORD":
                    self._add(message)
            self._db.execute(_WITHOUT_THUMBNAIL.format(table="expected"))
            self._db.execute("CREATE INDEX expected_by_product ON expected (product_id)")
            self._db.execute("COMMIT")

    def _add(self, message: dict[str, Any]) -> None:
        try:
            record = message["record"]
            if message["stream"] == "products":
                self._add_product(record["id"], record.get("sku"), record.get("name"))
            elif message["stream"] == "product_images":
                self._add_product(record["product_id"], record.get("product_sku"), record.get("product_name"))
                values = (*_values(record), record.get("file_sha256"), record["store_hash"], record["id"])
                self._db.execute("INSERT OR REPLACE INTO expected VALUES (?, ?, ?, ?, ?, ?, ?)", values)
        except _INVALID as error:
            self._invalid_count += 1
            if len(self._invalid) < MAX_LINES:
                self._invalid.append(printable(f"! a record is not valid ({error!r}): {shortened(str(message), 80)}"))

    def _add_product(self, product_id: int, sku: str | None, name: str | None) -> None:
        self._db.execute("INSERT OR IGNORE INTO products VALUES (?, ?, ?, 1)", (product_id, sku or "", name or ""))

    @property
    def product_count(self) -> int:
        """How many products there are."""
        return int(self._db.execute("SELECT count(*) FROM products").fetchone()[0])

    def choose(self, count: int) -> list[int]:
        """Choose so many products at random: no others are expected then. Return the ids of those with images."""
        self._db.execute("UPDATE products SET is_chosen = 0")
        self._db.execute(
            "UPDATE products SET is_chosen = 1 WHERE id IN (SELECT id FROM products ORDER BY random() LIMIT ?)",
            (count,),
        )
        with_images = "SELECT id FROM products WHERE is_chosen AND id IN (SELECT product_id FROM expected) ORDER BY id"
        return [product_id for (product_id,) in self._db.execute(with_images)]

    def write_products(self, path: Path) -> None:
        """Write the products as JSON lines, as the sandbox reads them."""
        with disk_errors("the products of the snapshot"), path.open("wb") as file:
            for product_id, sku, name in self._db.execute(
                "SELECT id, sku, name FROM products WHERE is_chosen ORDER BY id"
            ):
                product = {"id": product_id, "sku": sku, "name": name}
                file.write(orjson.dumps(product, option=orjson.OPT_APPEND_NEWLINE))

    def compare(self, images_between: Callable[[int, int], Iterable[dict[str, Any]]]) -> Proof:
        """Compare with a restored store.

        Args:
            images_between: yields the images of the products from one id to another, each with ``product_id``,
                ``sort_order``, ``is_thumbnail``, ``description`` and ``sha256``.

        Raises:
            FatalError: the temporary folder cannot be written to.
        """
        with disk_errors("the images of the restored store", sqlite3.OperationalError):
            self._db.execute("BEGIN")
            self._db.execute("DELETE FROM restored")
            for first, last in self._parts():
                self._db.executemany(
                    "INSERT INTO restored VALUES (?, ?, ?, ?, ?)",
                    ((*_values(image), image["sha256"]) for image in images_between(first, last)),
                )
            self._db.execute(_WITHOUT_THUMBNAIL.format(table="restored"))
            self._db.execute("COMMIT")
            different_products = self._count(f"SELECT count(DISTINCT product_id) FROM ({_DIFFERENCES})")  # noqa: S608
            missing = self._count(f"SELECT coalesce(sum(number), 0) FROM ({_DIFFERENCES}) WHERE sign = '-'")  # noqa: S608
            lines = [_line(*row) for row in self._db.execute(f"{_DIFFERENCES} LIMIT {MAX_LINES}")]
        products = self._count("SELECT count(*) FROM products WHERE is_chosen")
        images = self._invalid_count + self._count(
            "SELECT count(*) FROM expected WHERE product_id IN (SELECT id FROM products WHERE is_chosen)"
        )
        return Proof(
            products,
            products - different_products,
            images,
            images - missing - self._invalid_count,
            [*self._invalid, *lines][:MAX_LINES],
        )

    def _count(self, query: str) -> int:
        return int(self._db.execute(query).fetchone()[0])

    def _parts(self) -> Iterator[tuple[int, int]]:
        """Yield first and last id of parts of the chosen products."""
        ids = self._db.execute("SELECT id FROM products WHERE is_chosen ORDER BY id")
        while part := ids.fetchmany(_PART):
            yield part[0][0], part[-1][0]

    def close(self) -> None:
        """Delete the database."""
        self._db.close()


def _values(image: dict[str, Any]) -> tuple[Any, ...]:
    """Return what is compared of an image beside its picture."""
    return image["product_id"], image["sort_order"], int(image["is_thumbnail"]), image["description"] or ""


def _line(
    sign: str, product: int, order: int, is_thumbnail: int, description: str, digest: str | None, number: int
) -> str:
    times = f" ({number} times)" if number > 1 else ""
    thumbnail = ", thumbnail" if is_thumbnail else ""
    picture = f"picture {digest[:12]}" if digest else "no picture in the backup"
    text = shortened(description, 40)
    return printable(f"{sign} product {product}, order {order}{thumbnail}, {picture}, {text!r}{times}")
