"""The request budget of all threads, fed by the headers of every response.

The store counts requests of all apps in fixed windows and says in every answer how many are left and when the
window ends (``X-Rate-Limit-*``, Rate limits). The budget never spends what the store has not
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
_WINDOW = 30.0  # seconds, where the store does not say (Rate limits)
_MARGIN = 0.02  # seconds that a window is assumed to last longer than reported: clocks and rounding
_MAX_NUMBER = 1e9  # a larger number in a header is read as this
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?").fullmatch
_MIN_LOGGED = 2.0  # seconds from which on a wait is logged
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
    return min(float(text), _MAX_NUMBER) if _NUMBER(text) else None


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
        self.quota: int | None = None  # unknown before the first response
        self.left = 0
        self._unanswered = 0  # requests without an answer, which `left` may or may not count
        self._length = 0.0
        self._began = 0.0  # when this window had surely begun
        self._ends_from, self._ends_by = 0.0, 0.0
        self._end_is_known = False

    def seconds_to_wait(self, now: float, under_way: int) -> float:
        """Return how long no further request may be sent; 0 when one may."""
        if self.quota is None:
            return 0.0
        if now >= self._ends_by:  # a new window, assumed full and at least as long as reported
            self._begin(now, self.quota, self._ends_from + self._length, now + self._length + _MARGIN)
            self._end_is_known = False
        return 0.0 if under_way < self._spendable(self.quota) else self._ends_by - now

    def _begin(self, now: float, left: int, ends_from: float, ends_by: float) -> None:
        self.left, self._unanswered, self._began = left, 0, now
        self._ends_from, self._ends_by = ends_from, ends_by

    def _spendable(self, quota: int) -> int:
        reserved, left = int(quota * self._reserve), self.left - self._unanswered
        if left >= quota:  # a new window always grants one request, however small the quota
            return max(1, quota - reserved)
        return left - reserved

    def update(self, now: float, sent: float, headers: RateHeaders) -> None:
        """Take in the headers of an answer that arrived `now` to a request of the time `sent`.

        A response without the requests left counts as unanswered; where it lacks the end, the known one stays, or one
        window from now. No end is further away than `MAX_WAIT`.
        """
        window = min(headers.window, MAX_WAIT)
        quota = headers.quota or max(self.quota or 1, headers.left or 0)
        has_end = headers.reset is not None
        ends_from = sent + min(headers.reset or 0.0, MAX_WAIT)
        ends_by = now + (window if headers.reset is None else min(headers.reset, MAX_WAIT)) + _MARGIN
        if self.quota is None or (has_end and self._end_is_known and ends_from > self._ends_by):  # a later window
            self._begin(now, quota if headers.left is None else headers.left, ends_from, ends_by)
            self._end_is_known = has_end
        elif (has_end and ends_by >= self._ends_from) or sent >= self._began:  # this window
            if headers.left is not None:  # answers overtake each other: the lowest count is the newest
                self.left = min(self.left, headers.left)
            if has_end:
                self._ends_from = max(self._ends_from, ends_from) if ends_by >= self._ends_from else ends_from
                self._ends_by = min(self._ends_by, ends_by) if self._end_is_known else ends_by
                self._end_is_known = True
        else:  # an earlier window, of which nothing matters any more
            return
        self._unanswered += headers.left is None
        self.quota, self._length = quota, window

    def count_unanswered(self, now: float) -> None:
        """Count a request that had no answer, or none that tells: the store may have counted it."""
        self._unanswered += 1
        if not self._end_is_known:  # and it may have been the one that began the window
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
        self._window = RateWindow(reserve)
        self._at_once = at_once
        self._clock = clock
        self._changed = threading.Condition()
        self._has_response = False
        self._paused_until = 0.0
        self._under_way = 0
        self._requested_wait = 0.0  # seconds that the latest response asked to wait
        self._logged_until = 0.0  # until when the log says that nothing is sent

    @property
    def left(self) -> int | None:
        """Requests left in this window as last reported, or None before the first response."""
        return None if self._window.quota is None else self._window.left

    def acquire(self, stop: threading.Event) -> float:
        """Wait until one request may be sent and count it as under way; return early once `stop` is set.

        Returns:
            The time of sending, which `release` wants back.
        """
        with self._changed:
            while (wait := self._seconds_to_wait()) > 0 and not stop.is_set():
                self._log_wait(wait)
                self._changed.wait(min(wait, _POLL))
            self._under_way += 1
            return self._clock()

    def _log_wait(self, wait: float) -> None:
        """Log a wait once, however many threads share it."""
        until = self._clock() + wait
        if wait < _MIN_LOGGED or until < self._logged_until + _MIN_LOGGED:
            return
        self._logged_until = until
        reason = (
            f"the store asks for {self._requested_wait:,.0f} s" if self._requested_wait > MAX_WAIT else "rate limit"
        )
        logger.info("Waiting %.0f s: %s.", wait, reason)

    def release(self, sent: float, headers: RateHeaders | None) -> None:
        """Take back a permission after its answer (or its failure, with None)."""
        with self._changed:
            self._under_way -= 1
            self._has_response = True
            now = self._clock()
            if headers is None:
                self._window.count_unanswered(now)
            else:
                self._window.update(now, sent, headers)
                self._requested_wait = headers.reset or 0.0
            self._changed.notify_all()

    def pause(self, seconds: float) -> None:
        """Send nothing, from any thread, for so many seconds (a 429 speaks for the whole store)."""
        with self._changed:
            self._paused_until = max(self._paused_until, self._clock() + min(seconds, MAX_WAIT))
            self._requested_wait = seconds

    def wake(self) -> None:
        """Let every waiting thread look at its `stop` now."""
        with self._changed:
            self._changed.notify_all()

    def _seconds_to_wait(self) -> float:
        now = self._clock()
        if now < self._paused_until:
            return self._paused_until - now
        if self._under_way >= (1 if not self._has_response else self._at_once or self._under_way + 1):
            return _POLL  # an answer wakes us
        return self._window.seconds_to_wait(now, self._under_way)
