"""Collects pictures that were saved and need attention: altered, refused by the store, or renditions."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Literal, TypeAlias

from bc_images.bigcommerce.mapping import Record
from bc_images.files.inspection import refusal
from bc_images.files.layout import FileInfo

__all__ = ["Findings", "Kind", "name_of"]

logger = logging.getLogger(__name__)

NAMED = 20  # pictures of each kind that are named

Kind: TypeAlias = Literal["refused", "gone", "changed", "altered", "zoom", "cdn"]
_SUMMARY: dict[Kind, str] = {
    "refused": "{pictures} would be refused by the store, so that no restore can bring it back. "
    "Replace it in the store.",
    "gone": "{pictures} that {was} saved before {is_} gone from the store (HTTP 404): the records keep the saved file. "
    "To put it back: check_pictures (target).",
    "changed": "{pictures} {has} changed under the old path: the records name the new file, and the old one is kept.",
    "altered": "{pictures} that {is_} saved {is_} now altered by a CDN: the records keep the saved file.",
    "zoom": "{pictures} {was} saved as a rendition of at most 1280 x 1280 pixels (file_source: zoom): the store "
    "serves no original.",
    "cdn": "{pictures} {was} saved as altered by a CDN (file_source: cdn). Set webdav_username and webdav_password "
    "to save originals.",
}
_ONE = {"was": "was", "is_": "is", "has": "has"}
_SEVERAL = {"was": "were", "is_": "are", "has": "have"}


class Findings:
    """Counts by kind; names the first of each in the log as they are found. Safe to share between threads."""

    def __init__(self) -> None:
        self._counts: Counter[Kind] = Counter()
        self._lock = threading.Lock()

    def __getitem__(self, kind: Kind) -> int:
        """Return how many pictures of a kind were found."""
        return self._counts[kind]

    def add(self, kind: Kind, record: Record, what: str) -> None:
        """Count a picture, and say in the log what is the matter with it."""
        with self._lock:
            self._counts[kind] += 1
            is_named = self._counts[kind] <= NAMED
        if is_named:
            logger.warning("%s: %s.", name_of(record), what)

    def take_in(self, record: Record, saved: FileInfo) -> None:
        """Count what is known of a saved picture that a record goes out with."""
        reason = refusal(saved.size, saved.defect)
        if reason is not None:
            self.add("refused", record, f"the store would refuse this picture, {reason}")
        if saved.source in {"zoom", "cdn"}:
            with self._lock:
                self._counts["cdn" if saved.source == "cdn" else "zoom"] += 1

    def summary(self) -> Iterator[str]:
        """Yield a line for each kind that was found."""
        for kind, template in _SUMMARY.items():
            if (count := self._counts[kind]) == 1:
                yield template.format(pictures="1 picture", **_ONE)
            elif count:
                yield template.format(pictures=f"{count:,} pictures", **_SEVERAL)


def name_of(record: Record) -> str:
    """Return how messages name an image."""
    return f"Product {record['product_id']}, image {record['id']} ({record['image_file'][:300]!r})"
