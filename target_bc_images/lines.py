"""Formats images as lines of a plan, a result or a comparison, and groups problems by kind."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bc_images.bigcommerce.mapping import sent_value
from bc_images.redaction import redact
from bc_images.text import printable, shortened
from target_bc_images.changes import Action, Create, Delete, Keep, Reject, Replace
from target_bc_images.differences import Difference
from target_bc_images.planning import UNPROVEN

__all__ = ["LEGEND", "Problems", "change_line", "difference_text"]

LEGEND = "- missing from the store, * different, + extra in the store"

_VALUE = 60  # characters of a value
_SKU = 16  # characters of a SKU where a line has to fit a terminal
_NARROW = ((34, 30), (28, 18), (24, 12), (18, 9))  # characters of file name and value there, the widest that fit count


def change_line(action: Action, *, sign: str | None = None, verb: bool = False, width: int | None = None) -> str:
    """Return one line: sign, SKU, file, what differs (``field: old -> new``), and which image it is.

    Args:
        action: what is due, or was done.
        sign: in place of the action's own.
        verb: say of what is to be created or deleted that it is.
        width: characters that the line may have, or None for any number.
    """
    image = action.desired or action.existing
    if image is None:
        return _fitted(f"{sign or action.sign} product {action.product_id}: {_sentence(action.reason)}", width)
    head = f"{sign or action.sign} "
    sku = printable(str(image.get("product_sku") or "")) or f"product {action.product_id}"
    file = printable(str(image.get("image_file") or ""))
    ids = f"  (product {action.product_id}, image {printable(str(image.get('id')))})"
    if width is None:
        return head + _joined(sku, file, action, _VALUE, verb=verb) + ids
    name = file.rpartition("/")[2]
    for file_length, value_length in _NARROW:
        line = head + _joined(shortened(sku, _SKU), shortened(name, file_length), action, value_length, verb=verb)
        if len(line) <= width:
            break
    return _fitted(line + ids if len(line + ids) <= width else line, width)


def _joined(sku: str, file: str, action: Action, value_length: int, *, verb: bool) -> str:
    return "  ".join(part for part in (sku, file, ", ".join(_details(action, value_length, verb=verb))) if part)


def _fitted(line: str, width: int | None) -> str:
    return line if width is None or len(line) <= width else f"{line[: width - 1]}…"


def difference_text(difference: Difference, length: int = _VALUE) -> str:
    """Return what was sent of a field, and what the store shows."""
    sent, kept = _value(difference.sent, length), _value(difference.kept, length)
    error = f" ({difference.error})" if difference.error else ""
    return f"{difference.field}: sent {sent}, the store shows {kept}{error}"


def _details(action: Action, length: int, *, verb: bool) -> Iterator[str]:
    if isinstance(action, Create | Delete):
        if verb:
            yield action.name
        return
    if isinstance(action, Replace | Reject):
        yield _sentence(action.reason)
    elif isinstance(action, Keep) and action.desired is not None and action.existing is None:
        yield _sentence(action.reason)  # it is not there, and may not be created
    elif isinstance(action, Keep) and action.reason in UNPROVEN:
        yield _sentence(action.reason)
    if action.existing is not None and not isinstance(action, Reject):
        yield from _changes(action, length)


def _changes(action: Action, length: int) -> Iterator[str]:
    existing: dict[str, Any] = action.existing or {}
    for name, value in action.fields.items():
        yield f"{name}: {_value(sent_value(name, existing.get(name)), length)} -> {_value(value, length)}"
    shown: Sequence[Difference] = action.differences
    yield from (difference_text(difference._replace(error=None), length) for difference in shown)


def _value(value: Any, length: int) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        text = printable(redact(value))
        return f"'{text if len(text) <= length else text[: length - 1] + '…'}'"
    return str(value)


def _sentence(text: str) -> str:
    return " ".join(printable(redact(" ".join(text.split()))).split())


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
