"""Running requests side by side while keeping their order and bounding what waits in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["ordered_map"]

Task = TypeVar("Task")
Result = TypeVar("Result")


def ordered_map(
    executor: ThreadPoolExecutor, work: Callable[[Task], Result], tasks: Iterable[Task], window: int
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
