"""Walks the causes of an error."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["error_chain"]


def error_chain(error: BaseException, *, with_contexts: bool = False) -> Iterator[BaseException]:
    """Yield an error and what led to it, outermost first.

    These are causes and arguments, the ``reason`` of urllib3's errors, and the ``errors`` of paramiko's, one for each
    address of the host.

    Args:
        error: where to begin.
        with_contexts: also follow errors that were being handled when another was raised. For libraries that lack
            ``raise ... from``; an error of our own clean-up would lead on to what it cleans up after.
    """
    waiting, seen = [error], set()
    while waiting:
        link = waiting.pop(0)
        if id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        context = link.__context__ if with_contexts and not link.__suppress_context__ else None
        errors: Any = getattr(link, "errors", None)
        attempts = list(errors.values()) if isinstance(errors, dict) else []
        causes = (link.__cause__, context, getattr(link, "reason", None), *link.args, *attempts)
        waiting += [cause for cause in causes if isinstance(cause, BaseException)]
