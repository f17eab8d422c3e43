"""Batches of plans, and the records that no batch has reached."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from bc_images.bigcommerce.mapping import Record
from target_bc_images.context import PlanContext
from target_bc_images.planning import ProductPlan
from target_bc_images.restore_input import Key, RestoreInput

__all__ = ["Batch", "InputBatches"]


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
