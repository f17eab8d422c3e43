"""The scan over id ranges, the paging of lists, the spool, and order-keeping concurrency: no HTTP here."""

from __future__ import annotations

import itertools
import math
import os
import random
import threading
import weakref
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bc_images.bigcommerce.pagination import read_pages
from bc_images.bigcommerce.range_scan import Page, scan_ranges
from bc_images.concurrency import ordered_map, worker_pool
from bc_images.errors import AuthError, FatalError, StoreUnreachable, UnexpectedResponse
from bc_images.tempfiles import PageBuffer

PAGE = 250


def page_of(ids: list[int], total: int, end: int, is_last: bool) -> Page:
    content = orjson.dumps([{"id": product_id, "x": [product_id]} for product_id in ids])
    return Page(content, [], len(ids), total, end, is_last)


def scanned(*arguments: Any) -> Iterator[dict[str, Any]]:
    for content in scan_ranges(*arguments):
        yield from orjson.loads(content)


class Shelf:
    """A store of nothing but product ids, which others may change between two requests."""

    def __init__(self, ids: set[int], changes: Iterator[tuple[str, int]] | None = None, cap: int = PAGE) -> None:
        self.ids = set(ids)
        self.always = set(ids)  # what exists throughout
        self.ever = set(ids)
        self.requests = 0
        self._changes = changes or iter(())
        self._cap = cap
        self._lock = threading.Lock()

    def _asked(self, after: int, before: int | None) -> list[int]:
        """Count a request, let the others do something, and return what matches."""
        self.requests += 1
        for what, product_id in itertools.islice(self._changes, 3):
            if what == "add":
                self.ids.add(product_id)
                self.ever.add(product_id)
            else:
                self.ids.discard(product_id)
                self.always.discard(product_id)
        return sorted(i for i in self.ids if after < i and (before is None or i < before))

    def fetch_page(self, after: int, before: int | None) -> Page:
        with self._lock:
            found = self._asked(after, before)
        rows = found[: self._cap]
        end = rows[-1] if rows else after
        return page_of(rows, len(found), end, len(rows) < self._cap)

    def find_rank(self, after: int, before: int | None, rank: int) -> int | None:
        with self._lock:
            found = self._asked(after, before)
        return found[rank] if rank < len(found) else None

    def scanned(self, concurrency: int, after: int = 0, before: int | None = None) -> list[int]:
        return [row["id"] for row in scanned(self.fetch_page, self.find_rank, after, before, concurrency)]


EXACT_SIZES = [
    0,
    1,
    247,
    248,
    249,
    250,
    251,
    495,
    496,
    497,
    498,
    499,
    500,
    501,
    746,
    747,
    748,
    749,
    750,
    1000,
    2250,
    2251,
]


@pytest.mark.parametrize("products", EXACT_SIZES)
@pytest.mark.parametrize("concurrency", [1, 2, 8, 100])
def test_a_store_that_stands_still(products: int, concurrency: int) -> None:
    shelf = Shelf(set(range(1, products + 1)))
    assert shelf.scanned(concurrency) == list(range(1, products + 1))
    assert shelf.requests <= math.ceil(products / PAGE) + concurrency


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 30_000), st.integers(1, 100))
@example(10_000, 8)
@example(1000, 8)
def test_requests_are_few(products: int, concurrency: int) -> None:
    shelf = Shelf(set(range(1, products + 1)))
    assert len(shelf.scanned(concurrency)) == products
    assert shelf.requests <= math.ceil(products / PAGE) + max(concurrency, math.ceil(products / (32 * PAGE)))


@pytest.mark.parametrize("concurrency", [1, 3])
def test_what_is_read_ahead_is_bounded_whatever_the_size_of_the_store(
    concurrency: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    longest = 2
    monkeypatch.setattr("bc_images.bigcommerce.range_scan._LONGEST", longest)
    shelf = Shelf(set(range(1, 40 * PAGE + 1)))
    ids: list[int] = []
    for taken, content in enumerate(scan_ranges(shelf.fetch_page, shelf.find_rank, 0, None, concurrency), 1):
        boundaries = taken // longest + 3 * concurrency + 2
        assert shelf.requests <= taken + (concurrency + 2) * (longest + 1) + boundaries
        ids += [row["id"] for row in orjson.loads(content)]
    assert ids == sorted(shelf.ids)
    assert shelf.requests <= 40 + 40 / longest + 1


def test_few_large_pages_are_fetched_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Shelf(set(range(1, 40 * PAGE + 1)))
    monkeypatch.setattr("bc_images.bigcommerce.range_scan._IN_FLIGHT", 2 * len(shelf.fetch_page(9000, None).content))
    under_way = threading.Semaphore(2)

    def fetch_page(after: int, before: int | None) -> Page:
        assert under_way.acquire(blocking=False), "three at once"
        try:
            return shelf.fetch_page(after, before)
        finally:
            under_way.release()

    ids = [row["id"] for row in scanned(fetch_page, shelf.find_rank, 0, None, 8)]
    assert ids == sorted(shelf.ids)


def test_skewed_ids_are_shared_out_by_rank() -> None:
    ids = {*range(1, 2000), 10**9, *range(10**12, 10**12 + 2000), 2**62}
    shelf = Shelf(ids)
    assert shelf.scanned(8) == sorted(ids)
    assert shelf.requests <= math.ceil(len(ids) / PAGE) + 8


@settings(max_examples=60, deadline=None)
@given(
    ids=st.sets(st.integers(1, 5000), max_size=3000),
    after=st.integers(0, 5000),
    before=st.none() | st.integers(1, 5001),
    concurrency=st.integers(1, 10),
)
def test_bounds_hold(ids: set[int], after: int, before: int | None, concurrency: int) -> None:
    expected = sorted(i for i in ids if after < i and (before is None or i < before))
    assert Shelf(ids).scanned(concurrency, after, before) == expected


@settings(max_examples=150, deadline=None)
@given(
    products=st.integers(0, 3000),
    gap=st.sampled_from([1, 2, 50]),
    concurrency=st.integers(1, 10),
    cap=st.sampled_from([PAGE, 100, 7]),
    seed=st.integers(0, 2**32),
)
def test_what_exists_throughout_is_scanned_once_whatever_else_happens(
    products: int, gap: int, concurrency: int, cap: int, seed: int
) -> None:
    dice = random.Random(seed)
    span = products * gap + 500
    changes = ((dice.choice(["add", "delete"]), dice.randint(1, span)) for _ in itertools.count())
    shelf = Shelf({number * gap for number in range(1, products + 1)}, changes, cap)
    scanned = shelf.scanned(concurrency)
    assert all(earlier < later for earlier, later in itertools.pairwise(scanned))
    assert shelf.always <= set(scanned) <= shelf.ever


def test_a_store_that_empties_meanwhile() -> None:
    deletions = (("delete", number) for number in range(3000, 0, -1))
    shelf = Shelf(set(range(1, 3001)), deletions)
    assert shelf.always <= set(shelf.scanned(8))


@pytest.mark.parametrize("empty", [{1}, {2, 3}, {1, 4, 5}, {5}], ids=str)
def test_a_page_whose_products_have_all_gone_is_no_end(empty: set[int]) -> None:
    """As where each of them had a long list of images, and was deleted before that could be read."""
    shelf = Shelf(set(range(1, 1251)))

    def fetch_page(after: int, before: int | None) -> Page:
        page = shelf.fetch_page(after, before)
        kept = [row["id"] for row in orjson.loads(page.content) if (row["id"] - 1) // PAGE + 1 not in empty]
        return page_of(kept, page.total, page.end, page.is_last)

    rows = [row["id"] for row in scanned(fetch_page, shelf.find_rank, 0, None, 1)]
    assert rows == [number for number in range(1, 1251) if (number - 1) // PAGE + 1 not in empty]
    assert shelf.requests <= 6


class HeldPage(Page):
    """A page that tells, by a weak reference, whether it is still held."""


def test_no_page_is_held_longer_than_needed() -> None:
    shelf = Shelf(set(range(1, 1001)))
    pages: list[weakref.ref[Page]] = []

    def fetch_page(after: int, before: int | None) -> Page:
        page = HeldPage(**asdict(shelf.fetch_page(after, before)))
        pages.append(weakref.ref(page))
        return page

    contents = scan_ranges(fetch_page, shelf.find_rank, 0, None, 1)
    for _ in range(2):
        next(contents)
    assert pages[0]() is None
    contents.close()


def test_rows_come_out_as_they_went_in() -> None:
    rows = list(scanned((shelf := Shelf(set(range(1, 1501)))).fetch_page, shelf.find_rank, 0, None, 4))
    assert rows == [{"id": number, "x": [number]} for number in range(1, 1501)]


@pytest.mark.parametrize("failing", [1, 2, 5, 9, 14, 20])
def test_an_error_comes_up_in_its_place(failing: int) -> None:
    """Before it come exactly the products in front of the page that failed, in order."""
    shelf = Shelf(set(range(1, 5001)))

    def fetch_page(after: int, before: int | None) -> Page:
        if after >= (failing - 1) * PAGE:
            raise AuthError(f"at {after}")
        return shelf.fetch_page(after, before)

    seen: list[int] = []

    def read() -> None:
        seen.extend(row["id"] for row in scanned(fetch_page, shelf.find_rank, 0, None, 8))

    with pytest.raises(AuthError):
        read()
    assert seen == list(range(1, len(seen) + 1))
    assert (failing - 2) * PAGE < len(seen) < failing * PAGE


def test_an_error_while_ranges_are_found_ends_the_scan() -> None:
    shelf = Shelf(set(range(1, 5001)))

    def find_rank(*_: Any) -> int | None:
        raise StoreUnreachable("no rank")

    with pytest.raises(StoreUnreachable):
        list(scanned(shelf.fetch_page, find_rank, 0, None, 8))


def test_a_reader_that_leaves_waits_for_nothing_and_ends_the_walks() -> None:
    shelf = Shelf(set(range(1, 20_001)))
    others = {*threading.enumerate()}  # of tests before this one, which may still wait to try something again
    answers, stuck = threading.Event(), threading.Event()

    def fetch_page(after: int, before: int | None) -> Page:
        if after > 10_000:
            stuck.set()
            answers.wait(60)
        return shelf.fetch_page(after, before)

    rows = scan_ranges(fetch_page, shelf.find_rank, 0, None, 8)
    for _ in range(2):
        next(rows)
    assert stuck.wait(30)
    rows.close()  # returns although nothing is answered
    walks = [each for each in threading.enumerate() if each.name.startswith("scan") and each not in others]
    assert walks
    answers.set()
    for thread in walks:
        thread.join(30)
        assert not thread.is_alive()
    assert shelf.requests < 60  # what was under way came to its end; the whole store takes 88


def test_nothing_is_asked_for_before_the_first_product_is_wanted() -> None:
    shelf = Shelf({1})
    rows = scan_ranges(shelf.fetch_page, shelf.find_rank, 0, None, 8)
    assert shelf.requests == 0
    assert orjson.loads(next(rows))[0]["id"] == 1


# Spool


def test_pages_come_out_in_order_while_they_go_in() -> None:
    pages = [os.urandom(length) for length in (0, 1, 100_000, 3, 0, 65_536)]
    spool = PageBuffer()

    def write() -> None:
        for page in pages:
            spool.put(page)
        spool.finish()

    writer = threading.Thread(target=write)
    writer.start()
    assert list(spool) == pages
    writer.join()
    spool.close()


def test_the_writers_error_comes_after_its_pages() -> None:
    spool = PageBuffer()
    spool.put(b"1")
    spool.finish(AuthError("no"))
    pages = iter(spool)
    assert next(pages) == b"1"
    with pytest.raises(AuthError):
        next(pages)


def test_a_closed_spool_takes_no_more() -> None:
    spool = PageBuffer()
    spool.close()
    spool.put(b"1")
    spool.finish()
    assert spool.closed


def test_a_temporary_folder_that_cannot_be_used_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with pytest.raises(
        FatalError, match=r"the pages read ahead to the temporary folder .*missing: No such file.*TMPDIR"
    ):
        PageBuffer()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk that is full")
def test_a_full_disk_ends_the_scan_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.TemporaryFile", lambda buffering: Path("/dev/full").open("r+b", buffering))  # noqa: SIM115
    shelf = Shelf(set(range(1, 2001)))
    with pytest.raises(FatalError, match=r"No space left on device\. Free some space"):
        shelf.scanned(4)


# Lists by page number


class Pages:
    """A list of items, read by page, that changes before the page `when` is read."""

    def __init__(self, count: int, size: int = PAGE) -> None:
        self.items = [{"id": number} for number in range(1, count + 1)]
        self.size = size
        self.requests = 0
        self.changes: dict[int, int] = {}  # request number -> index of the item that is deleted before it

    def read(self, number: int) -> tuple[list[dict[str, Any]], bool]:
        self.requests += 1
        if self.requests in self.changes:
            del self.items[self.changes[self.requests]]
        page = self.items[(number - 1) * self.size : number * self.size]
        return page, len(page) < self.size


@pytest.mark.parametrize(
    ("count", "requests"), [(0, 1), (1, 1), (249, 1), (250, 4), (251, 4), (499, 4), (500, 6), (1000, 10)]
)
def test_lists_are_read_to_their_end(count: int, requests: int) -> None:
    pages = Pages(count)
    assert [item["id"] for item in read_pages(pages.read, "list")] == list(range(1, count + 1))
    assert pages.requests == requests


@pytest.mark.parametrize("count", [251, 252, 500, 501, 999])
def test_a_deletion_between_two_pages_hides_nothing(count: int) -> None:
    pages = Pages(count)
    pages.changes = {2: 0}  # the first item goes, item 251 moves up onto the page that was read
    assert [item["id"] for item in read_pages(pages.read, "list")] == list(range(2, count + 1))


def test_a_list_that_never_stands_still_is_an_error() -> None:
    pages = Pages(600)
    pages.changes = dict.fromkeys(range(2, 200), 0)
    with pytest.raises(StoreUnreachable, match="list: the list changed"):
        read_pages(pages.read, "list")


def test_a_store_that_does_not_turn_the_page_is_an_error() -> None:
    page = [{"id": number} for number in range(PAGE)]
    with pytest.raises(UnexpectedResponse, match="page 2 is the same as page 1"):
        read_pages(lambda _: (page, False), "list")


# Order-keeping concurrency


def test_results_keep_their_order_and_few_wait() -> None:
    started: list[int] = []
    taken = 0

    def tasks() -> Iterator[int]:
        for number in range(50):
            assert number - taken <= 6
            yield number

    def work(number: int) -> int:
        started.append(number)
        return number * 2

    with worker_pool(4, "test") as executor:
        for taken, result in enumerate(ordered_map(executor, work, tasks(), 6)):
            assert result == taken * 2
    assert sorted(started) == list(range(50))


def test_the_first_error_comes_in_its_place_and_drops_the_rest() -> None:
    started: list[int] = []

    def work(number: int) -> int:
        started.append(number)
        if number == 5:
            raise AuthError("five")
        return number

    with worker_pool(1, "test") as executor:
        results = ordered_map(executor, work, range(1000), 3)
        assert list(itertools.islice(results, 5)) == [0, 1, 2, 3, 4]
        with pytest.raises(AuthError):
            next(results)
    assert len(started) < 10


def test_an_error_of_the_tasks_comes_up() -> None:
    def tasks() -> Iterator[int]:
        yield 1
        raise AuthError("tasks")

    with worker_pool(1, "test") as executor, pytest.raises(AuthError):
        list(ordered_map(executor, str, tasks(), 3))
