"""Compares two snapshots image by image. Memory stays constant: what has no partner yet waits in a temporary file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from bc_images.errors import InvalidInput
from bc_images.normalize import stream_kind
from bc_images.tempfiles import disk_errors, temporary_database

__all__ = ["FIELDS", "PICTURE", "ImageChange", "compare_snapshots", "image_records"]

FIELDS = ("product_sku", "image_file", "is_thumbnail", "sort_order", "description")
"""Fields that are compared; addresses and dates change by themselves."""

PICTURE = "file_sha256"
"""The field that tells whether the picture is the same, where both records name one."""

_LIMIT = 2000  # products of one side that wait in memory

Record = dict[str, Any]
Key = tuple[str, int]  # store hash and product id
Product = tuple[Key, dict[int, Record]]  # its images by id


@dataclass(frozen=True, slots=True)
class ImageChange:
    """What became of an image from one snapshot to another.

    Attributes:
        sign: ``=`` the same, ``*`` different, ``-`` only in the first, ``+`` only in the second.
        before, after: its records; None where it is not there.
        fields: names of the fields that differ.
    """

    sign: Literal["=", "*", "-", "+"]
    before: Record | None
    after: Record | None
    fields: tuple[str, ...] = ()


def compare_snapshots(before: Iterable[dict[str, Any]], after: Iterable[dict[str, Any]]) -> Iterator[ImageChange]:
    """Yield every image of two snapshots, product by product; quickest where both name products in the same order.

    Args:
        before: the Singer messages of the first.
        after: those of the second.

    Raises:
        InvalidInput: an image record has no ids, or the messages cannot be read.
        FatalError: the temporary folder cannot be written to.
    """
    first, second = _products(before), _products(after)
    with closing(temporary_database()) as db, disk_errors("the images to compare", sqlite3.OperationalError):
        db.execute("BEGIN")
        removed, added = _Waiting(db, "removed"), _Waiting(db, "added")
        left, right = next(first, None), next(second, None)
        while left is not None or right is not None:
            if left is not None and right is not None and left[0] == right[0]:
                yield from _compare(left[1], right[1])
                left, right = next(first, None), next(second, None)
            elif left is not None and (right is None or left[0] < right[0]):
                partner = added.pop(left[0])
                if partner is None:
                    removed.put(left)
                else:
                    yield from _compare(left[1], partner)
                left = next(first, None)
            elif right is not None:
                partner = removed.pop(right[0])
                if partner is None:
                    added.put(right)
                else:
                    yield from _compare(partner, right[1])
                right = next(second, None)
        for images in removed:
            yield from _compare(images, {})
        for images in added:
            yield from _compare({}, images)


def image_records(messages: Iterable[dict[str, Any]]) -> Iterator[Record]:
    """Yield the image records of Singer messages.

    Raises:
        InvalidInput: one has no ids.
    """
    kinds: dict[object, bool] = {}
    for message in messages:
        if message.get("type") != "RECORD":
            continue
        stream, record = str(message.get("stream")), message.get("record")
        if stream not in kinds:
            kinds[stream] = stream_kind(stream) == "product_images"
        if not kinds[stream]:
            continue
        if type(record) is not dict or type(record.get("id")) is not int or type(record.get("product_id")) is not int:
            raise InvalidInput("An image record of the snapshot has no id or no product_id: take another snapshot.")
        yield record


def _products(messages: Iterable[dict[str, Any]]) -> Iterator[Product]:
    """Yield the images of each run of records of one product; of two records of an image the later counts."""
    key: Key | None = None
    images: dict[int, Record] = {}
    for record in image_records(messages):
        own = str(record.get("store_hash")), record["product_id"]
        if own != key:
            if key is not None:
                yield key, images
            key, images = own, {}
        images[record["id"]] = record
    if key is not None:
        yield key, images


def _compare(before: dict[int, Record], after: dict[int, Record]) -> Iterator[ImageChange]:
    for number, old in before.items():
        new = after.get(number)
        if new is None:
            yield ImageChange("-", old, None)
        elif fields := _changed(old, new):
            yield ImageChange("*", old, new, fields)
        else:
            yield ImageChange("=", old, new)
    for number, new in after.items():
        if number not in before:
            yield ImageChange("+", None, new)


def _changed(old: Record, new: Record) -> tuple[str, ...]:
    if old == new:
        return ()
    changed = [name for name in FIELDS if old.get(name) != new.get(name)]
    digests = old.get(PICTURE), new.get(PICTURE)
    if None not in digests and digests[0] != digests[1]:
        changed.append(PICTURE)
    return tuple(changed)


class _Waiting:
    """Products of one snapshot that the other one has not had yet."""

    def __init__(self, db: sqlite3.Connection, table: str) -> None:
        self._db = db
        self._table = table
        self._recent: dict[Key, dict[int, Record]] = {}
        self._has_rows = False
        db.execute(f"CREATE TABLE {table} (store TEXT, product TEXT, images BLOB, PRIMARY KEY (store, product))")

    def put(self, product: Product) -> None:
        """Add a product; more images of one that waits already are added to it."""
        key, images = product
        self._recent[key] = (self.pop(key) or {}) | images
        if len(self._recent) > _LIMIT:
            rows = [(*_text(key), orjson.dumps([*images.values()])) for key, images in self._recent.items()]
            self._db.executemany(f"INSERT INTO {self._table} VALUES (?, ?, ?)", rows)  # noqa: S608 - our own name
            self._recent.clear()
            self._has_rows = True

    def pop(self, key: Key) -> dict[int, Record] | None:
        """Return the images of a product and forget it; None where it does not wait."""
        images = self._recent.pop(key, None)
        if images is not None or not self._has_rows:
            return images
        where = f"{self._table} WHERE store = ? AND product = ?"
        row = self._db.execute(f"SELECT images FROM {where}", _text(key)).fetchone()  # noqa: S608 - our own name
        if row is None:
            return None
        self._db.execute(f"DELETE FROM {where}", _text(key))  # noqa: S608 - our own name
        return _by_id(row[0])

    def __iter__(self) -> Iterator[dict[int, Record]]:
        for (content,) in self._db.execute(f"SELECT images FROM {self._table}"):  # noqa: S608 - our own name
            yield _by_id(content)
        yield from self._recent.values()


def _text(key: Key) -> tuple[str, str]:
    return key[0], str(key[1])


def _by_id(content: bytes) -> dict[int, Record]:
    return {record["id"]: record for record in orjson.loads(content)}
