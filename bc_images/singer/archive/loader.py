"""The Singer target ``target-singer-archive``: every message, as it came, into one compressed file."""

from __future__ import annotations

import logging
import signal
import sys
from collections import Counter
from collections.abc import Iterable
from contextlib import closing, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, BinaryIO, NoReturn

import click
import orjson

from bc_images import jsonl
from bc_images.cli.exit import run_and_exit
from bc_images.errors import InvalidInput, PartialFailure
from bc_images.files import open_files
from bc_images.progress import Progress, Sample
from bc_images.singer.archive.settings import LOADER, command, run_command
from bc_images.snapshots import Snapshot, SnapshotStore
from bc_images.snapshots.store import Writer
from bc_images.text import counted

__all__ = ["Kept", "cli", "keep", "main"]

PROG = "target-singer-archive"
_ADVICE = "no archive was made. Check the tap."

logger = logging.getLogger(__name__)
_KNOWN = frozenset({"SCHEMA", "RECORD", "STATE", "ACTIVATE_VERSION"})


@dataclass(frozen=True, slots=True)
class Kept:
    """What was archived.

    Attributes:
        archive: its name.
        display_name: its name, and where it is.
        records: how many records, by stream.
        state: the STATE to be passed on, as JSON; None where none came.
    """

    archive: Snapshot
    display_name: str
    records: Counter[str]
    state: str | None


class _Seen:
    """What the messages so far say of the input."""

    def __init__(self) -> None:
        self.records = Counter[str]()
        self.state: Any = None
        self._is_complete: dict[str, bool] = {}

    def add(self, number: int, message: dict[str, Any]) -> None:
        """Look at one message.

        Raises:
            InvalidInput: it is none.
        """
        try:
            kind = message["type"]
            if kind == "STATE":
                self.state = message["value"]
                if jsonl.is_deep(message):
                    raise InvalidInput(f"Line {number} of the input is nested too deeply: {_ADVICE}")
                return
            stream = message["stream"]
        except KeyError as error:
            raise InvalidInput(f"Line {number} of the input is not a Singer message: {_ADVICE}") from error
        if not isinstance(kind, str) or not isinstance(stream, str):
            raise InvalidInput(f"Line {number} of the input is not a Singer message: {_ADVICE}")
        if kind not in _KNOWN:
            kind = jsonl.shortened(kind)
            raise InvalidInput(
                f"Line {number} of the input is a {kind}, which cannot be kept in an archive: switch it off in the tap."
            )
        if kind == "RECORD" and stream not in self._is_complete:
            raise InvalidInput(f"Line {number} of the input: a RECORD of {stream} before its SCHEMA. Check the tap.")
        if kind == "RECORD":
            self.records[stream] += 1
        self._is_complete[stream] = kind == "ACTIVATE_VERSION"

    @property
    def streams(self) -> int:
        return len(self._is_complete)

    @property
    def is_complete(self) -> bool:
        """Whether every stream ended with an ACTIVATE_VERSION message."""
        return all(self._is_complete.values())


def keep(source: BinaryIO | Iterable[bytes], settings: dict[str, Any], *, shows_progress: bool = True) -> Kept:
    """Archive Singer messages.

    Args:
        source: a file, or the lines.
        settings: those of the loader, checked.
        shows_progress: say now and then how many records have come.

    Raises:
        InvalidInput: the input is damaged; there is no archive.
        PartialFailure: a stream has no ACTIVATE_VERSION; what came is kept as incomplete.
    """
    seen = _Seen()
    with (
        closing(open_files(settings["file_store"], writable=True)) as files,
        Progress("archive", None, lambda: Sample(seen.records.total()), logger, unit="record")
        if shows_progress
        else nullcontext(),
        (snapshots := SnapshotStore(files, settings["name"])).create(datetime.now(UTC)) as writer,
    ):
        for number, line, message in jsonl.messages(source, "the input", _ADVICE):
            seen.add(number, message)
            writer.write(line if line.endswith(b"\n") else line + b"\n", message)
        return _finish(snapshots, writer, seen, require_complete=settings["require_complete"])


def _finish(snapshots: SnapshotStore, writer: Writer, seen: _Seen, *, require_complete: bool) -> Kept:
    if not seen.streams:
        raise InvalidInput("The input contains no streams: no archive was made. Check the tap and its selection.")
    is_complete = seen.is_complete or not require_complete
    if not is_complete and not seen.records:
        raise InvalidInput("The input ended before its first record: no archive was made. See what the tap says.")
    name = writer.commit(is_complete=is_complete)
    logger.info("%s in %s/%s", counted(seen.records.total(), "record"), snapshots.display_name, name)
    if not is_complete:
        raise PartialFailure(
            f"A stream ended without ACTIVATE_VERSION, so {name} is not a complete backup of the store. Run again; "
            "if the tap sends no ACTIVATE_VERSION on purpose, set require_complete to false."
        )
    state = None if seen.state is None else orjson.dumps(seen.state).decode()
    return Kept(name, f"{snapshots.display_name}/{name}", seen.records, state)


def _run(settings: dict[str, Any]) -> None:
    kept = keep(sys.stdin.buffer, settings)
    if kept.state is not None:
        click.echo(kept.state)


cli = command(PROG, "Keep Singer messages as they are, in one compressed file of a file store.", LOADER, _run)


def main() -> NoReturn:
    """Run ``target-singer-archive``."""
    signal.signal(signal.SIGTERM, _leave)
    run_and_exit(PROG, lambda: run_command(PROG, cli), interrupted_message="stopped: no archive was made.")


def _leave(signum: int, _: object) -> None:
    raise SystemExit(128 + signum)
