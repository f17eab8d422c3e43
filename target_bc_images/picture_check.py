"""Reads a sample of live pictures to verify that they are still those of the backup."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

from bc_images.bigcommerce.mapping import Record
from bc_images.concurrency import ordered_map, worker_pool
from bc_images.errors import FileUnavailable
from bc_images.files.similarity import appearance, looks_same
from bc_images.settings import Sample
from target_bc_images.context import GONE, NO_PICTURE, PlanContext, Verdict
from target_bc_images.live_images import LiveImages
from target_bc_images.planning import INCOMPARABLE, RE_ENCODED, SIMILAR

__all__ = ["PictureCheck"]

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
