"""Formats numbers with their units: 1 record, 2,000 records, 1.5 MB."""

from __future__ import annotations

__all__ = ["byte_size", "counted"]


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
