"""What was planned and what became of it: one JSON line an action, and the same as a table."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal, Self, TypeAlias

import orjson

from bc_images.errors import SettingsError, Stopped
from bc_images.images import Record
from target_bc_images.plan import Action

__all__ = ["ACTIONS", "Report", "Status"]

ACTIONS = ("create", "replace", "update", "delete", "keep", "reject")
Status: TypeAlias = Literal["done", "planned", "kept", "rejected", "failed", "not reached"]
_STATUSES: tuple[Status, ...] = ("planned", "done", "kept", "rejected", "failed", "not reached")
_GOOD: frozenset[Status] = frozenset({"done", "planned", "kept"})


class Report:
    """Counts actions, and writes them to a file of JSON lines if there is to be one.

    A line is ``{action, reason, product_id, source_id, target_id, status, error}``; a record that was rejected or
    failed stands in it whole, as ``record``, so that it can be fed again. The last line is the summary.

    Raises:
        SettingsError: the file cannot be written.
    """

    def __init__(self, path: str | None, *, by_product: bool = False) -> None:
        self.counts: Counter[tuple[str, Status]] = Counter()
        self.by_product: dict[int, Counter[str]] | None = defaultdict(Counter) if by_product else None
        self.skipped: Counter[str] = Counter()  # records of streams that are not ours
        self._path = path
        self._file: BinaryIO | None = None
        if path:
            try:
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                self._file = Path(path).open("wb")  # noqa: SIM115 - closed by close()
            except OSError as error:
                raise SettingsError(f"The report {path} cannot be written: {error.strerror}.") from error

    @property
    def bad(self) -> int:
        """How many records were rejected, failed or not reached."""
        return sum(count for (_, status), count in self.counts.items() if status not in _GOOD)

    @property
    def seen(self) -> int:
        """How many actions were taken down."""
        return self.counts.total()

    def __getitem__(self, action: str) -> int:
        """Return how many actions of one kind came to a good end (or would, in a dry run)."""
        return sum(count for (name, status), count in self.counts.items() if name == action and status in _GOOD)

    def add(self, action: Action, status: Status, *, target_id: int | None = None, error: str | None = None) -> None:
        """Take down one action and how it ended."""
        self.counts[action.action, status] += 1
        if self.by_product is not None:
            self.by_product[action.product_id][action.action] += 1
        if self._file is None:
            return
        live_id = action.live["id"] if action.live else None
        line: dict[str, Any] = {
            "action": action.action,
            "reason": action.reason,
            "product_id": action.product_id,
            "source_id": action.wanted["id"] if action.wanted else None,
            "target_id": target_id if target_id is not None else live_id,
            "status": status,
            "error": error,
        }
        if action.fields:
            line["fields"] = dict(action.fields)
        if status not in _GOOD and action.wanted is not None:
            line["record"] = action.wanted
        with self._in_words():
            self._file.write(_line(line))

    def add_unwritten(self, actions: Sequence[Action]) -> None:
        """Take down the actions of a product for which nothing is written: what is kept, and what is rejected."""
        if self._file is None and self.by_product is None and all(action.action == "keep" for action in actions):
            self.counts["keep", "kept"] += len(actions)  # nearly every product of nearly every run
            return
        for action in actions:
            if action.action == "reject":
                self.add(action, "rejected", error=action.reason)
            else:
                self.add(action, "kept")

    def reject(self, record: Record, reason: str, product_id: int | None = None) -> None:
        """Take down a record that cannot be restored."""
        found = product_id if product_id is not None else record.get("product_id")
        self.add(Action("reject", reason, found if isinstance(found, int) else 0, _with_id(record)), "rejected")

    def summary(self) -> dict[str, Any]:
        """Return the counts as one JSON object."""
        return {
            "summary": {name: self[name] for name in ACTIONS},
            "rejected": self._with_status("rejected"),
            "failed": self._with_status("failed"),
            "not_reached": self._with_status("not reached"),
            "skipped_streams": dict(self.skipped),
        }

    def _with_status(self, wanted: Status) -> int:
        return sum(count for (_, status), count in self.counts.items() if status == wanted)

    def table(self) -> str:
        """Return the counts as a table for people: a row an action, a column a status; only what occurred."""
        statuses = [name for name in _STATUSES if any(status == name for _, status in self.counts)]
        present = {action for action, _ in self.counts}
        rows = [["action", *statuses]]
        rows += [
            [name, *(str(self.counts[name, status] or "-") for status in statuses)]
            for name in ACTIONS
            if name in present
        ]
        if self.by_product is not None:
            rows += [[]] + [
                [f"product {product_id}", ", ".join(f"{count} {name}" for name, count in counts.items())]
                for product_id, counts in sorted(self.by_product.items())
            ]
        rows += [[f"stream {name}", f"{count} records skipped"] for name, count in self.skipped.items()]
        if len(rows) == 1:
            return "nothing to do: the input has no image records"
        return "\n".join("  ".join(f"{cell:<12}" for cell in row).rstrip() for row in rows)

    def flush(self) -> None:
        """Put on disk what was taken down so far.

        Raises:
            Stopped: there is no room for it.
        """
        if self._file is not None:
            with self._in_words():
                self._file.flush()

    def close(self) -> None:
        """Write the summary and close the file."""
        file, self._file = self._file, None
        if file is not None:
            with self._in_words(), file:
                file.write(_line(self.summary()))

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise Stopped(f"The report {self._path} cannot be written: {error.strerror}. Free the disk.") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _line(content: dict[str, Any]) -> bytes:
    return orjson.dumps(content, default=str, option=orjson.OPT_APPEND_NEWLINE)


def _with_id(record: Record) -> Record:
    """Return a record that has an id, even where the input's has none."""
    return record if "id" in record else {**record, "id": None}
