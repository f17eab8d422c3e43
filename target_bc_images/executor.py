"""Carry out plans, exactly once, and prove it: write, look, plan again until nothing is left to do.

Products go in parallel, the images of one product in order. Nothing is decided here: after each round the products
are read back and planned again, which finds what the store did not take, moved, or did without answering. A product
has at most one create whose outcome is not known: nothing else is written to it before that is found out.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from bc_images.bigcommerce import Store, transport
from bc_images.bigcommerce.mapping import InvalidImageError, Record
from bc_images.errors import FatalError, FileUnavailable, NotFound, OutcomeUnknown, RequestRejected, StoreUnreachable
from bc_images.files.upload import Uploader
from target_bc_images.arrivals import Arrivals
from target_bc_images.differences import Difference
from target_bc_images.ledger import Intent, Ledger
from target_bc_images.live_images import LiveImages
from target_bc_images.matching import PlanContext, SourceKey
from target_bc_images.pending import RESOLUTION, PendingCreates
from target_bc_images.planner import Batch, read_products
from target_bc_images.planning import Action, ProductPlan, plan
from target_bc_images.product_task import MAX_WRITES, Failure, Outcome, ProductTask
from target_bc_images.sender import Sender

__all__ = ["PATIENCE", "Executor"]

PATIENCE = (0.0, 1.0, 4.0, 15.0)  # seconds before each look for a write whose answer was lost
CONFLICT = 409  # an HTTP status: the product is busy, or what is created is there already
MAX_CONFLICTS = 4  # tries of one write
MOST_UNANSWERED = 5  # writes in a row that the store may fail to answer before it counts as unreachable


class Executor:
    """Writes to one store.

    Attributes:
        under_way: how many actions of the present batch have been carried out.
        files: how many pictures have been sent.
        bytes: how many bytes these had, as far as the backup tells.

    Args:
        store: the store.
        ledger: its ledger, already held.
        uploader: gives the bytes their way into the store.
        pictures: reads live pictures.
        stop: once set, requests under way finish and nothing new starts.
        pending_write_timeout: seconds for which the store may still carry out a create whose reply was lost.
        stop_on_error: set `stop` at the first action that fails.
        patience: seconds before each look for a write whose answer was lost; `PATIENCE` by default.
    """

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        uploader: Uploader,
        pictures: LiveImages,
        stop: threading.Event,
        *,
        pending_write_timeout: float = 0,
        stop_on_error: bool = False,
        patience: Sequence[float] | None = None,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._uploader = uploader
        self._pictures = pictures
        self._stop = stop
        self._stop_on_error = stop_on_error
        self._patience = PATIENCE if patience is None else patience
        self._pending = PendingCreates(ledger, pictures, max(pending_write_timeout, sum(self._patience)), store.now)
        self._sender = Sender(store, ledger, uploader, pictures, self._pending, stop=stop if stop_on_error else None)
        self._stopped_by: FatalError | None = None
        self._unanswered = 0  # writes in a row
        self._counting = threading.Lock()
        self.under_way = 0
        self.files = 0
        self.bytes = 0

    def settle(self) -> None:
        """Find out what became of the images that an earlier run was about to create when it ended.

        One that the store may still create stays open: nothing is written to its product. At last what that run has
        left in the import folder of WebDAV is removed.
        """
        waiting = self._ledger.open_intents()
        for seconds in self._patience:
            if not waiting or self._stop.wait(seconds):
                break
            waiting = self._still_open(waiting)
        remaining = max(map(self._pending.remaining, waiting), default=0.0)
        if 0 < remaining <= RESOLUTION and not self._stop.wait(remaining):  # another run only to wait so long is absurd
            waiting = self._still_open(waiting)
        self._pending.undecided = {intent.product_id: intent for intent in waiting}
        if not waiting and not self._stop.is_set():
            self._uploader.clear(self._ledger.imports(), self._ledger)

    def _still_open(self, intents: Sequence[Intent]) -> list[Intent]:
        """Return those whose image is not there and may still come."""
        live = {each.id: each.images for each in self._store.products([intent.product_id for intent in intents])}
        return [each for each in intents if not self._is_settled(each, live.get(each.product_id, []))]

    def _is_settled(self, intent: Intent, images: Sequence[Record]) -> bool:
        """Whether an image that was about to be created is there, or will not be any more."""
        if self._pending.confirm(intent, images) is None:
            if self._pending.may_still_come(intent):
                return False
            self._ledger.drop(intent)  # planning will say again that it is missing
        return True

    def run(self, batch: Batch) -> Iterator[Outcome]:
        """Carry out the plans of one batch of products; yield how each action ended of those that write anything.

        The facts of the batch grow: by the images that are created, and by what the store refuses.

        Raises:
            FatalError: the store stopped the run; raised after the outcomes of all that had begun.
        """
        plans, facts = batch
        jobs = [ProductTask(each, list(each.writes), each.live) for each in plans if each.writes]
        for job in jobs:
            if job.product_id in self._pending.undecided:
                intent = self._pending.undecided[job.product_id]
                job.leave_pending(intent, self._pending.describe(intent))
        if facts.before or facts.unfinished:
            self._ledger.forget(each.product_id for each in plans if not each.writes)
        if jobs:
            self._work_off(jobs, facts)
        for job in jobs:
            yield from job.outcomes(is_stopped=self._stop.is_set())
        if self._stopped_by is not None:
            raise self._stopped_by

    def _work_off(self, jobs: list[ProductTask], facts: PlanContext) -> None:
        disturbed = {job.product_id: job.first.siblings for job in jobs if job.first.siblings}
        if disturbed:
            self._ledger.remember(disturbed, self._store.now())
        arrivals = Arrivals(self._store, self._ledger, self._pictures, facts, [job for job in jobs if job.goes_on])
        with ThreadPoolExecutor(self._store.settings.concurrency, "apply") as executor:
            while not self._stop.is_set() and (busy := [job for job in jobs if job.goes_on]):
                list(executor.map(lambda job: self._write(job, facts, arrivals), busy))
                self._look(busy, facts, arrivals)
        self._save_differences(jobs, facts)
        self._ledger.forget(job.product_id for job in jobs if job.is_proven)
        self.under_way = 0

    # Writing

    def _write(self, job: ProductTask, facts: PlanContext, arrivals: Arrivals) -> None:
        """Carry out what is to do for one product, in order; an error is kept, not raised."""
        try:
            arrivals.before_first_create(job)
            job.begin_round()
            while job.todo and not self._stop.is_set():
                action = job.todo[0]
                try:
                    self._sender.carry_out(action, job, facts)
                except (RequestRejected, FileUnavailable) as error:
                    if self._is_conflict(job, action, error):
                        return  # look, then try again
                    if not (isinstance(error, NotFound) and action.live):  # gone meanwhile: planning will see it
                        self._fail(job, action, str(error), facts)
                except OutcomeUnknown as error:
                    job.count_success(action, is_answered=error.is_answered)
                    return  # look before anything else is written to this product
                except StoreUnreachable as error:
                    self._bear(job, error)
                    self._fail(job, action, str(error), facts, is_unknown=True)
                else:
                    self._unanswered = 0
                job.todo.remove(action)
                self._count(action)
        except FatalError as error:
            if not self._stop.is_set() and job.todo:  # else it was us who stopped it
                job.failed[job.todo[0].subject] = Failure(job.todo[0], str(error))
            self._stopped_by = self._stopped_by or error
            self._stop.set()

    def _is_conflict(self, job: ProductTask, action: Action, error: Exception) -> bool:
        """Whether the store is busy with the product, or has already what is to be created; not for ever."""
        if not isinstance(error, RequestRejected) or error.status != CONFLICT:
            return False
        job.conflicts[action.subject] += 1
        return job.conflicts[action.subject] < MAX_CONFLICTS

    def _count(self, action: Action) -> None:
        with self._counting:
            self.under_way += 1
            if action.action in {"create", "replace"} and action.wanted is not None:
                self.files += 1
                self.bytes += action.wanted.get("file_size") or 0

    def _bear(self, job: ProductTask, error: StoreUnreachable) -> None:
        """Let a write that the store never answers be that image's fault, where it still answers others.

        Raises:
            FatalError: it does not.
        """
        self._unanswered += 1
        if self._unanswered >= MOST_UNANSWERED:
            raise error
        with suppress(NotFound):
            self._store.images(job.product_id)

    def _fail(
        self, job: ProductTask, action: Action, reason: str, facts: PlanContext, *, is_unknown: bool = False
    ) -> None:
        job.failed[action.subject] = Failure(action, reason, is_unknown)
        facts.refused[action.subject] = reason
        if self._stop_on_error:
            self._stop.set()

    # Looking

    def _look(self, jobs: Sequence[ProductTask], facts: PlanContext, arrivals: Arrivals) -> None:
        """Read the products back and plan them again; look longer for what was created and is not there."""
        if isinstance(self._stopped_by, StoreUnreachable):
            return  # it would not answer this either
        try:
            self._read_back(jobs, facts)
        except FatalError as error:
            self._stopped_by = self._stopped_by or error
            self._stop.set()
            return
        for job in jobs:
            if not (self._stop.is_set() and (job.pending or job.unseen)):
                self._plan_again(job, facts, arrivals)

    def _plan_again(self, job: ProductTask, facts: PlanContext, arrivals: Arrivals) -> None:
        planned = self._plan(job, facts)
        not_taken = job.not_taken()
        for key, kept_values in not_taken.items():
            facts.kept_values[key] = {**facts.kept_values.get(key, {}), **kept_values}
        given_up = [action for action in job.todo if job.unconfirmed[action.subject, action.action] >= MAX_WRITES]
        for action in given_up:
            reason = f"the store has answered {MAX_WRITES} times that it was done, and does not show it"
            self._fail(job, action, reason, facts)
        if not_taken or given_up:
            planned = self._plan(job, facts)
            if self._stop_on_error:
                self._stop.set()
        if job.conflicts:
            arrivals.adopt(job)
        self._fail_invalid(job, planned)
        self._forgive(job, planned, facts)
        job.is_read_back = True
        job.is_proven = not job.todo and not job.failed
        job.tries += 1
        if not job.fewest or len(job.todo) < job.fewest:
            job.fewest, job.tries = len(job.todo), 0

    def _plan(self, job: ProductTask, facts: PlanContext) -> ProductPlan:
        planned = plan(job.product_id, job.first.wanted, job.images, facts, job.first)
        job.replan(planned)
        return planned

    def _save_differences(self, jobs: Sequence[ProductTask], facts: PlanContext) -> None:
        """Write down what the store does not take, for the next run; forget what it takes by now."""
        found = {key: differences for job in jobs for key, differences in job.differences.items()}
        taken: dict[SourceKey, Sequence[Difference]] = {
            action.subject: ()
            for job in jobs
            if job.is_proven
            for action in job.first.actions
            if action.subject in facts.kept_values or action.subject in facts.refusals
        }
        if taken or found:
            self._ledger.save_kept_values({**taken, **found})

    def _fail_invalid(self, job: ProductTask, planned: ProductPlan) -> None:
        """Call no write done whose image cannot be read afterwards."""
        written = {action.subject for action in job.first.writes}
        for action in planned.actions:
            if action.action == "reject" and action.subject in written and action.subject not in job.failed:
                job.failed[action.subject] = Failure(action, action.reason, is_unknown=True)

    def _forgive(self, job: ProductTask, planned: ProductPlan, facts: PlanContext) -> None:
        """Take back the failures of writes that were done although no answer said so."""
        refused = {action.subject for action in planned.actions if action.action == "reject"}
        for subject, failure in list(job.failed.items()):
            if failure.is_unknown and subject not in refused:
                del job.failed[subject], facts.refused[subject]

    def _read_back(self, jobs: Sequence[ProductTask], facts: PlanContext) -> None:
        """Read what is live now, as often as it takes to see what was created; once if the run is stopped."""
        waiting = list(jobs)
        if any(job.conflicts for job in jobs):
            self._stop.wait(transport.backoff(max(job.tries for job in jobs)))
        for seconds in self._patience:
            is_stopped = self._stop.wait(seconds)
            live = read_products(self._store, [job.product_id for job in waiting], facts)
            for job in waiting:
                self._take_in(job, live.get(job.product_id, []), facts)
            waiting = [job for job in waiting if job.pending or job.unseen]
            if is_stopped or not waiting:
                return
        for job in waiting:
            self._give_up_waiting(job)

    def _take_in(self, job: ProductTask, images: Sequence[Record], facts: PlanContext) -> None:
        """Take over what is live now. What the list lacks of our own is asked for by its id: lists may lag behind."""
        listed = {image["id"] for image in images} | {image.id for image in facts.invalid.get(job.product_id, ())}
        job.images, job.unseen = images, set()
        for image_id in sorted({*job.created.values()} - listed):
            try:
                job.images = [*job.images, self._store.image(job.product_id, image_id)]
            except InvalidImageError as error:
                facts.invalid[job.product_id] = [*facts.invalid.get(job.product_id, ()), error.image]
            except NotFound:
                job.unseen.add(image_id)
        if job.pending is not None and (known := self._pending.confirm(job.pending, images)) is not None:
            key = job.pending.source
            facts.known[key] = known
            facts.created[key] = job.created[key] = known.target_id
            facts.unfinished.add(key)
            job.pending = None

    def _give_up_waiting(self, job: ProductTask) -> None:
        """Decide about what is not there although it was looked for long enough.

        What the store has named, or answered with a success, and does not have was agreed to and not done: it is to
        do again. What the store has not answered may still be done: that is left to a later run.
        """
        job.created = {key: image_id for key, image_id in job.created.items() if image_id not in job.unseen}
        job.unseen.clear()
        if job.pending is not None and (job.is_answered or not self._pending.may_still_come(job.pending)):
            self._ledger.drop(job.pending)
            job.pending = None
