"""The store's own clock, as the Date header of its responses tells it.

What is compared between two runs is dated by it: the clock of this machine may be wrong, and jump when it is corrected.
"""

from __future__ import annotations

import time
from contextlib import suppress
from email.utils import parsedate_to_datetime

__all__ = ["StoreClock"]


_EARLIEST, _LATEST = 946_684_800, 7_258_118_400  # the years 2000 to 2199: anything else is no time of a store


class StoreClock:
    """Tells the store's time; this machine's until a response has told it. Safe to share between threads."""

    def __init__(self) -> None:
        self._latest: tuple[float, float] | None = None  # the store's time, and a monotonic one when it came

    def learn(self, date: str | None) -> None:
        """Take in the Date header of a response; what is no date, by a proxy or none at all, is passed over."""
        with suppress(TypeError, ValueError, OverflowError, OSError):
            seconds = parsedate_to_datetime(date or "").timestamp()
            if _EARLIEST < seconds < _LATEST:
                self._latest = seconds, time.monotonic()

    def now(self) -> float:
        """Return the present time in unix seconds."""
        if self._latest is None:
            return time.time()
        date, came = self._latest
        return date + time.monotonic() - came
