"""Restores an input: plan, enforce limits, save the undo, apply, report."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bc_images.bigcommerce import StoreClient
from bc_images.errors import FatalError
from bc_images.files import open_files
from bc_images.files.locks import StoreLock
from bc_images.files.upload import Uploader
from bc_images.settings import Settings
from target_bc_images.changes import Action, Mode, Reject
from target_bc_images.context import EarlierRun
from target_bc_images.ledger import Ledger
from target_bc_images.live_images import LiveImages
from target_bc_images.planner import Planner
from target_bc_images.report import Report
from target_bc_images.resources import Resources
from target_bc_images.restore_input import RestoreInput
from target_bc_images.run import RestoreRun, reading_progress
from target_bc_images.settings import TargetSettings

__all__ = ["Restore", "RestoreResult"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RestoreResult:
    """How a restore ended as a whole; the report has the counts, and how every action ended.

    Attributes:
        undo_path: the undo file of what was changed, or may have been; None where nothing was.
        deletes_skipped_reason: why a mirror deleted nothing, if so.
        error: what ended the run early.
    """

    undo_path: str | None = None
    deletes_skipped_reason: str | None = None
    error: Exception | None = None


class Restore:
    """One run of the target, from the whole input to the end state.

    Args:
        settings: the shared settings.
        target_settings: the target's own.
        store: the store.

    Raises:
        SettingsError: the way to send pictures, or the file store, is not valid.
    """

    def __init__(self, settings: Settings, target_settings: TargetSettings, store: StoreClient) -> None:
        self._settings = settings
        self._target_settings = target_settings
        self._store = store
        self._stop = threading.Event()
        self._files = open_files(settings.file_store) if settings.file_store else None
        self._live_images = LiveImages(settings, self._files)
        self._uploader = Uploader(
            settings,
            files=self._files,
            upload_method=target_settings.upload_method,
            file_store_public_url=target_settings.file_store_public_url,
            webdav_username=settings.webdav_username,
            webdav_password=settings.webdav_password,
        )

    def stop(self) -> None:
        """Finish the requests under way and begin nothing new."""
        self._stop.set()
        self._store.close()
        self._uploader.close()
        self._live_images.close()

    def compare(self, restore_input: RestoreInput) -> Iterator[Action]:
        """Yield what would make the store the same as the whole input; writes nothing.

        Raises:
            BcImagesError: the store cannot be read, or the ledger.
        """
        with self._ledger(Ledger.read_only) as ledger:
            yield from self._unverifiable_products(restore_input)
            # A difference stays one, although the store is known not to take the value.
            planner = Planner(self._target_settings, self._store, ledger, self._live_images, ignores_refusals=True)
            compared = 0
            with reading_progress("verify", restore_input, self._store, lambda: compared):
                for batch in planner.batches(restore_input, Mode.MIRROR, self._target_settings.picture_sample):
                    for plan in batch.plans:
                        compared += sum(action.desired is not None for action in plan.actions)
                        yield from plan.actions

    def run(self, restore_input: RestoreInput, report: Report, earlier_run: EarlierRun | None = None) -> RestoreResult:
        """Plan everything and, unless this is a dry run, apply it; `report` gets every action and its end.

        However the run ends, the report names every record, so that it alone says what is left to do. An `earlier_run`
        is the one whose report the input is from: what the store did not take then is written again.

        Raises:
            SettingsError: the ledger cannot be opened: nothing was begun.
        """
        target_settings = self._target_settings
        for missing in self._products_not_in_input(restore_input, target_settings.mode):
            report.add(missing, missing.status)
        is_understood = restore_input.has_records or not report.skipped
        empties = target_settings.mode.deletes and restore_input.is_complete and is_understood
        if not restore_input.count and not empties:
            report.should_publish = True
            cause = restore_input.incomplete_reason or "no record of the input is one of an image or a product"
            return RestoreResult(deletes_skipped_reason=cause if target_settings.mode.deletes else None)
        reason: str | None = None
        error: Exception | None = None
        with self._ledger(Ledger.read_only if target_settings.dry_run else Ledger) as ledger:
            report.should_publish = True
            resources = Resources(
                self._store, ledger, self._uploader, self._live_images, self._stop, target_settings.on_error == "stop"
            )
            run = RestoreRun(target_settings, resources, restore_input, report, earlier_run)
            is_finished = False
            try:
                with self._locked():
                    reason = run.apply()
                is_finished = not self._stop.is_set()
            except Exception as failure:  # noqa: BLE001 - the caller raises it
                error = failure
            finally:
                if not is_finished:
                    run.report_unreached()
        return RestoreResult(str(run.undo.path) if run.undo.is_needed else None, reason, error)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Let this be the only restore of the store, as far as there is a file store to say so in.

        Raises:
            FatalError: there is another one, or the lock was lost: raised in place of what has failed because of that.
        """
        if self._target_settings.dry_run or not self._target_settings.takes_lock:
            yield
        elif self._files is None:
            logger.warning("No file store is set, so that a restore of this store from elsewhere would not be seen.")
            yield
        else:
            with StoreLock(self._files.backend, self._settings.store_hash, self.stop) as lock:
                try:
                    yield
                finally:
                    if lock.lost is not None:
                        raise FatalError(lock.lost)

    def _products_not_in_input(self, restore_input: RestoreInput, mode: Mode) -> list[Action]:
        """Reject the chosen products of which the input knows nothing: most likely another one was meant.

        A mirror is another matter: a whole input that lists no products speaks for all, and this one has no image.
        """
        by_id = self._target_settings.match_products_by != "sku"
        if mode.deletes and by_id and restore_input.is_complete and not restore_input.lists_products:
            return []
        return [
            Reject("the input has no image of this product", product_id)
            for product_id in restore_input.products_without_images()
        ]

    def _unverifiable_products(self, restore_input: RestoreInput) -> Iterator[Action]:
        """Reject the chosen products that cannot be compared, because input or store know nothing of them."""
        missing = self._products_not_in_input(restore_input, Mode.MIRROR)
        yield from missing
        if not missing and (empty := restore_input.products_without_images()):
            there = {product.id for product in self._store.products(empty)}
            for product_id in empty:
                if product_id not in there:
                    yield Reject(f"there is no product {product_id} in the store", product_id)

    @contextmanager
    def _ledger(self, open_ledger: Callable[[Path, str], Ledger]) -> Iterator[Ledger]:
        """Hold the ledger, and in the end let go of everything."""
        with ExitStack() as cleanup:
            if self._files is not None:
                cleanup.callback(self._files.close)
            cleanup.callback(self._uploader.close)
            cleanup.callback(self._live_images.close)
            ledger = open_ledger(self._target_settings.state_dir, self._settings.store_hash)
            cleanup.callback(ledger.close)
            yield ledger
