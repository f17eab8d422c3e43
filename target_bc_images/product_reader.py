"""Finds the product of each record by id or SKU, reads its images, and says where a missing one may be."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from bc_images.bigcommerce import PAGE_SIZE, SkuMatches, StoreClient
from bc_images.bigcommerce.mapping import InvalidImage, InvalidImageError, Record, truncated_repr
from bc_images.errors import UnexpectedResponse
from target_bc_images.changes import Reject, SourceKey, source_key
from target_bc_images.context import PlanContext
from target_bc_images.planning import ProductPlan
from target_bc_images.settings import TargetSettings

__all__ = ["Hints", "ProductReader", "ReadProducts", "read_image", "read_products"]

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
            matches = self._store.products_by_sku(asked.values()) if asked else {}
        except UnexpectedResponse:  # no reason to stop
            return {}
        return {
            product_id: f"its SKU {truncated_repr(sku)} is that of product {matches[sku][0]}: "
            "set match_products_by to sku"
            for product_id, sku in asked.items()
            if len(matches[sku]) == 1 and matches[sku][0] not in present
        }

    def similar(self, sku: str) -> str | None:
        """Return what to say of a SKU that no product has, where one has almost the same."""
        if self._left_similar <= 0:
            return None
        self._left_similar -= 1
        try:
            similar = self._store.similar_skus(sku)
        except UnexpectedResponse:
            return None
        shown = [f"product {ids[0]} has {truncated_repr(other)}" for other, ids in sorted(similar.items())[:3]]
        if not shown:
            return None
        return f"{', '.join(shown)}, which differs in case or blanks: correct one of them"


class ReadProducts(NamedTuple):
    """What the input wants of some products, what they have, and the records that have no product."""

    desired: dict[int, list[Record]]
    existing: dict[int, list[Record]]
    invalid: dict[int, Sequence[InvalidImage]]
    rejected: list[ProductPlan]
    groups: int


class ProductReader:
    """Reads the products of records, a page of products in one request.

    Args:
        settings: the target's own settings.
        store: the store.
        siblings: records of the input that are no backup's: images of the store itself that a run has left moved.
    """

    def __init__(self, settings: TargetSettings, store: StoreClient, siblings: Collection[SourceKey] = ()) -> None:
        self._key = settings.group_key
        self._any_store = settings.match_products_by == "id"
        self._store = store
        self._own = store.settings.store_hash
        self._hints = Hints(store)
        self._siblings = siblings

    def read(self, groups: Sequence[list[Record]]) -> ReadProducts:
        """Find the products in the store, and read them."""
        desired, rejected = self._find_products(groups)
        existing: dict[int, list[Record]] = {}
        invalid: dict[int, Sequence[InvalidImage]] = {}
        for product in self._store.products(list(desired)):
            existing[product.id] = product.images
            if product.invalid:
                invalid[product.id] = product.invalid
        for product_id, images in existing.items():  # V2 lists images without the SKU of their product
            if images and images[0]["product_sku"] is None:
                sku = next((record["product_sku"] for record in desired[product_id] if record.get("product_sku")), None)
                for image in images:
                    image["product_sku"] = sku
        missing = {product_id: desired.pop(product_id) for product_id in sorted(desired.keys() - existing.keys())}
        hints = self._hints.moved(missing, existing) if self._key == "product_id" else {}
        for product_id, records in missing.items():
            reason = f"there is no product {product_id} in the store"
            if product_id in hints:
                reason += f"; {hints[product_id]}"
            rejected += [_rejected(record, reason) for record in records]
        return ReadProducts(desired, existing, invalid, rejected, len(groups))

    def _find_products(self, groups: Sequence[list[Record]]) -> tuple[dict[int, list[Record]], list[ProductPlan]]:
        """Find the product in the store for each record; the second list rejects those that have none."""
        if self._key == "product_sku":
            return self._by_sku(groups)
        desired: dict[int, list[Record]] = defaultdict(list)
        rejected = []
        for record in chain.from_iterable(groups):
            if self._any_store or record["store_hash"] == self._own:
                desired[record["product_id"]].append(record)
            else:
                store = record["store_hash"]
                reason = f"belongs to store {store}: set match_products_by to sku or id"
                rejected.append(_rejected(record, reason))
        return desired, rejected

    def _by_sku(self, groups: Sequence[list[Record]]) -> tuple[dict[int, list[Record]], list[ProductPlan]]:
        desired: dict[int, list[Record]] = {}
        rejected = []
        skus = {records[0]["product_sku"] for records in groups if records[0].get("product_sku")}
        matches = self._store.products_by_sku(skus) if skus else SkuMatches(())
        for records in groups:
            sku = records[0].get("product_sku")
            ids = matches[sku] if sku else []
            sources = {
                (record["store_hash"], record["product_id"])
                for record in records
                if source_key(record) not in self._siblings
            }
            unclear = [number for number in ids if number in matches.invalid]
            if len(ids) == 1 and len(sources) <= 1 and not unclear:
                desired[ids[0]] = records
                continue
            if unclear:
                problem = matches.invalid[unclear[0]]
                reason = f"product {unclear[0]} may have the SKU {truncated_repr(sku)}, and may not: its {problem}"
                rejected += [_rejected(record, reason) for record in records]
                continue
            reason = f"{len(ids) or 'no'} products have the SKU {truncated_repr(sku)}" if sku else "has no product_sku"
            if len(ids) == 1:
                reason = f"{len(sources)} products of the input have the SKU {truncated_repr(sku)}"
            elif sku and not ids and (hint := self._hints.similar(sku)):
                reason += f"; {hint}"
            rejected += [_rejected(record, reason) for record in records]
        return desired, rejected


def read_products(store: StoreClient, ids: Sequence[int], context: PlanContext) -> dict[int, list[Record]]:
    """Return the images of those of the products that exist; those that cannot be read are noted in `context`."""
    existing: dict[int, list[Record]] = {}
    for product in store.products(ids):
        existing[product.id] = product.images
        context.invalid[product.id] = product.invalid
    return existing


def read_image(store: StoreClient, product_id: int, image_id: int, context: PlanContext) -> Record | None:
    """Return one image by its id, as lists may lag by minutes; None where it cannot be read, noted in `context`.

    Raises:
        NotFound: it is not there.
    """
    try:
        return store.image(product_id, image_id)
    except InvalidImageError as error:
        context.invalid[product_id] = [*context.invalid.get(product_id, ()), error.image]
        return None


def _rejected(record: Record, reason: str) -> ProductPlan:
    product_id = record["product_id"]
    return ProductPlan(product_id, [], [], [], [Reject(reason, product_id, record)], [])
