"""The V3 sweep: contiguous id ranges walked side by side, products yielded in id order.

Each range is walked by key (``id:greater``), so nothing that exists throughout is missed or repeated, whatever is
added or deleted meanwhile. Where the ranges meet is asked of the store once, by rank; a drift after that only makes
a range longer or shorter. Pages ahead of their turn wait on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import orjson

from bc_images.bigcommerce.client import PAGE_SIZE
from bc_images.concurrency import workers
from bc_images.tempfiles import PageBuffer

__all__ = ["Page", "sweep"]

_SLACK = 2  # a range of whole pages would need one more request to see its end: make each this much shorter


@dataclass(frozen=True, slots=True)
class Page:
    """One page of products in id order, as the store describes them."""

    products: list[dict[str, Any]]
    total: int  # how many products matched the request
    end: int  # the last id that it told, also of a product that has gone since; what follows is greater
    is_last: bool  # nothing follows


FetchPage = Callable[[int, int | None], Page]
"""``fetch_page(after, before)``: the first products with ``after < id``, and ``id < before`` unless None."""

FindRank = Callable[[int, int | None, int], int | None]
"""``find_rank(after, before, rank)``: the id of the product at that place from 0, or None past the end."""


def sweep(
    fetch_page: FetchPage, find_rank: FindRank, after: int, before: int | None, concurrency: int
) -> Generator[dict[str, Any], None, None]:
    """Yield every product with ``after < id < before`` in id order, in about one request per page.

    At most ``ceil(P / 250) + concurrency`` requests for P products that stay the same.
    """
    page = fetch_page(after, before)
    yield from page.products
    if page.is_last:
        return
    after, left = page.end, page.total - len(page.products)
    del page  # or it would be held until the end
    with workers(concurrency, "sweep") as executor:
        cuts = _cuts(executor, find_rank, after, before, left, concurrency)
        spools: list[PageBuffer] = []
        try:
            for start, end in zip([after, *cuts], [*cuts, None], strict=True):
                spools.append(PageBuffer())
                executor.submit(_walk, fetch_page, start, before if end is None else end + 1, spools[-1])
            for spool in spools:
                with closing(spool):
                    for raw in spool:
                        yield from orjson.loads(raw)
        finally:  # a walk whose spool is closed ends
            for spool in spools:
                spool.close()


def _cuts(
    executor: Executor, find_rank: FindRank, after: int, before: int | None, left: int, concurrency: int
) -> list[int]:
    """Return the last ids of all ranges but the last, ascending."""
    ranges = max(1, min(concurrency, left // (PAGE_SIZE - _SLACK) + 1))
    pages = -(-(left + _SLACK * ranges) // PAGE_SIZE)
    ranks = [number * pages // ranges * PAGE_SIZE - _SLACK * number - 1 for number in range(1, ranges)]
    found = executor.map(lambda rank: find_rank(after, before, rank), ranks)
    return sorted({cut for cut in found if cut is not None})


def _walk(fetch_page: FetchPage, after: int, before: int | None, spool: PageBuffer) -> None:
    """Put every page of one range into its spool; an error is handed to the reader."""
    try:
        is_last = False
        while not is_last and not spool.closed:
            page = fetch_page(after, before)
            if page.products:
                spool.put(orjson.dumps(page.products))
            after, is_last = page.end, page.is_last
            del page  # or two would be held while the next one comes
        spool.finish()
    except BaseException as error:  # noqa: BLE001 - raised again where the page would have been read
        spool.finish(error)
