"""``bc-images check``: whether every picture is still there, and still what it was."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bc_images.files.audit import Audit, Finding
from bc_images.files.file_store import open_files
from bc_images.files.refs import listed_on_disk
from bc_images.redaction import redact
from bc_images.sample import Sample
from bc_images.text import printable

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ["check"]

_SIGNS = {"damaged": "!", "missing": "-", "orphaned": "+", "misstated": "?", "refused": "x", "rendition": "~"}
_SELDOM = {"misstated", "refused", "rendition"}  # kinds that the summary names only where there are any


def _sample(ctx: click.Context, param: click.Parameter, text: str | None) -> Sample:
    """Read a number of files, or a percentage of them; everything where nothing is said."""
    if text is None:
        return Sample(share=1.0)
    try:
        return Sample.parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from error


@click.command()
@click.option(
    "--files",
    "files_url",
    required=True,
    metavar="URL",
    envvar=["BC_IMAGES_FILES", "TAP_BC_IMAGES_FILES", "TARGET_BC_IMAGES_FILES"],
    help="The file store: a folder or an fsspec URL such as s3://bucket/prefix. "
    "Else BC_IMAGES_FILES, TAP_BC_IMAGES_FILES or TARGET_BC_IMAGES_FILES of the environment.",
)
@click.option(
    "--sample", callback=_sample, metavar="N|P%", help="Re-hash only so many files, or such a share, chosen at random."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON line for each finding, then one with the summary.")
@click.argument("backups", nargs=-1, type=click.Path(path_type=Path), metavar="[BACKUP]...")
@click.pass_context
def check(ctx: click.Context, files_url: str, sample: Sample, as_json: bool, backups: tuple[Path, ...]) -> None:
    """Re-hash the file store and compare it with backups.

    BACKUP is a Singer file, plain or gzip; several count together. Without one, the file store's own refs say what
    has to be there.

    \b
    !  damaged: the file does not hold what its name says
    -  missing: a backup (or a ref) names it, and it is not there; or a record names no file, and no ref does
    +  orphaned: no backup (or ref) names it
    ?  misstated: the file is sound, but a backup (or a ref) tells another length
    x  refused: the store would not take it back, since it is too large, truncated, or too large a GIF
    ~  rendition: a rendition, or what a CDN has made of it, stands in for the original

    Exit code 0: nothing found, renditions apart. 1: something found. 2: wrong settings. 3: file store or backup cannot
    be used.
    """  # noqa: D301 - click looks for the character itself
    counts: Counter[str] = Counter()

    def tell(finding: Finding) -> None:
        counts[finding.kind] += 1
        click.echo(_json(finding) if as_json else _text(finding))

    with listed_on_disk(), Audit(open_files(files_url)) as audit:
        audit.list_files()
        for backup in backups:
            audit.read_backup(backup)
        if not backups:
            audit.read_refs()
        for finding in audit.compared():
            tell(finding)
        rehashed, size = audit.draw(sample)
        with _progress() as bar:
            task = bar.add_task("re-hashing", total=size) if bar else None
            for length, found in audit.rehashed():
                if bar and task is not None:
                    bar.advance(task, length)
                if found:
                    tell(found)
        _summarise(audit, rehashed, counts, as_json=as_json)
    ctx.exit(1 if counts.keys() - {"rendition"} else 0)


def _progress() -> AbstractContextManager[Progress | None]:
    """Return a bar on stderr where that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        return nullcontext()
    columns = ("{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True)


def _text(finding: Finding) -> str:
    by = f", named by {finding.named_by}" if finding.named_by else ""
    return printable(redact(f"{_SIGNS[finding.kind]} {finding.key}  {finding.reason}{by}"))


def _json(finding: Finding) -> str:
    fields = {"finding": finding.kind, "key": finding.key, "reason": finding.reason, "named_by": finding.named_by}
    return json.dumps(fields)  # in ASCII: a key may hold characters that control a terminal


def _summarise(audit: Audit, rehashed: int, counts: Counter[str], *, as_json: bool) -> None:
    if as_json:
        numbers = {"files": audit.files, "bytes": audit.bytes, "rehashed": rehashed}
        numbers |= {"records": audit.records, "records_without_file": audit.without_file}
        numbers |= {kind: counts[kind] for kind in _SIGNS}
        click.echo(json.dumps({"summary": numbers}))
        return
    usual = [kind for kind in _SIGNS if kind not in _SELDOM or counts[kind]]
    found = ", ".join(f"{counts[kind]:,} {kind}" for kind in usual)
    click.echo(f"{audit.files:,} files ({audit.bytes:,} bytes), {rehashed:,} re-hashed: {found}.")
    if audit.without_file:
        click.echo(f"{audit.without_file:,} of {audit.records:,} records name no file: their pictures were not saved.")
