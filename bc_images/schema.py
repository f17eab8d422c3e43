"""Loads the record definitions from ``schemas/``.

In a checkout the folder stands beside the packages; a wheel carries it inside ``bc_images``.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["PRIMARY_KEY", "SCHEMAS_DIR", "STREAMS", "load", "writable_fields"]

STREAMS = ("product_images", "products")
PRIMARY_KEY = ("store_hash", "id")  # many stores may share one table


_PACKAGED = Path(__file__).parent / "schemas"
SCHEMAS_DIR = _PACKAGED if _PACKAGED.is_dir() else Path(__file__).parents[1] / "schemas"


@cache
def load(stream: str) -> dict[str, Any]:
    """Return the JSON Schema of a stream (``product_images`` or ``products``).

    The returned dict is shared: copy it before changing it.
    """
    schema: dict[str, Any] = json.loads((SCHEMAS_DIR / f"{stream}.json").read_text(encoding="utf-8"))
    return schema


@cache
def writable_fields() -> tuple[str, ...]:
    """Return the names of the image fields that a restore writes, in schema order."""
    properties = load("product_images")["properties"]
    return tuple(name for name, field in properties.items() if field["x-writable"])
