"""Compares two backups independently of the target: pictures, order, thumbnail, text.

Ids, addresses and dates are not compared: a restored image is a new image to the store.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, TypeAlias

import orjson

from bc_images.errors import InvalidInput

__all__ = ["differences", "images", "records"]

Image: TypeAlias = tuple[int, bool, str, str]
"""sort_order, is_thumbnail, description, digest of the picture's bytes."""


def records(backup: Path) -> list[dict[str, Any]]:
    """Return the image records of a Singer file."""
    with backup.open("rb") as lines:
        messages = [orjson.loads(line) for line in lines]
    return [m["record"] for m in messages if m["type"] == "RECORD" and m["stream"] == "product_images"]


def images(backup: Path) -> dict[int, Counter[Image]]:
    """Return the images of each product.

    Raises:
        InvalidInput: an image without the bytes of its picture: nothing could be proved about it.
    """
    found: defaultdict[int, Counter[Image]] = defaultdict(Counter)
    for record in records(backup):
        if not record["file_sha256"]:
            raise InvalidInput(f"{backup.name}: image {record['id']} came without its file.")
        found[record["product_id"]][
            record["sort_order"], record["is_thumbnail"], record["description"] or "", record["file_sha256"]
        ] += 1
    return found


def differences(before: Path, after: Path) -> list[str]:
    """Return a line for every image that one of the two backups has and the other has not."""
    old, new = images(before), images(after)
    lines = []
    for product in sorted(old.keys() | new.keys()):
        was, now = old.get(product, Counter()), new.get(product, Counter())
        lines += [f"- product {product}: {_words(image)}" for image in (was - now).elements()]
        lines += [f"+ product {product}: {_words(image)}" for image in (now - was).elements()]
    return lines


def _words(image: Image) -> str:
    order, thumbnail, description, digest = image
    return f"order {order}{', thumbnail' if thumbnail else ''}, {description!r}, file {digest[:12]}"
