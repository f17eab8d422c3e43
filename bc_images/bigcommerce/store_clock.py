"""The store's clock, from the Date header of its responses.

What is compared between two runs is dated by it: the clock of this machine may be wrong, and jump when it is corrected.
"""

from __future__ import annotations

import time
from contextlib import suppress
from email.utils import parsedate_to_datetime

__all__ = ["StoreClock"]

_EARLIEST, _LATEST = 946_684_800, 7_258_118_400  # the years 2000 to 2199: anything else is no time of a store
_LATE = 60.0  # seconds that a Date may be old when it arrives; one that is older tells of a clock that was put back


class StoreClock:
    """The store's time; this machine's before the first response with a Date. Safe to share between threads."""

    def __init__(self) -> None:
        self._offset: float | None = None  # the store's time less the monotonic one

    def update(self, date: str | None) -> None:
        """Take in the Date header of a response; what is no date, by a proxy or none at all, is passed over."""
        with suppress(TypeError, ValueError, OverflowError, OSError):
            seconds = parsedate_to_datetime(date or "").timestamp()
            if _EARLIEST < seconds < _LATEST:
                offset = seconds - time.monotonic()
                # A Date has whole seconds and has travelled, so it is late: the earliest is the nearest to the truth,
                # and time never runs back between two responses, unless the store's clock was put back.
                if self._offset is None or not 0 <= self._offset - offset < _LATE:
                    self._offset = offset

    def now(self) -> float:
        """Return the present time in unix seconds."""
        if self._offset is None:
            return time.time()
        return time.monotonic() + self._offset
