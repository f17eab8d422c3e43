"""``bc-images diff``: what has changed from one snapshot to another, or to the live store."""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import click

from bc_images.cli.sources import config_option, load
from bc_images.cli.verify import differences, print_differences
from bc_images.files import open_files
from bc_images.redaction import redact
from bc_images.snapshots import SnapshotStore
from bc_images.snapshots.compare import PICTURE, ImageChange, compare_snapshots
from bc_images.text import counted, printable, shortened
from target_bc_images.target import TargetBCImages

__all__ = ["change_as_json", "change_line", "diff"]

_WORDS = {"=": "same", "*": "different", "-": "removed", "+": "added"}
_VALUE = 60  # characters of a value


@click.command()
@click.argument("before", metavar="A")
@click.argument("after", metavar="[B]", required=False)
@config_option
@click.option("--name", help="Name of the snapshots. Default: the setting name.")
@click.option("--all", "show_all", is_flag=True, help="List the images that are the same, too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def diff(
    before: str, after: str | None, configs: tuple[str, ...], name: str | None, *, show_all: bool, as_json: bool
) -> None:
    """Show what has changed from snapshot A to snapshot B, or to the live store.

    A and B are ids, latest, or file names. A line an image, with SKU, file and what differs (field: A -> B):
    = same, * different, - removed, + added. Pictures are compared by their digests. Without B, it does what verify
    does, with its signs and words.

    Exit code 0: no differences. 1: differences. 2: wrong settings. 3: a snapshot, the file store or the live store
    cannot be read.
    """
    settings = load(configs)
    archive = settings.archive(TargetBCImages) if after is None else settings.archive()
    name = name or archive["name"]
    if after is None:
        pairs = differences(settings.of(TargetBCImages), (), f"{name}/{before}")
        print_differences(pairs, show_all=show_all, as_json=as_json)
        return
    counts: Counter[str] = Counter()
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    with closing(open_files(archive["file_store"])) as files:
        store = SnapshotStore(files, name)
        first, second = (_messages(store, word) for word in (before, after))
        for change in compare_snapshots(first, second):
            counts[change.sign] += 1
            if change.sign != "=" or show_all:
                click.echo(json.dumps(change_as_json(change)) if as_json else change_line(change, width))
    if as_json:
        click.echo(json.dumps({"summary": {word: counts[sign] for sign, word in _WORDS.items()}}))
    else:
        words = ", ".join(f"{counts[sign]:,} {word}" for sign, word in _WORDS.items() if counts[sign]) or "no images"
        click.echo(f"{counted(counts.total() - counts['='], 'difference')} ({words})")
    if counts.total() > counts["="]:
        click.get_current_context().exit(1)


def _messages(store: SnapshotStore, word: str) -> Iterator[dict[str, Any]]:
    snapshot = store.resolve(word)
    return (message for _, _, message in store.messages(snapshot))


def change_line(change: ImageChange, width: int | None = None) -> str:
    """Return one line: sign, SKU, file, what differs, and which image it is; `width` cuts it."""
    image = change.after or change.before or {}
    values = (
        f"{'picture' if name == PICTURE else name}: {_value(name, change.before)} -> {_value(name, change.after)}"
        for name in change.fields
    )
    sku = image.get("product_sku") or f"product {image.get('product_id')}"
    parts = [str(sku), str(image.get("image_file") or ""), ", ".join(values)]
    ids = f"(product {image.get('product_id')}, image {image.get('id')})"
    line = f"{change.sign} {'  '.join(printable(redact(part)) for part in (*parts, ids) if part)}"
    return line if width is None or len(line) <= width else f"{line[: width - 1]}…"


def _value(name: str, record: dict[str, Any] | None) -> str:
    value = (record or {}).get(name)
    if name == PICTURE:
        return str(value)[:8]
    return shortened(f"'{value}'" if isinstance(value, str) else json.dumps(value), _VALUE)


def change_as_json(change: ImageChange) -> dict[str, Any]:
    """Return a change for ``--json``."""
    image = change.after or change.before or {}
    fields = {name: [(change.before or {}).get(name), (change.after or {}).get(name)] for name in change.fields}
    facts = {name: image.get(name) for name in ("product_id", "product_sku", "id", "image_file")}
    return {"sign": change.sign, **facts, "fields": fields}
