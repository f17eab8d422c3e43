"""Rows that the API shows otherwise than the store holds them: odd on purpose, and only where a test has asked for it.

A real store may answer with a null where a number belongs. The sandbox itself cannot hold such a row, so that what it
says of its state stays true; an override changes the row on its way out, in every JSON answer that shows it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import orjson

from bigcommerce_sandbox import router

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bigcommerce_sandbox.responses import Reply

KINDS: Final = ("products", "images")
_ROWS_PATH: Final = re.compile(r"(?:products|images)(?:/\d+)?(?:\.json)?$")
_UNCHANGED: Final = object()


@dataclass(frozen=True, slots=True)
class Override:
    """What one row becomes: fields with other values, fields that are missing, or something else altogether."""

    values: dict[str, Any] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    row: Any = _UNCHANGED

    @classmethod
    def of(cls, values: dict[str, Any], missing: tuple[str, ...]) -> Override | None:
        """The override of these fields, or of the whole row (``row``); None for nothing."""
        if "row" not in values:
            return cls(values, missing) if values or missing else None
        if len(values) > 1 or missing:
            raise TypeError("row stands for the whole row: nothing else goes with it")
        return cls(row=values["row"])

    def apply(self, row: dict[str, Any]) -> Any:
        """The row as it is shown; a field that the answer leaves out anyway is not added."""
        if self.row is not _UNCHANGED:
            return self.row
        return {name: self.values.get(name, value) for name, value in row.items() if name not in self.missing}

    def as_dict(self) -> dict[str, Any]:
        """As the admin route shows it."""
        if self.row is not _UNCHANGED:
            return {"row": self.row}
        return {"values": self.values, "missing": list(self.missing)}


class Overrides:
    """The overrides of one sandbox, by kind and id."""

    def __init__(self) -> None:
        self._all: dict[tuple[str, int], Override] = {}

    def set(self, kind: str, number: int, override: Override | None) -> None:
        """Set the override of a row, or remove it."""
        if override is None:
            self._all.pop((kind, number), None)
        else:
            self._all[kind, number] = override

    def clear(self) -> None:
        """Remove all."""
        self._all.clear()

    def as_list(self) -> list[dict[str, Any]]:
        """All overrides."""
        return [{"kind": kind, "id": number, **each.as_dict()} for (kind, number), each in sorted(self._all.items())]

    def apply(self, path: str, answer: Reply) -> Reply:
        """The answer to a request of `path` with the overrides applied."""
        if not self._all or answer.status not in {200, 201} or not path.startswith(router.PREFIX):
            return answer
        match = _ROWS_PATH.search(path)
        if match is None or not any(value.startswith(b"application/json") for _, value in answer.headers):
            return answer
        try:
            body = orjson.loads(answer.body)
        except orjson.JSONDecodeError:
            return answer
        kind = match.group().partition("/")[0]
        if isinstance(body, dict) and "data" in body and "meta" in body:
            body["data"] = self._any(kind, body["data"])
        else:
            body = self._any(kind, body)
        answer.body = orjson.dumps(body)
        return answer

    def _any(self, kind: str, data: Any) -> Any:
        return self._rows(kind, data) if isinstance(data, list) else self._row(kind, data)

    def _rows(self, kind: str, rows: Iterable[Any]) -> list[Any]:
        return [self._row(kind, row) for row in rows]

    def _row(self, kind: str, row: Any) -> Any:
        if not isinstance(row, dict):
            return row
        if kind == "products":
            if isinstance(row.get("images"), list):
                row["images"] = self._rows("images", row["images"])
            if isinstance(row.get("primary_image"), dict):
                row["primary_image"] = self._row("images", row["primary_image"])
        override = self._all.get((kind, row.get("id", 0)))
        return row if override is None else override.apply(row)
