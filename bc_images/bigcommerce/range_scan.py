"""The V3 scan: contiguous id ranges read in parallel, products yielded in id order.

Each range is paged by key (``id:greater``), so nothing that exists throughout is missed or repeated, whatever is
added or deleted meanwhile. Where the ranges meet is asked of the store once, by rank; a drift after that only makes
a range longer or shorter. Pages ahead of their turn wait on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from bc_images.bigcommerce.client import PAGE_SIZE
from bc_images.concurrency import worker_pool
from bc_images.tempfiles import PageBuffer

__all__ = ["Page", "scan_ranges"]

_SLACK = 2  # a range of whole pages would need one more request to see its end: make each this much shorter


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

    At most ``ceil(P / 250) + concurrency`` requests for P products that stay the same.
    """
    page = fetch_page(after, before)
    yield page.content
    if page.is_last:
        return
    after, left = page.end, page.total - page.count
    del page  # or it would be held until the end
    with worker_pool(concurrency, "scan") as executor:
        boundaries = _boundaries(executor, id_at, after, before, left, concurrency)
        buffers: list[PageBuffer] = []
        try:
            for start, end in zip([after, *boundaries], [*boundaries, None], strict=True):
                buffers.append(PageBuffer())
                executor.submit(_read_range, fetch_page, start, before if end is None else end + 1, buffers[-1])
            for buffer in buffers:
                with closing(buffer):
                    yield from buffer
        finally:  # the thread of a closed buffer ends
            for buffer in buffers:
                buffer.close()


def _boundaries(
    executor: Executor, id_at: IdAt, after: int, before: int | None, left: int, concurrency: int
) -> list[int]:
    """Return the last ids of all ranges but the last, ascending."""
    ranges = max(1, min(concurrency, left // (PAGE_SIZE - _SLACK) + 1))
    pages = -(-(left + _SLACK * ranges) // PAGE_SIZE)
    positions = [number * pages // ranges * PAGE_SIZE - _SLACK * number - 1 for number in range(1, ranges)]
    ids = executor.map(lambda position: id_at(after, before, position), positions)
    return sorted({boundary for boundary in ids if boundary is not None})


def _read_range(fetch_page: FetchPage, after: int, before: int | None, buffer: PageBuffer) -> None:
    """Put every page of one range into its buffer; an error is handed to the reader."""
    try:
        is_last = False
        while not is_last and not buffer.closed:
            page = fetch_page(after, before)
            if page.count:
                buffer.put(page.content)
            after, is_last = page.end, page.is_last
            del page  # or two would be held while the next one comes
        buffer.finish()
    except BaseException as error:  # noqa: BLE001 - raised again where the page would have been read
        buffer.finish(error)
