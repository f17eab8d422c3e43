"""Carries out plans exactly once: write, read back, plan again until nothing is left.

Products go in parallel, the images of one product in order. Nothing is decided here: after each round the products
are read back and planned again, which finds what the store did not take, moved, or did without answering. A product
has at most one create whose outcome is not known: nothing else is written to it before that is found out.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from bc_images.bigcommerce.mapping import Record
from bc_images.concurrency import worker_pool
from bc_images.errors import FatalError, FileUnavailable, NotFound, OutcomeUnknown, RequestRejected, StoreUnreachable
from target_bc_images.batches import Batch
from target_bc_images.changes import Action, Reject, SourceKey
from target_bc_images.context import PlanContext
from target_bc_images.differences import Difference
from target_bc_images.ledger import Intent
from target_bc_images.outcomes import Outcome, outcomes
from target_bc_images.pending import RESOLUTION, PendingCreates
from target_bc_images.planning import ProductPlan, plan
from target_bc_images.product_task import MAX_WRITES, Failure, ProductTask
from target_bc_images.read_back import Arrivals, ReadBack
from target_bc_images.resources import Resources
from target_bc_images.sender import Sender

__all__ = ["POLL_DELAYS", "Executor"]

POLL_DELAYS = (0.0, 1.0, 4.0, 15.0)  # seconds before each look for a write whose answer was lost
CONFLICT = 409  # an HTTP status: the product is busy, or what is created is there already
MAX_CONFLICTS = 4  # tries of one write
MAX_UNANSWERED = 5  # writes in a row that the store may fail to answer before it counts as unreachable


class Executor:
    """Writes to one store.

    Attributes:
        completed: how many actions of the present batch have been carried out.
        files: how many pictures have been sent.
        bytes: how many bytes these had, as far as the backup tells.

    Args:
        resources: the store, and what writing to it takes.
        pending_write_timeout: seconds for which the store may still carry out a create whose reply was lost.
        poll_delays: seconds before each look for a write whose answer was lost; `POLL_DELAYS` by default.
    """

    def __init__(
        self,
        resources: Resources,
        *,
        pending_write_timeout: float = 0,
        poll_delays: Sequence[float] | None = None,
    ) -> None:
        self._resources = resources
        self._store = resources.store
        self._ledger = resources.ledger
        self._uploader = resources.uploader
        self._live_images = resources.live_images
        self._stop = resources.stop
        self._stop_on_error = resources.stop_on_error
        self._poll_delays = POLL_DELAYS if poll_delays is None else poll_delays
        timeout = max(pending_write_timeout, sum(self._poll_delays))
        self._pending = PendingCreates(self._ledger, self._live_images, timeout, self._store.now)
        self._read_back = ReadBack(resources, self._pending, self._poll_delays)
        self._sender = Sender(resources, self._pending)
        self._stopped_by: FatalError | None = None
        self._unanswered = 0  # writes in a row
        self._counting = threading.Lock()
        self.completed = 0
        self.files = 0
        self.bytes = 0

    def recover_pending(self) -> None:
        """Find out what became of the images that an earlier run was about to create when it ended.

        One that the store may still create stays open: nothing is written to its product. At last what that run has
        left in the import folder of WebDAV is removed.
        """
        waiting = self._ledger.open_intents()
        for seconds in self._poll_delays:
            if not waiting or self._stop.wait(seconds):
                break
            waiting = self._still_open(waiting)
        remaining = max(map(self._pending.remaining, waiting), default=0.0)
        if 0 < remaining <= RESOLUTION and not self._stop.wait(remaining):  # another run only to wait so long is absurd
            waiting = self._still_open(waiting)
        self._pending.undecided = {intent.product_id: intent for intent in waiting}
        if not waiting and not self._stop.is_set():
            self._uploader.remove_uploads(self._ledger.imports(), self._ledger)

    def _still_open(self, intents: Sequence[Intent]) -> list[Intent]:
        """Return those whose image is not there and may still come."""
        existing = {
            product.id: product.images for product in self._store.products([intent.product_id for intent in intents])
        }
        return [intent for intent in intents if not self._is_resolved(intent, existing.get(intent.product_id, []))]

    def _is_resolved(self, intent: Intent, images: Sequence[Record]) -> bool:
        """Whether an image that was about to be created is there, or will not be any more."""
        if self._pending.confirm(intent, images) is None:
            if self._pending.may_still_come(intent):
                return False
            self._ledger.abort(intent)  # planning will say again that it is missing
        return True

    def run(self, batch: Batch) -> Iterator[Outcome]:
        """Carry out the plans of one batch of products; yield how each action ended of those that write anything.

        The context of the batch grows: by the images that are created, and by what the store refuses.

        Raises:
            FatalError: the store stopped the run; raised after the outcomes of all that had begun.
        """
        plans, context = batch.plans, batch.context
        tasks = [ProductTask(planned, list(planned.writes), planned.existing) for planned in plans if planned.writes]
        for task in tasks:
            if task.product_id in self._pending.undecided:
                intent = self._pending.undecided[task.product_id]
                task.leave_pending(intent, self._pending.describe(intent))
        if context.previous_fields or context.unfinished:
            self._ledger.clear_siblings(planned.product_id for planned in plans if not planned.writes)
        if tasks:
            self._run_tasks(tasks, context)
        for task in tasks:
            yield from outcomes(task, is_stopped=self._stop.is_set())
        if self._stopped_by is not None:
            raise self._stopped_by

    def _run_tasks(self, tasks: list[ProductTask], context: PlanContext) -> None:
        untouched = {task.product_id: task.first.untouched for task in tasks if task.first.untouched}
        if untouched:
            self._ledger.save_siblings(untouched, self._store.now())
        waiting = [task for task in tasks if task.has_work]
        with (
            worker_pool(1, "read ahead") as reader,
            ThreadPoolExecutor(self._store.settings.concurrency, "apply") as executor,
        ):
            arrivals = Arrivals(self._resources, context, waiting, reader)
            while not self._stop.is_set() and (busy := [task for task in tasks if task.has_work]):
                list(executor.map(lambda task: self._write(task, context, arrivals), busy))
                self._verify_and_replan(busy, context, arrivals)
        self._save_differences(tasks, context)
        self._ledger.clear_siblings(task.product_id for task in tasks if task.is_proven)
        self.completed = 0

    # Writing

    def _write(self, task: ProductTask, context: PlanContext, arrivals: Arrivals) -> None:
        """Carry out what is to do for one product, in order; an error is kept, not raised."""
        try:
            arrivals.before_first_create(task)
            task.begin_round()
            while task.todo and not self._stop.is_set():
                action = task.todo[0]
                try:
                    self._sender.carry_out(action, task, context)
                except (RequestRejected, FileUnavailable) as error:
                    if self._is_conflict(task, action, error):
                        return  # look, then try again
                    if not (isinstance(error, NotFound) and action.existing):  # gone meanwhile: planning will see it
                        self._fail(task, action, str(error), context)
                except OutcomeUnknown as error:
                    task.count_success(action, is_answered=error.is_answered)
                    return  # look before anything else is written to this product
                except StoreUnreachable as error:
                    self._tolerate_unresponsive(task, error)
                    self._fail(task, action, str(error), context, is_unknown=True)
                else:
                    self._unanswered = 0
                task.todo.remove(action)
                self._count(action)
        except FatalError as error:
            if not self._stop.is_set() and task.todo:  # else it was us who stopped it
                task.failed[task.todo[0].key] = Failure(task.todo[0], str(error))
            self._stopped_by = self._stopped_by or error
            self._stop.set()

    def _is_conflict(self, task: ProductTask, action: Action, error: Exception) -> bool:
        """Whether the store is busy with the product, or has already what is to be created; not for ever."""
        if not isinstance(error, RequestRejected) or error.status != CONFLICT:
            return False
        task.conflicts[action.key] += 1
        return task.conflicts[action.key] < MAX_CONFLICTS

    def _count(self, action: Action) -> None:
        with self._counting:
            self.completed += 1
            if action.sends_bytes and action.desired is not None:
                self.files += 1
                self.bytes += action.desired.get("file_size") or 0

    def _tolerate_unresponsive(self, task: ProductTask, error: StoreUnreachable) -> None:
        """Let a write that the store never answers be that image's fault, where it still answers others.

        Raises:
            FatalError: it does not.
        """
        self._unanswered += 1
        if self._unanswered >= MAX_UNANSWERED:
            raise error
        with suppress(NotFound):
            self._store.images(task.product_id)

    def _fail(
        self, task: ProductTask, action: Action, reason: str, context: PlanContext, *, is_unknown: bool = False
    ) -> None:
        task.failed[action.key] = Failure(action, reason, is_unknown)
        context.rejections[action.key] = reason
        if self._stop_on_error:
            self._stop.set()

    # Looking

    def _verify_and_replan(self, tasks: Sequence[ProductTask], context: PlanContext, arrivals: Arrivals) -> None:
        """Read the products back and plan them again; look longer for what was created and is not there."""
        if isinstance(self._stopped_by, StoreUnreachable):
            return  # it would not answer this either
        try:
            self._read_back.read(tasks, context)
        except FatalError as error:
            self._stopped_by = self._stopped_by or error
            self._stop.set()
            return
        for task in tasks:
            if not (self._stop.is_set() and (task.pending_create or task.unlisted)):
                self._plan_again(task, context, arrivals)

    def _plan_again(self, task: ProductTask, context: PlanContext, arrivals: Arrivals) -> None:
        planned = self._plan(task, context)
        not_taken = task.not_taken()
        for key, kept_values in not_taken.items():
            context.kept_values[key] = {**context.kept_values.get(key, {}), **kept_values}
        given_up = [action for action in task.todo if task.unconfirmed[action.key, type(action)] >= MAX_WRITES]
        for action in given_up:
            reason = f"the store has answered {MAX_WRITES} times that it was done, and does not show it"
            self._fail(task, action, reason, context)
        if not_taken or given_up:
            planned = self._plan(task, context)
            if self._stop_on_error:
                self._stop.set()
        if task.conflicts:
            arrivals.adopt(task)
        self._fail_invalid(task, planned)
        self._clear_confirmed_failures(task, planned, context)
        task.is_read_back = True
        task.is_proven = not task.todo and not task.failed
        task.stalled_rounds += 1
        if not task.fewest_remaining or len(task.todo) < task.fewest_remaining:
            task.fewest_remaining, task.stalled_rounds = len(task.todo), 0

    def _plan(self, task: ProductTask, context: PlanContext) -> ProductPlan:
        planned = plan(task.product_id, task.first.desired, task.images, context, task.first)
        task.replan(planned)
        return planned

    def _save_differences(self, tasks: Sequence[ProductTask], context: PlanContext) -> None:
        """Write down what the store does not take, for the next run; forget what it takes by now."""
        kept = {key: differences for task in tasks for key, differences in task.differences.items()}
        taken: dict[SourceKey, Sequence[Difference]] = {
            action.key: ()
            for task in tasks
            if task.is_proven
            for action in task.first.actions
            if action.key in context.kept_values or action.key in context.refusals
        }
        if taken or kept:
            self._ledger.save_kept_values({**taken, **kept})

    def _fail_invalid(self, task: ProductTask, planned: ProductPlan) -> None:
        """Call no write done whose image cannot be read afterwards."""
        written = {action.key for action in task.first.writes}
        for action in planned.actions:
            if isinstance(action, Reject) and action.key in written and action.key not in task.failed:
                task.failed[action.key] = Failure(action, action.reason, is_unknown=True)

    def _clear_confirmed_failures(self, task: ProductTask, planned: ProductPlan, context: PlanContext) -> None:
        """Take back the failures of writes that were done although no answer said so."""
        refused = {action.key for action in planned.actions if isinstance(action, Reject)}
        for key, failure in list(task.failed.items()):
            if failure.is_unknown and key not in refused:
                del task.failed[key], context.rejections[key]
