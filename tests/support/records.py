"""Short-hand for records of tests."""

from __future__ import annotations

from typing import Any

from bc_images.bigcommerce.mapping import Record

STORE = "sandbox"


def record(image_id: int, name: str = "", **fields: Any) -> Record:
    """Return a record of product 1; `name` is the stem of its file, by default one of its own."""
    made: Record = {
        "store_hash": STORE,
        "id": image_id,
        "product_id": 1,
        "product_sku": "SKU-1",
        "image_file": f"a/001/{name or f'picture-{image_id}'}__{10000 + image_id}.jpg",
        "is_thumbnail": False,
        "sort_order": image_id,
        "description": None,
        "file_sha256": None,
    }
    return {**made, **fields}
