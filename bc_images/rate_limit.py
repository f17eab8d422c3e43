"""One request budget for all threads, fed by the headers of every response.

The store counts requests of all apps in fixed windows and says in every answer how many are left and when the
window ends (``X-Rate-Limit-*``, specs/api-rate-limits.mdx). The budget never spends what the store has not
granted: requests still under way count as spent, and a share of the quota stays with the other apps.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

__all__ = ["RateBudget", "RateHeaders"]


@dataclass(frozen=True, slots=True)
class RateHeaders:
    """The rate-limit headers of one response: two counts of requests, and seconds: to the window's end, its length."""

    quota: int
    left: int
    reset: float
    window: float

    @classmethod
    def read(cls, headers: Mapping[str, str]) -> RateHeaders | None:
        """Return the headers as numbers, or None where they are absent or no numbers."""
        try:
            return cls(
                quota=int(headers["X-Rate-Limit-Requests-Quota"]),
                left=int(headers["X-Rate-Limit-Requests-Left"]),
                reset=int(headers["X-Rate-Limit-Time-Reset-Ms"]) / 1000,
                window=int(headers.get("X-Rate-Limit-Time-Window-Ms", 30_000)) / 1000,
            )
        except (KeyError, ValueError):
            return None


class RateBudget:
    """Hands out permission to send a request; safe to share between threads.

    Args:
        reserve: share of the quota (0 to below 1) that is left to other apps.
        clock: seconds, monotonic.
    """

    def __init__(self, reserve: float = 0.1, clock: Callable[[], float] = time.monotonic) -> None:
        self._reserve = reserve
        self._clock = clock
        self._changed = threading.Condition()
        self._quota: int | None = None  # unknown until the first answer
        self._left = 0
        self._window_ends = 0.0
        self._paused_until = 0.0
        self._under_way = 0

    @property
    def left(self) -> int | None:
        """Requests left in this window as last told, or None before the first answer."""
        return None if self._quota is None else self._left

    def acquire(self, stop: threading.Event) -> None:
        """Wait until one request may be sent, and count it as under way; return early once `stop` is set."""
        with self._changed:
            while (wait := self._seconds_to_wait()) > 0 and not stop.is_set():
                # Woken by every answer; the bound keeps `stop` noticed.
                self._changed.wait(min(wait, 0.5))
            self._under_way += 1

    def release(self, headers: RateHeaders | None) -> None:
        """Take back a permission after its answer (or its failure, with None)."""
        with self._changed:
            self._under_way -= 1
            if headers is not None:
                self._learn(headers)
            self._changed.notify_all()

    def pause(self, seconds: float) -> None:
        """Send nothing, from any thread, for so many seconds (a 429 speaks for the whole store)."""
        with self._changed:
            self._paused_until = max(self._paused_until, self._clock() + seconds)

    def _seconds_to_wait(self) -> float:
        now = self._clock()
        if now < self._paused_until:
            return self._paused_until - now
        if self._quota is None:
            return 0.0
        if now >= self._window_ends:
            self._left = self._quota
            return 0.0 if self._under_way < self._spendable() else 0.5
        if self._under_way < self._spendable():
            return 0.0
        return self._window_ends - now

    def _spendable(self) -> int:
        """Requests that may be under way now: all that is left but the reserve, and never none for ever."""
        quota = self._quota or 0
        if self._left >= quota:  # a fresh window always grants at least one, however small the quota
            return max(1, quota - int(quota * self._reserve))
        return self._left - int(quota * self._reserve)

    def _learn(self, told: RateHeaders) -> None:
        ends = self._clock() + told.reset
        jitter = told.window / 4
        # Answers overtake each other: within one window the lowest count is the newest, and an answer of the
        # window before says nothing about this one.
        if self._quota is None or ends > self._window_ends + jitter:
            self._left = told.left
            self._window_ends = ends
        elif ends >= self._window_ends - jitter:
            self._left = min(self._left, told.left)
        self._quota = told.quota
