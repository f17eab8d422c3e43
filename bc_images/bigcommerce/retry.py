"""The retry policy of the API, of downloads and of WebDAV: when a request is sent again, and after how long."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from bc_images.bigcommerce.rate_limit import MAX_WAIT, seconds_in

__all__ = ["Reachability", "RetryPolicy", "TransientFailure", "capped_retry_after", "parse_retry_after", "rate_limited"]

_RETRYABLE_4XX = frozenset({408, 423, 425, 429})
_PERMANENT_5XX = frozenset({501, 505, 507, 509})


@dataclass(frozen=True, slots=True)
class TransientFailure:
    """Why one attempt got no usable response, and what that means for the next attempt."""

    reason: str
    never_sent: bool = False  # the server has certainly not carried the request out
    retry_after: float | None = None  # seconds until the rate-limit window ends: this counts as no failure
    min_delay: float = 0.0  # seconds that the server asked to wait
    no_rate_headers: bool = False  # a 429 that does not say when to go on: no request should be sent for a while
    is_success: bool = False  # a write was answered with a success that cannot be parsed
    connection_reset: bool = False  # perhaps a connection that was kept alive for too long


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and after how long a request is sent again.

    Attributes:
        max_retries: retries of one request, the setting ``max_retries``.
        max_connect_retries: the same for a server that has never been connected to: a wrong address, most likely.
        max_connect_seconds: no further retry to such a server after so many seconds.
        max_rate_waits: rate-limit windows that one request may wait through.
        max_unreadable_answers: retries of a write whose success cannot be parsed.
        max_backoff: seconds.
    """

    max_retries: int = 0
    max_connect_retries: int = 3
    max_connect_seconds: float = 5.0
    max_rate_waits: int = 50
    max_unreadable_answers: int = 2
    max_backoff: float = 30.0

    def is_retryable(self, status: int) -> bool:
        """Whether a request that is answered with this HTTP status may succeed later."""
        return status in _RETRYABLE_4XX or (status >= 500 and status not in _PERMANENT_5XX)

    def is_exhausted(self, failures: int, *, never_connected: bool, seconds: float = 0.0) -> bool:
        """Whether no retry is left after `failures` earlier failures, `seconds` after the first attempt."""
        if failures >= self.max_retries:
            return True
        return never_connected and (failures >= self.max_connect_retries or seconds >= self.max_connect_seconds)

    def delay(self, failures: int, min_delay: float = 0.0) -> float:
        """Return the seconds to wait after `failures` earlier failures, at least what the server asked for."""
        return max(min_delay, self.backoff(failures))

    def backoff(self, attempt: int) -> float:
        """Return seconds, doubling from half a second up to `max_backoff`, with up to a quarter less at random."""
        return float(min(self.max_backoff, 0.5 * 2**attempt) * random.uniform(0.75, 1.0))  # noqa: S311 - no secret


class Reachability:
    """Whether a server has responded in this run; safe to share between threads.

    Args:
        address: of the server, without credentials.
        setting: the setting to check when there is no connection.

    Attributes:
        has_answered: whether it has responded at all, with whatever status.
    """

    def __init__(self, address: str, setting: str) -> None:
        self._address = address
        self._setting = setting
        self.has_answered = False

    def never_connected(self, failure: TransientFailure) -> bool:
        """Whether there was no connection, now or earlier in this run."""
        return failure.never_sent and not self.has_answered

    def message(self, reason: str) -> str:
        """Return one line for the user: there was no connection, and what to check."""
        return f"Could not connect to {self._address}: {reason}. Is it running? Is {self._setting} right?"


def parse_retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that the headers of a response ask to wait, or None."""
    waits = [
        _seconds_until(headers.get(name, ""), headers.get("Date", "")) for name in ("X-Retry-After", "Retry-After")
    ]
    return max((seconds for seconds in waits if seconds is not None), default=None)


def capped_retry_after(headers: Mapping[str, str]) -> tuple[float, str]:
    """Return the seconds to wait, 0 where the headers ask for none, and a note where they ask for over `MAX_WAIT`."""
    seconds = parse_retry_after(headers) or 0.0
    return min(seconds, MAX_WAIT), f" (it asks for a wait of {seconds:,.0f} s)" if seconds > MAX_WAIT else ""


def rate_limited(headers: Mapping[str, str]) -> TransientFailure:
    """Return what a 429 with these headers means; without a time to wait, the platform itself is overloaded."""
    waits = [seconds_in(headers, "X-Rate-Limit-Time-Reset-Ms"), parse_retry_after(headers)]
    retry_after = max((seconds for seconds in waits if seconds is not None), default=None)
    return TransientFailure(
        "HTTP 429, too many requests", never_sent=True, retry_after=retry_after, no_rate_headers=retry_after is None
    )


def _seconds_until(text: str, now: str) -> float | None:
    """Parse Retry-After: seconds, or a date, which is compared with the server's Date header if that is one too."""
    if re.fullmatch(r"\s*[0-9]+(\.[0-9]*)?\s*", text, re.ASCII):
        return float(text)
    try:
        then = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    try:
        return max(0.0, (then - parsedate_to_datetime(now)).total_seconds())
    except (ValueError, TypeError, OverflowError):  # no date, or only one of the two in a time zone
        with suppress(ValueError, OverflowError, OSError):  # a year that no clock of this machine can show
            return max(0.0, then.timestamp() - time.time())
        return None
