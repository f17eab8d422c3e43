"""Processor time and memory of the comparison of two snapshots: ``python -m benchmarks.diff [IMAGES]``."""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import orjson

from bc_images.files import open_files
from bc_images.snapshots import Snapshot, SnapshotStore
from bc_images.snapshots.compare import compare_snapshots

IMAGES_PER_PRODUCT = 3


def _messages(images: int, *, is_changed: bool) -> Iterator[dict[str, Any]]:
    yield {"type": "SCHEMA", "stream": "product_images", "schema": {}, "key_properties": ["id"]}
    for number in range(images):
        if is_changed and number % 1000 == 1:
            continue
        path = f"p/{number % 997:03}/picture-{number}__{number:08x}.jpg"
        url = f"https://cdn11.bigcommerce.com/s-abc123/products/{number // IMAGES_PER_PRODUCT}/images/{number}/"
        record = {
            "store_hash": "abc123",
            "id": number,
            "product_id": number // IMAGES_PER_PRODUCT,
            "product_sku": f"SKU-{number // IMAGES_PER_PRODUCT}",
            "image_file": path,
            "is_thumbnail": number % IMAGES_PER_PRODUCT == 0,
            "sort_order": number % IMAGES_PER_PRODUCT,
            "description": "changed" if is_changed and number % 100 == 0 else f"Picture {number} from the front",
            "zoom_url": f"{url}picture.1280.1280.jpg?c=1",
            "standard_url": f"{url}picture.386.513.jpg?c=1",
            "thumbnail_url": f"{url}picture.220.290.jpg?c=1",
            "tiny_url": f"{url}picture.44.58.jpg?c=1",
            "date_created": "2025-01-01T00:00:00+00:00",
            "date_modified": "2025-01-01T00:00:00+00:00",
            "file_sha256": f"{number:064x}",
            "file_size": 100_000,
            "file_type": "image/jpeg",
            "file_source": "original",
        }
        yield {"type": "RECORD", "stream": "product_images", "record": record}


def _write(store: SnapshotStore, images: int, *, is_changed: bool) -> Snapshot:
    with store.create(datetime.now(UTC)) as writer:
        for message in _messages(images, is_changed=is_changed):
            writer.write(orjson.dumps(message) + b"\n", message)
        return writer.commit(is_complete=True)


def main(images: int) -> None:
    """Write two snapshots, compare them, and print what it took."""
    with tempfile.TemporaryDirectory() as folder, closing(open_files(folder, writable=True)) as files:
        store = SnapshotStore(files, "store")
        began = time.process_time()
        first, second = (_write(store, images, is_changed=is_changed) for is_changed in (False, True))
        print(f"written: {time.process_time() - began:.1f} s")
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began = time.process_time()
        sides = [(message for _, _, message in store.messages(snapshot)) for snapshot in (first, second)]
        counts = Counter(change.sign for change in compare_snapshots(*sides))
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
    print(f"2 x {images:,} images: {time.process_time() - began:.1f} s of processor time, {grown:,} kB more memory")
    print(dict(counts))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300_000)
