"""The products that a sweep for another stream has just seen, on disk, so that they need no second sweep."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

import orjson

from bc_images.bigcommerce import Product
from bc_images.bigcommerce.mapping import Record

__all__ = ["ProductBuffer", "product_record"]


def product_record(product: Product, store_hash: str) -> Record:
    """Return the record of the stream ``products``."""
    return {
        "store_hash": store_hash,
        "id": product.id,
        "sku": product.sku,
        "name": product.name,
        "date_modified": product.date_modified,
        "image_count": len(product.images) + len(product.invalid),
    }


class ProductBuffer:
    """Records of the stream ``products``, one by one into a nameless temporary file, and back in the same order."""

    def __init__(self) -> None:
        self.too_few = False
        """Whether the sweep saw less than the store counts."""
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()

    def add(self, record: Record) -> None:
        """Append one record."""
        self._file.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))

    def __iter__(self) -> Iterator[Record]:
        self._file.seek(0)
        for line in self._file:
            yield orjson.loads(line)

    def close(self) -> None:
        """Forget everything."""
        self._file.close()
