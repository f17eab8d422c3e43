"""One run of the target: plan, refuse what cannot or must not be done, keep an undo, apply, report."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

from bc_images.files.upload import Uploader

from bc_images.errors import BcImagesError, SettingsError
from bc_images.files import Downloader, open_files
from bc_images.progress import Progress, Sample
from bc_images.settings import Settings
from bc_images.store import Store
from target_bc_images.apply import Apply
from target_bc_images.inbox import Inbox
from target_bc_images.ledger import Ledger
from target_bc_images.options import Options
from target_bc_images.plan import Action, Knowledge, Mode, ProductPlan
from target_bc_images.planner import Planner
from target_bc_images.report import Report, Status
from target_bc_images.undo import Undo

__all__ = ["Restore"]

logger = logging.getLogger(__name__)


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
        self._files = open_files(settings.files) if settings.files else None
        self._uploader = Uploader(
            settings,
            files=self._files,
            upload=options.upload,
            files_url=options.files_url,
            webdav_username=options.webdav_username,
            webdav_password=options.webdav_password,
        )
        self.undo_path: str | None = None
        self.kept_all: str | None = None
        """Why a mirror deleted nothing, if it did not."""

    def run(self, inbox: Inbox) -> None:
        """Plan everything and, unless this is a dry run, apply it.

        Raises:
            BcImagesError: any kind but the refusals of single records, which are in the report.
        """
        options, store_hash = self._options, self._settings.store_hash
        with ExitStack() as cleanup:
            ledger = (Ledger.read_only if options.dry_run else Ledger)(options.state_dir, store_hash)
            cleanup.callback(ledger.close)
            planner = Planner(self._settings, options, self._store, ledger, self._files)
            apply = Apply(self._store, ledger, self._uploader, self._stop, stop_on_error=options.on_error == "stop")
            if not options.dry_run:
                apply.settle()
            mode = self._mirror_or_not(planner, inbox) if options.mode == "mirror" else options.mode
            cleanup.enter_context(Progress("restore", inbox.count, self._sample, logger))
            if options.dry_run:
                self._show(self._plans(planner, inbox, mode))
            else:
                self._write(self._plans(planner, inbox, mode), apply, cleanup)

    def _sample(self) -> Sample:
        return Sample(images=self._report.seen)

    def _plans(self, planner: Planner, inbox: Inbox, mode: Mode) -> Iterator[tuple[list[ProductPlan], Knowledge]]:
        """Yield plans from which is taken out what cannot work, or would lose a picture for good."""
        for plans, facts in planner.plans(inbox, mode):
            yield [replace(each, actions=[self._refused(action) for action in each.actions]) for each in plans], facts

    def _refused(self, action: Action) -> Action:
        if not action.writes:
            return action
        if action.action in _LOSING and self._files is None and not self._options.allow_losing_files:
            reason = f"{action.action} would lose the present picture: set files to keep it, or allow_losing_files"
            return replace(action, action="reject", reason=reason)
        if action.action in {"create", "replace"} and action.wanted is not None:
            try:
                self._uploader.check(action.wanted)
            except BcImagesError as error:
                return replace(action, action="reject", reason=str(error))
        return action

    def _show(self, batches: Iterator[tuple[list[ProductPlan], Knowledge]]) -> None:
        for plans, _ in batches:
            for action in (action for each in plans for action in each.actions):
                status: Status = "planned" if action.writes else "kept"
                if action.action == "reject":
                    self._report.add(action, "rejected", error=action.reason)
                else:
                    self._report.add(action, status)

    def _write(self, batches: Iterator[tuple[list[ProductPlan], Knowledge]], apply: Apply, cleanup: ExitStack) -> None:
        undo = Undo(self._options.state_dir, self._settings.store_hash, self._downloader(cleanup))
        cleanup.callback(undo.close)
        for plans, facts in batches:
            kept = undo.keep(plans)
            self.undo_path = str(undo.path) if undo.needed else None
            if not self._options.allow_losing_files:
                plans = [_without_losses(each, kept) for each in plans]  # noqa: PLW2901 - the same plans, safer
            for outcome in apply.run(plans, facts):
                self._report.add(outcome.action, outcome.status, target_id=outcome.target_id, error=outcome.error)
            if self._stop.is_set():
                return

    def _downloader(self, cleanup: ExitStack) -> Downloader | None:
        if self._files is None:
            return None
        downloader = Downloader(self._settings, self._files)
        cleanup.callback(downloader.close)
        return downloader

    def _mirror_or_not(self, planner: Planner, inbox: Inbox) -> Mode:
        """Plan the whole mirror first: deletes are counted before the first one, and none stands on a doubtful input.

        Raises:
            SettingsError: there would be more deletes than allowed.
        """
        if not inbox.is_whole:
            self.kept_all = "the input does not end with the mark of a complete sweep (ACTIVATE_VERSION)"
        elif self._report.bad:
            self.kept_all = "records were rejected"
        else:
            counts: Counter[str] = Counter()
            for plans, _ in self._plans(planner, inbox, "mirror"):
                counts.update(action.action for each in plans for action in each.actions)
            most = self._options.max_deletes or 0
            if counts["delete"] > most:
                raise SettingsError(
                    f"mirror would delete {counts['delete']} images, more than max_deletes {most}: nothing was "
                    "written. Look at the plan with dry_run and a larger max_deletes."
                )
            if counts["reject"]:
                self.kept_all = "records were rejected"
        if self.kept_all is None:
            return "mirror"
        logger.warning("mirror: nothing is deleted, because %s.", self.kept_all)
        return "upsert"


_LOSING = {"replace", "delete"}


def _without_losses(planned: ProductPlan, kept: set[int]) -> ProductPlan:
    """Reject the actions that would lose a picture which could not be saved."""
    actions = [
        replace(
            action, action="reject", reason=f"{action.action} would lose the present picture, which cannot be saved"
        )
        if action.action in _LOSING and action.live is not None and action.live["id"] not in kept
        else action
        for action in planned.actions
    ]
    return replace(planned, actions=actions)
