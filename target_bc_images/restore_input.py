"""The input of a restore, kept on disk, grouped by product.

Nothing is written to the store before all of the input has been read: an input that is damaged in its last line
changes nothing. Memory does not grow with the input.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from itertools import groupby, pairwise
from operator import itemgetter
from typing import Any, Literal

import orjson

from bc_images.bigcommerce.mapping import Record
from bc_images.errors import PartialFailure
from bc_images.jsonl import shortened
from bc_images.normalize import stream_kind
from bc_images.tempfiles import JsonLines, disk_errors, temporary_database

__all__ = ["InputStreams", "Key", "RestoreInput"]

_CONTENT = "the input"
_STREAMS_SHOWN = 10  # in an error

Key = Literal["product_id", "product_sku"]
"""What makes records belong together: the product they are to be restored to."""


class InputStreams:
    """The streams of the input, and which of them mean one of ours under whatever name.

    Attributes:
        has_images: whether one of them is ``product_images``.
    """

    def __init__(self) -> None:
        self._names: dict[str, None] = {}  # in the order of the input
        self._by_kind: dict[str, str] = {}
        self.has_images = False

    def add(self, name: str) -> None:
        """Add a stream of the input."""
        self._names[name] = None

    def add_mapped(self, name: str, *, is_removed: bool) -> None:
        """Add what a stream map makes of a stream; one that it `is_removed` by counts only for `has_images`.

        Raises:
            PartialFailure: another one means the same.
        """
        kind = stream_kind(name)
        if kind is None:
            return
        self.has_images |= kind == "product_images"
        if is_removed or (other := self._by_kind.setdefault(kind, name)) == name:
            return
        without = json.dumps({name: None}, ensure_ascii=False)
        raise PartialFailure(
            f"The streams {shortened(other)} and {shortened(name)} both mean {kind}: nothing was restored. Select one "
            f"of them in the tap, or leave one out: set stream_maps to {without}."
        )

    def no_images_reason(self) -> str:
        """Say that no stream is ``product_images``, and what to do."""
        names = [*self._names]
        if not names:
            return "The input contains no streams, and so no product_images: check what the tap selects."
        shown = ", ".join(map(shortened, names[:_STREAMS_SHOWN]))
        if len(names) > _STREAMS_SHOWN:
            shown += f" and {len(names) - _STREAMS_SHOWN} more"
        likely = next((name for name in names if stream_kind(name) is None), names[0])
        alias = json.dumps({likely: {"__alias__": "product_images"}}, ensure_ascii=False)
        return (
            f"The input has no stream product_images, but {shown}. If that is another name for it, "
            f"set stream_maps to {alias}."
        )


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
        self._records = JsonLines(_CONTENT)
        self._rejected = JsonLines(_CONTENT)
        self._products = temporary_database()
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
        self._records.add(record)
        self.count += 1

    def reject(self, record: Record, reason: str) -> None:
        """Keep one record of the stream ``product_images`` that is not valid."""
        self.rejected_count += 1
        self._rejected.add([record, reason], default=str)

    @property
    def rejected(self) -> Iterator[tuple[Record, str]]:
        """Yield the rejected records, each with the reason."""
        return map(tuple, self._rejected)

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
            with disk_errors(_CONTENT, sqlite3.Error):
                self._products.execute("INSERT INTO products VALUES (?, ?)", (record["id"], record.get("sku")))
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
        return (record for _, record in self._current()) if self._superseded else iter(self._records)

    def _current(self) -> Iterator[tuple[int, Record]]:
        """Yield the records that are not superseded, in the order of the input, each with its offset in the file."""
        ranges = iter([*self._superseded, range(self.count, self.count)])
        superseded = next(ranges)
        for number, (offset, line) in enumerate(self._records.lines()):
            if number >= superseded.stop:
                superseded = next(ranges, superseded)
            if number not in superseded:
                yield offset, orjson.loads(line)

    def _sorted(self, key: Key) -> Iterator[Record]:
        """Sort offsets on disk, then read there: a warehouse returns rows in any order."""
        product = _product(key)
        with closing(temporary_database()) as offsets:
            offsets.execute("CREATE TABLE offsets (product, offset INTEGER)")
            offsets.execute("BEGIN")
            rows = ((product(record), offset) for offset, record in self._current())
            with disk_errors(_CONTENT, sqlite3.Error):
                offsets.executemany("INSERT INTO offsets VALUES (?, ?)", rows)
            for (offset,) in offsets.execute("SELECT offset FROM offsets ORDER BY product, offset"):
                yield self._records.read(offset)

    def close(self) -> None:
        """Delete everything."""
        self._records.close()
        self._rejected.close()
        self._products.close()


def _product(key: Key) -> Callable[[Record], str | int]:
    """Return what names the product of a record: its id, or its SKU where it has one."""
    if key == "product_id":
        return itemgetter(key)
    return lambda record: record.get(key) or record["product_id"]
