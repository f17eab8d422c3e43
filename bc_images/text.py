"""Makes untrusted text printable: one line, no control characters, of bounded length."""

from __future__ import annotations

__all__ = ["printable", "shortened"]


def printable(text: str) -> str:
    """Return `text` with every character that does not print (control, bidi, half a surrogate pair) as its escape."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def shortened(text: str, length: int) -> str:
    """Return `text` in at most `length` characters, its middle left out: names differ at both ends."""
    if len(text) <= length:
        return text
    head = (length - 1) // 2
    return f"{text[:head]}…{text[len(text) - (length - 1 - head) :]}"
