"""``bc-images snapshots``: what there is to restore, as a table."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

import click

from bc_images.cli.sources import config_option, load
from bc_images.errors import InvalidInput, PartialFailure
from bc_images.files import FileStore, open_files
from bc_images.snapshots import FOLDER, Manifest, snapshot_stores
from bc_images.text import byte_size, counted, printable, shortened

__all__ = ["snapshots"]

logger = logging.getLogger(__name__)

_WIDTH = 80
_NONE = "-"
_HEADINGS = ("id", "time (UTC)", "products", "images", "new", "size", "complete", "check", "drill")
_LEFT = {0, 1}  # columns of words; numbers are aligned to the right


@click.command()
@config_option
@click.option("--name", help="Only the snapshots of this name.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def snapshots(configs: tuple[str, ...], name: str | None, *, as_json: bool) -> None:
    """List the snapshots in the file store.

    The oldest comes first. new: pictures that were downloaded for it; size: of all pictures that it names, each counted
    once; check, drill: how long ago the last one was (m, h, d), with ! if it failed; -: not known, or never.

    Exit code 0: listed, also if there are none. 1: a snapshot cannot be read; it is named, the others are listed.
    2: wrong settings. 3: the file store cannot be used.
    """
    with closing(open_files(load(configs).archive()["file_store"])) as files:
        rows, unreadable = _listing(files, name)
        place = f"{files.display_name}/{FOLDER}{'' if name is None else f'/{name}'}"
    if as_json:
        for store_name, manifest in rows:
            click.echo(json.dumps({"name": store_name, "short_id": manifest.short_id, **asdict(manifest)}))
    elif rows:
        for heading, manifests in _grouped(rows):
            click.echo(heading)
            click.echo(_table(manifests, datetime.now(UTC)))
    elif not unreadable:
        click.echo(f"There are no snapshots in {place}. Make one: bc-images backup")
    if unreadable:
        number = counted(len(unreadable), "snapshot")
        raise PartialFailure(f"{number} cannot be read, and is not listed: {' '.join(unreadable)}")


def _listing(files: FileStore, name: str | None) -> tuple[list[tuple[str, Manifest]], list[str]]:
    """Return name and manifest of every snapshot, and why some cannot be read."""
    rows: list[tuple[str, Manifest]] = []
    unreadable: list[str] = []
    for store in snapshot_stores(files):
        if name not in {None, store.name}:
            continue
        for snapshot in store.list():
            try:
                rows.append((store.name, store.manifest(snapshot)))
            except InvalidInput as error:
                unreadable.append(str(error))
    return rows, unreadable


def _grouped(rows: Sequence[tuple[str, Manifest]]) -> list[tuple[str, list[Manifest]]]:
    """Return a heading and the manifests for each name and store."""

    def key(row: tuple[str, Manifest]) -> str:
        name, manifest = row
        stores = ", ".join(manifest.store_hashes) or "no records"
        return f"{name}  {shortened(printable(stores), _WIDTH - 2 - len(name))}"

    return [(heading, [manifest for _, manifest in group]) for heading, group in groupby(sorted(rows, key=key), key)]


def _table(manifests: Sequence[Manifest], now: datetime) -> str:
    lines = [_HEADINGS, *(_row(manifest, now) for manifest in manifests)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADINGS))]
    gap = "  " if sum(widths) + 2 * len(widths) <= _WIDTH else " "
    return "\n".join(
        gap.join(
            cell.ljust(width) if column in _LEFT else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _row(manifest: Manifest, now: datetime) -> tuple[str, ...]:
    return (
        manifest.short_id,
        manifest.time[:16].replace("T", " ") if manifest.time else shortened(printable(manifest.file), 16),
        _number(manifest.products),
        _number(manifest.images),
        _NONE if manifest.new_pictures is None else _number(manifest.new_pictures),
        byte_size(manifest.picture_bytes),
        "yes" if manifest.is_complete else "no",
        _outcome(manifest.last_check, "is_sound", now),
        _outcome(manifest.last_drill, "proved", now),
    )


def _number(number: int) -> str:
    return f"{number:,}" if number < 10**6 else f"{number / 10**6:.2f}M"


def _outcome(result: dict[str, Any] | None, passed: str, now: datetime) -> str:
    if result is None:
        return _NONE
    try:
        age = (now - datetime.fromisoformat(result["time"])).total_seconds()
    except (KeyError, TypeError, ValueError):  # of another version
        return _NONE
    return _age(max(age, 0)) + ("" if result.get(passed) is True else " !")


def _age(seconds: float) -> str:
    units: tuple[tuple[float, str, Callable[[float], bool]], ...] = (
        (60, "m", lambda count: count < 60),
        (3600, "h", lambda count: count < 48),
        (86400, "d", lambda _: True),
    )
    return next(f"{seconds / unit:.0f}{sign}" for unit, sign, fits in units if fits(seconds / unit))
