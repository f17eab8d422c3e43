"""One product on its way from its first plan to the end state, and how each of its actions ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from bc_images.bigcommerce.mapping import Record
from target_bc_images.changes import Action, Create, Delete, Keep, Reject, SourceKey, Status, Update, source_key
from target_bc_images.differences import Difference, KeptValue, as_sent
from target_bc_images.ledger import Intent
from target_bc_images.planning import MOVED_BY_THE_STORE, ProductPlan, room_for

__all__ = ["MAX_WRITES", "Failure", "Outcome", "ProductTask", "sort_key"]

MAX_STALLED_ROUNDS = 6  # rounds without progress after which what is left of a product counts as failed
MAX_WRITES = 2  # of one value that the store answers with a success and does not show


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


class Failure(NamedTuple):
    """An action that will not work in this run, and why."""

    action: Action
    reason: str
    is_unknown: bool = False


@dataclass(slots=True)
class _Write:
    """A value that was written to a field, how often, and what the answer to the last time showed of it."""

    value: Any
    count: int = 0
    answered: Any = None


@dataclass(slots=True)
class ProductTask:
    """One product on its way from its first plan to the end state."""

    first: ProductPlan
    todo: list[Action]  # what is left to do, in the order in which it is done
    images: Sequence[Record]  # as last read
    failed: dict[SourceKey, Failure] = field(default_factory=dict)
    created: dict[SourceKey, int] = field(default_factory=dict)
    unlisted: set[int] = field(default_factory=set)  # created by this run, and neither listed nor found by id
    created_besides: list[tuple[Action, int]] = field(default_factory=list)  # by creates that were not in the plan
    adopted: dict[SourceKey, int] = field(default_factory=dict)  # images that another run has created meanwhile
    conflicts: Counter[SourceKey] = field(default_factory=Counter)  # writes that the store refused as conflicts
    pending_create: Intent | None = None  # a create whose outcome is not known: nothing else is written to the product
    pending_reason: str = ""  # what is not known, and when it will be
    is_answered: bool = False  # that create was answered with a success
    differences: dict[SourceKey, Sequence[Difference]] = field(default_factory=dict)  # by the latest plan
    unconfirmed: Counter[tuple[SourceKey, type[Action]]] = field(
        default_factory=Counter
    )  # successes, whatever came of them
    is_read_back: bool = True  # read since the last write
    is_proven: bool = False  # read back, and nothing was left to do
    fewest_remaining: int = 0  # the least that was ever left to do
    stalled_rounds: int = 0  # rounds since then
    _writes: dict[tuple[SourceKey, str], _Write] = field(default_factory=dict)
    _last_state: object = None  # of the product and of what is to do, after the latest round

    @property
    def product_id(self) -> int:
        """The product, in the store that is written to."""
        return self.first.product_id

    @property
    def has_work(self) -> bool:
        """Whether another round may bring it nearer to its end."""
        return bool(self.todo) and self.stalled_rounds < MAX_STALLED_ROUNDS and self.pending_create is None

    # Writing

    def begin_round(self) -> None:
        """Put what is left to do in order; what is written from now on is not proven.

        Where the product would be too full in between, its deletes come first.
        """
        self.todo.sort(key=sort_key)
        if sum(isinstance(action, Create) for action in self.todo) > room_for(self.images):
            self.todo.sort(key=lambda action: not isinstance(action, Delete))
        self.is_read_back = False

    def note_created(self, action: Action, image_id: int) -> None:
        """Take down an image that was created; one that the plan has not foreseen is reported by itself."""
        key = action.key
        is_planned = any(planned.key == key and isinstance(planned, Create) for planned in self.first.actions)
        if key in self.created or not is_planned:
            self.created_besides.append((action, self.created.get(key, image_id)))
        self.created[key] = image_id

    def count_success(self, action: Action, *, is_answered: bool = True) -> None:
        """Count a write that the store has answered with a success, whatever came of it."""
        self.unconfirmed[action.key, type(action)] += is_answered

    def wrote(self, action: Action, fields: Mapping[str, Any], answer: Record) -> None:
        """Take down that fields were written, and the image with which the store has answered."""
        for name, value in fields.items():
            write = self._writes.get((action.key, name))
            if write is None or write.value != value:
                write = self._writes[action.key, name] = _Write(value)
            write.count += 1
            write.answered = as_sent(answer[name])

    def leave_pending(self, intent: Intent, reason: str, *, is_answered: bool = False) -> None:
        """Take down that nobody knows what came of a create; `is_answered`: the store has called it a success."""
        self.pending_create, self.pending_reason, self.is_answered = intent, reason, is_answered

    def replan(self, planned: ProductPlan) -> None:
        """Take over what is left to do, by a plan that was made from `images`."""
        self.todo = list(planned.writes)
        self.differences = {action.key: action.differences for action in planned.actions if action.differences}

    def not_taken(self) -> dict[SourceKey, dict[str, KeptValue]]:
        """Return those values that were written twice and are not shown, and what is shown.

        A neighbour's write may move an image on, so that its order has to be written many times: there it counts only
        where the very answer has shown another value, or where a whole round has changed nothing.
        """
        state = [
            [(each["id"], each["image_file"], *(each[name] for name in _SHOWN)) for each in self.images],
            [(type(each), each.key, dict(each.fields)) for each in self.todo],
        ]
        is_stalled = state == self._last_state
        self._last_state = state
        found: dict[SourceKey, dict[str, KeptValue]] = {}
        for action in self.todo:
            for name, value in action.fields.items() if action.existing is not None else ():
                write = self._writes.get((action.key, name))
                if write is None or write.value != value or write.count < MAX_WRITES:
                    continue
                if name not in MOVED_BY_THE_STORE or write.answered != value or is_stalled:
                    kept_value = KeptValue(value, as_sent(action.existing[name]) if action.existing else None)
                    found.setdefault(action.key, {})[name] = kept_value
        return found

    # Ending

    def outcomes(self, *, is_stopped: bool) -> Iterator[Outcome]:
        """Say how every action of the first plan ended, and every later one that could not be carried out."""
        left = {action.key: action for action in self.todo}
        failed, differences = dict(self.failed), dict(self.differences)
        for action in self.first.actions:
            key = action.key
            unfinished, failure = left.pop(key, None), failed.pop(key, None)
            known = differences.pop(key, ())
            yield self._outcome(action, unfinished, failure, known, is_stopped=is_stopped)
        for action, image_id in self.created_besides:
            yield Outcome(action, "done", image_id)
        # What came up later: images that the store has moved.
        for key, failure in failed.items():
            left.pop(key, None)
            yield _failed(failure, failure.action, differences.pop(key, ()))
        for key, action in left.items():
            yield self._unfinished(action, action, differences.pop(key, ()), is_stopped=is_stopped)
        siblings = {source_key(sibling): sibling for sibling in self.first.untouched}
        for key in differences.keys() & siblings.keys():
            moved = Update("moved by the store", self.product_id, siblings[key], is_sibling=True)
            yield Outcome(moved, "done", key[1], differences=differences[key])

    def _outcome(
        self,
        action: Action,
        unfinished: Action | None,
        failure: Failure | None,
        known: Sequence[Difference],
        *,
        is_stopped: bool,
    ) -> Outcome:
        """Say how an action of the first plan ended, of which `unfinished` is left to do or `failure` has come."""
        if isinstance(action, Reject):
            return Outcome(action, "rejected", error=action.reason)
        if self.pending_create is not None and self.pending_create.source == action.key:
            return Outcome(action, "undecided", error=self.pending_reason, is_unknown=True)
        if self._is_created(action) and (self.is_read_back or unfinished or failure):
            return self._created(action, unfinished, failure, known, is_stopped=is_stopped)
        if failure is not None:
            return _failed(failure, action if action.writes else failure.action, known)
        if unfinished is not None:
            return self._unfinished(unfinished, action if action.writes else unfinished, known, is_stopped=is_stopped)
        return self._finished(action, known)

    def _finished(self, action: Action, known: Sequence[Difference]) -> Outcome:
        """Say how an action ended of which nothing is left to do."""
        target_id = self.created.get(action.key)
        if not self.is_read_back or self.pending_create is not None:  # nor are the neighbours, which the store may move
            return Outcome(action, "unverified", target_id, _UNVERIFIED, differences=known)
        if action.key in self.adopted:
            kept = action.convert(Keep, "another run has created it meanwhile")
            return Outcome(kept, "kept", self.adopted[action.key], differences=known)
        return Outcome(action, "done" if action.writes else "kept", target_id, differences=known)

    def _unfinished(self, later: Action, action: Action, known: Sequence[Difference], *, is_stopped: bool) -> Outcome:
        """Say how an action ended of which `later` is left to do."""
        if self.pending_create is not None:
            return Outcome(action, "not reached", error=_WAITS, differences=known)
        if is_stopped:
            return Outcome(action, "not reached", differences=known)
        reason = _not_settled(is_stopped=is_stopped)
        if isinstance(later, Update):  # the store has answered every write with a success
            return Outcome(action, "done", differences=(*known, *_left(later, reason)))
        return Outcome(action, "failed", error=reason, differences=known)

    def _is_created(self, action: Action) -> bool:
        """Whether an image was created and has been seen since."""
        image_id = self.created.get(action.key)
        return isinstance(action, Create) and image_id is not None and image_id not in self.unlisted

    def _created(
        self,
        action: Action,
        unfinished: Action | None,
        failure: Failure | None,
        known: Sequence[Difference],
        *,
        is_stopped: bool,
    ) -> Outcome:
        """Say how a create ended of which the image is there, whatever became of its fields."""
        later = failure.action if failure is not None else unfinished
        reason = failure.reason if failure is not None else _not_settled(is_stopped=is_stopped)
        if later is not None and later.existing is not None:
            known = (*known, *_left(later, reason))
        return Outcome(action, "done", self.created[action.key], differences=known)


_SHOWN = ("is_thumbnail", "sort_order", "description")
_WAITS = "waits for another image of the product, of which nobody knows whether it is made"
_UNVERIFIED = "written, and not read back before the run ended"


def _failed(failure: Failure, action: Action, known: Sequence[Difference]) -> Outcome:
    return Outcome(action, "failed", error=failure.reason, is_unknown=failure.is_unknown, differences=known)


def _left(action: Action, reason: str) -> Iterator[Difference]:
    """Yield the differences that an update was to make away with."""
    for name, value in action.fields.items():
        if action.existing is not None:
            yield Difference(name, value, as_sent(action.existing[name]), reason)


def _not_settled(*, is_stopped: bool) -> str:
    return "the run ended before it was written" if is_stopped else f"it did not stay in {MAX_STALLED_ROUNDS} tries"


def sort_key(action: Action) -> tuple[bool, bool, bool, int, int]:
    """Order the writes of one product so that as few as possible disturb each other.

    New images, and those that move back in the gallery, come first and ascending: a store that shifts siblings
    shifts only those behind, and images that move forward shift none. The thumbnail comes late, since setting it
    clears the old one; deletes come after everything else has worked.
    """
    order = action.desired["sort_order"] if action.desired is not None else 0
    moves_forward = action.existing is not None and action.existing["sort_order"] >= order
    sets_thumbnail = action.existing is not None and action.fields.get("is_thumbnail") is True
    return isinstance(action, Delete), sets_thumbnail, moves_forward, order, action.key[1]
