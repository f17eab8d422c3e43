"""Carry out plans, exactly once, and prove it: write, look, plan again until nothing is left to do.

Products go in parallel, the images of one product in order. Nothing is decided here: after each round the products
are read back and planned again, which finds what the store did not take, moved, or did without answering.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from bc_images.files.upload import Uploader

from bc_images.errors import BcImagesError, FileUnavailable, OutcomeUnknown, RequestRejected, Stopped
from bc_images.images import Record, stem
from bc_images.store import Store
from target_bc_images.ledger import Intent, Ledger
from target_bc_images.plan import Action, Knowledge, Known, ProductPlan, SourceKey, plan, source_key
from target_bc_images.report import Status

__all__ = ["Apply", "Outcome"]

ROUNDS = 6  # how often a product is written, read back and planned again before it counts as failed
PATIENCE = (0.0, 1.0, 4.0)  # seconds before each look for a write whose answer was lost


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one action ended."""

    action: Action
    status: Status
    target_id: int | None = None
    error: str | None = None


@dataclass(slots=True)
class _Job:
    """One product on its way from its first plan to the end state."""

    first: ProductPlan
    todo: list[Action]
    failed: dict[SourceKey, str] = field(default_factory=dict)  # what will never work, and why
    targets: dict[SourceKey, int] = field(default_factory=dict)
    unsettled: list[Intent] = field(default_factory=list)  # creates whose answer was lost


class Apply:
    """Writes to one store.

    Args:
        store: the store.
        ledger: its ledger, already held.
        uploader: gives the bytes their way into the store.
        stop: once set, requests under way finish and nothing new starts.
        stop_on_error: set `stop` at the first action that fails.
        patience: seconds before each look for a write whose answer was lost.
    """

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        uploader: Uploader,
        stop: threading.Event,
        *,
        stop_on_error: bool = False,
        patience: Sequence[float] = PATIENCE,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._uploader = uploader
        self._stop = stop
        self._stop_on_error = stop_on_error
        self._patience = patience
        self._stopped_by: Stopped | None = None

    def settle(self) -> None:
        """Find out what became of the images that an earlier run was about to create when it ended."""
        intents = self._ledger.open_intents()
        for product in self._store.products([intent.product_id for intent in intents]):
            self._adopt([intent for intent in intents if intent.product_id == product.id], product.images, {})
        # What was not found has not happened; planning will say so again.
        self._ledger.settle(intents, {})

    def run(self, plans: Iterable[ProductPlan], facts: Knowledge) -> Iterator[Outcome]:
        """Carry out the plans of one batch of products; yield how each of their actions ended.

        `facts.known` grows with the images that are created.

        Raises:
            Stopped: the store stopped the run; raised after the outcomes of all that had begun.
        """
        jobs = [_Job(each, each.writes) for each in plans]
        with ThreadPoolExecutor(self._store.settings.concurrency, "apply") as executor:
            for _ in range(ROUNDS):
                busy = [job for job in jobs if job.todo]
                if not busy or self._stop.is_set():
                    break
                list(executor.map(lambda job: self._write(job, facts), busy))
                self._look(busy, facts)
        for job in jobs:
            yield from self._outcomes(job)
        if self._stopped_by is not None:
            raise self._stopped_by

    def _write(self, job: _Job, facts: Knowledge) -> None:
        """Carry out what is to do for one product, in order; an error is kept, not raised."""
        try:
            self._write_in_order(job, facts)
        except Stopped as error:
            if job.todo and not self._stop.is_set():
                job.failed[job.todo[0].subject] = str(error)
            self._stopped_by = self._stopped_by or error
            self._stop.set()

    def _write_in_order(self, job: _Job, facts: Knowledge) -> None:
        creates = [action for action in job.todo if action.action == "create"]
        job.unsettled = [_intent(action, job, facts) for action in creates]
        if job.unsettled:
            self._ledger.intend(job.unsettled)
        written: dict[SourceKey, Known] = {}
        refused: set[SourceKey] = set()
        job.todo = sorted(job.todo, key=_place)
        try:
            while job.todo and not self._stop.is_set():
                action = job.todo[0]
                key = source_key(action.wanted, facts.store_hash) if action.wanted else action.subject
                try:
                    image = self._carry_out(action, job)
                except (RequestRejected, FileUnavailable) as error:
                    self._fail(job, action, error)
                    refused.add(key)  # so it was certainly not created
                except OutcomeUnknown:
                    pass
                else:
                    if image is not None and action.wanted is not None:
                        written[key] = Known(image["id"], action.wanted["image_file"], image["image_file"])
                        job.targets[action.subject] = image["id"]
                del job.todo[:1]
        finally:
            facts.known.update(written)
            settled = [intent for intent in job.unsettled if intent.source in written or intent.source in refused]
            if settled or written:
                self._ledger.settle(settled, written)
            job.unsettled = [intent for intent in job.unsettled if intent not in settled]

    def _carry_out(self, action: Action, job: _Job) -> Record | None:
        """Send one action; return the image whose picture was sent, if one was."""
        product_id = action.product_id
        if action.action == "delete":
            if job.failed:
                raise FileUnavailable("not deleted, because another image of this product failed")
            if _empties_the_product(job):
                self._store.delete_all(product_id)
                job.todo = [action]  # it did for all of them
            else:
                self._store.delete(product_id, _live_id(action))
        elif action.action == "update":
            self._store.update(product_id, _live_id(action), action.fields)
        elif action.wanted is not None:
            with self._uploader.source(action.wanted) as source:
                if action.action == "create":
                    return self._store.create(product_id, source, action.fields)
                return self._store.replace(product_id, _live_id(action), source, action.fields)
        return None

    def _fail(self, job: _Job, action: Action, error: BcImagesError) -> None:
        job.failed[action.subject] = str(error)
        if self._stop_on_error:
            self._stop.set()

    def _look(self, jobs: Sequence[_Job], facts: Knowledge) -> None:
        """Read the products back and plan them again; look longer where the answer to a create was lost."""
        waiting = list(jobs)
        try:
            for seconds in self._patience:
                if self._stop.wait(seconds) if seconds else self._stop.is_set():
                    return
                live = {product.id: product.images for product in self._store.products(_ids(waiting))}
                for job in waiting:
                    images = live.get(job.first.product_id, [])
                    job.unsettled = self._adopt(job.unsettled, images, facts.known)
                    again = plan(job.first.product_id, job.first.wanted, images, facts, job.first.siblings)
                    job.todo = [action for action in again.writes if not _is_settled(action, job, images)]
                waiting = [job for job in waiting if job.unsettled]
                if not waiting:
                    return
        except Stopped as error:
            self._stopped_by = self._stopped_by or error
            self._stop.set()
            return
        for job in waiting:  # looked long enough: it was not created, and planning has it in `todo` again
            self._ledger.settle(job.unsettled, {})
            job.unsettled = []

    def _adopt(
        self, intents: Sequence[Intent], images: Sequence[Record], known: dict[SourceKey, Known]
    ) -> list[Intent]:
        """Recognise the images that were created without an answer; return the intents that have none."""
        claimed = {entry.target_id for entry in known.values()}
        missing = []
        for intent in intents:
            names = {stem(intent.source_file), intent.sha256}
            fresh = (i for i in images if i["id"] not in intent.before and i["id"] not in claimed)
            image = next((i for i in fresh if stem(i["image_file"]) in names), None)
            if image is None:
                missing.append(intent)
                continue
            claimed.add(image["id"])
            known[intent.source] = Known(image["id"], intent.source_file, image["image_file"])
            self._ledger.settle([intent], {intent.source: known[intent.source]})
        return missing

    def _outcomes(self, job: _Job) -> Iterator[Outcome]:
        """Say how every action of the first plan ended, and every later one that could not be carried out."""
        left = {action.subject: action for action in job.todo}
        unknown = {intent.source[1] for intent in job.unsettled}
        status: Status = "not reached" if self._stop.is_set() else "failed"
        why = None if self._stop.is_set() else f"the store did not take it in {ROUNDS} tries"
        for action in job.first.actions:
            unfinished = left.pop(action.subject, None)
            if action.action == "reject":
                yield Outcome(action, "rejected", error=action.reason)
            elif action.subject in job.failed:
                yield Outcome(action, "failed", error=job.failed[action.subject])
            elif unfinished is not None:
                yield Outcome(action, status, error=why)
            elif action.action == "create" and action.subject[1] in unknown:
                yield Outcome(action, "failed", error="the answer was lost; the next run finds out whether it is there")
            elif action.writes:
                yield Outcome(action, "done", job.targets.get(action.subject))
            else:
                yield Outcome(action, "kept")
        for subject, action in left.items():
            yield Outcome(action, status, error=job.failed.get(subject, why))


def _place(action: Action) -> tuple[bool, bool, bool, int, int]:
    """Order the writes of one product so that as few as possible disturb each other.

    New images, and those that move back in the gallery, come first and ascending: a store that shifts siblings
    shifts only those behind, and images that move forward shift none. The thumbnail comes late, since setting it
    clears the old one; deletes come after everything else has worked.
    """
    order = action.wanted["sort_order"] if action.wanted is not None else 0
    moves_forward = action.live is not None and action.live["sort_order"] >= order
    sets_thumbnail = action.live is not None and action.fields.get("is_thumbnail") is True
    return action.action == "delete", sets_thumbnail, moves_forward, order, action.subject[1]


def _intent(action: Action, job: _Job, facts: Knowledge) -> Intent:
    wanted = action.wanted or {}
    before = {image["id"] for image in job.first.live} | {entry.target_id for entry in facts.known.values()}
    return Intent(
        product_id=action.product_id,
        source=source_key(wanted, facts.store_hash),
        source_file=wanted["image_file"],
        sha256=wanted.get("file_sha256") or "",
        before=frozenset(before),
    )


def _is_settled(action: Action, job: _Job, images: Sequence[Record]) -> bool:
    """Whether nothing more is to be tried: it failed for good, or the store has a rule of its own."""
    # A product's only image is its thumbnail, whatever is sent (BigCommerce, "Catalog overview").
    own_rule = len(images) == 1 and action.action == "update" and action.fields == {"is_thumbnail": False}
    return action.subject in job.failed or own_rule


def _empties_the_product(job: _Job) -> bool:
    return len(job.first.live) > 1 and len(job.todo) == len(job.first.live) == len(job.first.actions)


def _live_id(action: Action) -> int:
    image_id: int = action.live["id"] if action.live else 0
    return image_id


def _ids(jobs: Iterable[_Job]) -> list[int]:
    return [job.first.product_id for job in jobs]
