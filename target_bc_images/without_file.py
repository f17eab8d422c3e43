"""Warns of images to be written whose picture the backup does not have."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from itertools import chain

from bc_images.files.findings import name_of
from bc_images.text import counted
from target_bc_images.batches import Batch
from target_bc_images.planning import NO_FILE

__all__ = ["warn_of_records_without_file"]

logger = logging.getLogger(__name__)

MOST_NAMED = 10


def warn_of_records_without_file(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Pass on batches; name such images in the log before they are written, and count them at the end."""
    count = 0
    for batch in batches:
        for action in chain.from_iterable(each.writes for each in batch.plans):
            if action.sends_bytes and action.desired and not action.desired.get("file_sha256"):
                count += 1
                if count <= MOST_NAMED:
                    logger.warning("%s: %s.", name_of(action.desired), NO_FILE)
        yield batch
    if count:
        logger.warning(
            "The backup has no file of %s to write: the store is to fetch old addresses, which may be dead.",
            counted(count, "image"),
        )
