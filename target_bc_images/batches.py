"""Batches of plans: which records none has reached, and which images the backup has no file of."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from bc_images.bigcommerce.mapping import Record
from bc_images.files.findings import name_of
from bc_images.text import counted
from target_bc_images.changes import Action
from target_bc_images.context import PlanContext
from target_bc_images.planning import NO_FILE, ProductPlan
from target_bc_images.restore_input import Key, RestoreInput

__all__ = ["Batch", "InputBatches", "warn_of_records_without_file"]


@dataclass(frozen=True, slots=True)
class Batch:
    """The plans of as many products as one request reads.

    Attributes:
        plans: one a product, and one for each record that has no product.
        context: what they were decided from.
        groups: how many groups of the input's records they are about; 0 for products of which it has no record.
    """

    plans: Sequence[ProductPlan]
    context: PlanContext
    groups: int = 0

    @property
    def actions(self) -> list[Action]:
        """All actions of all plans."""
        return [action for planned in self.plans for action in planned.actions]

    @property
    def writes(self) -> list[Action]:
        """Those that change the store."""
        return [action for planned in self.plans for action in planned.writes]


class InputBatches:
    """Which part of an input is in the report, batch by batch, in the order of the input.

    Args:
        restore_input: the input.
        key: what makes its records belong together.
    """

    def __init__(self, restore_input: RestoreInput, key: Key) -> None:
        self._input = restore_input
        self._key = key
        self._groups = 0

    def accept(self, batch: Batch) -> None:
        """Count a batch whose actions are reported, or are about to be, whatever comes of them."""
        self._groups += batch.groups

    def unreached(self) -> Iterator[Record]:
        """Yield the records of no batch that was accepted."""
        return chain.from_iterable(islice(self._input.groups(self._key), self._groups, None))


logger = logging.getLogger(__name__)

MOST_NAMED = 10


def warn_of_records_without_file(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Pass on batches; name such images in the log before they are written, and count them at the end."""
    count = 0
    for batch in batches:
        for action in batch.writes:
            if action.sends_bytes and action.desired and not action.desired.get("file_sha256"):
                count += 1
                if count <= MOST_NAMED:
                    logger.warning("%s: %s.", name_of(action.desired), NO_FILE)
        yield batch
    if count:
        logger.warning(
            "The backup has no file of %s to write: the store is to fetch old addresses, which may be dead.",
            counted(count, "image"),
        )
