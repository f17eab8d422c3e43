"""Recognise pictures that are in the store already under other ids and names: by their content, then by appearance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from bc_images.bigcommerce.mapping import Record
from bc_images.files.similarity import looks_same
from target_bc_images.live_images import LiveImages
from target_bc_images.matching import (
    LedgerEntry,
    PlanContext,
    SourceKey,
    in_doubt,
    match,
    same_content,
    same_picture,
    source_key,
)

__all__ = ["Recogniser"]

Product: TypeAlias = tuple[Sequence[Record], Sequence[Record]]
"""The records of one product, and its live images."""


class Recogniser:
    """Reads live pictures where the plan depends on them, and notes in `facts` what they are.

    Nothing is read for a product whose records are all matched by path or by the ledger.

    Args:
        pictures: reads them.
        facts: grows by what is found.
    """

    def __init__(self, pictures: LiveImages, facts: PlanContext) -> None:
        self._pictures = pictures
        self._facts = facts

    def compare(self, products: Sequence[Product]) -> dict[SourceKey, LedgerEntry]:
        """Look at the pictures of products, the likeliest first; return which source images were found by content."""
        for all_free in (False, True):
            self._look([image for product in products for image in in_doubt(*product, self._facts, all_free=all_free)])
        for wanted, live in products:
            self._compare_appearance(wanted, live)
        return {
            source_key(record): LedgerEntry(image["id"], record["image_file"], image["image_file"])
            for wanted, live in products
            for record, image in match(wanted, live, self._facts)[0]
            if image is not None and same_content(record, image, self._facts)
        }

    def _look(self, images: Sequence[Record]) -> None:
        if not images:
            return
        digests, altered = self._pictures.look(images)
        self._facts.digests.update(digests)
        self._facts.altered.update(altered)
        self._facts.unreadable.update({image["image_file"] for image in images} - digests.keys())

    def _compare_appearance(self, wanted: Sequence[Record], live: Sequence[Record]) -> None:
        """Note which pictures look like those of records that are still without one: they may have been re-encoded."""
        facts = self._facts
        pairs, free = match(wanted, live, facts)
        missing = [
            (record, image)
            for record, image in pairs
            if record.get("file_sha256") and (image is None or same_picture(record, image, facts) == "other")
        ]
        candidates = [*free, *(image for _, image in missing if image is not None)]
        for record, _ in missing:
            one = self._pictures.appearance(record["file_sha256"]) if candidates else None
            for image in candidates if one is not None else ():
                digest = facts.digests.get(image["image_file"])
                other = self._pictures.appearance(digest) if digest is not None else None
                if one is not None and other is not None and looks_same(one, other):
                    facts.similar.add((source_key(record), image["image_file"]))
