"""Progress of a sync, and the points between two products where STATE may be written."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from tap_bc_images.bookmarks import Bookmark, FullTableProgress

__all__ = ["Checkpoint", "SyncProgress"]

_STATE_EVERY = 250  # products


class Checkpoint(NamedTuple):
    """The end of one product in the stream of records."""

    records: int  # how many records come before it
    product_id: int
    products: int  # how many products come before it, with this one


@dataclass(slots=True)
class SyncProgress:
    """The state of one sync: exactly one of `full_table` and `bookmark` is set."""

    first_product_id: int
    full_table: FullTableProgress | None
    bookmark: Bookmark | None
    images: int = 0
    products: int = 0
    too_few: bool = False  # the store counts more, before and after
    incomplete_from: int = 0  # the first product with an image that was left out; 0: none
    missing_files: int = 0  # records that were written without their picture's digest
    last_product_id: int = 0  # all its records are written, and those of the products before it
    last_state_at: int = 0  # how many products came before the latest STATE
    started_at: str = ""  # INCREMENTAL: a time before the scan, by the store's clock, RFC 3339, UTC
    pending: deque[Checkpoint] = field(default_factory=deque)

    @property
    def version(self) -> int | None:
        """The version of the records; None for INCREMENTAL."""
        return self.full_table.version if self.full_table else None

    @property
    def is_complete(self) -> bool:
        """Whether the scan saw every image of the store, and each could be a record."""
        return not (self.too_few or self.incomplete_from)

    def end_product(self, product_id: int, records: int) -> None:
        """Note that a product ends after so many records."""
        self.products += 1
        if 0 < self.incomplete_from <= product_id:
            return  # no state goes beyond an image that was left out
        if self.pending and self.pending[-1].records == records:  # no record between the two: keep the later one
            self.pending.pop()
        self.pending.append(Checkpoint(records, product_id, self.products))

    def advance(self, written: int) -> bool:
        """Pass the checkpoints within the records written so far; return whether a STATE is due."""
        is_due = False
        while self.pending and self.pending[0].records <= written:
            checkpoint = self.pending.popleft()
            self.last_product_id = checkpoint.product_id
            if checkpoint.products - self.last_state_at >= _STATE_EVERY:
                self.last_state_at = checkpoint.products
                is_due = True
        return is_due
