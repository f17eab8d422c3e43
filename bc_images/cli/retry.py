"""``bc-images retry``: restore once more what a report lists as not done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import closing
from dataclasses import replace
from io import BufferedReader
from typing import Any

import click
import orjson

from bc_images import jsonl, logs, schema
from bc_images.cli.options import config_option
from bc_images.errors import InvalidInput, PartialFailure
from bc_images.regular_files import open_regular
from bc_images.singer.reader import Message, MessageSource
from target_bc_images.changes import Mode, SourceKey, source_key
from target_bc_images.context import EarlierRun
from target_bc_images.differences import Difference
from target_bc_images.report import UNFINISHED
from target_bc_images.settings import TargetSettings

__all__ = ["retry"]

_ADVICE = "name the file that the setting report has written, or feed the whole input to the target again."
_MAX_LINE = 2 * jsonl.MAX_LINE  # a line holds a record, and what became of it


@click.command()
@click.argument("report", type=click.Path())
@config_option
def retry(report: str, configs: tuple[str, ...]) -> None:
    """Restore once more what REPORT lists as not done or not verified.

    REPORT is what the setting report of target-bc-images has written. TARGET_BC_IMAGES_… of the environment is above
    all other settings. What has been restored since is kept as it is. A value that the store did not
    take is sent once more: it may take it by now. A report cannot speak for whole products, so that nothing is
    deleted: mode mirror counts as upsert. Where deletes are left to do, the exit code is 1, and it takes another run
    of the mirror to do them.
    """
    if not any(True for _ in _unfinished(report)):
        logs.write_text(
            "bc-images", "Nothing to do: the report lists nothing that was rejected, failed, unverified or not reached."
        )
        return
    from bc_images.cli.sources import load  # with the SDK, which --help does without
    from target_bc_images.target import TargetBCImages

    with closing(TargetBCImages(config=load(configs).of(TargetBCImages), adapt=_adapt)) as target:
        only = target.config.get("product_ids")
        left = Counter(_obstacle(line, only) for line in _unfinished(report))
        del left[None]
        try:
            target.apply(target.read([ReportRecords(report, only)]), EarlierRun(_claimed(report), _siblings(report)))
        except PartialFailure as error:
            if left:
                raise PartialFailure(f"{error} {_what_is_left(left)}") from error
            raise
        finally:
            for line in _unfinished(report):  # the new report may take the place of this one
                if _obstacle(line, only) is not None:
                    target.session.report.copy_entry(line)
        if left:
            raise PartialFailure(_what_is_left(left))


def _adapt(settings: TargetSettings) -> TargetSettings:
    """Restore the records alone: a part of the input says nothing of what it does not hold."""
    return replace(settings, mode=Mode.UPSERT if settings.mode.deletes else settings.mode, product_ids=None)


def _obstacle(line: dict[str, Any], only: Collection[int] | None) -> str | None:
    """Return what it takes to do what a line says, if it takes more than its record."""
    if line.get("record"):
        unchosen = only is not None and line.get("product_id") not in only
        return "of products that product_ids does not name" if unchosen else None
    if line.get("action") == "delete":
        return "deletes, for which the mirror is to be run again"
    return "without a record, for which the whole input is to be fed again"


def _what_is_left(left: Counter[str | None]) -> str:
    return f"Still to be done: {'; '.join(f'{count} {obstacle}' for obstacle, count in left.items())}."


def _claimed(report: str) -> dict[int, SourceKey]:
    """Return which live images are those of records that are done: the rest must not be taken for them.

    Only of products that something is still to be done for; of the source, its id is all that a report tells.
    """
    products = {line.get("product_id") for line in _unfinished(report)}
    return {
        line["target_id"]: ("", line["source_id"])
        for line in _lines(report)
        if line.get("status") in {"done", "kept"} and not _is_unfinished(line) and line.get("product_id") in products
        if line.get("target_id") is not None and type(line.get("source_id")) is int
    }


def _unfinished(report: str) -> Iterator[dict[str, Any]]:
    """Yield the lines of what is still to be done."""
    return filter(_is_unfinished, _lines(report))


def _is_unfinished(line: dict[str, Any]) -> bool:
    return line.get("status") in UNFINISHED or bool(line.get("differences"))


def _siblings(report: str) -> set[SourceKey]:
    """Return which records are images of the store itself that are to be put back where they were."""
    records = (line["record"] for line in _unfinished(report) if line.get("is_sibling") and line.get("record"))
    return {source_key(record) for record in records if {"store_hash", "id"} <= record.keys()}


def _lines(report: str) -> Iterator[dict[str, Any]]:
    """Yield all lines.

    Raises:
        InvalidInput: it is no report, or not a whole one.
    """
    row = dict[str, Any]()
    try:
        with BufferedReader(open_regular(report)) as file:
            for number, line in jsonl.lines(file, f"the report {report}", _ADVICE, max_line=_MAX_LINE):
                try:
                    row = {**orjson.loads(line)}
                    row["status"] = str.strip(row.get("status", ""))  # a TypeError where it is no text
                    _check_types(row)
                except (orjson.JSONDecodeError, TypeError) as error:
                    raise InvalidInput(f"Line {number} of {report} is no line of a report: {_ADVICE}") from error
                yield row
    except OSError as error:
        raise InvalidInput(f"The report {report} cannot be read ({error.strerror}): {_ADVICE}") from error
    if "summary" not in row:
        raise InvalidInput(f"The report {report} ends before its summary: feed the whole input to the target again.")


_TYPES: dict[str, type] = {
    "action": str,
    "product_id": int,
    "target_id": int,
    "record": dict,
    "differences": list,
    "is_sibling": bool,
}


def _check_types(row: dict[str, Any]) -> None:
    """Raise TypeError where a line of a report has values that the target has never written there."""
    if any(row.get(name) is not None and type(row[name]) is not expected for name, expected in _TYPES.items()):
        raise TypeError
    for difference in row.get("differences") or ():
        Difference(**difference)
    if row.get("is_sibling") and row.get("record"):  # an image of the store: its values are valid
        hash(tuple(row["record"].get(name) for name in ("store_hash", "id")))


class ReportRecords(MessageSource):
    """The records of a report that are to be restored once more, as messages."""

    def __init__(self, report: str, only: Collection[int] | None) -> None:
        super().__init__(f"the report {report}", _ADVICE)
        self._report = report
        self._only = only

    def __iter__(self) -> Iterator[tuple[int, bytes, Message]]:
        yield 0, b"", {"type": "SCHEMA", "stream": "product_images", "schema": schema.load("product_images")}
        for number, line in enumerate(_unfinished(self._report), 1):
            if _obstacle(line, self._only) is None:
                yield number, b"", {"type": "RECORD", "stream": "product_images", "record": line["record"]}
