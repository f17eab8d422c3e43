"""Holding a sweep against what the store itself counts, so that a sweep that saw too little cannot pass in silence."""

from __future__ import annotations

from typing import NamedTuple

from bc_images.bigcommerce import StoreClient
from bc_images.units import counted

__all__ = ["CountCheck", "Discrepancy"]


class Discrepancy(NamedTuple):
    """What is wrong with a sweep, and whether it saw less than was there at any time that was counted."""

    words: str
    too_few: bool


class CountCheck:
    """Asks the store how much there is before a sweep, and where the sweep saw something else, once more after it.

    Counts images; products where the store cannot count images (V2 is gone).
    """

    def __init__(self, store: StoreClient) -> None:
        self._store = store
        self.images = store.count_images()
        self._products = store.count_products() if self.images is None else None

    def objection(self, images: int, products: int) -> Discrepancy | None:
        """Return what is wrong with a complete sweep that saw so many, or None.

        A number between the counts before and after the sweep is explained by changes meanwhile; where the store does
        not count a second time, nothing is.
        """
        what, seen, before = "image", images, self.images
        if before is None:
            what, seen, before = "product", products, self._products
        if before is None or seen == before:
            return None
        after = self._store.count_images() if what == "image" else self._store.count_products()
        counts = [before] if after is None else [before, after]
        if min(counts) <= seen <= max(counts):
            return None
        afterwards = "does not say now" if after is None else f"counts {after:,} now"
        words = (
            f"The store counted {counted(before, what)} before the sweep and {afterwards}, but the sweep saw {seen:,}."
        )
        return Discrepancy(words, seen < min(counts))
