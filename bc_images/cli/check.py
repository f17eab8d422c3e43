"""``bc-images check``: hash every picture of a file store again, and compare it with backups."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import click

from bc_images import progress
from bc_images.cli.options import file_store_option, parse_sample
from bc_images.errors import InvalidInput
from bc_images.files.audit import Audit, Finding
from bc_images.files.store import open_files
from bc_images.redaction import redact
from bc_images.settings import Sample
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

    BACKUP is a Singer file, plain or gzip; several count together. Without one, the file store's own refs say what
    has to be there.

    \b
    !  corrupt: the file's content does not match its name (SHA-256), or it cannot be read
    -  missing: a backup (or a ref) names it, and it is not there; or a record names no file, and no ref does
    +  orphaned: no backup (or ref) names it
    ?  wrong_size: the file is sound, but a backup (or a ref) states another length
    x  refused: the store would not take it back, since it is too large, truncated, or too large a GIF
    ~  rendition: a rendition, or what a CDN has made of it, stands in for the original

    Exit code 0: nothing found, renditions apart. 1: something found. 2: wrong settings. 3: file store or backup cannot
    be used.
    """  # noqa: D301 - click looks for the character itself
    counts: Counter[str] = Counter()
    unread: list[str] = []

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
        if backups:
            with _progress("reading backups", "record", None, lambda: audit.records):
                for backup in backups:
                    try:
                        audit.read_backup(backup)
                    except InvalidInput as error:
                        if len(unread) + 1 == len(backups):  # none was read
                            raise
                        unread.append(str(error))
        else:
            with _progress("reading names", "name", None, lambda: audit.refs):
                audit.read_refs()
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
    if unread:
        raise InvalidInput(f"{' '.join(unread)} What these backups name was not looked for, and may count as orphaned.")
    ctx.exit(1 if counts.keys() - {"rendition"} else 0)


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
