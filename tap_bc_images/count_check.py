"""Compares a full scan with the store's own count."""

from __future__ import annotations

from typing import NamedTuple

from bc_images.bigcommerce import StoreClient
from bc_images.text import counted

__all__ = ["CountCheck", "Discrepancy"]


class Discrepancy(NamedTuple):
    """How a scan differs from the store's counts, and whether it saw fewer than both of them."""

    text: str
    too_few: bool


class CountCheck:
    """Asks the store for its count before a scan, and again after it where the scan saw another number.

    Counts images; products where the store cannot count images (V2 is gone).
    """

    def __init__(self, store: StoreClient) -> None:
        self._store = store
        self.images = store.count_images()
        self._products = store.count_products() if self.images is None else None

    def discrepancy(self, images: int, products: int) -> Discrepancy | None:
        """Compare what a complete scan saw with the counts; None if they agree.

        A number between the counts before and after the scan is explained by changes meanwhile; where the store does
        not count a second time, nothing is.
        """
        unit, seen, before = "image", images, self.images
        if before is None:
            unit, seen, before = "product", products, self._products
        if before is None or seen == before:
            return None
        after = self._store.count_images() if unit == "image" else self._store.count_products()
        counts = [before] if after is None else [before, after]
        if min(counts) <= seen <= max(counts):
            return None
        afterwards = "does not say now" if after is None else f"counts {after:,} now"
        text = f"The store counted {counted(before, unit)} before the scan and {afterwards}, but the scan saw {seen:,}."
        return Discrepancy(text, seen < min(counts))
