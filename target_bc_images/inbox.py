"""The whole input, on disk, until it has been read to its end; then given back product by product.

Nothing is written to the store before the input has been read whole: an input that is damaged in its last line
changes nothing. Memory does not grow with the input.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from itertools import groupby
from types import TracebackType
from typing import Any, NamedTuple, Self

import orjson

from bc_images.images import Record

__all__ = ["Group", "Inbox"]

_BUFFER = 1 << 20


class Group(NamedTuple):
    """The records of one product of one source store, each image once (the last word counts)."""

    source_store: str
    product_id: int
    records: list[Record]


class Inbox:
    """Collects valid image records and the ids of products; in nameless temporary files."""

    def __init__(self, store_hash: str) -> None:
        self._store_hash = store_hash  # of records that name no store
        self._file = tempfile.TemporaryFile(buffering=_BUFFER)  # noqa: SIM115 - closed by close()
        self._last: tuple[str, int] = ("", 0)
        self._ascending = True
        self._products = sqlite3.connect("")  # a private temporary database
        self._products.execute("CREATE TABLE products (id INTEGER, sku TEXT)")
        self._has_products = False
        self.count = 0
        self.is_whole = False  # a complete sweep says so after its last record

    def add(self, record: Record) -> None:
        """Keep one valid record of the stream ``product_images``."""
        key = (record.get("store_hash") or self._store_hash, record["product_id"])
        if key < self._last:
            self._ascending = False
        self._last = key
        self._file.write(orjson.dumps(record, default=str))
        self._file.write(b"\n")
        self.count += 1
        self.is_whole = False

    def add_product(self, record: Mapping[str, Any]) -> None:
        """Keep one product: the input then says itself which products it speaks for."""
        self._has_products = True
        self._products.execute("INSERT INTO products VALUES (?, ?)", (record["id"], record.get("sku")))

    def speaks_for(self, product_id: int, sku: str | None, *, by_sku: bool) -> bool:
        """Whether the input speaks for a product: it lists it, or lists no products and so speaks for the store."""
        if not self._has_products:
            return True
        self._products.execute("CREATE INDEX IF NOT EXISTS by_id ON products (id)")
        self._products.execute("CREATE INDEX IF NOT EXISTS by_sku ON products (sku)")
        column, value = ("sku", sku) if by_sku else ("id", product_id)
        query = f"SELECT 1 FROM products WHERE {column} = ?"  # noqa: S608 - one of two names of ours
        return self._products.execute(query, (value,)).fetchone() is not None

    def groups(self) -> Iterator[Group]:
        """Yield the records product by product, in order of source store and product id. May be called again."""
        self._file.flush()
        records = self._in_place() if self._ascending else self._sorted()
        for (store, product_id), group in groupby(records, self._key):
            latest = {record["id"]: record for record in group}
            yield Group(store, product_id, list(latest.values()))

    def _key(self, record: Record) -> tuple[str, int]:
        return record.get("store_hash") or self._store_hash, record["product_id"]

    def _in_place(self) -> Iterator[Record]:
        self._file.seek(0)
        for line in self._file:
            yield orjson.loads(line)

    def _sorted(self) -> Iterator[Record]:
        """Sort on disk: a warehouse gives rows back in any order."""
        with_order = sqlite3.connect("")
        with_order.execute("CREATE TABLE records (store TEXT, product INTEGER, line BLOB)")
        with_order.executemany(
            "INSERT INTO records VALUES (?, ?, ?)",
            ((*self._key(record), orjson.dumps(record)) for record in self._in_place()),
        )
        try:
            for (line,) in with_order.execute("SELECT line FROM records ORDER BY store, product, rowid"):
                yield orjson.loads(line)
        finally:
            with_order.close()

    def close(self) -> None:
        """Forget everything."""
        self._file.close()
        self._products.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
