"""One request budget for all threads, fed by the headers of every response.

The store counts requests of all apps in fixed windows and says in every answer how many are left and when the
window ends (``X-Rate-Limit-*``, specs/api-rate-limits.mdx). The budget never spends what the store has not
granted: requests still under way count as spent, and a share of the quota stays with the other apps.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

__all__ = ["MAX_WAIT", "RateBudget", "RateHeaders", "RateWindow", "seconds_in"]

logger = logging.getLogger(__name__)

MAX_WAIT = 60.0  # seconds; where the store asks for more, so much is waited, and then it is asked again
_WINDOW = 30.0  # seconds, where the store does not say (specs/api-rate-limits.mdx)
_MARGIN = 0.02  # seconds that a window is taken to last longer than told: clocks and rounding
_MOST = 1e9  # no count is taken for more
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?").fullmatch
_NOTICE = 2.0  # seconds from which on a wait is logged
_POLL = 0.5  # seconds after which a waiting thread looks at `stop`, should nobody wake it


@dataclass(frozen=True, slots=True)
class RateHeaders:
    """The rate-limit headers of one response: two counts of requests, and seconds: to the window's end, its length.

    None stands for a header that is missing or no number; what the others say counts nevertheless.
    """

    quota: int | None
    left: int | None
    reset: float | None
    window: float

    @classmethod
    def read(cls, headers: Mapping[str, str]) -> Self | None:
        """Return the headers as numbers within reason, or None where they say nothing of any count.

        A window that is missing is the documented one.
        """
        quota = _number(headers, "X-Rate-Limit-Requests-Quota")
        left = _number(headers, "X-Rate-Limit-Requests-Left")
        if quota is not None and quota < 1:
            quota = None
        if quota is None and left is None:
            return None
        return cls(
            None if quota is None else int(quota),
            None if left is None else int(max(0, left)),
            seconds_in(headers, "X-Rate-Limit-Time-Reset-Ms"),
            seconds_in(headers, "X-Rate-Limit-Time-Window-Ms") or _WINDOW,
        )


def seconds_in(headers: Mapping[str, str], name: str) -> float | None:
    """Return a header of milliseconds in seconds; None where it is absent or no number."""
    milliseconds = _number(headers, name)
    return None if milliseconds is None else max(0.0, milliseconds) / 1000


def _number(headers: Mapping[str, str], name: str) -> float | None:
    """Return a header as a number: ``60``, ``60.0`` or ``-1``, within blanks and of any length; else None."""
    text = headers.get(name, "").strip()
    return min(float(text), _MOST) if _NUMBER(text) else None


class RateWindow:
    """What the store grants in the present window, as far as it is known; arithmetic only, no waiting.

    All times are readings of one monotonic clock, in seconds. The store writes its headers somewhere between the
    sending of a request and the arrival of its answer, so the true end of the window lies between ``sent + reset``
    and ``arrived + reset``. That interval tells which window an answer speaks of, and the earliest of the latest
    possible ends is when the window has surely ended.

    Args:
        reserve: share of the quota (0 to below 1) that is left to other apps.
    """

    def __init__(self, reserve: float) -> None:
        self._reserve = reserve
        self.quota: int | None = None  # unknown until told
        self.left = 0
        self._lost = 0  # requests without an answer, which `left` may or may not count
        self._length = 0.0
        self._began = 0.0  # when this window had surely begun
        self._ends_from, self._ends_by = 0.0, 0.0
        self._end_is_told = False

    def seconds_to_wait(self, now: float, under_way: int) -> float:
        """Return how long no further request may be sent; 0 when one may."""
        if self.quota is None:
            return 0.0
        if now >= self._ends_by:  # a window that nothing is known of yet: full, and at least as long as told
            self._begin(now, self.quota, self._ends_from + self._length, now + self._length + _MARGIN)
            self._end_is_told = False
        return 0.0 if under_way < self._spendable(self.quota) else self._ends_by - now

    def _begin(self, now: float, left: int, ends_from: float, ends_by: float) -> None:
        self.left, self._lost, self._began = left, 0, now
        self._ends_from, self._ends_by = ends_from, ends_by

    def _spendable(self, quota: int) -> int:
        reserved, left = int(quota * self._reserve), self.left - self._lost
        if left >= quota:  # a fresh window always grants one, however small the quota: else we never learn
            return max(1, quota - reserved)
        return left - reserved

    def learn(self, now: float, sent: float, told: RateHeaders) -> None:
        """Take in the headers of an answer that arrived `now` to a request of the time `sent`.

        An answer that does not tell what is left counts as one that was lost; an end that it does not tell is the
        known one, or as far away as a window is long. None is further away than `MAX_WAIT`.
        """
        window = min(told.window, MAX_WAIT)
        quota = told.quota or max(self.quota or 1, told.left or 0)
        has_end = told.reset is not None
        ends_from = sent + min(told.reset or 0.0, MAX_WAIT)
        ends_by = now + (window if told.reset is None else min(told.reset, MAX_WAIT)) + _MARGIN
        if self.quota is None or (has_end and self._end_is_told and ends_from > self._ends_by):  # a later window
            self._begin(now, quota if told.left is None else told.left, ends_from, ends_by)
            self._end_is_told = has_end
        elif (has_end and ends_by >= self._ends_from) or sent >= self._began:  # this window
            if told.left is not None:  # answers overtake each other: the lowest count is the newest
                self.left = min(self.left, told.left)
            if has_end:
                self._ends_from = max(self._ends_from, ends_from) if ends_by >= self._ends_from else ends_from
                self._ends_by = min(self._ends_by, ends_by) if self._end_is_told else ends_by
                self._end_is_told = True
        else:  # an earlier window, of which nothing matters any more
            return
        self._lost += told.left is None
        self.quota, self._length = quota, window

    def lost(self, now: float) -> None:
        """Count a request that had no answer, or none that tells: the store may have counted it."""
        self._lost += 1
        if not self._end_is_told:  # and it may have been the one that began the window
            self._ends_by = max(self._ends_by, now + self._length + _MARGIN)


class RateBudget:
    """Hands out permission to send a request; safe to share between threads.

    Until the first answer tells the quota, one request at a time is sent: even a tiny quota is not overrun.

    Args:
        reserve: share of the quota (0 to below 1) that is left to other apps.
        at_once: how many requests may be under way, whatever the quota; None: no bound.
        clock: seconds, monotonic.
    """

    def __init__(
        self, reserve: float = 0.1, at_once: int | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._allowance = RateWindow(reserve)
        self._at_once = at_once
        self._clock = clock
        self._changed = threading.Condition()
        self._asked = False
        self._paused_until = 0.0
        self._under_way = 0
        self._asked_for = 0.0  # seconds that the latest header or 429 told
        self._announced = 0.0  # until when the log says that nothing is sent

    @property
    def left(self) -> int | None:
        """Requests left in this window as last told, or None before the first answer."""
        return None if self._allowance.quota is None else self._allowance.left

    def acquire(self, stop: threading.Event) -> float:
        """Wait until one request may be sent and count it as under way; return early once `stop` is set.

        Returns:
            The time of sending, which `release` wants back.
        """
        with self._changed:
            while (wait := self._seconds_to_wait()) > 0 and not stop.is_set():
                self._announce(wait)
                self._changed.wait(min(wait, _POLL))
            self._under_way += 1
            return self._clock()

    def _announce(self, wait: float) -> None:
        """Log a wait once, however many threads share it."""
        until = self._clock() + wait
        if wait < _NOTICE or until < self._announced + _NOTICE:
            return
        self._announced = until
        reason = f"the store asks for {self._asked_for:,.0f} s" if self._asked_for > MAX_WAIT else "rate limit"
        logger.info("Waiting %.0f s: %s.", wait, reason)

    def release(self, sent: float, told: RateHeaders | None) -> None:
        """Take back a permission after its answer (or its failure, with None)."""
        with self._changed:
            self._under_way -= 1
            self._asked = True
            now = self._clock()
            if told is None:
                self._allowance.lost(now)
            else:
                self._allowance.learn(now, sent, told)
                self._asked_for = told.reset or 0.0
            self._changed.notify_all()

    def pause(self, seconds: float) -> None:
        """Send nothing, from any thread, for so many seconds (a 429 speaks for the whole store)."""
        with self._changed:
            self._paused_until = max(self._paused_until, self._clock() + min(seconds, MAX_WAIT))
            self._asked_for = seconds

    def wake(self) -> None:
        """Let every waiting thread look at its `stop` now."""
        with self._changed:
            self._changed.notify_all()

    def _seconds_to_wait(self) -> float:
        now = self._clock()
        if now < self._paused_until:
            return self._paused_until - now
        if self._under_way >= (1 if not self._asked else self._at_once or self._under_way + 1):
            return _POLL  # an answer wakes us
        return self._allowance.seconds_to_wait(now, self._under_way)
