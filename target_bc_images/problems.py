"""Groups problems of records by kind: the first of each, and their number."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bc_images.redaction import redact
from bc_images.text import printable

__all__ = ["Problems"]

_SHOWN = 10  # kinds
_MAX_KINDS = 1000  # that are told apart
_LONGEST = 300  # characters of what is said of one of them


@dataclass(slots=True)
class _Kind:
    line: str
    count: int = 1


class Problems:
    """Collects the records that need a second look; memory does not grow with their number."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[str, str], _Kind] = {}
        self._others = 0  # of kinds beyond the most that are told apart

    def add(self, status: str, product_id: object, image_id: object, reason: object, kind: str | None = None) -> None:
        """Take down one record.

        Args:
            status: what became of it, a word.
            product_id: its product.
            image_id: its image.
            reason: why.
            kind: what records of the same kind share; the reason without numbers, names and values where it is None.
        """
        key = status, kind or _kind(str(reason))
        known = self._kinds.get(key)
        if known is not None:
            known.count += 1
        elif len(self._kinds) < _MAX_KINDS:
            self._kinds[key] = _Kind(_line(status, product_id, image_id, reason))
        else:
            self._others += 1

    def lines(self) -> list[str]:
        """Return the first record of each of the first kinds as a line for people, and how many more there are."""
        kinds = list(self._kinds.values())
        shown = [
            kind.line if kind.count == 1 else f"{kind.line} (and {kind.count - 1} more like this)"
            for kind in kinds[:_SHOWN]
        ]
        more = sum(kind.count for kind in kinds[_SHOWN:]) + self._others
        return [*shown, f"... and {more} more"] if more else shown


def _kind(reason: str) -> str:
    """Return what stays of a reason without what belongs to one record: values, addresses, paths, digests, numbers."""
    text = re.sub(r"'(?:[^'\\]|\\.)*'|\"[^\"]*\"|\S*/\S*|\b[0-9a-f]{16,}\b", "*", reason[:2000])
    return re.sub(r"\d+", "#", text)


def _line(status: str, product_id: object, image_id: object, reason: object) -> str:
    names = (("product", product_id), ("image", image_id))
    where = ", ".join(f"{name} {printable(str(number))}" for name, number in names if number)
    text = printable(" ".join(redact(str(reason)).split()))
    short = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    return f"{status:<12}  {where or 'a record without an id'}: {short}"
