"""Carry out plans, exactly once, and prove it: write, look, plan again until nothing is left to do.

Products go in parallel, the images of one product in order. Nothing is decided here: after each round the products
are read back and planned again, which finds what the store did not take, moved, or did without answering. A product
has at most one create whose outcome is not known: nothing else is written to it before that is found out.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress

from bc_images.errors import FileUnavailable, NotFound, OutcomeUnknown, RequestRejected, Stopped, StoreUnreachable
from bc_images.files.upload import Uploader
from bc_images.images import Record
from bc_images.store import FromUrl, Source, Store
from target_bc_images.job import Failure, Job, Outcome, place
from target_bc_images.ledger import Intent, Ledger
from target_bc_images.match import Knowledge, Known, name_key
from target_bc_images.plan import Action, ProductPlan, plan
from target_bc_images.planner import Batch

__all__ = ["PATIENCE", "Apply"]

PATIENCE = (0.0, 1.0, 4.0, 15.0)  # seconds before each look for a write whose answer was lost
MOST_UNANSWERED = 5  # writes in a row that the store may fail to answer before it counts as unreachable


class Apply:
    """Writes to one store.

    Attributes:
        under_way: how many actions of the present batch have been carried out.
        files: how many pictures have been sent.
        bytes: how many bytes these had, as far as the backup tells.

    Args:
        store: the store.
        ledger: its ledger, already held.
        uploader: gives the bytes their way into the store.
        stop: once set, requests under way finish and nothing new starts.
        stop_on_error: set `stop` at the first action that fails.
        patience: seconds before each look for a write whose answer was lost; `PATIENCE` by default.
    """

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        uploader: Uploader,
        stop: threading.Event,
        *,
        stop_on_error: bool = False,
        patience: Sequence[float] | None = None,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._uploader = uploader
        self._stop = stop
        self._stop_on_error = stop_on_error
        self._patience = PATIENCE if patience is None else patience
        self._stopped_by: Stopped | None = None
        self._unanswered = 0  # writes in a row
        self._counting = threading.Lock()
        self.under_way = 0
        self.files = 0
        self.bytes = 0

    def settle(self) -> None:
        """Find out what became of the images that an earlier run was about to create when it ended.

        One that was sent just before may still be on its way: then this looks as long as for a lost answer. At last
        what that run has left in the import folder of WebDAV is removed.
        """
        waiting = self._ledger.open_intents()
        for seconds in self._patience:
            if not waiting or self._stop.wait(seconds):
                break
            live = {each.id: each.images for each in self._store.products([intent.product_id for intent in waiting])}
            missing = [each for each in waiting if self._adopt(each, live.get(each.product_id, [])) is None]
            waiting = []
            for intent in missing:
                if time.time() - intent.at < sum(self._patience):
                    waiting.append(intent)
                else:
                    self._ledger.drop(intent)
        if not self._stop.is_set():
            for intent in waiting:  # what was not found has not happened; planning will say so again
                self._ledger.drop(intent)
            self._uploader.clear(self._ledger.imports(), self._ledger)

    def run(self, batch: Batch) -> Iterator[Outcome]:
        """Carry out the plans of one batch of products; yield how each action ended of those that write anything.

        The facts of the batch grow: by the images that are created, and by what the store refuses.

        Raises:
            Stopped: the store stopped the run; raised after the outcomes of all that had begun.
        """
        plans, facts = batch
        jobs = [Job(each, list(each.writes), each.live) for each in plans if each.writes]
        if facts.before:
            self._ledger.forget(each.product_id for each in plans if not each.writes)
        if jobs:
            self._work_off(jobs, facts)
        for job in jobs:
            yield from job.outcomes(is_stopped=self._stop.is_set())
        if self._stopped_by is not None:
            raise self._stopped_by

    def _work_off(self, jobs: list[Job], facts: Knowledge) -> None:
        disturbed = {job.product_id: job.first.siblings for job in jobs if job.first.siblings}
        if disturbed:
            self._ledger.remember(disturbed)
        with ThreadPoolExecutor(self._store.settings.concurrency, "apply") as executor:
            while not self._stop.is_set() and (busy := [job for job in jobs if job.goes_on]):
                list(executor.map(lambda job: self._write(job, facts), busy))
                self._look(busy, facts)
        if disturbed:
            self._ledger.forget(job.product_id for job in jobs if job.is_proven)
        self.under_way = 0

    # Writing

    def _write(self, job: Job, facts: Knowledge) -> None:
        """Carry out what is to do for one product, in order; an error is kept, not raised."""
        job.todo.sort(key=place)
        try:
            while job.todo and not self._stop.is_set():
                action = job.todo[0]
                try:
                    self._carry_out(action, job, facts)
                except (RequestRejected, FileUnavailable) as error:
                    if not (isinstance(error, NotFound) and action.live):  # gone meanwhile: planning will see it
                        self._fail(job, action, str(error), facts)
                except OutcomeUnknown:
                    return  # look before anything else is written to this product
                except StoreUnreachable as error:
                    self._bear(job, error)
                    self._fail(job, action, str(error), facts, is_unknown=True)
                else:
                    self._unanswered = 0
                job.todo.remove(action)
                self._count(action)
        except Stopped as error:
            if not self._stop.is_set():  # else it was us who stopped it
                job.failed[job.todo[0].subject] = Failure(job.todo[0], str(error))
            self._stopped_by = self._stopped_by or error
            self._stop.set()

    def _count(self, action: Action) -> None:
        with self._counting:
            self.under_way += 1
            if action.action in {"create", "replace"} and action.wanted is not None:
                self.files += 1
                self.bytes += action.wanted.get("file_size") or 0

    def _bear(self, job: Job, error: StoreUnreachable) -> None:
        """Let a write that the store never answers be that image's fault, where it still answers others.

        Raises:
            Stopped: it does not.
        """
        self._unanswered += 1
        if self._unanswered >= MOST_UNANSWERED:
            raise error
        with suppress(NotFound):
            self._store.images(job.product_id)

    def _carry_out(self, action: Action, job: Job, facts: Knowledge) -> None:
        image_id = action.live["id"] if action.live else 0
        if action.action == "delete":
            self._delete(action, job, image_id)
        elif action.action == "update":
            self._store.update(job.product_id, image_id, action.fields)
        elif action.wanted is not None:
            image = self._send(action, action.wanted, job)
            if action.live is not None and image["image_file"] == action.live["image_file"]:
                return  # agreed to and not done, since a path never changes its content: planning will say so again
            known = Known(image["id"], action.wanted["image_file"], image["image_file"])
            facts.known[action.subject] = known
            self._ledger.done(job.product_id, action.subject, known)

    def _send(self, action: Action, wanted: Record, job: Job) -> Record:
        """Give an image its picture, by the first way that the store does not refuse."""

        def go(way: AbstractContextManager[Source]) -> Record:
            with way as source:
                if action.live is None:
                    return self._create(action, wanted, source, job)
                return self._store.replace(job.product_id, action.live["id"], source, action.fields)

        *others, last = self._uploader.ways(wanted, self._ledger)
        for way in others:
            with suppress(RequestRejected):
                return go(way)
        return go(last)

    def _create(self, action: Action, wanted: Record, source: Source, job: Job) -> Record:
        sent = source.url if isinstance(source, FromUrl) else source.name
        intent = Intent(
            product_id=job.product_id,
            source=action.subject,
            source_file=wanted["image_file"],
            names=frozenset(map(name_key, (sent, wanted["image_file"]))),
            others=frozenset(image["id"] for image in job.images) | frozenset(job.created.values()),
            at=time.time(),
        )
        self._ledger.intend(intent)
        try:
            image = self._store.create(job.product_id, source, action.fields)
        except RequestRejected:
            self._ledger.drop(intent)
            raise
        except OutcomeUnknown:
            job.lost = intent
            raise
        job.created[action.subject] = image["id"]
        job.unseen.add(image["id"])
        return image

    def _delete(self, action: Action, job: Job, image_id: int) -> None:
        doomed = {each.live["id"] for each in job.todo if each.action == "delete" and each.live}
        if len(doomed) > 1 and doomed == {image["id"] for image in self._store.images(job.product_id)}:
            self._store.delete_all(job.product_id, doomed)
            job.todo = [action]
        else:
            self._store.delete(job.product_id, image_id)

    def _fail(self, job: Job, action: Action, reason: str, facts: Knowledge, *, is_unknown: bool = False) -> None:
        job.failed[action.subject] = Failure(action, reason, is_unknown)
        facts.refused[action.subject] = reason
        if self._stop_on_error:
            self._stop.set()

    # Looking

    def _look(self, jobs: Sequence[Job], facts: Knowledge) -> None:
        """Read the products back and plan them again; look longer for what was created and is not there."""
        waiting = list(jobs)
        try:
            for seconds in self._patience:
                if self._stop.wait(seconds):
                    return
                live = {each.id: each.images for each in self._store.products([job.product_id for job in waiting])}
                for job in waiting:
                    self._take_in(job, live.get(job.product_id, []), facts)
                waiting = [job for job in waiting if job.lost or job.unseen]
                if not waiting:
                    break
            for job in waiting:  # looked long enough: what is not there was not created, and is to do again
                if job.lost is not None:
                    self._ledger.drop(job.lost)
                job.lost = None
                self._look_closer(job)
        except Stopped as error:
            self._stopped_by = self._stopped_by or error
            self._stop.set()
            return
        for job in jobs:
            planned = plan(job.product_id, job.first.wanted, job.images, facts, job.first)
            job.todo = list(planned.writes)
            self._forgive(job, planned, facts)
            job.is_proven = not job.todo and not job.failed
            job.tries += 1
            if not job.fewest or len(job.todo) < job.fewest:
                job.fewest, job.tries = len(job.todo), 0

    def _forgive(self, job: Job, planned: ProductPlan, facts: Knowledge) -> None:
        """Take back the failures of writes that were done although no answer said so."""
        refused = {action.subject for action in planned.actions if action.action == "reject"}
        for subject, failure in list(job.failed.items()):
            if failure.is_unknown and subject not in refused:
                del job.failed[subject], facts.refused[subject]

    def _take_in(self, job: Job, images: Sequence[Record], facts: Knowledge) -> None:
        job.images = images
        job.unseen -= {image["id"] for image in images}
        if job.lost is not None and (known := self._adopt(job.lost, images)) is not None:
            facts.known[job.lost.source] = known
            job.created[job.lost.source] = known.target_id
            job.lost = None

    def _look_closer(self, job: Job) -> None:
        """Ask for images one by one that the store has named and does not list: its list may lag far behind."""
        for image_id in sorted(job.unseen):
            with suppress(NotFound):
                job.images = [*job.images, self._store.image(job.product_id, image_id)]
        job.unseen.clear()

    def _adopt(self, intent: Intent, images: Iterable[Record]) -> Known | None:
        """Recognise the image that was created without an answer, and write it down; None if it is not there."""
        for image in images:
            if image["id"] not in intent.others and name_key(image["image_file"]) in intent.names:
                known = Known(image["id"], intent.source_file, image["image_file"])
                self._ledger.done(intent.product_id, intent.source, known)
                return known
        return None
