"""The Singer tap ``tap-singer-archive``: the messages of an archive, as they came."""

from __future__ import annotations

import logging
import sys
from contextlib import closing
from typing import Any, NoReturn

from bc_images.cli.exit import run_and_exit
from bc_images.errors import SettingsError
from bc_images.files import open_files
from bc_images.progress import Progress, Sample
from bc_images.singer.archive.settings import EXTRACTOR, command, run_command
from bc_images.snapshots import SnapshotStore

__all__ = ["cli", "main"]

PROG = "tap-singer-archive"

logger = logging.getLogger(__name__)


def _run(settings: dict[str, Any]) -> None:
    if settings.get("at") and settings.get("archive"):
        raise SettingsError("at and archive both say which archive is meant: give one of them.")
    with closing(open_files(settings["file_store"])) as files:
        _write(SnapshotStore(files, settings["name"]), settings)


def _write(snapshots: SnapshotStore, settings: dict[str, Any]) -> None:
    snapshot = snapshots.resolve(word) if (word := settings.get("archive")) else snapshots.newest(settings.get("at"))
    logger.info("reading %s/%s", snapshots.display_name, snapshot)
    out = sys.stdout.buffer
    records = 0
    with Progress(snapshot, None, lambda: Sample(records), logger, unit="record"):
        for _, line, message in snapshots.messages(snapshot):
            records += message.get("type") == "RECORD"
            if message.get("type") != "STATE":  # where the tap of that day stood says nothing about this run
                out.write(line)
        out.flush()


cli = command(PROG, "Give back the Singer messages of an archive, as they came.", EXTRACTOR, _run)


def main() -> NoReturn:
    """Run ``tap-singer-archive``."""
    run_and_exit(PROG, lambda: run_command(PROG, cli), interrupted_message="stopped: the rest was not read.")
