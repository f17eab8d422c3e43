"""The outcome of each action of a product."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bc_images.bigcommerce.mapping import sent_value
from target_bc_images.changes import Action, Create, Keep, Reject, Status, Update, source_key
from target_bc_images.differences import Difference
from target_bc_images.product_task import MAX_STALLED_ROUNDS, Failure, ProductTask

__all__ = ["Outcome", "outcomes"]

_WAITS = "waits for another image of the product, whose create is not confirmed"
_UNVERIFIED = "written, and not read back before the run ended"
_CUT_SHORT = "the run ended before it was written"
_NOT_KEPT = f"the store did not keep it in {MAX_STALLED_ROUNDS} rounds of writes"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one action ended."""

    action: Action
    status: Status
    target_id: int | None = None
    error: str | None = None
    is_unknown: bool = False  # it failed, and the store may have done it nevertheless
    differences: Sequence[Difference] = ()  # fields of which the store shows another value now

    @property
    def may_have_written(self) -> bool:
        """Whether the store may be another than before."""
        return self.is_unknown or (self.status in {"done", "unverified"} and self.action.writes)


class _Remainder(NamedTuple):
    """What is left of an action after the last round."""

    unfinished: Action | None  # left to do
    failure: Failure | None
    differences: Sequence[Difference]  # that the store keeps


def outcomes(task: ProductTask, *, is_stopped: bool) -> Iterator[Outcome]:
    """Yield how every action of the first plan ended, and every later one that was not carried out."""
    return _Outcomes(task, is_stopped=is_stopped).all()


class _Outcomes:
    def __init__(self, task: ProductTask, *, is_stopped: bool) -> None:
        self._task = task
        self._is_stopped = is_stopped

    def all(self) -> Iterator[Outcome]:
        task = self._task
        left = {action.key: action for action in task.todo}
        failed, differences = dict(task.failed), dict(task.differences)
        for action in task.first.actions:
            key = action.key
            remainder = _Remainder(left.pop(key, None), failed.pop(key, None), differences.pop(key, ()))
            yield self._planned(action, remainder)
        for action, image_id in task.created_besides:
            yield Outcome(action, "done", image_id)
        # What came up later: images that the store has moved.
        for key, failure in failed.items():
            left.pop(key, None)
            yield _failed(failure, failure.action, differences.pop(key, ()))
        for key, action in left.items():
            yield self._unfinished(action, action, differences.pop(key, ()))
        siblings = {source_key(sibling): sibling for sibling in task.first.untouched}
        for key in differences.keys() & siblings.keys():
            moved = Update("moved by the store", task.product_id, siblings[key], is_sibling=True)
            yield Outcome(moved, "done", key[1], differences=differences[key])

    def _planned(self, action: Action, remainder: _Remainder) -> Outcome:
        """Return how an action of the first plan ended."""
        task = self._task
        unfinished, failure, differences = remainder
        if isinstance(action, Reject):
            return Outcome(action, "rejected", error=action.reason)
        if task.pending_create is not None and task.pending_create.source == action.key:
            return Outcome(action, "undecided", error=task.pending_reason, is_unknown=True)
        if self._is_created(action) and (task.is_read_back or unfinished or failure):
            return self._created(action, remainder)
        if failure is not None:
            return _failed(failure, action if action.writes else failure.action, differences)
        if unfinished is not None:
            return self._unfinished(unfinished, action if action.writes else unfinished, differences)
        return self._finished(action, differences)

    def _finished(self, action: Action, differences: Sequence[Difference]) -> Outcome:
        """Return how an action ended of which nothing is left to do."""
        task = self._task
        target_id = task.created.get(action.key)
        if not task.is_read_back or task.pending_create is not None:  # nor are the siblings, which the store may move
            return Outcome(action, "unverified", target_id, _UNVERIFIED, differences=differences)
        if action.key in task.adopted:
            kept = action.convert(Keep, "another run has created it meanwhile")
            return Outcome(kept, kept.status, task.adopted[action.key], differences=differences)
        return Outcome(action, action.status, target_id, differences=differences)

    def _unfinished(self, later: Action, action: Action, differences: Sequence[Difference]) -> Outcome:
        """Return how an action ended of which `later` is left to do."""
        if self._task.pending_create is not None:
            return Outcome(action, "not reached", error=_WAITS, differences=differences)
        if self._is_stopped:
            return Outcome(action, "not reached", differences=differences)
        if isinstance(later, Update):  # the store has answered every write with a success
            return Outcome(action, "done", differences=(*differences, *_not_written(later, _NOT_KEPT)))
        return Outcome(action, "failed", error=_NOT_KEPT, differences=differences)

    def _is_created(self, action: Action) -> bool:
        """Whether an image was created and has been seen since."""
        image_id = self._task.created.get(action.key)
        return isinstance(action, Create) and image_id is not None and image_id not in self._task.unlisted

    def _created(self, action: Action, remainder: _Remainder) -> Outcome:
        """Return how a create ended of which the image is there, whatever became of its fields."""
        later, failure, differences = remainder
        reason = _CUT_SHORT if self._is_stopped else _NOT_KEPT
        if failure is not None:
            later, reason = failure.action, failure.reason
        if later is not None and later.existing is not None:
            differences = (*differences, *_not_written(later, reason))
        return Outcome(action, "done", self._task.created[action.key], differences=differences)


def _failed(failure: Failure, action: Action, differences: Sequence[Difference]) -> Outcome:
    return Outcome(action, "failed", error=failure.reason, is_unknown=failure.is_unknown, differences=differences)


def _not_written(action: Action, reason: str) -> Iterator[Difference]:
    """Yield the differences that an update was to remove."""
    for name, value in action.fields.items():
        if action.existing is not None:
            yield Difference(name, value, sent_value(name, action.existing[name]), reason)
