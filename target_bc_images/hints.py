"""Suggests where the product of a rejected record may be."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from bc_images.bigcommerce import PAGE_SIZE, StoreClient
from bc_images.bigcommerce.mapping import Record, truncated_repr
from bc_images.errors import UnexpectedResponse

__all__ = ["Hints"]

_MAX_SIMILAR = 20  # SKUs for which other spellings are looked for in a run: each takes some requests


class Hints:
    """Asks the store about products that were not found, for as many as is cheap.

    Args:
        store: the store.
    """

    def __init__(self, store: StoreClient) -> None:
        self._store = store
        self._left = PAGE_SIZE
        self._left_similar = _MAX_SIMILAR

    def moved(self, missing: Mapping[int, Sequence[Record]], present: Collection[int]) -> dict[int, str]:
        """Return what to say of products that are not there under their id, but under another one by their SKU.

        Args:
            missing: the records of each product that is not there.
            present: products of the store that the input has records for.
        """
        skus = {product_id: records[0].get("product_sku") for product_id, records in missing.items()}
        asked = {product_id: sku for product_id, sku in skus.items() if sku}
        asked = dict(list(asked.items())[: self._left])
        self._left -= len(asked)
        try:
            found = self._store.products_by_sku(asked.values()) if asked else {}
        except UnexpectedResponse:  # no reason to stop
            return {}
        return {
            product_id: f"its SKU {truncated_repr(sku)} is that of product {found[sku][0]}: "
            "set match_products_by to sku"
            for product_id, sku in asked.items()
            if len(found[sku]) == 1 and found[sku][0] not in present
        }

    def similar(self, sku: str) -> str | None:
        """Return what to say of a SKU that no product has, where one has almost the same."""
        if self._left_similar <= 0:
            return None
        self._left_similar -= 1
        try:
            found = self._store.similar_skus(sku)
        except UnexpectedResponse:
            return None
        shown = [f"product {ids[0]} has {truncated_repr(other)}" for other, ids in sorted(found.items())[:3]]
        if not shown:
            return None
        return f"{', '.join(shown)}, which differs in case or blanks: correct one of them"
