"""The store's request quota: a fixed window, shared by every app, stated in the headers of each answer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bigcommerce_sandbox.flags import Flags


class Quota:
    """Counts requests in windows of ``window_ms``; the window begins with its first request.

    Source: api-rate-limits.mdx (one unit a request, rejected once the quota is used up, refreshed at the reset).
    """

    def __init__(self, flags: Flags) -> None:
        self._flags = flags
        self._ends = 0.0
        self._used = 0

    def reset(self) -> None:
        """Begin a fresh window with the next request."""
        self._ends = 0.0
        self._used = 0

    def _roll(self) -> None:
        now = time.monotonic()
        if now >= self._ends:
            self._ends = now + self._flags.window_ms / 1000
            self._used = 0

    def take(self) -> bool:
        """Use one unit; False when none is left."""
        self._roll()
        if self._used >= self._flags.quota:
            return False
        self._used += 1
        return True

    def consume(self, units: int) -> int:
        """Use up to ``units`` of the present window, as another app would; return what is left."""
        self._roll()
        self._used = min(self._flags.quota, self._used + units)
        return self._flags.quota - self._used

    def headers(self, reset_ms: int | None = None) -> list[tuple[bytes, bytes]]:
        """The four X-Rate-Limit headers; ``reset_ms`` overrides the remaining time of the window."""
        if reset_ms is None:
            # rounded up: a client that waits exactly this long must find a fresh window
            reset_ms = max(0, int((self._ends - time.monotonic()) * 1000) + 1)
        left = max(0, self._flags.quota - self._used)
        return [
            (b"x-rate-limit-time-window-ms", b"%d" % self._flags.window_ms),
            (b"x-rate-limit-time-reset-ms", b"%d" % reset_ms),
            (b"x-rate-limit-requests-quota", b"%d" % self._flags.quota),
            (b"x-rate-limit-requests-left", b"%d" % left),
        ]
