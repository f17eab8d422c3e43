"""The whole way from the records to the store: find the products, read them, plan, keep an undo, apply, report."""

from __future__ import annotations

import logging
import tempfile
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice
from typing import TypeVar

from bc_images.files.upload import Uploader

from bc_images.errors import BcImagesError, SettingsError
from bc_images.files import Downloader, FileStore, open_files
from bc_images.images import Record
from bc_images.settings import Settings
from bc_images.store import PAGE, Product, Store
from target_bc_images.apply import Apply
from target_bc_images.inbox import Group, Inbox
from target_bc_images.ledger import Ledger
from target_bc_images.options import Options
from target_bc_images.plan import Action, Knowledge, Mode, ProductPlan, in_doubt, plan, source_key
from target_bc_images.report import Report
from target_bc_images.undo import Undo

__all__ = ["Planner", "Restore"]

logger = logging.getLogger(__name__)

Item = TypeVar("Item")


class Planner:
    """Reads the store and plans, product by product; writes nothing.

    Args:
        settings: the shared settings.
        options: the target's own.
        store: the store.
        ledger: what restores have done so far.
        uploader: knows which pictures can be sent.
        files: the file store, or None.
    """

    def __init__(
        self,
        settings: Settings,
        options: Options,
        store: Store,
        ledger: Ledger,
        uploader: Uploader,
        files: FileStore | None,
    ) -> None:
        self._settings = settings
        self._options = options
        self._store = store
        self._ledger = ledger
        self._uploader = uploader
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
                yield [self._refuse(plan(each.id, [], each.images, facts)) for each in products], facts

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
                plans.append(self._refuse(plan(product_id, records, products[product_id].images, facts)))
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

    def _refuse(self, planned: ProductPlan) -> ProductPlan:
        """Reject before any request what cannot work, or would lose a picture for good."""
        if not planned.writes:
            return planned
        return replace(planned, actions=[self._refused(action) for action in planned.actions])

    def _refused(self, action: Action) -> Action:
        if action.action in {"replace", "delete"} and self._files is None and not self._options.allow_losing_files:
            reason = f"{action.action} would lose the present picture: set files to keep it, or allow_losing_files"
            return replace(action, action="reject", reason=reason)
        if action.action in {"create", "replace"} and action.wanted is not None:
            try:
                self._uploader.check(action.wanted)
            except BcImagesError as error:
                return replace(action, action="reject", reason=str(error))
        return action


class Restore:
    """One run of the target, from the whole input to the end state.

    Args:
        settings: the shared settings.
        options: the target's own.
        store: the store.
        report: gets every action and its end.
        stop: once set, requests under way finish and nothing new starts.
    """

    def __init__(
        self, settings: Settings, options: Options, store: Store, report: Report, stop: threading.Event
    ) -> None:
        self._settings = settings
        self._options = options
        self._store = store
        self._report = report
        self._stop = stop
        self.undo_path: str | None = None
        self.kept_all: str | None = None  # why a mirror deleted nothing, if it did not

    def run(self, inbox: Inbox) -> None:
        """Plan everything and, unless this is a dry run, apply it.

        Raises:
            BcImagesError: any kind but the refusals of single records, which are in the report.
        """
        options = self._options
        with ExitStack() as cleanup:
            files = open_files(self._settings.files) if self._settings.files else None
            ledger = self._ledger(cleanup)
            uploader = Uploader(
                self._settings,
                files=files,
                upload=options.upload,
                files_url=options.files_url,
                webdav_username=options.webdav_username,
                webdav_password=options.webdav_password,
            )
            planner = Planner(self._settings, options, self._store, ledger, uploader, files)
            apply = Apply(self._store, ledger, uploader, self._stop, stop_on_error=options.on_error == "stop")
            if not options.dry_run:
                apply.settle()
            mode = self._mirror_or_not(planner, inbox) if options.mode == "mirror" else options.mode
            if options.dry_run:
                self._show(planner, inbox, mode)
                return
            downloader = Downloader(self._settings, files) if files is not None else None
            if downloader is not None:
                cleanup.callback(downloader.close)
            undo = Undo(options.state_dir, self._settings.store_hash, downloader)
            cleanup.callback(undo.close)
            for plans, facts in planner.plans(inbox, mode):
                kept = undo.keep(plans)
                self.undo_path = str(undo.path) if undo.needed else None
                if not options.allow_losing_files:
                    plans = [_keep_unsaved(each, kept) for each in plans]  # noqa: PLW2901
                for outcome in apply.run(plans, facts):
                    self._report.add(outcome.action, outcome.status, target_id=outcome.target_id, error=outcome.error)
                if self._stop.is_set():
                    break

    def _ledger(self, cleanup: ExitStack) -> Ledger:
        options, store_hash = self._options, self._settings.store_hash
        ledger = (Ledger.read_only if options.dry_run else Ledger)(options.state_dir, store_hash)
        cleanup.callback(ledger.close)
        return ledger

    def _show(self, planner: Planner, inbox: Inbox, mode: Mode) -> None:
        for plans, _ in planner.plans(inbox, mode):
            for each in plans:
                for action in each.actions:
                    status = "rejected" if action.action == "reject" else "planned" if action.writes else "kept"
                    self._report.add(action, status, error=action.reason if status == "rejected" else None)  # type: ignore[arg-type]

    def _mirror_or_not(self, planner: Planner, inbox: Inbox) -> Mode:
        """Plan the whole mirror first: deletes are counted before the first one, and none stands on a doubtful input.

        Raises:
            SettingsError: there would be more deletes than allowed.
        """
        if not inbox.is_whole:
            self.kept_all = "the input does not end with the mark of a complete sweep (ACTIVATE_VERSION)"
        elif self._report.bad:
            self.kept_all = "records were rejected"
        if self.kept_all is None:
            deletes = rejects = 0
            for plans, _ in planner.plans(inbox, "mirror"):
                kinds = [action.action for each in plans for action in each.actions]
                deletes += kinds.count("delete")
                rejects += kinds.count("reject")
            most = self._options.max_deletes or 0
            if deletes > most:
                raise SettingsError(
                    f"mirror would delete {deletes} images, more than max_deletes {most}: nothing was written. "
                    "Look at the plan with dry_run and a larger max_deletes."
                )
            if rejects:
                self.kept_all = "records were rejected"
        if self.kept_all is None:
            return "mirror"
        logger.warning("mirror: nothing is deleted, because %s.", self.kept_all)
        return "upsert"


def _keep_unsaved(planned: ProductPlan, kept: set[int]) -> ProductPlan:
    """Reject the actions that would lose a picture which could not be saved."""
    actions = [
        replace(
            action, action="reject", reason=f"{action.action} would lose the present picture, which cannot be saved"
        )
        if action.action in {"replace", "delete"} and action.live is not None and action.live["id"] not in kept
        else action
        for action in planned.actions
    ]
    return replace(planned, actions=actions)


def _rejected(product_id: int, records: Iterable[Record], reason: str) -> ProductPlan:
    actions = [Action("reject", reason, product_id, record) for record in records]
    return ProductPlan(product_id, [], [], [], actions)


def _chunks(items: Iterable[Item]) -> Iterator[list[Item]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, PAGE)):
        yield chunk
