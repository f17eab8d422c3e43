"""Carries out one restore: decides about deletes, plans, enforces the limits, applies, names the unreached."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial

from bc_images.bigcommerce import StoreClient
from bc_images.errors import FatalError, PartialFailure, SettingsError
from bc_images.progress import Progress, Sample
from bc_images.text import counted
from target_bc_images.apply import BatchRunner, is_refused_delete, refused_deletes_reason
from target_bc_images.batches import Batch, InputBatches, warn_of_records_without_file
from target_bc_images.before_images import UndoWriter
from target_bc_images.changes import Action, Delete, Mode, Reject
from target_bc_images.context import EarlierRun
from target_bc_images.executor import Executor
from target_bc_images.planner import Planner
from target_bc_images.report import Report
from target_bc_images.resources import Resources
from target_bc_images.restore_input import RestoreInput
from target_bc_images.settings import TargetSettings

__all__ = ["RestoreRun", "reading_progress"]

logger = logging.getLogger(__name__)


class RestoreRun:
    """One run over one input; used once.

    Args:
        settings: the target's own settings.
        resources: the store, and what writing to it takes.
        restore_input: the input.
        report: gets every action and its end.
        earlier_run: the run whose report the input is from; what the store did not take then is written again.

    Attributes:
        undo: the undo file.
    """

    def __init__(
        self,
        settings: TargetSettings,
        resources: Resources,
        restore_input: RestoreInput,
        report: Report,
        earlier_run: EarlierRun | None,
    ) -> None:
        self._settings = settings
        self._resources = resources
        self._store = resources.store
        self._stop = resources.stop
        self._input = restore_input
        self._report = report
        self._batches = InputBatches(restore_input, settings.group_key)
        self._executor = Executor(resources, pending_write_timeout=settings.pending_write_timeout)
        self._planner = Planner(
            settings,
            self._store,
            resources.ledger,
            resources.live_images,
            partial(resources.uploader.check, contact=True),
            earlier_run,
            ignores_refusals=earlier_run is not None,
        )
        self.undo = UndoWriter(settings.state_dir, self._store.settings.store_hash, resources.live_images)

    def apply(self) -> str | None:
        """Recover pending creates, decide about deletes, plan and apply.

        Returns:
            Why a mirror deleted nothing, if so.

        Raises:
            BcImagesError: of any kind; the report has what was done until then.
        """
        settings = self._settings
        if settings.on_error == "stop" and self._report.problem_count:
            raise PartialFailure("A record was rejected, and on_error is stop: nothing was written.")
        if not settings.dry_run:
            self._executor.recover_pending()
        mode, reason = settings.mode, None
        if mode.deletes and (reason := self._deletes_skipped_reason()) is not None:
            logger.warning("mirror: nothing is deleted, because %s.", reason)
            mode = Mode.UPSERT
        with ExitStack() as cleanup:
            cleanup.enter_context(Progress("restore", self._input.count, self._sampler(), logger))
            cleanup.callback(self._warn_of_missing_files)
            batches = self._planner.batches(self._input, mode, settings.picture_sample)
            batches = warn_of_records_without_file(self._enforce_limits(batches))
            if settings.dry_run:
                for batch in batches:
                    self._batches.accept(batch)
                    self._report.add_all(batch.plans, "planned")
                return reason
            undo = cleanup.enter_context(closing(self.undo))
            runner = BatchRunner(
                self._resources, self._executor, undo, self._report, allow_data_loss=settings.allow_data_loss
            )
            return runner.run(batches, self._batches) or reason

    def report_unreached(self) -> None:
        """Name the records that the run did not come to."""
        for record in self._batches.unreached():
            self._report.add_unreached(record)
        if self._settings.mode.deletes:
            self._report.add(Delete("the run ended before it had looked for all deletes", 0), "not reached")

    def _sampler(self) -> Callable[[], Sample]:
        """Return what says how many records are done, of those that are planned and of the present batch."""
        done, already_reported = 0, self._report.records
        executor = self._executor

        def sample() -> Sample:
            nonlocal done
            # Deletes and repeated writes of the present batch are no records, so that it may seem to have more.
            present = min(self._input.count, self._report.records - already_reported + executor.completed)
            done = max(done, present)  # a batch is counted anew when it is reported
            return Sample(done, executor.files, executor.bytes, self._store.quota_left)

        return sample

    def _enforce_limits(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Pass on batches until one is not to be carried out.

        Raises:
            PartialFailure: a record is rejected, and `on_error` is stop.
            FatalError: the store has changed so much that a mirror would now delete more than it may.
        """
        deletes = 0
        for batch in batches:
            if self._stop.is_set():
                return
            deletes += sum(isinstance(action, Delete) for action in batch.writes)
            if self._settings.on_error == "stop" and _count(batch)[Reject]:
                self._batches.accept(batch)
                self._report.add_all(batch.plans, "planned" if self._settings.dry_run else "not reached")
                raise PartialFailure("a record was rejected, and on_error is stop: nothing more was written.")
            if deletes > (self._settings.max_deletes or 0):
                raise FatalError(
                    "The store changed while it was planned: there would be more deletes than max_deletes."
                )
            yield batch

    def _deletes_skipped_reason(self) -> str | None:
        """Plan the whole mirror; return why nothing may be deleted, or None: no delete stands on a doubtful input.

        Raises:
            SettingsError: there would be more deletes than allowed.
        """
        if self._input.incomplete_reason is not None:
            return self._input.incomplete_reason
        if self._report.unfinished:
            return "records were rejected"
        counts: Counter[type[Action]] = Counter()
        invalid: list[Action] = []  # images of no record that are not valid: no upsert would name them
        refused: list[Action] = []  # nor those whose pictures would be lost
        with reading_progress("plan", self._input, self._store, lambda: counts.total() - counts[Delete]):
            for batch in self._planner.batches(self._input, Mode.MIRROR):
                counts += _count(batch)
                rejected = [action for action in batch.actions if isinstance(action, Reject)]
                invalid += [action for action in rejected if action.is_of_invalid_image]
                refused += [action for action in rejected if is_refused_delete(action)]
        limit = self._settings.max_deletes or 0
        if counts[Delete] > limit:
            raise SettingsError(
                f"mirror would delete {counted(counts[Delete], 'image')}, more than max_deletes {limit}: nothing "
                "was written. Look at the plan with dry_run and a larger max_deletes."
            )
        for action in (*invalid, *refused):
            self._report.add(action, action.status)
        reasons = [refused_deletes_reason(len(refused))] if refused else []
        if counts[Reject] > len(invalid) + len(refused):
            reasons.append("records were rejected")
        elif invalid:
            reasons.append(f"of product {invalid[0].product_id} {invalid[0].reason}")
        return " and ".join(reasons) or None

    def _warn_of_missing_files(self) -> None:
        """Say how many saved pictures cannot be sent, for want of the setting that tells where they are."""
        if self._planner.without_file_store:
            logger.warning(
                "%s to be created or replaced with a saved picture, but file_store is not set: without it, the store "
                "can only fetch a picture from its old address, and has none for what was deleted. Set file_store to "
                "the file store of the backup.",
                counted(self._planner.without_file_store, "image"),
            )


def reading_progress(
    label: str, restore_input: RestoreInput, store: StoreClient, records: Callable[[], int]
) -> Progress:
    """Show how many records of the input have been looked at, while nothing is written."""

    def sample() -> Sample:
        return Sample(min(restore_input.count, records()), quota_left=store.quota_left)

    return Progress(label, restore_input.count, sample, logger, prints_text=label == "verify")


def _count(batch: Batch) -> Counter[type[Action]]:
    return Counter(map(type, batch.actions))
