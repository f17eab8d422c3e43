"""Live images that are not valid records: matches them to records, and protects them.

They are there, and nobody knows all about them. So none is written or deleted, and nothing is created that may be one
of them a second time. Pure: it reads nothing and writes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bc_images.bigcommerce.mapping import InvalidImage, Record
from target_bc_images.changes import source_key
from target_bc_images.context import PlanContext

__all__ = ["Split", "split"]


class Split(NamedTuple):
    """The records of one product, sorted by what its invalid images mean for them."""

    invalid: list[tuple[Record, InvalidImage]]  # what these records describe is one of the invalid images
    others: Sequence[Record]
    unmatched: list[InvalidImage]  # no record is known to describe these: any that is not found may do so


def split(desired: Sequence[Record], invalid: Sequence[InvalidImage], context: PlanContext) -> Split:
    """Find the records whose images are in the store and cannot be read."""
    if not invalid:
        return Split([], desired, [])
    found: dict[int, InvalidImage] = {}  # index in `desired` -> image
    unmatched = []
    for image in invalid:
        index = next((n for n, record in enumerate(desired) if n not in found and _is(record, image, context)), None)
        if index is None:
            unmatched.append(image)
        else:
            found[index] = image
    return Split(
        [(desired[index], image) for index, image in sorted(found.items())],
        [record for index, record in enumerate(desired) if index not in found],
        unmatched,
    )


def _is(record: Record, image: InvalidImage, context: PlanContext) -> bool:
    """Whether a record surely describes an invalid image: by its path, or else by the id as far as that is a proof."""
    is_own = record["store_hash"] == context.store_hash
    entry = context.entries.get(source_key(record))
    if image.image_file is not None:
        is_own_path = is_own and image.image_file == record["image_file"]
        return is_own_path or (entry is not None and image.image_file == entry.target_file)
    if image.id is None:
        return False
    return (is_own and image.id == record["id"]) or (entry is not None and image.id == entry.target_id)
