"""``bc-images history``: what one product or image was in each snapshot."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import click

from bc_images.cli.diff import change_as_json, change_line
from bc_images.cli.sources import config_option, load
from bc_images.errors import InvalidInput, PartialFailure
from bc_images.files import open_files
from bc_images.snapshots import Manifest, SnapshotStore
from bc_images.snapshots.compare import compare_snapshots, image_records
from bc_images.text import counted

__all__ = ["history"]

logger = logging.getLogger(__name__)


@click.command()
@click.argument("item", metavar="PRODUCT|IMAGE")
@config_option
@click.option("--name", help="Name of the snapshots. Default: the setting name.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def history(item: str, configs: tuple[str, ...], name: str | None, *, as_json: bool) -> None:
    """Show what one product or image was in each snapshot.

    PRODUCT is a product id or a SKU, IMAGE an image id; an id that is both shows both. Complete snapshots are read, the
    oldest first, and each says what has changed since the one before: + added, * different (field: before -> now),
    - removed. A snapshot without a change is left out.

    Exit code 0: shown. 1: a snapshot cannot be read; it is named, the others are shown. 2: wrong settings. 3: no
    snapshot names it, or the file store cannot be used.
    """
    archive = load(configs).archive()
    unreadable: list[str] = []
    number_of_changes = 0
    with closing(open_files(archive["file_store"])) as files:
        store = SnapshotStore(files, name or archive["name"])
        before: list[dict[str, Any]] = []
        for snapshot in store.list():
            if not snapshot.is_complete:
                continue
            try:
                manifest = store.manifest(snapshot)
                images = list(_matching(image_records(message for _, _, message in store.messages(snapshot)), item))
            except InvalidInput as error:
                unreadable.append(str(error))
                continue
            number_of_changes += _print_changes(manifest, before, images, as_json=as_json)
            before = images
    if unreadable:
        number = counted(len(unreadable), "snapshot")
        raise PartialFailure(f"{number} cannot be read, and is not in this history: {' '.join(unreadable)}")
    if not number_of_changes:
        raise InvalidInput(f"No complete snapshot in {store.display_name} names the product or image {item}.")


def _matching(records: Iterator[dict[str, Any]], item: str) -> Iterator[dict[str, Any]]:
    """Yield the records of a product or an image, as messages to be compared."""
    number = int(item) if re.fullmatch(r"[0-9]{1,18}", item) else None
    for record in records:
        is_number = number is not None and number in {record["product_id"], record["id"]}
        if is_number or record.get("product_sku") == item:
            yield {"type": "RECORD", "stream": "product_images", "record": record}


def _print_changes(
    manifest: Manifest, before: list[dict[str, Any]], after: list[dict[str, Any]], *, as_json: bool
) -> int:
    changes = [change for change in compare_snapshots(before, after) if change.sign != "="]
    if changes and not as_json:
        click.echo(f"{manifest.short_id}  {manifest.time or manifest.file}")
    for change in changes:
        if as_json:
            line = {"snapshot": manifest.short_id, "time": manifest.time, **change_as_json(change)}
            click.echo(json.dumps(line))
        else:
            click.echo(f"  {change_line(change)}")
    return len(changes)
