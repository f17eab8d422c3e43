"""Runs requests in parallel, keeps their order, and bounds what waits in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

__all__ = ["ordered_map", "worker_pool"]

Task = TypeVar("Task")
Result = TypeVar("Result")


@contextmanager
def worker_pool(number: int, name: str) -> Iterator[ThreadPoolExecutor]:
    """Yield a pool of `number` threads; at the end, no more tasks are started and running ones are not waited for.

    A caller that stops early would otherwise wait for a request that waits for the store's rate limit.
    """
    executor = ThreadPoolExecutor(number, name)
    try:
        yield executor
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


def ordered_map(
    executor: Executor, work: Callable[[Task], Result], tasks: Iterable[Task], window: int
) -> Iterator[Result]:
    """Yield ``work(task)`` for every task, in order, with at most `window` of them started and not yet yielded.

    The first error of a task, or of `tasks` itself, is raised in its place; what has not started is dropped.
    """
    waiting: deque[Future[Result]] = deque()
    try:
        for task in tasks:
            waiting.append(executor.submit(work, task))
            if len(waiting) >= window:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
