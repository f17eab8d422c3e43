"""Reads products back after their writes, until what was created is listed."""

from __future__ import annotations

from collections.abc import Sequence

from bc_images.bigcommerce.mapping import InvalidImageError, Record
from bc_images.bigcommerce.retry import RetryPolicy
from bc_images.errors import NotFound
from target_bc_images.context import PlanContext
from target_bc_images.ledger import Intent
from target_bc_images.pending import PendingCreates
from target_bc_images.product_reader import read_products
from target_bc_images.product_task import ProductTask
from target_bc_images.resources import Resources

__all__ = ["ReadBack"]


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
                task.images = [*task.images, self._store.image(task.product_id, image_id)]
            except InvalidImageError as error:
                context.invalid[task.product_id] = [*context.invalid.get(task.product_id, ()), error.image]
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
