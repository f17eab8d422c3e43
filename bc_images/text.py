"""Words of messages: untrusted text on one line and of bounded length, numbers with their units."""

from __future__ import annotations

__all__ = ["byte_size", "counted", "printable", "shortened"]


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


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun; the plural is the noun with an s where none is given."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def byte_size(size: float) -> str:
    """Return a number of bytes in the unit that leaves the fewest digits, as powers of 1000."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
