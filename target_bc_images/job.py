"""One product on its way from its first plan to the end state, and how each of its actions ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from bc_images.images import Record
from target_bc_images.ledger import Intent
from target_bc_images.match import SourceKey
from target_bc_images.plan import Action, ProductPlan
from target_bc_images.report import Status

__all__ = ["Failure", "Job", "Outcome", "place"]

TRIES = 6  # rounds without progress after which what is left of a product counts as failed


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one action ended."""

    action: Action
    status: Status
    target_id: int | None = None
    error: str | None = None
    is_unknown: bool = False  # it failed, and the store may have done it nevertheless

    @property
    def may_have_written(self) -> bool:
        """Whether the store may be another than before."""
        return self.is_unknown or (self.status == "done" and self.action.writes)


class Failure(NamedTuple):
    """An action that will not work in this run, and why."""

    action: Action
    reason: str
    is_unknown: bool = False


@dataclass(slots=True)
class Job:
    """One product on its way from its first plan to the end state."""

    first: ProductPlan
    todo: list[Action]  # what is left to do, in the order in which it is done
    images: Sequence[Record]  # as last read
    failed: dict[SourceKey, Failure] = field(default_factory=dict)
    created: dict[SourceKey, int] = field(default_factory=dict)
    unseen: set[int] = field(default_factory=set)  # created by this run, and neither listed nor found by id
    adopted: dict[SourceKey, int] = field(default_factory=dict)  # images that another run has created meanwhile
    conflicts: Counter[SourceKey] = field(default_factory=Counter)  # writes that the store refused as conflicts
    pending: Intent | None = None  # a create whose outcome is not known: nothing else is written to the product
    pending_reason: str = ""  # what is not known, and when it will be
    is_proven: bool = False  # read back, and nothing was left to do
    fewest: int = 0  # the least that was ever left to do
    tries: int = 0  # rounds since then

    @property
    def product_id(self) -> int:
        """The product, in the store that is written to."""
        return self.first.product_id

    @property
    def goes_on(self) -> bool:
        """Whether another round may bring it nearer to its end."""
        return bool(self.todo) and self.tries < TRIES and self.pending is None

    def outcomes(self, *, is_stopped: bool) -> Iterator[Outcome]:
        """Say how every action of the first plan ended, and every later one that could not be carried out."""
        left = {action.subject: action for action in self.todo}
        failed = dict(self.failed)
        status: Status = "not reached" if is_stopped else "failed"
        why = None if is_stopped else f"the store did not take it in {TRIES} tries"
        if self.pending is not None:
            status, why = (
                "not reached",
                "waits for another image of the product, of which nobody knows whether it is made",
            )
        for action in self.first.actions:
            unfinished = left.pop(action.subject, None)
            failure = failed.pop(action.subject, None)
            if action.action == "reject":
                yield Outcome(action, "rejected", error=action.reason)
            elif self.pending is not None and self.pending.source == action.subject:
                yield Outcome(action, "undecided", error=self.pending_reason, is_unknown=True)
            elif failure is not None:
                yield Outcome(action, "failed", error=failure.reason, is_unknown=failure.is_unknown)
            elif unfinished is not None:
                yield Outcome(action, status, error=why)
            else:
                yield self._finished(action)
        for failure in failed.values():
            left.pop(failure.action.subject, None)
            yield Outcome(failure.action, "failed", error=failure.reason, is_unknown=failure.is_unknown)
        for action in left.values():
            yield Outcome(action, status, error=why)

    def _finished(self, action: Action) -> Outcome:
        if action.subject in self.adopted:
            kept = action._replace(action="keep", reason="another run has created it meanwhile")
            return Outcome(kept, "kept", self.adopted[action.subject])
        return Outcome(action, "done", self.created.get(action.subject)) if action.writes else Outcome(action, "kept")


def place(action: Action) -> tuple[bool, bool, bool, int, int]:
    """Order the writes of one product so that as few as possible disturb each other.

    New images, and those that move back in the gallery, come first and ascending: a store that shifts siblings
    shifts only those behind, and images that move forward shift none. The thumbnail comes late, since setting it
    clears the old one; deletes come after everything else has worked.
    """
    order = action.wanted["sort_order"] if action.wanted is not None else 0
    moves_forward = action.live is not None and action.live["sort_order"] >= order
    sets_thumbnail = action.live is not None and action.fields.get("is_thumbnail") is True
    return action.action == "delete", sets_thumbnail, moves_forward, order, action.subject[1]
