"""Log lines for people: without what the SDK says about itself, unless LOGLEVEL asks for it."""

from __future__ import annotations

import logging
import os

__all__ = ["quieten"]

_TWICE = {"An unhandled error occurred while syncing '%s'"}  # the error itself follows, as the last line
_INTERNAL = {"METRIC: %s", "Skipping parse of env var settings..."}


class _Drop(logging.Filter):
    def __init__(self, messages: set[str]) -> None:
        super().__init__()
        self._messages = messages

    def filter(self, record: logging.LogRecord) -> bool:
        return record.msg not in self._messages


def quieten() -> None:
    """Let each event be one line; where LOGLEVEL or TAP_BC_IMAGES_LOGLEVEL is set, the SDK's own metrics pass too."""
    asked = os.environ.get("TAP_BC_IMAGES_LOGLEVEL") or os.environ.get("LOGLEVEL")
    dropped = _Drop(_TWICE if asked else _TWICE | _INTERNAL)
    for handler in logging.getLogger().handlers:
        handler.addFilter(dropped)
