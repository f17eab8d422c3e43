"""Send single writes to the store: a picture by the way it can go, an intent before each create, fields it takes."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, suppress
from typing import Any

from bc_images.bigcommerce import Source, Store, UrlSource
from bc_images.bigcommerce.mapping import Record
from bc_images.errors import FatalError, OutcomeUnknown, RequestRejected, UnexpectedResponse
from bc_images.files.upload import Uploader
from target_bc_images.differences import OMITTED, Refusal, replacements
from target_bc_images.ledger import Intent, Ledger
from target_bc_images.live_images import LiveImages
from target_bc_images.matching import LedgerEntry, PlanContext, comparable_name
from target_bc_images.pending import PendingCreates
from target_bc_images.planning import Action
from target_bc_images.product_task import ProductTask

__all__ = ["Sender"]


class Sender:
    """Carries out single actions; safe to share between threads.

    Args:
        store: the store.
        ledger: its ledger, already held.
        uploader: gives the bytes their way into the store.
        pictures: knows whether picture bytes are kept.
        pending: describes creates whose outcome is not known.
        stop: set when the store refuses a field; None where the run goes on.
    """

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        uploader: Uploader,
        pictures: LiveImages,
        pending: PendingCreates,
        *,
        stop: threading.Event | None = None,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._uploader = uploader
        self._pictures = pictures
        self._pending = pending
        self._stop_at_refusal = stop

    def carry_out(self, action: Action, job: ProductTask, facts: PlanContext) -> None:
        """Carry out an action; a field that the store refuses does not cost the picture, nor the other fields.

        Raises:
            RequestRejected: nothing of it could be written.
        """
        while True:
            try:
                return self._request(action, job, facts)
            except RequestRejected as error:
                fields = self._replaced(action, error, facts)
                if fields is None:
                    raise
                if action.action == "update" and len(action.fields) > 1 and not fields:
                    return self._update_one_by_one(action, job, facts)
                if action.action == "update" and not fields:
                    raise
                action = action._replace(fields=fields)

    def _replaced(self, action: Action, error: RequestRejected, facts: PlanContext) -> dict[str, Any] | None:
        """Return the fields to send after a refusal, and take down what it was about; None where it was not them."""
        replaced = replacements(action.fields, error, is_new=action.live is None)
        if replaced is None:
            return None
        fields = dict(action.fields) if replaced else {}
        refusals = facts.refusals.setdefault(action.subject, {})
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

    def _update_one_by_one(self, action: Action, job: ProductTask, facts: PlanContext) -> None:
        """Find out which field it is that the store refuses without saying so.

        Raises:
            RequestRejected: it refuses all.
        """
        errors = []
        for name, value in action.fields.items():
            try:
                self.carry_out(action._replace(fields={name: value}), job, facts)
            except RequestRejected as error:
                errors.append(error)
        if len(errors) == len(action.fields):
            raise errors[0]

    def _request(self, action: Action, job: ProductTask, facts: PlanContext) -> None:
        image_id = action.live["id"] if action.live else 0
        if action.action == "delete":
            self._delete(action, job, image_id)
        elif action.action == "update":
            job.wrote(action, action.fields, self._store.update(job.product_id, image_id, action.fields))
        elif action.wanted is not None:
            image = self._send(action, action.wanted, job)
            job.count_success(action)
            job.wrote(action, action.fields, image)
            if action.live is not None and image["image_file"] == action.live["image_file"]:
                return  # agreed to and not done, since a path never changes its content: planning will say so again
            known = LedgerEntry(image["id"], action.wanted["image_file"], image["image_file"])
            facts.known[action.subject] = known
            if action.live is None:
                facts.created[action.subject] = image["id"]
                facts.unfinished.add(action.subject)
            self._ledger.done(job.product_id, action.subject, known, is_new=action.live is None)

    def _send(self, action: Action, wanted: Record, job: ProductTask) -> Record:
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
        try:
            return go(last)
        except RequestRejected as error:
            if self._uploader.route(wanted) == "address" and _is_about_the_picture(error):
                message = f"{self._uploader.without_bytes(wanted)}, and its old address does not serve: {error}"
                raise RequestRejected(message, error.status, fields=error.fields) from error
            raise

    def _create(self, action: Action, wanted: Record, source: Source, job: ProductTask) -> Record:
        sent = source.url if isinstance(source, UrlSource) else source.name
        intent = Intent(
            product_id=job.product_id,
            source=action.subject,
            source_file=wanted["image_file"],
            names=frozenset(map(comparable_name, (sent, wanted["image_file"]))),
            others=frozenset(image["id"] for image in job.images) | frozenset(job.created.values()),
            at=self._pending.now(),
            sha256=None if isinstance(source, UrlSource) and not self._pictures.are_kept else wanted.get("file_sha256"),
        )
        self._ledger.intend(intent)
        try:
            image = self._store.create(job.product_id, source, action.fields)
        except (OutcomeUnknown, UnexpectedResponse) as error:
            is_answered = isinstance(error, OutcomeUnknown) and error.is_answered
            job.leave_pending(intent, self._pending.describe(intent), is_answered=is_answered)
            raise
        except (RequestRejected, FatalError):  # refused, or never sent
            self._ledger.drop(intent)
            raise
        job.note_created(action, image["id"])
        return image

    def _delete(self, action: Action, job: ProductTask, image_id: int) -> None:
        doomed = {each.live["id"] for each in job.todo if each.action == "delete" and each.live}
        if len(doomed) > 1 and doomed == {image["id"] for image in self._store.images(job.product_id)}:
            self._store.delete_all(job.product_id, doomed)
            job.todo = [action]
        else:
            self._store.delete(job.product_id, image_id)


def _is_about_the_picture(error: RequestRejected) -> bool:
    """Whether the store could not fetch or read the picture: V3 says 400 and V2 names the field."""
    return "image_file" in error.fields or "image_url" in error.fields or (error.status == 400 and not error.fields)
