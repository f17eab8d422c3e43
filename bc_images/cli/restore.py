"""``bc-images restore``: put back what a snapshot has and the store has not, with a plan first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from typing import Any

import click

from bc_images.cli.planned import planned_restore, require_answer
from bc_images.cli.sources import config_option, load
from bc_images.errors import SettingsError
from bc_images.files import open_files
from bc_images.singer.reader import SingerFile
from bc_images.snapshots import SnapshotStore
from bc_images.text import printable, shortened
from target_bc_images.changes import Mode
from target_bc_images.settings import TargetSettings
from target_bc_images.target import TargetBCImages

__all__ = ["restore"]

_ADVICE = "nothing was written to the store. Take another snapshot."


@click.command()
@click.argument("snapshot", required=False)
@config_option
@click.option("--at", metavar="TIME", help="The newest complete snapshot that is not later than this date or time.")
@click.option(
    "--product",
    "products",
    multiple=True,
    metavar="ID|SKU",
    help="Only this product, by its id or SKU in the snapshot (id:12 or sku:12 where it could be either). Repeatable.",
)
@click.option("--mode", type=click.Choice([mode.value for mode in Mode]), help="As the setting mode of the target.")
@click.option("--max-deletes", type=click.IntRange(min=0), help="How many images --mode mirror may delete.")
@click.option("--match-products-by", type=click.Choice(["id", "sku"]), help="How a record finds its product.")
@click.option("--dry-run", is_flag=True, help="Show the plan and write nothing.")
@click.option("--yes", is_flag=True, help="Write without a question; needed where there is no terminal.")
def restore(
    snapshot: str | None,
    configs: tuple[str, ...],
    at: str | None,
    products: tuple[str, ...],
    mode: str | None,
    max_deletes: int | None,
    match_products_by: Any,
    *,
    dry_run: bool,
    yes: bool,
) -> None:
    """Put back what SNAPSHOT has and the store has not.

    SNAPSHOT is an id, the beginning of one, or a file name, as bc-images snapshots lists them; else the newest complete
    one. The plan is shown first: each change with its sign (- missing from the store, * different, + extra in the
    store), then how many there are. It is written when you say so, or at once with --yes. What was there before is
    kept: bc-images undo takes the restore back.

    Exit code 0: the store is as in the snapshot. 1: something is left to do, or the answer was no. 2: wrong settings;
    nothing was written. 3: the store, the file store or the snapshot cannot be used.
    """
    settings = load(configs)
    options = {"mode": mode, "max_deletes": max_deletes, "match_products_by": match_products_by}
    config = settings.of(TargetBCImages, **options)
    dry_run = dry_run or bool(config.get("dry_run"))
    require_answer("restore", yes=yes or dry_run)
    archive = settings.archive(TargetBCImages)
    with closing(open_files(archive["file_store"])) as files:
        snapshots = SnapshotStore(files, archive["name"])
        name = _resolved(snapshots, snapshot, at)
        product_ids = _product_ids(snapshots, name, products) if products else None

        def adapt(given: TargetSettings) -> TargetSettings:
            """Let the command's options win over the target's variables."""
            if mode is not None:
                given = replace(given, mode=Mode(mode))
            if max_deletes is not None:
                given = replace(given, max_deletes=max_deletes)
            if match_products_by is not None:
                given = replace(given, match_products_by=match_products_by)
            return replace(given, dry_run=dry_run, product_ids=product_ids or given.product_ids)

        source = SingerFile(snapshots.open(name), f"the snapshot {name}", _ADVICE)
        planned_restore(config, adapt, source, dry_run=dry_run, yes=yes)


def _resolved(snapshots: SnapshotStore, snapshot: str | None, at: str | None) -> str:
    """Return the snapshot that is meant.

    Raises:
        SettingsError: it is named twice, or not as one can be.
        FatalError: there is none.
    """
    if snapshot is not None and at is not None:
        raise SettingsError("SNAPSHOT and --at both say which snapshot is meant: give one of them.")
    return snapshots.newest(at) if snapshot is None else snapshots.resolve(snapshot)


def _product_ids(snapshots: SnapshotStore, name: str, products: Iterable[str]) -> frozenset[int]:
    """Return the ids of products that are named by id or SKU, as the snapshot has them.

    Raises:
        SettingsError: the snapshot has no such product, or one by its id and another one by its SKU.
    """
    ids_of: dict[str, set[int]] = defaultdict(set)
    wanted = {key for text in products for key in _keys(text)}
    for _, _, message in snapshots.messages(name):
        record = message.get("record")
        if not isinstance(record, dict):
            continue
        is_product = message.get("stream") == "products"
        product_id = record.get("id" if is_product else "product_id")
        for key in (f"id:{product_id}", f"sku:{record.get('sku' if is_product else 'product_sku')}"):
            if key in wanted and type(product_id) is int:
                ids_of[key].add(product_id)
    chosen: set[int] = set()
    for text in products:
        matching = {product_id for key in _keys(text) for product_id in ids_of[key]}
        shown = shortened(printable(text), 80)
        if not matching:
            raise SettingsError(f"The snapshot {name} has no product with the id or SKU {shown}. Nothing was written.")
        if len(matching) > 1:
            raise SettingsError(
                f"{shown} is the id or SKU of {len(matching)} products in the snapshot {name}: give "
                f"id:{min(matching)}, or another id, or sku: and the SKU. Nothing was written."
            )
        chosen |= matching
    return frozenset(chosen)


def _keys(text: str) -> list[str]:
    return [text] if text.startswith(("id:", "sku:")) else [f"id:{text}", f"sku:{text}"]
