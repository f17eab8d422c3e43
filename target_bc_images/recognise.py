"""Recognises pictures under other ids and names: by content, then by appearance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from bc_images.bigcommerce.mapping import Record
from bc_images.files.similarity import looks_same
from target_bc_images.changes import SourceKey, source_key
from target_bc_images.context import LedgerEntry, PlanContext
from target_bc_images.live_images import LiveImages
from target_bc_images.matching import match, needs_digest
from target_bc_images.picture_match import equal_content, same_picture

__all__ = ["Recogniser"]

Product: TypeAlias = tuple[Sequence[Record], Sequence[Record]]
"""The records of one product, and its live images."""


class Recogniser:
    """Reads live pictures where the plan depends on them, and notes in `context` what they are.

    Nothing is read for a product whose records are all matched by path or by the ledger.

    Args:
        live_images: reads them.
        context: grows by what is found.
    """

    def __init__(self, live_images: LiveImages, context: PlanContext) -> None:
        self._live_images = live_images
        self._context = context

    def compare(self, products: Sequence[Product]) -> dict[SourceKey, LedgerEntry]:
        """Look at the pictures of products, the likeliest first; return which source images were found by content."""
        for all_free in (False, True):
            self._look(
                [image for product in products for image in needs_digest(*product, self._context, all_free=all_free)]
            )
        for desired, existing in products:
            self._compare_appearance(desired, existing)
        return {
            source_key(record): LedgerEntry(image["id"], record["image_file"], image["image_file"])
            for desired, existing in products
            for record, image in match(desired, existing, self._context)[0]
            if image is not None and equal_content(record, image, self._context)
        }

    def _look(self, images: Sequence[Record]) -> None:
        if not images:
            return
        digests, altered = self._live_images.digests(images)
        self._context.digests.update(digests)
        self._context.altered.update(altered)
        self._context.unreadable.update({image["image_file"] for image in images} - digests.keys())

    def _compare_appearance(self, desired: Sequence[Record], existing: Sequence[Record]) -> None:
        """Note which pictures look like those of records that are still without one: they may have been re-encoded."""
        context = self._context
        pairs, free = match(desired, existing, context)
        missing = [
            (record, image)
            for record, image in pairs
            if record.get("file_sha256") and (image is None or same_picture(record, image, context) == "other")
        ]
        candidates = [*free, *(image for _, image in missing if image is not None)]
        for record, _ in missing:
            one = self._live_images.appearance(record["file_sha256"]) if candidates else None
            for image in candidates if one is not None else ():
                digest = context.digests.get(image["image_file"])
                other = self._live_images.appearance(digest) if digest is not None else None
                if one is not None and other is not None and looks_same(one, other):
                    context.similar.add((source_key(record), image["image_file"]))
