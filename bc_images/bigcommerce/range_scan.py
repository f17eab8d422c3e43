"""The V3 scan: contiguous id ranges read in parallel, pages yielded in id order.

Each range is paged by key (``id:greater``), so nothing that exists throughout is missed or repeated, whatever is
added or deleted meanwhile. Where a range ends is asked of the store by rank, when its turn comes near; a drift after
that only makes a range longer or shorter. Pages ahead of their turn wait on disk: as many as the few ranges have that
are under way, whatever the size of the store.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Any

from bc_images.bigcommerce.client import PAGE_SIZE
from bc_images.concurrency import ordered_map, worker_pool
from bc_images.tempfiles import PageBuffer

__all__ = ["Page", "scan_ranges"]

_SLACK = 2  # a range of whole pages would need one more request to see its end: make each this much shorter
_LONGEST = 32  # pages of a range
_IN_FLIGHT = 24 * 2**20  # bytes of the pages that are being fetched
_AHEAD = 1  # ranges that wait for a thread, so that none waits for the reader


@dataclass(frozen=True, slots=True)
class Page:
    """One page of products in id order."""

    content: bytes  # as the store sent it
    rows: list[dict[str, Any]]  # or parsed, where it is not to be scanned
    count: int
    total: int  # how many products matched the request
    end: int  # the last id on the page, also of a product deleted since; the next page begins after it
    is_last: bool  # nothing follows


FetchPage = Callable[[int, int | None], Page]
"""``fetch_page(after, before)``: the first products with ``after < id``, and ``id < before`` unless None."""

IdAt = Callable[[int, int | None, int], int | None]
"""``id_at(after, before, position)``: the id of the product at that position, from 0; None past the end."""


def scan_ranges(
    fetch_page: FetchPage, id_at: IdAt, after: int, before: int | None, concurrency: int
) -> Generator[bytes, None, None]:
    """Yield every page of products with ``after < id < before`` in id order, in about one request per page.

    At most ``ceil(P / 250) + max(concurrency, ceil(P / 8000))`` requests for P products that stay the same.
    """
    page = fetch_page(after, before)
    yield page.content
    if page.is_last:
        return
    after, left = page.end, page.total - page.count
    room = _Room(len(page.content))
    del page  # or it would be held until the end
    with worker_pool(concurrency, "scan") as executor:
        waiting: deque[PageBuffer] = deque()
        try:
            for start, end in _ranges(executor, id_at, after, before, left, concurrency):
                waiting.append(PageBuffer())
                executor.submit(_read_range, fetch_page, start, before if end is None else end + 1, waiting[-1], room)
                if len(waiting) > concurrency + _AHEAD:
                    yield from waiting[0]
                    waiting.popleft().close()
            while waiting:
                yield from waiting[0]
                waiting.popleft().close()
        finally:  # the thread of a closed buffer ends
            for buffer in waiting:
                buffer.close()


def _ranges(
    executor: Executor, id_at: IdAt, after: int, before: int | None, left: int, concurrency: int
) -> Iterator[tuple[int, int | None]]:
    """Yield between which ids each range lies, ascending; None: to the end."""
    number = max(1, min(concurrency, left // (PAGE_SIZE - _SLACK) + 1), -(-left // (PAGE_SIZE * _LONGEST)))
    pages = -(-(left + _SLACK * number) // PAGE_SIZE)
    positions = (i * pages // number * PAGE_SIZE - _SLACK * i - 1 for i in range(1, number))
    start = after
    for end in ordered_map(executor, partial(id_at, after, before), positions, 2 * concurrency):
        if end is not None and end > start:
            yield start, end
            start = end
    yield start, None


def _read_range(fetch_page: FetchPage, after: int, before: int | None, buffer: PageBuffer, room: _Room) -> None:
    """Put every page of one range into its buffer; an error is handed to the reader."""
    try:
        is_last = False
        while not is_last and not buffer.closed:
            with room:
                page = fetch_page(after, before)
                room.largest = max(room.largest, len(page.content))
                if page.count:
                    buffer.put(page.content)
                after, is_last = page.end, page.is_last
                del page  # or two would be held while the next one comes
        buffer.finish()
    except BaseException as error:  # noqa: BLE001 - raised again where the page would have been read
        buffer.finish(error)


class _Room:
    """Lets in as many threads at once as pages fit into `_IN_FLIGHT`, by the largest so far; always one."""

    def __init__(self, largest: int) -> None:
        self.largest = largest  # bytes
        self._threads = 0
        self._changed = threading.Condition()

    def __enter__(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._threads or (self._threads + 1) * self.largest <= _IN_FLIGHT)
            self._threads += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._threads -= 1
            self._changed.notify_all()
