"""``bc-images shards``: cut a store into parts of equal size, each for a tap of its own."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import click

from bc_images.bigcommerce import open_store
from bc_images.bigcommerce.transport import HttpClient
from bc_images.config import checked, from_environment, settings_files
from bc_images.errors import UnexpectedResponse
from bc_images.progress import Progress, Sample
from bc_images.settings import PROPERTIES, Settings
from tap_bc_images.settings import PROPERTIES as TAP_PROPERTIES

__all__ = ["shards"]

logger = logging.getLogger(__name__)

_PREFIX = "TAP_BC_IMAGES_"


@click.command()
@click.option("--count", type=click.IntRange(1, 1000), required=True, help="How many shards.")
@click.option("--config", "configs", multiple=True, help="Settings of the tap, a JSON file. Repeatable.")
def shards(count: int, configs: tuple[str, ...]) -> None:
    """Cut a store into shards of about equally many products.

    Prints a JSON list, for each shard the settings product_id_min and product_id_max. Together the shards hold every
    id there can be, so that products that are added meanwhile belong to one of them. Settings come from --config and
    from TAP_BC_IMAGES_… as for the tap; a shard costs one small request.
    """
    properties = {**PROPERTIES, **TAP_PROPERTIES}
    given = {**settings_files(configs), **from_environment(_PREFIX, properties, os.environ)}
    settings = Settings.from_config(checked(given, {"type": "object", "properties": properties}))
    client = HttpClient(settings)
    try:
        total = open_store(settings, client).count_products()
        ends = set[int | None]()
        with Progress("shards", count, lambda: Sample(len(ends)), logger, unit="shard", prints_text=True):
            ends.update(_id_at(client, rank - 1) for number in range(1, count) if (rank := total * number // count))
    finally:
        client.close()
    click.echo(json.dumps(list(_between(sorted(end for end in ends if end is not None)))))


def _between(ends: list[int]) -> Iterator[dict[str, int]]:
    """Yield the shards that end with these ids, and the one behind them; the first and the last are open."""
    for before, end in pairwise([None, *ends, None]):
        low = {} if before is None else {"product_id_min": before + 1}
        high = {} if end is None else {"product_id_max": end}
        yield {**low, **high}


def _id_at(client: HttpClient, rank: int) -> int | None:
    """Return the id of the product at that place, from 0; None past the end.

    Any order that the store may have would do: where the shards meet is of no consequence.
    """
    if client.settings.api_version == "v3":
        path, query = "/v3/catalog/products", {"sort": "id", "include_fields": "id", "limit": 1, "page": rank + 1}
    else:
        path, query = "/v2/products", {"include": "id", "limit": 1, "page": rank + 1}
    answer: Any = client.get(path, query)
    try:
        rows = (answer or {"data": []})["data"] if client.settings.api_version == "v3" else answer or []
        found = rows[0]["id"] if rows else None
    except (KeyError, TypeError, IndexError) as error:
        raise UnexpectedResponse(f"GET {path}: the answer is no list of products. Nothing was guessed.") from error
    if found is not None and type(found) is not int:
        raise UnexpectedResponse(f"GET {path}: a product's id is no number. Nothing was guessed.")
    return found
