"""``bc-images copy``: a second, verified copy of snapshots and pictures in another file store."""

from __future__ import annotations

import json
import logging
from contextlib import closing
from dataclasses import asdict

import click

from bc_images.cli.sources import config_option, load
from bc_images.errors import InvalidInput, PartialFailure, SettingsError
from bc_images.files import FileStore, open_files
from bc_images.progress import Progress, Sample
from bc_images.snapshots import snapshot_stores
from bc_images.snapshots.copy import CopyCounts, Pictures, copy_refs, copy_snapshot
from bc_images.snapshots.store import SnapshotStore
from bc_images.text import byte_size, counted, printable

__all__ = ["copy"]

logger = logging.getLogger(__name__)

_MAX_LINES = 20  # of problems


@click.command("copy")
@click.argument("destination", metavar="DEST")
@config_option
@click.option("--name", help="Only the snapshots of this name. Default: all.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def copy(destination: str, configs: tuple[str, ...], name: str | None, *, as_json: bool) -> None:
    """Copy snapshots and their pictures into another file store.

    DEST is a folder or an fsspec URL such as s3://bucket/prefix. Only what is missing there is copied, and each picture
    is hashed on its way. A snapshot comes after all of its pictures: stopped at any moment, the copy leaves whole
    snapshots, and the next one goes on. Nothing in DEST is replaced or removed.

    Exit code 0: all of it is in DEST. 1: some is not, and is named. 2: wrong settings. 3: a file store cannot be used.
    """
    place = load(configs).archive()["file_store"]
    counts = CopyCounts()
    with (
        closing(open_files(place)) as source,
        closing(open_files(destination, writable=True)) as target,
        Progress("copy", None, lambda: Sample(counts.pictures, bytes=counts.bytes), logger, unit="picture"),
    ):
        if source.display_name == target.display_name:
            raise SettingsError("DEST is the file store itself: nothing was copied. Give another one.")
        source.must_exist()
        _copy(source, target, [store for store in snapshot_stores(source) if name in {None, store.name}], counts)
        summary = (
            f"{counted(counts.snapshots, 'snapshot')} and {counted(counts.pictures, 'picture')} "
            f"({byte_size(counts.bytes)}) copied to {target.display_name}; "
            f"{counted(counts.known_snapshots, 'snapshot')} {'was' if counts.known_snapshots == 1 else 'were'} there."
        )
    if as_json:
        click.echo(json.dumps(asdict(counts)))
    else:
        click.echo(summary)
        for problem in counts.problems[:_MAX_LINES]:
            click.echo(printable(f"! {problem}"))
    if counts.problems:
        raise PartialFailure(
            f"{counted(len(counts.problems), 'problem')}: a snapshot of which something is missing was not copied. Run "
            "bc-images check on both file stores, then copy again."
        )


def _copy(source: FileStore, target: FileStore, stores: list[SnapshotStore], counts: CopyCounts) -> None:
    """Copy all snapshots of some names, the oldest first.

    Raises:
        InvalidInput: there are none.
    """
    histories = [(store.name, store.list()) for store in stores]
    if not any(snapshots for _, snapshots in histories):
        raise InvalidInput(
            f"There are no snapshots in {source.display_name}: nothing was copied. Make one: bc-images backup"
        )
    with closing(Pictures(target)) as there:
        for name, snapshots in histories:
            for snapshot in snapshots:
                copy_snapshot(source, target, name, snapshot, there, counts)
        copy_refs(source, target, there)
