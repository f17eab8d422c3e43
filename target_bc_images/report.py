"""The report: one JSON line an action, and a summary table."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, get_args

from bc_images.bigcommerce.mapping import Record
from bc_images.text import counted, printable
from target_bc_images.changes import ACTIONS, Action, Delete, Keep, Reject, Status
from target_bc_images.differences import Difference
from target_bc_images.lines import LEGEND, Problems, change_line, difference_text
from target_bc_images.planning import ProductPlan
from target_bc_images.report_file import ReportFile

__all__ = ["UNFINISHED", "Report", "rejection"]

_NAMES = [action.name for action in ACTIONS]
_STATUSES: tuple[Status, ...] = get_args(Status)
_GOOD: frozenset[Status] = frozenset({"done", "planned", "kept"})
_PROBLEMS: frozenset[Status] = frozenset({"rejected", "failed", "undecided"})
UNFINISHED = frozenset(_STATUSES) - _GOOD
MAX_CHANGES = 20  # that are listed on stderr
_UNPLANNED = "unplanned"  # what stands in the table for records that no action was decided for


class Report:
    """Counts actions, and writes them to a file of JSON lines if there is to be one.

    A line is ``{action, reason, product_id, source_id, target_id, status, error}``, with ``fields`` where some were to
    be written and ``differences`` where the store shows other values in the end (``[{field, sent, kept, error}]``). A
    record that was rejected, failed, not verified or not reached, or of which something differs, stands in it whole,
    as ``record``, so that it can be fed again; ``is_sibling`` where it is no record of the input, but an image of the
    store itself that was moved. The last line is the summary.

    The file is written beside its place, and takes it when it is closed, whole: what is still to be done after an
    earlier run stands in an earlier report, which a run that is refused, or killed, must not destroy.

    Attributes:
        should_publish: the run has come as far as to have a report. Else an earlier one stays where it is.

    Raises:
        SettingsError: the file cannot be written.
    """

    def __init__(self, path: str | None, *, by_product: bool = False) -> None:
        self.counts: Counter[tuple[str, Status]] = Counter()
        self.by_product: dict[int, Counter[str]] | None = defaultdict(Counter) if by_product else None
        self.skipped: Counter[str] = Counter()  # records of streams that are not ours
        self.different = 0  # images that are done or kept, but for what the store does not take
        self.should_publish = False
        self._problems = Problems()
        self._changes: list[Action] = []  # the first that were planned or done
        self._changed = 0
        self._path = path
        self._file = ReportFile(Path(path)) if path else None

    @property
    def problem_count(self) -> int:
        """How many records are not as the input has them."""
        return self.unfinished + self.different

    @property
    def unfinished(self) -> int:
        """How many records were rejected, failed, undecided, not verified or not reached."""
        return sum(count for (_, status), count in self.counts.items() if status not in _GOOD)

    @property
    def records(self) -> int:
        """How many records were taken down: all actions but deletes."""
        return self.counts.total() - sum(count for (action, _), count in self.counts.items() if action == Delete.name)

    def __getitem__(self, action: str) -> int:
        """Return how many actions of one kind came to a good end (or would, in a dry run)."""
        return sum(count for (name, status), count in self.counts.items() if name == action and status in _GOOD)

    def add(
        self,
        action: Action,
        status: Status,
        *,
        target_id: int | None = None,
        error: str | None = None,
        differences: Sequence[Difference] | None = None,
    ) -> None:
        """Take down one action and how it ended; `differences` are those of the action where nothing else is said."""
        self.counts[action.name, status] += 1
        differences = action.differences if differences is None else differences
        if self.by_product is not None:
            self.by_product[action.product_id][action.name] += 1
        existing_id = _existing_id(action)
        source_id = action.desired["id"] if action.desired else None
        self._add_to_lists(action, status, source_id or existing_id, error, differences)
        if self._file is not None:
            target_id = existing_id if target_id is None else target_id
            self._file.write(_line(action, status, target_id, error, differences))

    def _add_to_lists(
        self, action: Action, status: Status, image_id: object, error: str | None, differences: Sequence[Difference]
    ) -> None:
        """Take down what people see of it on stderr."""
        if status in _PROBLEMS:
            # A whole product was chosen by the user: each is named.
            kind = f"product {action.product_id}" if action.desired is None and action.existing is None else None
            self._problems.add(status, action.product_id, image_id, error or action.reason, kind)
        elif differences and status in _GOOD:
            self.different += 1
            self._add_difference(action.product_id, image_id, differences)
        if action.writes and status in {"planned", "done"}:
            self._changed += 1
            if len(self._changes) < MAX_CHANGES:
                self._changes.append(action)

    def _add_difference(self, product_id: object, image_id: object, differences: Sequence[Difference]) -> None:
        text = "; ".join(map(difference_text, differences))
        kind = ", ".join(f"{difference.field} {'refused' if difference.error else ''}" for difference in differences)
        self._problems.add("differs", product_id, image_id, text, kind)

    def add_all(self, plans: Iterable[ProductPlan], status: Status) -> None:
        """Take down plans as a whole; `status` is that of their writes, which nobody tells otherwise."""
        for planned in plans:
            for action in planned.writes:
                self.add(action, status)
            self.add_unwritten([action for action in planned.actions if not action.writes])

    def add_unwritten(self, actions: Sequence[Action]) -> None:
        """Take down the actions of a product for which nothing is written: what is kept, and what is rejected."""
        if self.by_product is None and all(type(action) is Keep and not action.differences for action in actions):
            self.counts[Keep.name, Keep.status] += len(actions)  # nearly every product of nearly every run
            if self._file is not None:
                self._file.write(*(_line(action, Keep.status, _existing_id(action), None, ()) for action in actions))
            return
        for action in actions:
            self.add(action, action.status, error=action.reason if isinstance(action, Reject) else None)

    def add_unreached(self, record: Record) -> None:
        """Take down a record that the run did not come to: no action was decided for it."""
        if self.by_product is not None:
            self.by_product[record["product_id"]]["not reached"] += 1
        self.copy_entry(
            {
                "action": None,
                "reason": "the run ended before it came to this",
                "product_id": record["product_id"],
                "source_id": record["id"],
                "target_id": None,
                "status": "not reached",
                "error": None,
                "record": record,
            }
        )

    def copy_entry(self, line: dict[str, Any]) -> None:
        """Take over, as it stands, a line of an earlier report that this run does nothing about."""
        status = line["status"]
        self.counts[line.get("action") or _UNPLANNED, status] += 1
        image_id = line.get("source_id") or line.get("target_id")
        if status in _PROBLEMS:
            self._problems.add(status, line.get("product_id"), image_id, line.get("error") or line.get("reason"))
        elif line.get("differences"):
            self.different += 1
            self._add_difference(
                line.get("product_id"), image_id, [Difference(**values) for values in line["differences"]]
            )
        if self._file is not None:
            self._file.write(line)

    def summary(self) -> dict[str, Any]:
        """Return the counts as one JSON object."""
        numbers = {name.replace(" ", "_"): self.with_status(name) for name in _STATUSES if name not in _GOOD}
        return {
            "summary": {name: self[name] for name in _NAMES},
            **numbers,
            "different": self.different,
            "skipped_streams": dict(self.skipped),
        }

    def with_status(self, selected: Status) -> int:
        """Return how many actions ended so."""
        return sum(count for (_, status), count in self.counts.items() if status == selected)

    def table(self) -> str:
        """Return the counts as a table for people: a row an action, a column a status; only what occurred."""
        statuses = [name for name in _STATUSES if any(status == name for _, status in self.counts)]
        present = {action for action, _ in self.counts}
        rows = [["action", *statuses]]
        rows += [
            [name, *(str(self.counts[name, status] or "-") for status in statuses)]
            for name in (*_NAMES, _UNPLANNED)
            if name in present
        ]
        if self.by_product is not None:
            rows += [[]] + [
                [f"product {product_id}", ", ".join(f"{count} {name}" for name, count in counts.items())]
                for product_id, counts in sorted(self.by_product.items())
            ]
        rows += [
            [f"stream {printable(name)}", f"{counted(count, 'record')} skipped"] for name, count in self.skipped.items()
        ]
        if len(rows) == 1:
            return "nothing to do: the input has no image records"
        return "\n".join("  ".join(f"{cell:<12}" for cell in row).rstrip() for row in rows)

    def problem_lines(self) -> list[str]:
        """Return one record of each kind of problem, with the reason, as lines for people."""
        return self._problems.lines()

    def changes(self, width: int | None = None) -> list[str]:
        """Return what is to be changed, or was, as lines for people of `width` characters: the first, and how many.

        Empty where nothing is.
        """
        if not self._changes:
            return []
        lines = [change_line(action, verb=True, width=width) for action in self._changes]
        more = self._changed - len(lines)
        rest = [f"and {more} more: {f'see {self._path}' if self._path else 'set report'}"] if more else []
        return [f"Changes ({LEGEND}):", *lines, *rest]

    def flush(self) -> None:
        """Put on disk what was taken down so far.

        Raises:
            FatalError: the disk is full.
        """
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        """Write the summary and publish the file, or forget it if that is not due.

        Raises:
            FatalError: it cannot be written; an earlier one is left as it was.
        """
        file, self._file = self._file, None  # only once
        if file is not None:
            file.close(self.summary() if self.should_publish else None)


def _existing_id(action: Action) -> int | None:
    return action.existing["id"] if action.existing else None


def _line(
    action: Action, status: Status, target_id: int | None, error: str | None, differences: Sequence[Difference]
) -> dict[str, Any]:
    """Return what the file says of one action."""
    line: dict[str, Any] = {
        "action": action.name,
        "reason": action.reason,
        "product_id": action.product_id,
        "source_id": action.desired["id"] if action.desired else None,
        "target_id": target_id,
        "status": status,
        "error": error,
    }
    if action.fields:
        line["fields"] = dict(action.fields)
    if differences:
        line["differences"] = [difference.as_json() for difference in differences]
    if (status not in _GOOD or differences) and action.desired is not None:
        line["record"] = action.desired
        if action.is_sibling:
            line["is_sibling"] = True
    return line


def rejection(record: Record, reason: str) -> Reject:
    """Return the action for a record that is not valid, and may lack its ids."""
    product_id = record.get("product_id")
    return Reject(reason, product_id if isinstance(product_id, int) else 0, {"id": None, **record})
