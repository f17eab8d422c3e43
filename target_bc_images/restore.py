"""Restores an input: plan, enforce limits, save the undo, apply, report."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bc_images.bigcommerce import StoreClient
from bc_images.errors import FatalError, PartialFailure, SettingsError
from bc_images.files import open_files
from bc_images.files.locks import StoreLock
from bc_images.files.upload import Uploader
from bc_images.progress import Progress, Sample
from bc_images.settings import Settings
from bc_images.text import counted
from target_bc_images.apply import BatchRunner, is_refused_delete, refused_deletes_reason
from target_bc_images.batches import Batch, InputBatches
from target_bc_images.before_images import UndoWriter
from target_bc_images.changes import Action, Delete, Mode, Reject
from target_bc_images.context import EarlierRun
from target_bc_images.executor import Executor
from target_bc_images.ledger import Ledger
from target_bc_images.live_images import LiveImages
from target_bc_images.planner import Planner
from target_bc_images.report import Report
from target_bc_images.resources import Resources
from target_bc_images.restore_input import RestoreInput
from target_bc_images.settings import TargetSettings
from target_bc_images.without_file import warn_of_records_without_file

__all__ = ["Restore", "RestoreResult"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RestoreResult:
    """How a restore ended as a whole; the report has the counts, and how every action ended.

    Attributes:
        undo_path: the undo file of what was changed, or may have been; None where nothing was.
        deletes_skipped_reason: why a mirror deleted nothing, if so.
        unreached: how many records the run did not come to.
        error: what ended the run early.
    """

    undo_path: str | None = None
    deletes_skipped_reason: str | None = None
    unreached: int = 0
    error: Exception | None = None


class Restore:
    """One run of the target, from the whole input to the end state.

    Args:
        settings: the shared settings.
        options: the target's own.
        store: the store.

    Raises:
        SettingsError: the way to send pictures, or the file store, is not valid.
    """

    def __init__(self, settings: Settings, options: TargetSettings, store: StoreClient) -> None:
        self._settings = settings
        self._options = options
        self._store = store
        self._stop = threading.Event()
        self._files = open_files(settings.file_store) if settings.file_store else None
        self._live_images = LiveImages(settings, self._files)
        self._uploader = Uploader(
            settings,
            files=self._files,
            upload_method=options.upload_method,
            file_store_public_url=options.file_store_public_url,
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
            planner = Planner(self._options, self._store, ledger, self._live_images, ignores_refusals=True)
            compared = 0
            with self._progress("verify", restore_input, lambda: compared):
                for batch in planner.batches(restore_input, Mode.MIRROR, self._options.picture_sample):
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
        options = self._options
        for missing in self._products_not_in_input(restore_input, options.mode):
            report.add(missing, missing.status)
        is_understood = restore_input.has_records or not report.skipped
        if not restore_input.count and not (options.mode.deletes and restore_input.is_complete and is_understood):
            report.should_publish = True
            cause = restore_input.incomplete_reason or "no record of the input is one of an image or a product"
            return RestoreResult(deletes_skipped_reason=cause if options.mode.deletes else None)
        reason: str | None = None
        with self._ledger(Ledger.read_only if options.dry_run else Ledger) as ledger:
            report.should_publish = True
            source = InputBatches(restore_input, options.group_key)
            undo = UndoWriter(options.state_dir, self._settings.store_hash, self._live_images)
            error: Exception | None = None
            unreached, is_finished = 0, False
            try:
                reason = self._restore(restore_input, report, ledger, source, undo, earlier_run)
                is_finished = not self._stop.is_set()
            except Exception as failure:  # noqa: BLE001 - the caller raises it
                error = failure
            finally:
                if not is_finished:
                    unreached = self._report_unreached(source, report)
        return RestoreResult(str(undo.path) if undo.is_needed else None, reason, unreached, error)

    def _restore(
        self,
        restore_input: RestoreInput,
        report: Report,
        ledger: Ledger,
        source: InputBatches,
        undo: UndoWriter,
        earlier_run: EarlierRun | None,
    ) -> str | None:
        """Lock the store, recover pending creates, decide about deletes, plan and apply.

        Returns:
            Why a mirror deleted nothing, if so.
        """
        options = self._options
        with ExitStack() as cleanup:
            lock = None if options.dry_run else self._lock(cleanup)
            if options.on_error == "stop" and report.problem_count:
                raise PartialFailure("A record was rejected, and on_error is stop: nothing was written.")
            stops = options.on_error == "stop"
            resources = Resources(self._store, ledger, self._uploader, self._live_images, self._stop, stops)
            planner = self._planner(ledger, earlier_run)
            executor = Executor(resources, pending_write_timeout=options.pending_write_timeout)
            if not options.dry_run:
                executor.recover_pending()
            mode, reason = options.mode, None
            if mode.deletes and (reason := self._deletes_skipped_reason(planner, restore_input, report)) is not None:
                logger.warning("mirror: nothing is deleted, because %s.", reason)
                mode = Mode.UPSERT
            progress = Progress("restore", restore_input.count, self._sampler(restore_input, report, executor), logger)
            cleanup.enter_context(progress)
            cleanup.callback(_warn_of_missing_files, planner)
            batches = planner.batches(restore_input, mode, options.picture_sample)
            batches = warn_of_records_without_file(self._enforce_limits(batches, source, report))
            if options.dry_run:
                for batch in batches:
                    source.accept(batch)
                    report.add_all(batch.plans, "planned")
                return reason
            cleanup.callback(undo.close)
            runner = BatchRunner(resources, executor, undo, report, allow_data_loss=options.allow_data_loss)
            with _blame_lock(lock):
                return runner.run(batches, source) or reason

    def _planner(self, ledger: Ledger, earlier_run: EarlierRun | None) -> Planner:
        return Planner(
            self._options,
            self._store,
            ledger,
            self._live_images,
            partial(self._uploader.check, contact=True),
            earlier_run,
            ignores_refusals=earlier_run is not None,
        )

    def _sampler(self, restore_input: RestoreInput, report: Report, executor: Executor) -> Callable[[], Sample]:
        """Return what says how many records are done, of those that are planned and of the present batch."""
        done, already_reported = 0, report.records

        def sample() -> Sample:
            nonlocal done
            # Deletes and repeated writes of the present batch are no records, so that it may seem to have more.
            present = min(restore_input.count, report.records - already_reported + executor.completed)
            done = max(done, present)  # a batch is counted anew when it is reported
            return Sample(done, executor.files, executor.bytes, self._store.quota_left)

        return sample

    def _lock(self, cleanup: ExitStack) -> StoreLock | None:
        """Let this be the only restore of the store; None where there is no file store to say so in."""
        if not self._options.takes_lock:
            return None
        if self._files is None:
            logger.warning("No file store is set, so that a restore of this store from elsewhere would not be seen.")
            return None
        return cleanup.enter_context(StoreLock(self._files.backend, self._settings.store_hash, self.stop))

    def _progress(self, label: str, restore_input: RestoreInput, records: Callable[[], int]) -> Progress:
        """Show how many records of the input have been looked at, while nothing is written."""

        def sample() -> Sample:
            return Sample(min(restore_input.count, records()), quota_left=self._store.quota_left)

        return Progress(label, restore_input.count, sample, logger, prints_text=label == "verify")

    def _products_not_in_input(self, restore_input: RestoreInput, mode: Mode) -> list[Action]:
        """Reject the chosen products of which the input knows nothing: most likely another one was meant.

        A mirror is another matter: a whole input that lists no products speaks for all, and this one has no image.
        """
        by_id = self._options.match_products_by != "sku"
        if mode.deletes and by_id and restore_input.is_complete and not restore_input.lists_products:
            return []
        return [
            Reject("the input has no image of this product", each) for each in restore_input.products_without_images()
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
            ledger = open_ledger(self._options.state_dir, self._settings.store_hash)
            cleanup.callback(ledger.close)
            yield ledger

    def _report_unreached(self, source: InputBatches, report: Report) -> int:
        """Name the records that the run did not come to; return how many there are."""
        count = 0
        for count, record in enumerate(source.unreached(), 1):  # noqa: B007 - the last number is returned
            report.add_unreached(record)
        if self._options.mode.deletes:
            report.add(Delete("the run ended before it had looked for all deletes", 0), "not reached")
        return count

    def _enforce_limits(self, batches: Iterator[Batch], source: InputBatches, report: Report) -> Iterator[Batch]:
        """Pass on batches until one is not to be carried out.

        Raises:
            PartialFailure: a record is rejected, and `on_error` is stop.
            FatalError: the store has changed so much that a mirror would now delete more than it may.
        """
        deletes = 0
        for batch in batches:
            if self._stop.is_set():
                return
            deletes += sum(isinstance(action, Delete) for each in batch.plans for action in each.writes)
            if self._options.on_error == "stop" and _count(batch)[Reject]:
                source.accept(batch)
                report.add_all(batch.plans, "planned" if self._options.dry_run else "not reached")
                raise PartialFailure("a record was rejected, and on_error is stop: nothing more was written.")
            if deletes > (self._options.max_deletes or 0):
                raise FatalError(
                    "The store changed while it was planned: there would be more deletes than max_deletes."
                )
            yield batch

    def _deletes_skipped_reason(self, planner: Planner, restore_input: RestoreInput, report: Report) -> str | None:
        """Plan the whole mirror; return why nothing may be deleted, or None: no delete stands on a doubtful input.

        Raises:
            SettingsError: there would be more deletes than allowed.
        """
        if restore_input.incomplete_reason is not None:
            return restore_input.incomplete_reason
        if report.unfinished:
            return "records were rejected"
        counts: Counter[type[Action]] = Counter()
        invalid: list[Action] = []  # images of no record that are not valid: no upsert would name them
        refused: list[Action] = []  # nor those whose pictures would be lost
        with self._progress("plan", restore_input, lambda: counts.total() - counts[Delete]):
            for batch in planner.batches(restore_input, Mode.MIRROR):
                counts += _count(batch)
                rejected = [action for each in batch.plans for action in each.actions if isinstance(action, Reject)]
                invalid += [action for action in rejected if action.is_of_invalid_image]
                refused += [action for action in rejected if is_refused_delete(action)]
        most = self._options.max_deletes or 0
        if counts[Delete] > most:
            raise SettingsError(
                f"mirror would delete {counted(counts[Delete], 'image')}, more than max_deletes {most}: nothing "
                "was written. Look at the plan with dry_run and a larger max_deletes."
            )
        for action in (*invalid, *refused):
            report.add(action, action.status)
        reasons = [refused_deletes_reason(len(refused))] if refused else []
        if counts[Reject] > len(invalid) + len(refused):
            reasons.append("records were rejected")
        elif invalid:
            reasons.append(f"of product {invalid[0].product_id} {invalid[0].reason}")
        return " and ".join(reasons) or None


@contextmanager
def _blame_lock(lock: StoreLock | None) -> Iterator[None]:
    """Raise that the lock was lost, in place of whatever has failed because of that.

    Raises:
        FatalError: it was lost.
    """
    try:
        yield
    finally:
        if lock is not None and lock.lost is not None:
            raise FatalError(lock.lost)


def _warn_of_missing_files(planner: Planner) -> None:
    """Say how many saved pictures cannot be sent, for want of the setting that tells where they are."""
    if planner.without_file_store:
        logger.warning(
            "%s to be created or replaced with a saved picture, but file_store is not set: without it, the store can "
            "only fetch a picture from its old address, and has none for what was deleted. Set file_store to the file "
            "store of the backup.",
            counted(planner.without_file_store, "image"),
        )


def _count(batch: Batch) -> Counter[type[Action]]:
    return Counter(type(action) for each in batch.plans for action in each.actions)
