"""Reads live pictures: where the plan depends on them, by content and appearance, and a sample of the others."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from bc_images.bigcommerce.mapping import Record
from bc_images.concurrency import ordered_map, worker_pool
from bc_images.errors import FileUnavailable
from bc_images.files.similarity import appearance, looks_same
from bc_images.settings import Sample
from target_bc_images.changes import SourceKey, source_key
from target_bc_images.context import GONE, NO_PICTURE, LedgerEntry, PlanContext, Verdict
from target_bc_images.live_images import LiveImages
from target_bc_images.matching import match, needs_digest
from target_bc_images.picture_match import equal_content, same_picture
from target_bc_images.planning import INCOMPARABLE, RE_ENCODED, SIMILAR

__all__ = ["PictureCheck", "Recogniser"]

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


_CHANGED = "the picture is another one"


class PictureCheck:
    """Compares live pictures with those of the backup, to the byte where that is possible.

    Args:
        live_images: reads them.
        sample: how many.
        total: how many records there are.
        concurrency: how many are read at once.
    """

    def __init__(self, live_images: LiveImages, sample: Sample, total: int, concurrency: int) -> None:
        self._live_images = live_images
        self._sample = sample
        self._sample_left = sample.of(total)
        self._records_left = total
        self._concurrency = concurrency

    def check(self, pairs: Iterable[tuple[Record, Record | None]], context: PlanContext) -> None:
        """Note in `context` what is wrong with the pictures of a sample of matched images.

        Raises:
            StoreUnreachable: the store's host does not answer at all.
        """
        chosen = self._chosen(pairs)
        with worker_pool(self._concurrency, "pictures") as executor:
            for image_file, verdict in ordered_map(executor, self._check_pair, chosen, 4 * self._concurrency):
                if verdict is not None:
                    context.verdicts[image_file] = verdict

    def _chosen(self, pairs: Iterable[tuple[Record, Record | None]]) -> Iterator[tuple[Record, Record]]:
        for record, image in pairs:
            is_chosen = random.random() * self._records_left < self._sample_left  # noqa: S311 - nothing secret
            self._records_left -= 1
            if is_chosen:
                self._sample_left -= 1
                if image is not None:
                    self._live_images.fill_from_index([record])
                    yield record, image

    def _check_pair(self, pair: tuple[Record, Record]) -> tuple[str, Verdict | None]:
        record, image = pair
        try:
            return image["image_file"], self._compare(record, image)
        except FileUnavailable as error:
            return image["image_file"], Verdict("unknown", f"the picture cannot be read: {error}")

    def _compare(self, record: Record, image: Record) -> Verdict | None:
        """Return what is wrong with the picture of an image; None where it is that of the backup.

        Raises:
            FileUnavailable: it cannot be read.
        """
        digest, image_file = record.get("file_sha256"), image["image_file"]
        is_original = record.get("file_source") not in {"zoom", "cdn"}
        look = self._live_images.inspect(image_file, digest if is_original else None)
        if look.state == "gone":
            return Verdict("gone", GONE)
        if look.state == "damaged":
            return Verdict("gone", NO_PICTURE)
        if look.state == "unreadable":
            raise FileUnavailable(look.reason)
        if digest is None or look.sha256 == digest:
            return None
        is_read = look.state == "read"
        if is_read and is_original and record["image_file"] == image_file:
            return Verdict("other", _CHANGED)
        # A store may encode anew what it is sent, and a rendition never is its original to the byte.
        content, defect = self._live_images.content(image_file)
        existing, backup = appearance(content), self._live_images.appearance(digest)
        if existing is not None and backup is not None:
            if not looks_same(existing, backup):
                return Verdict("other", _CHANGED)
            return Verdict("similar", RE_ENCODED if is_read else SIMILAR)
        if is_read and defect == "truncated":
            return Verdict("other", "the picture is truncated")
        return Verdict("similar", INCOMPARABLE)
