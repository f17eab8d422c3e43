"""``bc-images shards``: divide a store into id ranges of equally many products."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from itertools import pairwise

import click

from bc_images.bigcommerce import open_store
from bc_images.cli.options import config_option
from bc_images.progress import Progress, Sample
from bc_images.settings import Settings

__all__ = ["shards"]

logger = logging.getLogger(__name__)


@click.command()
@click.option("--count", type=click.IntRange(1, 1000), required=True, help="How many shards.")
@config_option
def shards(count: int, configs: tuple[str, ...]) -> None:
    """Cut a store into shards of about equally many products.

    Prints a JSON list, for each shard the settings product_id_min and product_id_max. Together the shards hold every
    id there can be, so that products that are added meanwhile belong to one of them. A shard costs one small request.
    TAP_BC_IMAGES_… of the environment is above all other settings.
    """
    from bc_images.cli.sources import load  # with the SDK, which --help does without
    from tap_bc_images.tap import TapBCImages

    settings = Settings.from_config(load(configs).of(TapBCImages))
    store = open_store(settings)
    try:
        total = store.count_products()
        ends = set[int | None]()
        with Progress("shards", count, lambda: Sample(len(ends)), logger, unit="shard", prints_text=True):
            ends.update(
                store.product_id_at(rank - 1) for number in range(1, count) if (rank := total * number // count)
            )
    finally:
        store.close()
    click.echo(json.dumps(list(_between(sorted(end for end in ends if end is not None)))))


def _between(ends: list[int]) -> Iterator[dict[str, int]]:
    """Yield the shards that end with these ids, and the one behind them; the first and the last are open."""
    for before, end in pairwise([None, *ends, None]):
        low = {} if before is None else {"product_id_min": before + 1}
        high = {} if end is None else {"product_id_max": end}
        yield {**low, **high}
