"""The input of a restore, kept on disk, grouped by product.

Nothing is written to the store before all of the input has been read: an input that is damaged in its last line
changes nothing. Memory does not grow with the input.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, suppress
from itertools import groupby, pairwise
from operator import itemgetter
from types import TracebackType
from typing import IO, Any, Literal, Self

import orjson

from bc_images.bigcommerce.mapping import Record
from bc_images.errors import FatalError
from target_bc_images.streams import InputStreams

__all__ = ["Key", "RestoreInput"]

_BUFFER = 1 << 20

Key = Literal["product_id", "product_sku"]
"""What makes records belong together: the product they are to be restored to."""


class RestoreInput:
    """Valid image records, rejected ones, and the products that the input covers; in nameless temporary files.

    Args:
        store_hash: the store of records that name none.
        only: the ids of the chosen products, as in the input; None: all.

    Attributes:
        count: how many records were kept.
        rejected_count: how many records were rejected.
        has_records: the input has a valid record of an image or a product, chosen or not.
        lists_products: the input has a stream ``products``.
        has_stream_maps: stream maps or flattening may have left out records.
        skipped: how many records were not read, by stream.
        message_counts: how many messages there were, by type.
        record_counts: how many records there were after stream maps, by stream.
        streams: the streams of the input.
        state: the last STATE, None without one.

    Raises:
        FatalError: the disk is full; from the methods, too.
    """

    def __init__(self, store_hash: str, only: Collection[int] | None = None) -> None:
        self._store_hash = store_hash
        self._only = only
        self._file = _temporary_file()
        self._rejected: IO[bytes] | None = None
        self._products = sqlite3.connect("")  # a private temporary database
        self._products.execute("CREATE TABLE products (id INTEGER, sku TEXT)")
        self._last_product = 0
        self._is_ascending = True
        self._versions: list[tuple[int, int | None]] = []  # at which record each run of one version begins
        self._superseded: list[range] = []  # records of full syncs that a later one has replaced
        self._complete_up_to: tuple[int, int] | None = None  # records and products before the last ACTIVATE_VERSION
        self._ends_complete = False  # no image record follows the last ACTIVATE_VERSION
        self._listed_empty: set[int] = set()  # chosen products that have no image, as the input says
        self.count = 0
        self.rejected_count = 0
        self.lists_products = False
        self.has_records = False
        self.has_stream_maps = False
        self.skipped: Counter[str] = Counter()
        self.message_counts: Counter[str] = Counter()
        self.record_counts: Counter[str] = Counter()
        self.streams = InputStreams()
        self.state: dict[str, Any] | None = None

    @property
    def incomplete_reason(self) -> str | None:
        """Why the input may lack images that were in the store; None if it is complete."""
        if self.has_stream_maps:
            return "stream_maps or flattening_enabled may have left out records"
        if not self._ends_complete:
            return "the input does not end with ACTIVATE_VERSION, the message of a complete full sync"
        return None

    @property
    def is_complete(self) -> bool:
        """Whether the input has every image that was in the store."""
        return self.incomplete_reason is None

    def add(self, record: Record, version: int | None = None) -> None:
        """Keep one valid record of the stream ``product_images``, if its product is chosen."""
        self._ends_complete = False
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
            raise _disk_full(error) from error
        self.count += 1

    def reject(self, record: Record, reason: str) -> None:
        """Keep one record of the stream ``product_images`` that is not valid."""
        self.rejected_count += 1
        if self._rejected is None:
            self._rejected = _temporary_file()
        try:
            self._rejected.write(orjson.dumps([record, reason], default=str, option=orjson.OPT_APPEND_NEWLINE))
        except OSError as error:
            raise _disk_full(error) from error

    @property
    def rejected(self) -> Iterator[tuple[Record, str]]:
        """Yield the rejected records, each with the reason."""
        if self._rejected is not None:
            for line in _from_start(self._rejected):
                record, reason = orjson.loads(line)
                yield record, reason

    def apply_activate_version(self, version: int) -> None:
        """Complete a full sync: records of other versions before the message are superseded."""
        runs = pairwise([*self._versions, (self.count, None)])
        self._superseded = [range(start, end) for (start, of), (end, _) in runs if of not in {None, version}]
        self._ends_complete = True
        self._complete_up_to = self.count, self._products.execute("SELECT count(*) FROM products").fetchone()[0]

    def drop_incomplete_end(self) -> None:
        """Forget what came after the last ACTIVATE_VERSION; without one, everything stays.

        An undo file has one after every batch, and nothing was written to the products after the last one.
        """
        if self._complete_up_to is not None:
            records, products = self._complete_up_to
            self._superseded.append(range(records, self.count))
            self._products.execute("DELETE FROM products WHERE rowid > ?", (products,))
            self._ends_complete = True

    def add_product(self, record: Record | None) -> None:
        """Keep one product that the input covers; None is a record that is not valid."""
        self.lists_products = True
        self.has_records = self.has_records or record is not None
        if record is not None and (self._only is None or record["id"] in self._only):
            try:
                self._products.execute("INSERT INTO products VALUES (?, ?)", (record["id"], record.get("sku")))
            except sqlite3.Error as error:
                raise _disk_full(error) from error
            if self._only is not None and not record.get("image_count"):
                self._listed_empty.add(record["id"])

    def covers(self, product_id: int, sku: str | None, key: Key) -> bool:
        """Whether the input says which images a product of the store should have, although it has none of them.

        It does where it lists the product, or lists no products at all and so covers the entire store. Across
        stores the SKU decides: a product without one is never covered.
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
        """Return the chosen products of which the input has no image, except those that it lists as having none."""
        if self._only is None:
            return []
        return sorted({*self._only} - {record["product_id"] for _, record in self._current()} - self._listed_empty)

    def groups(self, key: Key) -> Iterator[list[Record]]:
        """Yield the records product by product, each image once (the last record counts). May be called again."""
        is_sorted = key == "product_id" and self._is_ascending
        for _, group in groupby(self._in_input_order() if is_sorted else self._sorted(key), _product(key)):
            records = list(group)
            if len({record["id"] for record in records}) < len(records):
                records = list({(record["store_hash"], record["id"]): record for record in records}.values())
            yield records

    def _in_input_order(self) -> Iterator[Record]:
        if not self._superseded:
            return map(orjson.loads, _from_start(self._file))
        return (record for _, record in self._current())

    def _current(self) -> Iterator[tuple[int, Record]]:
        """Yield the records that are not superseded, in the order of the input, each with its offset in the file."""
        offset = 0
        ranges = iter([*self._superseded, range(self.count, self.count)])
        superseded = next(ranges)
        for number, line in enumerate(_from_start(self._file)):
            if number >= superseded.stop:
                superseded = next(ranges, superseded)
            if number not in superseded:
                yield offset, orjson.loads(line)
            offset += len(line)

    def _sorted(self, key: Key) -> Iterator[Record]:
        """Sort offsets on disk, then read there: a warehouse returns rows in any order."""
        product = _product(key)
        with closing(sqlite3.connect("")) as offsets:
            offsets.execute("CREATE TABLE offsets (product, offset INTEGER)")
            rows = ((product(record), offset) for offset, record in self._current())
            try:
                offsets.executemany("INSERT INTO offsets VALUES (?, ?)", rows)
            except sqlite3.Error as error:
                raise _disk_full(error) from error
            for (offset,) in offsets.execute("SELECT offset FROM offsets ORDER BY product, offset"):
                self._file.seek(offset)
                yield orjson.loads(self._file.readline())

    def close(self) -> None:
        """Delete everything."""
        for file in filter(None, (self._file, self._rejected)):
            with suppress(OSError):  # what cannot be written any more is not needed any more
                file.close()
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


def _temporary_file() -> IO[bytes]:
    try:
        return tempfile.TemporaryFile(buffering=_BUFFER)
    except OSError as error:
        raise _disk_full(error) from error


def _from_start(file: IO[bytes]) -> IO[bytes]:
    """Return the file, at its beginning and with everything in it."""
    try:
        file.flush()
    except OSError as error:
        raise _disk_full(error) from error
    file.seek(0)
    return file


def _disk_full(error: Exception) -> FatalError:
    return FatalError(
        f"The input cannot be kept in {tempfile.gettempdir()}: {error}. Nothing was written to the store. Free some "
        "space there, or set TMPDIR."
    )
