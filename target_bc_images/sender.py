"""Sends single writes to the store: an intent before each create, bytes by the first way that works."""

from __future__ import annotations

from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from typing import Any

from bc_images.bigcommerce import ImageSource, UrlSource
from bc_images.bigcommerce.mapping import Record
from bc_images.errors import FatalError, OutcomeUnknown, RequestRejected, UnexpectedResponse
from target_bc_images.changes import Action, Delete, Update
from target_bc_images.context import LedgerEntry, PlanContext
from target_bc_images.differences import OMITTED, Refusal, replacements
from target_bc_images.ledger import Intent
from target_bc_images.pending import PendingCreates
from target_bc_images.picture_match import comparable_name
from target_bc_images.product_task import ProductTask
from target_bc_images.resources import Resources

__all__ = ["Sender"]


class Sender:
    """Carries out single actions; safe to share between threads.

    Args:
        resources: the store, and what writing to it takes.
        pending: describes creates whose outcome is not known.
    """

    def __init__(self, resources: Resources, pending: PendingCreates) -> None:
        self._store = resources.store
        self._ledger = resources.ledger
        self._uploader = resources.uploader
        self._live_images = resources.live_images
        self._pending = pending
        self._stop_at_refusal = resources.stop if resources.stop_on_error else None

    def carry_out(self, action: Action, task: ProductTask, context: PlanContext) -> None:
        """Carry out an action; a field that the store refuses does not cost the picture, nor the other fields.

        Raises:
            RequestRejected: nothing of it could be written.
        """
        while True:
            try:
                return self._request(action, task, context)
            except RequestRejected as error:
                fields = self._replaced(action, error, context)
                if fields is None:
                    raise
                if isinstance(action, Update) and len(action.fields) > 1 and not fields:
                    return self._update_one_by_one(action, task, context)
                if isinstance(action, Update) and not fields:
                    raise
                action = replace(action, fields=fields)

    def _replaced(self, action: Action, error: RequestRejected, context: PlanContext) -> dict[str, Any] | None:
        """Return the fields to send after a refusal, and take down what it was about; None where it was not them."""
        replaced = replacements(action.fields, error, is_new=action.existing is None)
        if replaced is None:
            return None
        fields = dict(action.fields) if replaced else {}
        refusals = context.refusals.setdefault(action.key, {})
        for name, nearest in replaced.items():
            refusal = Refusal(fields.pop(name), nearest, str(error))
            earlier = refusals.get(name)
            if earlier is not None and earlier.replacement == refusal.sent:  # refused as well
                refusal = Refusal(earlier.sent, OMITTED, earlier.error)
            refusals[name] = refusal
            if refusal.replacement is not OMITTED:
                fields[name] = refusal.replacement
        if self._stop_at_refusal is not None:
            self._stop_at_refusal.set()
        return fields

    def _update_one_by_one(self, action: Action, task: ProductTask, context: PlanContext) -> None:
        """Find out which field it is that the store refuses without saying so.

        Raises:
            RequestRejected: it refuses all.
        """
        errors = []
        for name, value in action.fields.items():
            try:
                self.carry_out(replace(action, fields={name: value}), task, context)
            except RequestRejected as error:
                errors.append(error)
        if len(errors) == len(action.fields):
            raise errors[0]

    def _request(self, action: Action, task: ProductTask, context: PlanContext) -> None:
        image_id = action.existing["id"] if action.existing else 0
        if isinstance(action, Delete):
            self._delete(action, task, image_id)
        elif isinstance(action, Update):
            task.wrote(action, action.fields, self._store.update(task.product_id, image_id, action.fields))
        elif action.desired is not None:
            image = self._send(action, action.desired, task)
            task.count_success(action)
            task.wrote(action, action.fields, image)
            if action.existing is not None and image["image_file"] == action.existing["image_file"]:
                return  # agreed to and not done, since a path never changes its content: planning will say so again
            entry = LedgerEntry(image["id"], action.desired["image_file"], image["image_file"])
            context.entries[action.key] = entry
            if action.existing is None:
                context.created[action.key] = image["id"]
                context.unfinished.add(action.key)
            self._ledger.commit(task.product_id, action.key, entry, is_new=action.existing is None)

    def _send(self, action: Action, desired: Record, task: ProductTask) -> Record:
        """Give an image its picture, by the first way that the store does not refuse."""

        def go(way: AbstractContextManager[ImageSource]) -> Record:
            with way as source:
                if action.existing is None:
                    return self._create(action, desired, source, task)
                return self._store.replace(task.product_id, action.existing["id"], source, action.fields)

        *others, last = self._uploader.attempts(desired, self._ledger)
        for way in others:
            with suppress(RequestRejected):
                return go(way)
        try:
            return go(last)
        except RequestRejected as error:
            if self._uploader.method_for(desired) == "address" and _is_about_the_picture(error):
                message = f"{self._uploader.missing_bytes_reason(desired)}, and its old address does not serve: {error}"
                raise RequestRejected(message, error.status, fields=error.fields) from error
            raise

    def _create(self, action: Action, desired: Record, source: ImageSource, task: ProductTask) -> Record:
        sent = source.url if isinstance(source, UrlSource) else source.name
        intent = Intent(
            product_id=task.product_id,
            source=action.key,
            source_file=desired["image_file"],
            names=frozenset(map(comparable_name, (sent, desired["image_file"]))),
            others=frozenset(image["id"] for image in task.images) | frozenset(task.created.values()),
            at=self._pending.now(),
            sha256=None
            if isinstance(source, UrlSource) and not self._live_images.has_file_store
            else desired.get("file_sha256"),
        )
        self._ledger.begin(intent)
        try:
            image = self._store.create(task.product_id, source, action.fields)
        except (OutcomeUnknown, UnexpectedResponse) as error:
            is_answered = isinstance(error, OutcomeUnknown) and error.is_answered
            task.leave_pending(intent, self._pending.describe(intent), is_answered=is_answered)
            raise
        except (RequestRejected, FatalError):  # refused, or never sent
            self._ledger.abort(intent)
            raise
        task.note_created(action, image["id"])
        return image

    def _delete(self, action: Action, task: ProductTask, image_id: int) -> None:
        deleted_ids = {delete.existing["id"] for delete in task.todo if isinstance(delete, Delete) and delete.existing}
        if len(deleted_ids) > 1 and deleted_ids == {image["id"] for image in self._store.images(task.product_id)}:
            self._store.delete_all(task.product_id, deleted_ids)
            task.todo = [action]
        else:
            self._store.delete(task.product_id, image_id)


def _is_about_the_picture(error: RequestRejected) -> bool:
    """Whether the store could not fetch or read the picture: V3 says 400 and V2 names the field."""
    return "image_file" in error.fields or "image_url" in error.fields or (error.status == 400 and not error.fields)
