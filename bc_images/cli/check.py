"""``bc-images check``: hash every picture of a file store again, and compare it with backups."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import click

from bc_images import progress
from bc_images.cli.options import file_store_option, parse_sample
from bc_images.errors import BcImagesError, InvalidInput
from bc_images.files.audit import Audit, Finding
from bc_images.files.store import FileStore, open_files
from bc_images.redaction import redact
from bc_images.settings import Sample
from bc_images.snapshots import Snapshot, SnapshotStore, discarded_snapshots, snapshot_stores
from bc_images.tempfiles import disk_errors
from bc_images.text import counted, printable

__all__ = ["check"]

logger = logging.getLogger(__name__)

_SYMBOLS = {"corrupt": "!", "missing": "-", "orphaned": "+", "wrong_size": "?", "refused": "x", "rendition": "~"}
_RARE = {"wrong_size", "refused", "rendition"}  # kinds that the summary names only where there are any


@click.command()
@file_store_option("TAP", "TARGET")
@click.option(
    "--sample",
    callback=parse_sample,
    metavar="N|P%",
    help="Re-hash only so many files, or such a share, chosen at random.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON line for each finding, then one with the summary.")
@click.argument("backups", nargs=-1, type=click.Path(path_type=Path), metavar="[BACKUP]...")
@click.pass_context
def check(ctx: click.Context, file_store: str, sample: Sample | None, as_json: bool, backups: tuple[Path, ...]) -> None:
    """Re-hash the file store and compare it with backups.

    BACKUP is a Singer file, plain or gzip; several count together. Without one, all snapshots in the file store (those
    in trash/ too) and its refs say what has to be there, and the result is noted in the manifests of the snapshots.

    \b
    !  corrupt: the file's content does not match its name (SHA-256), or it cannot be read
    -  missing: a backup (or snapshot, or ref) names it, and it is not there; or a record names no file, and no ref does
    +  orphaned: no backup (or snapshot, or ref) names it
    ?  wrong_size: the file is sound, but a backup (or a ref) states another length
    x  refused: the store would not take it back, since it is too large, truncated, or too large a GIF
    ~  rendition: a rendition, or what a CDN has made of it, stands in for the original

    Exit code 0: nothing found, renditions apart. 1: something found. 2: wrong settings. 3: file store or backup cannot
    be used.
    """  # noqa: D301 - click looks for the character itself
    counts: Counter[str] = Counter()

    def report(finding: Finding) -> None:
        counts[finding.kind] += 1
        click.echo(_line(finding, as_json=as_json))

    with (
        disk_errors("the list of files", sqlite3.OperationalError),
        closing(open_files(file_store)) as files,
        Audit(files) as audit,
    ):
        with _progress("listing files", "file", None, lambda: audit.files, lambda: audit.bytes):
            audit.index_files()
        read: list[tuple[SnapshotStore, Snapshot]] = []
        if backups:
            with _progress("reading backups", "record", None, lambda: audit.records):
                unread = _read_backups(audit, backups)
        else:
            with _progress("reading names", "name", None, lambda: audit.refs):
                audit.read_refs()
            with _progress("reading snapshots", "record", None, lambda: audit.records):
                read, unread = _read_snapshots(audit, files)
        for finding in audit.compare():
            report(finding)
        rehashed, _ = audit.choose_sample(sample or Sample(share=1.0))
        done = size = 0
        with _progress("re-hashing", "file", rehashed, lambda: done, lambda: size):
            for length, corrupt in audit.rehash():
                done, size = done + 1, size + length
                if corrupt:
                    report(corrupt)
        _print_summary(audit, rehashed, counts, as_json=as_json)
        is_sound = not unread and not counts.keys() & {"missing", "corrupt"}
        _note(read, {"files": audit.files, "rehashed": rehashed, "missing": counts["missing"]}, is_sound=is_sound)
    if unread:
        raise InvalidInput(f"{' '.join(unread)} What these backups name was not looked for, and may count as orphaned.")
    ctx.exit(1 if counts.keys() - {"rendition"} else 0)


def _read_backups(audit: Audit, backups: tuple[Path, ...]) -> list[str]:
    """Read every backup; return why some were not read.

    Raises:
        InvalidInput: none was.
    """
    unread: list[str] = []
    for backup in backups:
        try:
            audit.read_backup(backup)
        except InvalidInput as error:
            if len(unread) + 1 == len(backups):
                raise
            unread.append(str(error))
    return unread


def _read_snapshots(audit: Audit, files: FileStore) -> tuple[list[tuple[SnapshotStore, Snapshot]], list[str]]:
    """Read every snapshot in the file store; return those that were read, and why the others were not."""
    read: list[tuple[SnapshotStore, Snapshot]] = []
    unread: list[str] = []
    for snapshots in snapshot_stores(files):
        for snapshot in snapshots.list():
            try:
                audit.read_snapshot(snapshots.messages(snapshot), f"{snapshots.name}/{snapshot}")
            except InvalidInput as error:
                unread.append(str(error))
            else:
                read.append((snapshots, snapshot))
    for key, messages in discarded_snapshots(files):
        try:
            audit.read_snapshot(messages, key)
        except InvalidInput as error:
            unread.append(str(error))
    return read, unread


def _note(read: list[tuple[SnapshotStore, Snapshot]], numbers: dict[str, int], *, is_sound: bool) -> None:
    """Write the result into the manifests of the snapshots that were read."""
    result = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "is_sound": is_sound, **numbers}
    for snapshots, snapshot in read:
        try:
            snapshots.note(snapshot, last_check=result)
        except BcImagesError as error:  # as in a file store that is read-only
            logger.debug("The result of the check was not noted: %s", error)


def _progress(
    label: str, unit: str, total: int | None, done: Callable[[], int], size: Callable[[], int] = lambda: 0
) -> progress.Progress:
    """Show how far one part of the check is; what is found appears above the bar."""

    def sample() -> progress.Sample:
        return progress.Sample(done(), bytes=size())

    return progress.Progress(label, total, sample, logger, unit=unit, prints_text=True)


def _line(finding: Finding, *, as_json: bool) -> str:
    if as_json:  # in ASCII: a key may hold characters that control a terminal
        fields = {"key": finding.key, "reason": finding.reason, "named_by": finding.named_by}
        return json.dumps({"finding": finding.kind, **fields})
    by = f", named by {finding.named_by}" if finding.named_by else ""
    return printable(redact(f"{_SYMBOLS[finding.kind]} {finding.key}  {finding.reason}{by}"))


def _print_summary(audit: Audit, rehashed: int, counts: Counter[str], *, as_json: bool) -> None:
    if as_json:
        numbers = {"files": audit.files, "bytes": audit.bytes, "rehashed": rehashed}
        numbers |= {"records": audit.records, "records_without_file": audit.without_file}
        numbers |= {kind: counts[kind] for kind in _SYMBOLS}
        click.echo(json.dumps({"summary": numbers}))
        return
    usual = [kind for kind in _SYMBOLS if kind not in _RARE or counts[kind]]
    words = {"rendition": "rendition" if counts["rendition"] == 1 else "renditions"}
    found = ", ".join(f"{counts[kind]:,} {words.get(kind, kind)}" for kind in usual)
    stored = f"{counted(audit.files, 'file')} ({counted(audit.bytes, 'byte')})"
    click.echo(f"{stored}, {rehashed:,} re-hashed: {found}.")
    if audit.without_file:
        named = f"{audit.without_file:,} of {counted(audit.records, 'record')}"
        click.echo(f"{named} {'names' if audit.without_file == 1 else 'name'} no file: their pictures were not saved.")
