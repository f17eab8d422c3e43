"""Which records of the input no batch has come to, whatever the batches look like."""

from __future__ import annotations

from contextlib import closing

from target_bc_images.batches import Batch, InputBatches
from target_bc_images.context import PlanContext
from target_bc_images.restore_input import RestoreInput
from tests.support.records import STORE, record


def test_records_are_unreached_until_their_batch_is_accepted() -> None:
    with closing(RestoreInput(STORE)) as restore_input:
        for image, product in ((1, 1), (2, 1), (3, 2), (4, 3)):
            restore_input.add(record(image, product_id=product))
        batches = InputBatches(restore_input, "product_id")
        assert [each["id"] for each in batches.unreached()] == [1, 2, 3, 4]
        batches.accept(Batch([], PlanContext(STORE), groups=1))
        assert [each["id"] for each in batches.unreached()] == [3, 4]
        batches.accept(Batch([], PlanContext(STORE)))  # of products that the input does not have
        batches.accept(Batch([], PlanContext(STORE), groups=2))
        assert list(batches.unreached()) == []
