"""The whole input, on disk, until it has been read to its end; then given back product by product.

Nothing is written to the store before the input has been read whole: an input that is damaged in its last line
changes nothing. Memory does not grow with the input.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, suppress
from itertools import groupby, pairwise
from operator import itemgetter
from types import TracebackType
from typing import IO, Literal, Self

import orjson

from bc_images.bigcommerce.mapping import Record
from bc_images.errors import FatalError

__all__ = ["RestoreInput"]

_BUFFER = 1 << 20

Key = Literal["product_id", "product_sku"]
"""What makes records belong together: the product they are to be restored to."""


class RestoreInput:
    """Collects valid image records and the products of the input; in nameless temporary files.

    Args:
        store_hash: the store meant by records that name none.
        only: the ids of the products that count, as in the input; None: all.

    Attributes:
        count: how many records were kept.
        has_records: the input has brought a record of an image or a product, whether it counts or not.
        lists_products: the input says itself which products it speaks for.
        has_stream_maps: what stands between may have held records back.

    Raises:
        FatalError: there is no room for the input.
    """

    def __init__(self, store_hash: str, only: Collection[int] | None = None) -> None:
        self._store_hash = store_hash
        self._only = only
        try:
            self._file: IO[bytes] = tempfile.TemporaryFile(buffering=_BUFFER)  # noqa: SIM115 - closed by close()
        except OSError as error:
            raise _no_room(error) from error
        self._products = sqlite3.connect("")  # a private temporary database
        self._products.execute("CREATE TABLE products (id INTEGER, sku TEXT)")
        self._last_product = 0
        self._is_ascending = True
        self._versions: list[tuple[int, int | None]] = []  # at which record each run of one version begins
        self._superseded: list[range] = []  # records of sweeps that a later one has replaced
        self._marked: tuple[int, int] | None = None  # records and products before the last mark
        self._is_marked = False  # with the end of a complete sweep, after its last record
        self._listed_empty: set[int] = set()  # chosen products that have no image, as the input says
        self.count = 0
        self.lists_products = False
        self.has_records = False
        self.has_stream_maps = False

    @property
    def incomplete_reason(self) -> str | None:
        """Why the input does not hold everything that it is about; None if it does."""
        if self.has_stream_maps:
            return "stream_maps or flattening_enabled may have held records back"
        if not self._is_marked:
            return "the input does not end with the mark of a complete sweep (ACTIVATE_VERSION)"
        return None

    @property
    def is_complete(self) -> bool:
        """Whether the input holds everything that it is about."""
        return self.incomplete_reason is None

    def add(self, record: Record, version: int | None = None) -> None:
        """Keep one valid record of the stream ``product_images``, if its product counts."""
        self._is_marked = False
        self.has_records = True
        product_id = record["product_id"]
        if self._only is not None and product_id not in self._only:
            return
        if "store_hash" not in record:
            record = {**record, "store_hash": self._store_hash}
        if product_id < self._last_product:
            self._is_ascending = False
        self._last_product = product_id
        if not self._versions or self._versions[-1][1] != version:
            self._versions.append((self.count, version))
        try:
            self._file.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))
        except OSError as error:
            raise _no_room(error) from error
        self.count += 1

    def apply_activate_version(self, version: int) -> None:
        """Take in the mark of a complete sweep: records of other versions before it are of sweeps gone by."""
        runs = pairwise([*self._versions, (self.count, None)])
        self._superseded = [range(start, end) for (start, each), (end, _) in runs if each not in {None, version}]
        self._is_marked = True
        self._marked = self.count, self._products.execute("SELECT count(*) FROM products").fetchone()[0]

    def drop_unmarked(self) -> None:
        """Forget what came after the last mark; without any mark, everything stays.

        An undo has a mark after every batch, and nothing was written to the products that stand behind the last one.
        """
        if self._marked is not None:
            records, products = self._marked
            self._superseded.append(range(records, self.count))
            self._products.execute("DELETE FROM products WHERE rowid > ?", (products,))
            self._is_marked = True

    def add_product(self, record: Record | None) -> None:
        """Keep one product: the input then says itself which products it speaks for. None is one that is not ours."""
        self.lists_products = True
        self.has_records = self.has_records or record is not None
        if record is not None and (self._only is None or record["id"] in self._only):
            try:
                self._products.execute("INSERT INTO products VALUES (?, ?)", (record["id"], record.get("sku")))
            except sqlite3.Error as error:
                raise _no_room(error) from error
            if self._only is not None and not record.get("image_count"):
                self._listed_empty.add(record["id"])

    def covers(self, product_id: int, sku: str | None, key: Key) -> bool:
        """Whether the input says what images a product of the store is to have, although it holds none of them.

        It does where it lists the product, or lists no products at all and so speaks for the whole store. Across
        stores the SKU decides: a product without one is never spoken for.
        """
        if key == "product_sku" and not sku:
            return False
        if not self.lists_products:
            # Ids are the input's: they say nothing of a product that is found by its SKU.
            return self._only is None or (key == "product_id" and product_id in self._only)
        self._products.execute("CREATE INDEX IF NOT EXISTS by_id ON products (id)")
        self._products.execute("CREATE INDEX IF NOT EXISTS by_sku ON products (sku)")
        column, value = ("sku", sku) if key == "product_sku" else ("id", product_id)
        query = f"SELECT 1 FROM products WHERE {column} = ?"  # noqa: S608 - one of two names of ours
        return self._products.execute(query, (value,)).fetchone() is not None

    def products_without_images(self) -> list[int]:
        """Return the chosen products of which the input holds no image, but those that it lists as having none."""
        if self._only is None:
            return []
        return sorted({*self._only} - {record["product_id"] for _, record in self._live()} - self._listed_empty)

    def groups(self, key: Key) -> Iterator[list[Record]]:
        """Yield the records product by product, each image once (the last word counts). May be called again."""
        in_order = key == "product_id" and self._is_ascending
        for _, group in groupby(self._as_they_came() if in_order else self._sorted(key), _product(key)):
            records = list(group)
            if len({record["id"] for record in records}) < len(records):
                records = list({(record["store_hash"], record["id"]): record for record in records}.values())
            yield records

    def _as_they_came(self) -> Iterator[Record]:
        if not self._superseded:
            return map(orjson.loads, self._lines())
        return (record for _, record in self._live())

    def _lines(self) -> IO[bytes]:
        """Return the file, at its beginning and with everything in it."""
        try:
            self._file.flush()
        except OSError as error:
            raise _no_room(error) from error
        self._file.seek(0)
        return self._file

    def _live(self) -> Iterator[tuple[int, Record]]:
        """Yield the records that count, as they came, each with its place in the file."""
        place = 0
        superseded = iter([*self._superseded, range(self.count, self.count)])
        gone = next(superseded)
        for number, line in enumerate(self._lines()):
            if number >= gone.stop:
                gone = next(superseded, gone)
            if number not in gone:
                yield place, orjson.loads(line)
            place += len(line)

    def _sorted(self, key: Key) -> Iterator[Record]:
        """Sort places on disk, then read there: a warehouse gives rows back in any order."""
        product = _product(key)
        with closing(sqlite3.connect("")) as places:
            places.execute("CREATE TABLE places (product, place INTEGER)")
            rows = ((product(record), place) for place, record in self._live())
            try:
                places.executemany("INSERT INTO places VALUES (?, ?)", rows)
            except sqlite3.Error as error:
                raise _no_room(error) from error
            for (place,) in places.execute("SELECT place FROM places ORDER BY product, place"):
                self._file.seek(place)
                yield orjson.loads(self._file.readline())

    def close(self) -> None:
        """Forget everything."""
        with suppress(OSError):  # what cannot be written any more is not needed any more
            self._file.close()
        self._products.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _product(key: Key) -> Callable[[Record], str | int]:
    """Return what names the product of a record: its id, or its SKU where it has one."""
    if key == "product_id":
        return itemgetter(key)
    return lambda record: record.get(key) or record["product_id"]


def _no_room(error: Exception) -> FatalError:
    return FatalError(
        f"The input cannot be kept in {tempfile.gettempdir()}: {error}. Free some room there, or set TMPDIR."
    )
