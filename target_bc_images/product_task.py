"""The state of one product between its first plan and its end state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from bc_images.bigcommerce.mapping import Record, sent_value
from target_bc_images.changes import Action, Create, Delete, SourceKey
from target_bc_images.differences import Difference, KeptValue
from target_bc_images.ledger import Intent
from target_bc_images.planning import MOVED_BY_THE_STORE, ProductPlan, room_for

__all__ = ["MAX_STALLED_ROUNDS", "MAX_WRITES", "Failure", "ProductTask", "sort_key"]

MAX_STALLED_ROUNDS = 6  # rounds without progress after which what is left of a product counts as failed
MAX_WRITES = 2  # of one value that the store answers with a success and does not show


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
            write.answered = sent_value(name, answer[name])

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
            [(image["id"], image["image_file"], *(image[name] for name in _SHOWN)) for image in self.images],
            [(type(action), action.key, dict(action.fields)) for action in self.todo],
        ]
        is_stalled = state == self._last_state
        self._last_state = state
        not_taken: dict[SourceKey, dict[str, KeptValue]] = {}
        for action in self.todo:
            for name, value in action.fields.items() if action.existing is not None else ():
                write = self._writes.get((action.key, name))
                if write is None or write.value != value or write.count < MAX_WRITES:
                    continue
                if name not in MOVED_BY_THE_STORE or write.answered != value or is_stalled:
                    kept_value = KeptValue(value, sent_value(name, action.existing[name]) if action.existing else None)
                    not_taken.setdefault(action.key, {})[name] = kept_value
        return not_taken


_SHOWN = ("is_thumbnail", "sort_order", "description")


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
