"""The rate budget: by arithmetic against a simulated store, and by threads against a real one."""

from __future__ import annotations

import heapq
import itertools
import math
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bc_images.bigcommerce.rate_limit import MAX_WAIT, RateBudget, RateHeaders, RateWindow

GOOD = {
    "X-Rate-Limit-Requests-Quota": "150",
    "X-Rate-Limit-Requests-Left": "35",
    "X-Rate-Limit-Time-Reset-Ms": "15000",
    "X-Rate-Limit-Time-Window-Ms": "30000",
}


def test_headers_are_read() -> None:
    assert RateHeaders.read(GOOD) == RateHeaders(quota=150, left=35, reset=15.0, window=30.0)


NAMES = {
    "quota": "X-Rate-Limit-Requests-Quota",
    "left": "X-Rate-Limit-Requests-Left",
    "reset": "X-Rate-Limit-Time-Reset-Ms",
}


@pytest.mark.parametrize("value", ["many", "", " ", "1e", "NaN", "inf", "1_0", "\u0661", "0x10", "--1", None])
@pytest.mark.parametrize("field", NAMES)
def test_what_the_other_headers_say_counts(field: str, value: str | None) -> None:
    headers = {**GOOD, NAMES[field]: value}
    read = RateHeaders.read({name: text for name, text in headers.items() if text is not None})
    missing: dict[str, Any] = {field: None}
    assert read == replace(RateHeaders(150, 35, 15.0, 30.0), **missing)


@pytest.mark.parametrize("value", ["0", "-150"])
def test_a_quota_of_nothing_is_unknown(value: str) -> None:
    assert RateHeaders.read({**GOOD, NAMES["quota"]: value}) == RateHeaders(None, 35, 15.0, 30.0)


@pytest.mark.parametrize("headers", [{}, {NAMES["reset"]: "15000"}, {NAMES["quota"]: "", NAMES["left"]: "few"}])
def test_headers_without_any_count_are_none(headers: dict[str, str]) -> None:
    assert RateHeaders.read(headers) is None


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("Requests-Quota", "150.0", RateHeaders(150, 35, 15.0, 30.0)),
        ("Requests-Quota", " 150 ", RateHeaders(150, 35, 15.0, 30.0)),
        ("Requests-Quota", "9" * 5000, RateHeaders(10**9, 35, 15.0, 30.0)),
        ("Requests-Left", "-1", RateHeaders(150, 0, 15.0, 30.0)),
        ("Requests-Left", "3.5", RateHeaders(150, 3, 15.0, 30.0)),
        ("Requests-Left", "9" * 5000, RateHeaders(150, 10**9, 15.0, 30.0)),
        ("Time-Reset-Ms", "60.0", RateHeaders(150, 35, 0.06, 30.0)),
        ("Time-Reset-Ms", "-5", RateHeaders(150, 35, 0.0, 30.0)),
        ("Time-Reset-Ms", "99999999999", RateHeaders(150, 35, 1e6, 30.0)),
        ("Time-Reset-Ms", "9" * 4000, RateHeaders(150, 35, 1e6, 30.0)),
        ("Time-Window-Ms", "0", RateHeaders(150, 35, 15.0, 30.0)),
        ("Time-Window-Ms", "NaN", RateHeaders(150, 35, 15.0, 30.0)),
    ],
)
def test_absurd_headers_are_brought_within_reason(name: str, value: str, expected: RateHeaders) -> None:
    assert RateHeaders.read({**GOOD, f"X-Rate-Limit-{name}": value}) == expected


def test_a_window_that_is_not_told_is_the_documented_one() -> None:
    headers = {name: value for name, value in GOOD.items() if "Window" not in name}
    assert RateHeaders.read(headers) == RateHeaders(150, 35, 15.0, 30.0)


# A store and its clients, simulated: no threads, no waiting, every latency chosen


@dataclass
class SimulatedStore:
    """Counts in fixed windows, aligned to a grid or beginning with the first request after the last one's end."""

    quota: int
    window: float
    aligned: bool
    others: random.Random | None = None  # another app, which eats some of the quota now and then
    ends: float = 0.0
    used: int = 0
    refused: int = 0
    used_by_us: dict[float, int] = field(default_factory=dict)

    def answer(self, now: float) -> RateHeaders:
        if now >= self.ends:
            self.ends = (math.floor(now / self.window) + 1) * self.window if self.aligned else now + self.window
            self.used = 0
        if self.others and self.others.random() < 0.3:
            self.used = min(self.quota, self.used + self.others.randint(1, 5))
        if self.used >= self.quota:
            self.refused += 1
        else:
            self.used += 1
            self.used_by_us[self.ends] = self.used_by_us.get(self.ends, 0) + 1
        reset = int((self.ends - now) * 1000) / 1000  # told in whole milliseconds, rounded down
        return RateHeaders(self.quota, self.quota - self.used, reset, self.window)


def simulate(
    store: SimulatedStore, allowance: RateWindow, workers: int, requests: int, latency: Iterator[float], lost: float
) -> float:
    """Send `requests` as soon as the allowance permits; return the time of the last answer."""
    dice = random.Random(0)
    order = itertools.count()
    events: list[tuple[float, int, str, float, RateHeaders | None]] = [(0.0, next(order), "wake", 0.0, None)]
    under_way = sent = 0
    now = 0.0
    asked = False
    wakes_at = 0.0
    steps = 0
    while events and (sent < requests or under_way):
        steps += 1
        assert steps < 200 * requests + 10_000, "the clients wait for ever"
        now, _, kind, began, known_headers = heapq.heappop(events)
        if kind == "arrival":
            answer = store.answer(now)
            known_headers = None if dice.random() < lost else answer
            heapq.heappush(events, (now + next(latency), next(order), "answer", began, known_headers))
        elif kind == "answer":
            under_way -= 1
            asked = True
            if known_headers is None:
                allowance.count_unanswered(now)
            else:
                allowance.update(now, began, known_headers)
        while sent < requests and under_way < (workers if asked else 1):
            wait = allowance.seconds_to_wait(now, under_way)
            if wait > 0:
                if not now < wakes_at <= now + wait:
                    wakes_at = now + max(wait, 1e-6)
                    heapq.heappush(events, (wakes_at, next(order), "wake", 0.0, None))
                break
            under_way += 1
            sent += 1
            heapq.heappush(events, (now + next(latency), next(order), "arrival", now, None))
    assert sent == requests
    return now


def latencies(seed: int, longest: float) -> Iterator[float]:
    dice = random.Random(seed)
    while True:
        yield dice.uniform(0, longest)


SEEDS = st.integers(0, 2**32)


@settings(max_examples=300, deadline=None)
@given(
    quota=st.integers(1, 60),
    window=st.sampled_from([0.5, 1.0, 5.0, 30.0]),
    aligned=st.booleans(),
    workers=st.integers(1, 20),
    reserve=st.sampled_from([0.0, 0.1, 0.5, 0.99]),
    slowest=st.sampled_from([0.0, 0.001, 0.02, 0.1]),
    lost=st.sampled_from([0.0, 0.1]),
    seed=SEEDS,
)
@example(quota=1, window=0.5, aligned=False, workers=8, reserve=0.99, slowest=0.1, lost=0.0, seed=0)
@example(quota=150, window=1.0, aligned=True, workers=8, reserve=0.0, slowest=0.02, lost=0.1, seed=1)
def test_a_sole_user_is_never_refused(
    quota: int, window: float, aligned: bool, workers: int, reserve: float, slowest: float, lost: float, seed: int
) -> None:
    store = SimulatedStore(quota, window, aligned)
    simulate(store, RateWindow(reserve), workers, min(5 * quota, 200), latencies(seed, slowest * window), lost)
    assert store.refused == 0
    granted = max(1, quota - int(quota * reserve))
    assert max(store.used_by_us.values()) <= granted


@settings(max_examples=200, deadline=None)
@given(
    quota=st.integers(2, 60),
    aligned=st.booleans(),
    workers=st.integers(1, 20),
    reserve=st.sampled_from([0.0, 0.1, 0.5]),
    missing=st.sampled_from([{"quota"}, {"left"}, {"quota", "left"}]),
    share=st.sampled_from([0.2, 1.0]),
    seed=SEEDS,
)
def test_headers_that_are_missing_switch_nothing_off(
    quota: int, aligned: bool, workers: int, reserve: float, missing: set[str], share: float, seed: int
) -> None:
    """Now and then or always: what the others say is obeyed."""
    dice = random.Random(seed)

    class Careless(SimulatedStore):
        def answer(self, now: float) -> RateHeaders:
            gone: dict[str, Any] = dict.fromkeys([each for each in sorted(missing) if dice.random() < share][:1])
            return replace(super().answer(now), **gone)

    store = Careless(quota, 1.0, aligned)
    simulate(store, RateWindow(reserve), workers, min(5 * quota, 200), latencies(seed, 0.02), 0.0)
    assert store.refused == 0


def test_a_window_whose_end_is_never_told_ends_when_one_may() -> None:
    allowance = RateWindow(0.0)
    allowance.update(now=0.1, sent=0.0, headers=RateHeaders(10, 0, None, 30.0))
    assert allowance.seconds_to_wait(0.1, under_way=0) > 29
    assert allowance.seconds_to_wait(30.2, under_way=0) == 0
    allowance.update(now=30.3, sent=30.2, headers=RateHeaders(10, 0, None, 30.0))
    assert allowance.seconds_to_wait(30.3, under_way=0) > 29


@settings(max_examples=100, deadline=None)
@given(
    quota=st.integers(20, 150),
    aligned=st.booleans(),
    workers=st.integers(1, 16),
    reserve=st.sampled_from([0.0, 0.1]),
    seed=SEEDS,
)
def test_all_that_is_granted_is_used_while_it_is_the_bound(
    quota: int, aligned: bool, workers: int, reserve: float, seed: int
) -> None:
    store = SimulatedStore(quota, 1.0, aligned)
    simulate(store, RateWindow(reserve), workers, 6 * quota, latencies(seed, 0.5 / quota / 2), 0.0)
    assert store.refused == 0
    full = sorted(store.used_by_us.items())[1:-1]  # the first is begun late where windows are aligned
    assert {used for _, used in full} == {quota - int(quota * reserve)}


@settings(max_examples=100, deadline=None)
@given(quota=st.integers(1, 60), aligned=st.booleans(), reserve=st.sampled_from([0.0, 0.1, 0.99]), seed=SEEDS)
def test_other_apps_are_survived(quota: int, aligned: bool, reserve: float, seed: int) -> None:
    store = SimulatedStore(quota, 1.0, aligned, others=random.Random(seed))
    simulate(store, RateWindow(reserve), 8, 200, latencies(seed, 0.02), 0.05)


def test_the_reserve_is_left_once_others_have_eaten_the_rest() -> None:
    allowance = RateWindow(0.1)
    allowance.update(now=0.1, sent=0.0, headers=RateHeaders(100, 11, 10.0, 30.0))
    assert allowance.seconds_to_wait(0.1, under_way=0) == 0
    assert allowance.seconds_to_wait(0.1, under_way=1) > 9
    allowance.update(now=0.2, sent=0.1, headers=RateHeaders(100, 10, 9.9, 30.0))
    assert allowance.seconds_to_wait(0.2, under_way=0) > 9
    assert allowance.seconds_to_wait(10.2, under_way=0) == 0


def test_answers_out_of_order_do_not_raise_the_count() -> None:
    allowance = RateWindow(0.0)
    for left in (7, 9, 8):
        allowance.update(now=0.1, sent=0.0, headers=RateHeaders(10, left, 20.0, 30.0))
    assert allowance.left == 7


def test_an_answer_of_the_window_before_says_nothing_of_this_one() -> None:
    allowance = RateWindow(0.0)
    allowance.update(now=0.1, sent=0.0, headers=RateHeaders(10, 5, 0.9, 1.0))
    assert allowance.seconds_to_wait(1.1, under_way=1) == 0  # the next window has begun
    allowance.update(now=1.2, sent=0.8, headers=RateHeaders(10, 4, 0.1, 1.0))
    assert allowance.left == 10


# Threads


def test_before_the_first_answer_one_request_is_under_way() -> None:
    budget, stop = RateBudget(0.0), threading.Event()
    budget.acquire(stop)
    second = threading.Thread(target=budget.acquire, args=(stop,), daemon=True)
    second.start()
    second.join(0.1)
    assert second.is_alive()
    budget.release(0.0, None)
    second.join(10)
    assert not second.is_alive()


def test_no_more_are_under_way_than_asked_for() -> None:
    budget, stop = RateBudget(0.0, at_once=3), threading.Event()
    most, under_way, lock = 0, 0, threading.Lock()
    budget.release(budget.acquire(stop), None)

    def work(_: int) -> None:
        nonlocal most, under_way
        sent = budget.acquire(stop)
        with lock:
            under_way += 1
            most = max(most, under_way)
        threading.Event().wait(0.005)
        with lock:
            under_way -= 1
        budget.release(sent, None)

    with ThreadPoolExecutor(10) as executor:
        list(executor.map(work, range(40)))
    assert most == 3


@pytest.mark.parametrize("how", ["wake", "poll"])
def test_stop_ends_every_wait(how: str) -> None:
    budget, stop = RateBudget(0.0), threading.Event()
    budget.release(budget.acquire(stop), RateHeaders(10, 0, MAX_WAIT, 30.0))
    waiting = [threading.Thread(target=budget.acquire, args=(stop,), daemon=True) for _ in range(5)]
    for thread in waiting:
        thread.start()
    stop.set()
    if how == "wake":
        budget.wake()
    for thread in waiting:
        thread.join(30)
        assert not thread.is_alive()


def test_a_pause_holds_everyone_for_its_time() -> None:
    now = 100.0
    budget = RateBudget(0.0, clock=lambda: now)
    stop = threading.Event()
    budget.release(budget.acquire(stop), RateHeaders(10, 9, 20.0, 30.0))
    budget.pause(5)
    budget.pause(2)  # a shorter one does not shorten it
    waiting = threading.Thread(target=budget.acquire, args=(stop,), daemon=True)
    waiting.start()
    waiting.join(0.1)
    assert waiting.is_alive()
    now = 103.0
    budget.wake()
    waiting.join(0.1)
    assert waiting.is_alive()
    now = 105.0
    budget.wake()
    waiting.join(10)
    assert not waiting.is_alive()


def test_left_is_what_was_told() -> None:
    budget = RateBudget()
    assert budget.left is None
    budget.release(budget.acquire(threading.Event()), RateHeaders(10, 7, 20.0, 30.0))
    assert budget.left == 7


def test_a_long_wait_is_capped_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    now = 100.0
    budget, stop = RateBudget(0.0, clock=lambda: now), threading.Event()
    with caplog.at_level("INFO"):
        budget.release(budget.acquire(stop), RateHeaders(10, 0, 3600.0, 30.0))
        waiting = [threading.Thread(target=budget.acquire, args=(stop,), daemon=True) for _ in range(3)]
        for thread in waiting:
            thread.start()
        while not caplog.messages:
            waiting[0].join(0.01)
        now += MAX_WAIT + 1
        budget.wake()
        for thread in waiting:
            thread.join(30)
            assert not thread.is_alive()
        budget.pause(120)
        stop.set()
        budget.acquire(stop)
    assert caplog.messages == ["Waiting 60 s: the store asks for 3,600 s."]


def test_a_wait_within_the_cap_says_why(caplog: pytest.LogCaptureFixture) -> None:
    now = 100.0
    budget, stop = RateBudget(0.0, clock=lambda: now), threading.Event()
    with caplog.at_level("INFO"):
        budget.release(budget.acquire(stop), RateHeaders(10, 0, 23.0, 30.0))
        waiting = threading.Thread(target=budget.acquire, args=(stop,), daemon=True)
        waiting.start()
        while not caplog.messages:
            waiting.join(0.01)
        stop.set()
        budget.wake()
        waiting.join(30)
    assert caplog.messages == ["Waiting 23 s: rate limit."]
