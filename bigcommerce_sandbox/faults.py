"""Scripted faults: one code for each matching request, then everything passes."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from threading import Lock
from typing import Final

from bigcommerce_sandbox.patterns import BadPattern, Patterns

logger = logging.getLogger(__name__)

FAULT_CODES: Final[dict[str, str]] = {
    ".": "pass",
    "q": "429 with the rate headers (reset after `fault_reset_ms`)",
    "Q": "429 without any rate header: the platform is overloaded",
    "r": "429 with `X-Retry-After: <fault_retry_after>` (seconds) and no rate header",
    "5": "500",
    "b": "502, an HTML page of a gateway",
    "s": "503, title 'The store is suspended'",
    "u": "503, plain text",
    "7": "507, a limit of the plan is reached",
    "9": "509, the hourly limit of basic authentication is reached",
    "w": "504 after the work was done",
    "W": "504 and the work was not done",
    "l": "connection closed without a reply after the work was done",
    "d": "connection closed before the work",
    "t": "body cut off: the work is done, Content-Length tells more than is sent",
    "z": "slow: the work is done, the reply comes after `slow_ms`",
    "n": "the reply of a success, but nothing is applied (API writes; anything else passes)",
    "o": "as n, but a reply about one image shows that image as it is",
    "h": "an HTML page with 200, the work was not done",
    "e": "an empty body with 200, the work was done",
    "E": "an empty body with 200, the work was not done",
    "f": "a JSON object about something else with 200, the work was done",
    "c": "409, the work was not done",
    "C": "409 after the work was done",
    "L": "connection closed without a reply, the work is done `late_ms` later, or when it is called for",
    "p": "hold the request until the client is gone, then never do the work",
    "P": "do the work, then hold the reply until the client is gone",
}


class BadScript(ValueError):
    """A fault script with an unknown code, or a pattern that is no regular expression."""


@dataclass(slots=True)
class _Script:
    codes: str
    match: str | None
    next: int = 0


class Faults:
    """Holds the scripts; safe to use from several threads."""

    def __init__(self) -> None:
        self._scripts: dict[str | None, _Script] = {}
        self._lock = Lock()
        self._patterns = Patterns()

    def close(self) -> None:
        """End what searches the patterns."""
        self._patterns.close()

    def script(self, codes: str, match: str | None = None) -> None:
        """Set the script for ``match``, a regular expression searched in ``METHOD /path``.

        Without ``match`` it counts every API request. One script per ``match``: a new one replaces the old one,
        an empty one removes it, and an empty one without ``match`` removes all. White space in it is ignored.
        """
        codes = "".join(codes.split())
        unknown = sorted(set(codes) - set(FAULT_CODES))
        if unknown:
            raise BadScript(f"unknown fault code {unknown[0]!r}; there are: {' '.join(FAULT_CODES)}")
        if match is not None:
            try:
                self._patterns.search(match, "")
            except BadPattern as error:
                raise BadScript(f"{match!r} is not a regular expression that can be used: {error}") from error
        with self._lock:
            if not codes and match is None:
                self._scripts.clear()
                return
            self._scripts.pop(match, None)
            if codes:
                self._scripts[match] = _Script(codes, match)

    def next(self, line: str, *, api: bool) -> str:
        """The fault code for this request, from the newest script that matches and has codes left."""
        if not self._scripts:
            return "."
        with self._lock:
            for script in reversed(list(self._scripts.values())):
                if script.next < len(script.codes) and self._matches(script, line, api=api):
                    script.next += 1
                    return script.codes[script.next - 1]
        return "."

    def _matches(self, script: _Script, line: str, *, api: bool) -> bool:
        if script.match is None:
            return api
        try:
            return self._patterns.search(script.match, line)
        except BadPattern as error:  # it would take as long for every request that follows
            logger.warning("The faults for %r are dropped: %s.", script.match, error)
            del self._scripts[script.match]
            return False

    def as_list(self) -> list[dict[str, str | None]]:
        """Each script's match and the codes that are left."""
        with self._lock:
            return [{"match": item.match, "left": item.codes[item.next :]} for item in self._scripts.values()]
