"""What is never shown: secrets, wherever they stand, and whatever credentials an address carries."""

from __future__ import annotations

import re

__all__ = ["keep_secret", "redact"]

_SHORTEST = 6  # characters: a shorter one would also be found where it is just a word

# Possessive: each address is read once, also where many stand in one word.
_ADDRESS = re.compile(r"(https?://[^\s?'\"]++)(\?[^\s'\")]*)?")
_CREDENTIALS = re.compile(r"://[^/\s]+@")

_secrets: set[str] = set()


def keep_secret(*values: str | None) -> None:
    """Hide these values in all that `redact` returns from now on: for the whole process, as logs and errors are."""
    _secrets.update(value for value in values if value and len(value) >= _SHORTEST)


def redact(text: str) -> str:
    """Return `text` without secrets, and without what an address may carry (``user:password@``, query strings)."""
    for secret in sorted(_secrets, key=len, reverse=True):  # one may begin another, whose end would stay
        text = text.replace(secret, "***")
    text = _ADDRESS.sub(lambda address: address[1] + ("?***" if address[2] else ""), text)
    return _CREDENTIALS.sub("://***@", text)
