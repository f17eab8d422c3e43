"""Applies batches of plans: undo first, deletes last, every outcome reported."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from bc_images.errors import AuthError, StoreSuspended
from bc_images.text import counted
from target_bc_images.batches import Batch, InputBatches
from target_bc_images.before_images import UndoWriter
from target_bc_images.changes import Action, Create, Delete, Reject, SourceKey
from target_bc_images.executor import Executor
from target_bc_images.planning import plan, room_for
from target_bc_images.product_reader import read_products
from target_bc_images.report import Report
from target_bc_images.resources import Resources

__all__ = ["BatchRunner", "is_refused_delete", "refused_deletes_reason"]


class BatchRunner:
    """Carries out the plans of one run; used once.

    Args:
        resources: the store, and what writing to it takes.
        executor: writes to it.
        undo: saves what is there before.
        report: gets how every action ended.
        allow_data_loss: a picture may be lost of which no copy is kept.
    """

    def __init__(
        self, resources: Resources, executor: Executor, undo: UndoWriter, report: Report, *, allow_data_loss: bool
    ) -> None:
        self._store = resources.store
        self._executor = executor
        self._ledger = resources.ledger
        self._undo = undo
        self._report = report
        self._stop = resources.stop
        self._allow_data_loss = allow_data_loss

    def run(self, batches: Iterable[Batch], source: InputBatches) -> str | None:
        """Carry out all batches; what a mirror deletes comes last, and only if nothing has gone wrong before.

        Args:
            batches: the plans, batch by batch.
            source: is told which of them are in the report.

        Returns:
            Why nothing was deleted, if so.

        Raises:
            BcImagesError: the store, the ledger or the undo file stopped the run.
        """
        refused = 0
        later: list[Batch] = []  # no more of them than max_deletes
        for batch in batches:
            backed_up = self._undo.save(batch.plans)
            safe = batch if self._allow_data_loss else _require_backups(batch, backed_up)
            source.accept(batch)
            refused += sum(is_refused_delete(action) for action in safe.actions)
            deleting = [
                planned for planned in safe.plans if any(isinstance(action, Delete) for action in planned.writes)
            ]
            if deleting:
                now = _without_deletes(safe)
                later.append(_left_for_later(replace(safe, plans=deleting), now))
                safe = now
            self._carry_out(safe)
            if self._stop.is_set():
                break
        # What the store never takes must not keep a mirror from its end.
        reason = self._deletes_skipped_reason(refused) if later and self._report.unfinished else None
        for batch in later:
            if self._stop.is_set() or reason:
                for action in batch.writes:
                    self._report.add(action, "not reached")
            else:
                self._carry_out(self._replan_deletes(batch))
        return reason

    def _deletes_skipped_reason(self, refused: int) -> str:
        """Say what has gone wrong, so that nothing is deleted; `refused` deletes would have lost a picture."""
        reasons = [refused_deletes_reason(refused)] if refused else []
        undecided, unverified = self._report.with_status("undecided"), self._report.with_status("unverified")
        if undecided:
            reasons.append(f"{counted(undecided, 'image is', 'images are')} undecided")
        elif unverified:
            reasons.append(f"{counted(unverified, 'image is', 'images are')} not verified")
        if self._report.unfinished > refused + undecided + unverified or not reasons:
            reasons.append("records were rejected or failed")
        return " and ".join(reasons)

    def _carry_out(self, batch: Batch) -> None:
        changing = [planned for planned in batch.plans if planned.writes]
        self._report.add_all((planned for planned in batch.plans if not planned.writes), "done")
        has_outcome = has_changed = False
        try:
            for outcome in self._executor.run(batch):
                has_outcome = True
                has_changed = has_changed or outcome.may_have_written
                self._report.add(
                    outcome.action,
                    outcome.status,
                    target_id=outcome.target_id,
                    error=outcome.error,
                    differences=outcome.differences,
                )
        except Exception as error:
            if not has_outcome:  # it could not even say how far it came, without its ledger
                self._report.add_all(changing, "not reached")
            # Only these two say for sure that the store has not taken what was cut off.
            has_changed = has_changed or not isinstance(error, AuthError | StoreSuspended)
            raise
        finally:
            if changing and (has_changed or self._ledger.open_intents()):
                self._undo.is_needed = True
        self._report.flush()

    def _replan_deletes(self, batch: Batch) -> Batch:
        """Plan the deletes of a batch again, now that all else is done; what is gone already counts as deleted."""
        existing = read_products(self._store, [planned.product_id for planned in batch.plans], batch.context)
        plans = [
            plan(planned.product_id, planned.desired, existing.get(planned.product_id, []), batch.context, planned)
            for planned in batch.plans
        ]
        left = {action.key for planned in plans for action in planned.writes}
        for action in batch.writes:
            if action.key not in left:
                self._report.add(action, "done")
        return replace(batch, plans=[planned._replace(actions=planned.writes) for planned in plans])


def _require_backups(batch: Batch, backed_up: set[str]) -> Batch:
    """From here on let no picture be lost of which no copy is kept."""
    context = replace(batch.context, backed_up=backed_up)
    plans = [
        plan(planned.product_id, planned.desired, planned.existing, context, planned) if planned.writes else planned
        for planned in batch.plans
    ]
    return replace(batch, plans=plans, context=context)


def is_refused_delete(action: Action) -> bool:
    """Whether a mirror would have deleted an image, and must not."""
    is_extra = isinstance(action, Reject) and action.desired is None and action.existing is not None
    return is_extra and not action.is_of_invalid_image


def refused_deletes_reason(count: int) -> str:
    """Say why a mirror must not delete so many images."""
    deletes = "1 delete was refused" if count == 1 else f"{count} deletes were refused"
    return f"{deletes}: no copy of the picture is kept (set file_store, or allow_data_loss)"


def _without_deletes(batch: Batch) -> Batch:
    """Leave out the deletes, and the creates for which there is no room before them."""
    plans = []
    for planned in batch.plans:
        room = room_for(planned.existing)
        creates = [action for action in planned.writes if isinstance(action, Create)]
        late = {action.key for action in creates[max(0, room) :]}
        plans.append(
            planned._replace(
                actions=[action for action in planned.actions if _is_done_now(action, late)],
                writes=[action for action in planned.writes if _is_done_now(action, late)],
            )
        )
    return replace(batch, plans=plans, context=replace(batch.context, deletes=False))


def _is_done_now(action: Action, late: Collection[SourceKey]) -> bool:
    return not isinstance(action, Delete) and not (isinstance(action, Create) and action.key in late)


def _left_for_later(batch: Batch, now: Batch) -> Batch:
    """Return the plans with those writes alone that are not carried out now."""
    done = {action.key for action in now.writes}
    plans = [
        planned._replace(writes=[action for action in planned.writes if action.key not in done])
        for planned in batch.plans
    ]
    return replace(batch, plans=plans)
