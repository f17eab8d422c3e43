"""From records to plans: find each record's product, read what is live, look up what is known, and plan."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from typing import TypeVar

from bc_images.files import Downloader, FileStore, open_files
from bc_images.images import Record
from bc_images.settings import Settings
from bc_images.store import PAGE, Product, Store
from target_bc_images.inbox import Group, Inbox
from target_bc_images.ledger import Ledger
from target_bc_images.options import Options
from target_bc_images.plan import Action, Knowledge, Mode, ProductPlan, in_doubt, plan, source_key

__all__ = ["Planner"]

Item = TypeVar("Item")


class Planner:
    """Reads the store and plans, product by product; writes nothing.

    Args:
        settings: the shared settings.
        options: the target's own.
        store: the store.
        ledger: what restores have done so far.
        files: the file store, or None.
    """

    def __init__(
        self,
        settings: Settings,
        options: Options,
        store: Store,
        ledger: Ledger,
        files: FileStore | None,
    ) -> None:
        self._settings = settings
        self._options = options
        self._store = store
        self._ledger = ledger
        self._files = files

    def plans(self, inbox: Inbox, mode: Mode) -> Iterator[tuple[list[ProductPlan], Knowledge]]:
        """Yield the plans of a batch of products at a time, with what they were made from."""
        seen: set[int] = set()
        for groups in _chunks(inbox.groups()):
            planned, facts = self._plan(groups, mode)
            if mode == "mirror":
                seen.update(each.product_id for each in planned)
            yield planned, facts
        if mode == "mirror":
            for products in _chunks(self._not_in_the_backup(inbox, seen)):
                facts = Knowledge(self._settings.store_hash, mode)
                yield [plan(each.id, [], each.images, facts) for each in products], facts

    def _not_in_the_backup(self, inbox: Inbox, seen: set[int]) -> Iterator[Product]:
        """Yield the products that have images although the backup, which speaks for them, has none."""
        only = self._options.product_ids
        for product in self._store.sweep():
            wanted = product.images and product.id not in seen and (only is None or product.id in only)
            by_sku = self._options.match_products_by == "sku"
            if wanted and inbox.speaks_for(product.id, product.sku, by_sku=by_sku):
                yield product

    def _plan(self, groups: Sequence[Group], mode: Mode) -> tuple[list[ProductPlan], Knowledge]:
        wanted, plans = self._find_products(groups)
        products = {product.id: product for product in self._store.products(list(wanted))}
        facts = Knowledge(self._settings.store_hash, mode)
        for product_id, records in wanted.items():
            if product_id in products:
                self._look_up(records, products[product_id].images, facts)
        self._compare_pictures(wanted, products, facts)
        for product_id, records in wanted.items():
            if product_id in products:
                plans.append(plan(product_id, records, products[product_id].images, facts))
            else:
                plans.append(_rejected(product_id, records, f"there is no product {product_id} in the store"))
        return plans, facts

    def _find_products(self, groups: Sequence[Group]) -> tuple[dict[int, list[Record]], list[ProductPlan]]:
        """Find the product in the store for each group; the second list rejects those that have none, or several."""
        wanted: dict[int, list[Record]] = defaultdict(list)
        rejected = []
        by_sku = self._options.match_products_by == "sku"
        skus = {str(record["product_sku"]) for g in groups for record in g.records if record.get("product_sku")}
        found = self._store.find(skus) if by_sku and skus else {}
        for group in groups:
            if group.source_store != self._settings.store_hash and self._options.match_products_by is None:
                reason = (
                    f"is from the store {group.source_store}: set match_products_by to sku (or id) to restore it here"
                )
                rejected.append(_rejected(group.product_id, group.records, reason))
            elif not by_sku:
                wanted[group.product_id] += group.records
            else:
                for record in group.records:
                    sku = record.get("product_sku")
                    ids = found.get(sku or "", [])
                    if len(ids) == 1:
                        wanted[ids[0]].append(record)
                    else:
                        reason = f"{len(ids) or 'no'} products have the SKU {sku!r}" if sku else "has no product_sku"
                        rejected.append(_rejected(group.product_id, [record], reason))
        return wanted, rejected

    def _look_up(self, wanted: Sequence[Record], live: Sequence[Record], facts: Knowledge) -> None:
        """Ask the ledger about the records that do not simply match by id and file."""
        files = {image["id"]: image["image_file"] for image in live}
        own = self._settings.store_hash
        keys = [
            key
            for record in wanted
            if (key := source_key(record, own))[0] != own or files.get(record["id"]) != record["image_file"]
        ]
        if keys:
            facts.known.update(self._ledger.known(keys))

    def _compare_pictures(
        self, wanted: dict[int, list[Record]], products: dict[int, Product], facts: Knowledge
    ) -> None:
        """Find the digests of the live pictures on which the plan depends, downloading those never seen before."""
        if self._files is None:
            return
        doubtful = [
            image
            for pid, records in wanted.items()
            if pid in products
            for image in in_doubt(records, products[pid].images, facts)
        ]
        if not doubtful:
            return
        refs = self._files.refs(self._settings.store_hash)
        for image in doubtful:
            if (saved := refs.get(image["image_file"])) is not None and saved.source == "original":
                facts.digests[image["image_file"]] = saved.sha256
        unseen = [dict(image) for image in doubtful if image["image_file"] not in facts.digests]
        with ExitStack() as cleanup:
            files = self._files
            if self._options.dry_run:  # writes nothing, not even into the file store
                files = open_files(cleanup.enter_context(tempfile.TemporaryDirectory()))
            downloader = Downloader(self._settings, files)
            cleanup.callback(downloader.close)
            for image in downloader.fill(unseen):
                if image["file_source"] == "original":
                    facts.digests[image["image_file"]] = image["file_sha256"]


def _rejected(product_id: int, records: Iterable[Record], reason: str) -> ProductPlan:
    actions = [Action("reject", reason, product_id, record) for record in records]
    return ProductPlan(product_id, [], [], [], actions)


def _chunks(items: Iterable[Item]) -> Iterator[list[Item]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, PAGE)):
        yield chunk
