"""Products are read once more before their first create: ahead of the work, each once, and none without a look."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bc_images.errors import StoreUnreachable
from target_bc_images.context import PlanContext
from target_bc_images.ledger import Ledger
from target_bc_images.planning import plan
from target_bc_images.product_task import ProductTask
from target_bc_images.read_back import Arrivals
from target_bc_images.resources import Resources
from tests.support.records import STORE, record

CHUNK = 4  # products of one request, where concurrency is 1


class _Store:
    """Has empty products, and takes down which are asked for together."""

    settings = SimpleNamespace(concurrency=1)

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.fails = False

    def products(self, ids: Sequence[int]) -> Iterator[Any]:
        self.asked.append(list(ids))
        if self.fails:
            raise StoreUnreachable("no answer")
        return (SimpleNamespace(id=each, images=[], invalid=[]) for each in ids)


@pytest.fixture
def reader() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


def arrivals_of(store: _Store, count: int, reader: ThreadPoolExecutor) -> tuple[Arrivals, list[ProductTask]]:
    context = PlanContext(STORE)
    plans = [plan(number, [record(number, product_id=number)], [], context) for number in range(1, count + 1)]
    tasks = [ProductTask(each, list(each.writes), each.existing) for each in plans]
    resources = Resources(
        cast("Any", store), Ledger(None, STORE), cast("Any", None), cast("Any", None), threading.Event()
    )
    return Arrivals(resources, context, tasks, reader), tasks


def finish(reader: ThreadPoolExecutor) -> None:
    """Wait for what has been begun."""
    future: Future[None] = reader.submit(lambda: None)
    future.result()


def test_the_next_products_are_read_while_there_is_work_on_the_last(reader: ThreadPoolExecutor) -> None:
    store = _Store()
    arrivals, tasks = arrivals_of(store, 10, reader)
    seen = []
    for task in tasks:
        arrivals.before_first_create(task)
        finish(reader)
        seen.append(len(store.asked))
    assert store.asked == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10]]
    assert seen == [1, 1, 2, 2, 2, 2, 3, 3, 3, 3]


def test_a_product_is_read_once_only(reader: ThreadPoolExecutor) -> None:
    store = _Store()
    arrivals, (task,) = arrivals_of(store, 1, reader)
    for _ in range(3):
        arrivals.before_first_create(task)
    assert store.asked == [[1]]


def test_a_read_that_fails_fails_for_all_its_products(reader: ThreadPoolExecutor) -> None:
    store = _Store()
    store.fails = True
    arrivals, tasks = arrivals_of(store, CHUNK, reader)
    for task in tasks:
        with pytest.raises(StoreUnreachable):
            arrivals.before_first_create(task)
