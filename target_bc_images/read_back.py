"""Reads products again: before their first create, and after their writes until what was created is listed.

Another run may have created images meanwhile. What was just created there from the same backup is taken as it is, and
not created a second time.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Executor, Future

from bc_images.bigcommerce.mapping import Record
from bc_images.bigcommerce.retry import RetryPolicy
from bc_images.errors import NotFound
from target_bc_images.changes import Create, source_key
from target_bc_images.context import LedgerEntry, PlanContext
from target_bc_images.ledger import Intent
from target_bc_images.matching import match
from target_bc_images.pending import PendingCreates
from target_bc_images.picture_match import same_picture
from target_bc_images.planning import plan
from target_bc_images.product_reader import read_image, read_products
from target_bc_images.product_task import ProductTask
from target_bc_images.recognise import Recogniser
from target_bc_images.resources import Resources

__all__ = ["Arrivals", "ReadBack"]


class ReadBack:
    """Reads products back into their tasks.

    Args:
        resources: the store, and what writing to it takes.
        pending: confirms creates whose outcome is not known.
        poll_delays: seconds before each read.
    """

    def __init__(self, resources: Resources, pending: PendingCreates, poll_delays: Sequence[float]) -> None:
        self._store = resources.store
        self._ledger = resources.ledger
        self._pending = pending
        self._stop = resources.stop
        self._poll_delays = poll_delays

    def read(self, tasks: Sequence[ProductTask], context: PlanContext) -> None:
        """Read what is live now, as often as it takes to see what was created; once if the run is stopped."""
        waiting = list(tasks)
        if any(task.conflicts for task in tasks):
            self._stop.wait(RetryPolicy().backoff(max(task.stalled_rounds for task in tasks)))
        for seconds in self._poll_delays:
            is_stopped = self._stop.wait(seconds)
            existing = read_products(self._store, [task.product_id for task in waiting], context)
            for task in waiting:
                self._refresh(task, existing.get(task.product_id, []), context)
            waiting = [task for task in waiting if task.pending_create or task.unlisted]
            if is_stopped or not waiting:
                return
        for task in waiting:
            self._give_up_waiting(task)

    def _refresh(self, task: ProductTask, images: Sequence[Record], context: PlanContext) -> None:
        """Take over what is live now."""
        listed = {image["id"] for image in images} | {image.id for image in context.invalid.get(task.product_id, ())}
        task.images, task.unlisted = images, set()
        self._fetch_unlisted(task, {*task.created.values()} - listed, context)
        if task.pending_create is not None:
            self._confirm_create(task, task.pending_create, images, context)

    def _fetch_unlisted(self, task: ProductTask, image_ids: set[int], context: PlanContext) -> None:
        """Ask by its id for what was created and is not listed: lists may lag behind."""
        for image_id in sorted(image_ids):
            try:
                image = read_image(self._store, task.product_id, image_id, context)
                task.images = [*task.images, *([image] if image else [])]
            except NotFound:
                task.unlisted.add(image_id)

    def _confirm_create(
        self, task: ProductTask, intent: Intent, images: Sequence[Record], context: PlanContext
    ) -> None:
        """Take over the image of a create whose answer was lost, if it is there now."""
        entry = self._pending.confirm(intent, images)
        if entry is not None:
            key = intent.source
            context.entries[key] = entry
            context.created[key] = task.created[key] = entry.target_id
            context.unfinished.add(key)
            task.pending_create = None

    def _give_up_waiting(self, task: ProductTask) -> None:
        """Decide about what is not there although it was looked for long enough.

        What the store has named, or answered with a success, and does not have was agreed to and not done: it is to
        do again. What the store has not answered may still be done: that is left to a later run.
        """
        task.created = {key: image_id for key, image_id in task.created.items() if image_id not in task.unlisted}
        task.unlisted.clear()
        if task.pending_create is not None and (
            task.is_answered or not self._pending.may_still_come(task.pending_create)
        ):
            self._ledger.abort(task.pending_create)
            task.pending_create = None


_AHEAD = 4  # products for each thread that are read together


class Arrivals:
    """Looks at the products of one batch once more, right before their first creates; safe to share between threads.

    Products are read some at a time: those of one request are worked on within a few seconds.

    Args:
        resources: the store, and what writing to it takes.
        context: those of the batch.
        tasks: all products of the batch, in the order in which they are worked on.
        reader: the thread that reads products ahead.
    """

    def __init__(
        self, resources: Resources, context: PlanContext, tasks: Sequence[ProductTask], reader: Executor
    ) -> None:
        self._store = resources.store
        self._ledger = resources.ledger
        self._context = context
        self._recogniser = Recogniser(resources.live_images, context)
        self._reader = reader
        self._unread = [task.product_id for task in tasks if _creates(task)]
        self._waiting = set(self._unread)  # those that nobody has asked for yet
        self._chunk = _AHEAD * self._store.settings.concurrency
        self._read: dict[int, Sequence[Record]] = {}
        self._next: Future[dict[int, Sequence[Record]]] | None = None
        self._reading = threading.Lock()
        self._recognising = threading.Lock()

    def before_first_create(self, task: ProductTask) -> None:
        """Read the product once more if something is to be created for the first time, and take over what came in."""
        images = self._images(task.product_id)
        if images is not None:
            task.images = images
            if self._context.invalid.get(task.product_id):  # one may have come in, or become so
                task.todo = list(plan(task.product_id, task.first.desired, images, self._context, task.first).writes)
            self.adopt(task)

    def _images(self, product_id: int) -> Sequence[Record] | None:
        """Return what is live now; None if nothing is to be created, or if it was asked for before.

        The next products are read while there is still work on half of the last ones.
        """
        with self._reading:
            if product_id not in self._waiting:
                return None
            self._waiting.remove(product_id)
            while product_id not in self._read:
                self._read |= self._next_chunk().result()  # if that fails, it does for all who ask
                self._next = None
            images = self._read.pop(product_id)
            if self._unread and len(self._read) < self._chunk / 2:
                self._next_chunk()
            return images

    def _next_chunk(self) -> Future[dict[int, Sequence[Record]]]:
        """Begin to read the next products, if that has not begun."""
        if self._next is None:
            chunk, self._unread = self._unread[: self._chunk], self._unread[self._chunk :]
            self._next = self._reader.submit(self._read_chunk, chunk)
        return self._next

    def _read_chunk(self, product_ids: Sequence[int]) -> dict[int, Sequence[Record]]:
        existing = read_products(self._store, product_ids, self._context)
        return {product_id: existing.get(product_id, []) for product_id in product_ids}

    def adopt(self, task: ProductTask) -> None:
        """Take the images that have come in for those that would be created, where they show the same pictures."""
        context = self._context
        expected = {image["id"] for image in task.first.existing} | {*task.created.values()} | {*task.adopted.values()}
        arrived = [image for image in task.images if image["id"] not in expected]
        missing = _creates(task)
        if not arrived or not missing:
            return
        with self._recognising:
            context.owner_of.update(self._ledger.owner_of({image["id"]: image["image_file"] for image in arrived}))
            self._recogniser.compare([(missing, arrived)])
            entries = {
                source_key(record): LedgerEntry(image["id"], record["image_file"], image["image_file"])
                for record, image in match(missing, arrived, context)[0]
                if image is not None and _shows_same_picture(record, image, context)
            }
            self._ledger.recognise(entries)
            context.entries.update(entries)
            task.adopted.update({key: entry.target_id for key, entry in entries.items()})
            task.todo = list(plan(task.product_id, task.first.desired, task.images, context, task.first).writes)


def _creates(task: ProductTask) -> list[Record]:
    return [action.desired for action in task.todo if isinstance(action, Create) and action.desired is not None]


def _shows_same_picture(record: Record, image: Record, context: PlanContext) -> bool:
    is_similar = (source_key(record), image["image_file"]) in context.similar
    return is_similar or same_picture(record, image, context) == "same"
