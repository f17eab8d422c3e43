"""``bc-images retry``: feed the records of a report that were rejected or failed to the target once more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import IO, Any, cast

import click
import orjson

from bc_images import schema
from bc_images.config import settings_files
from bc_images.errors import DamagedInput
from target_bc_images.target import TargetBCImages

__all__ = ["retry"]


@click.command()
@click.argument("report", type=click.Path())
@click.option("--config", "configs", multiple=True, help="Settings of the target, a JSON file. Repeatable.")
def retry(report: str, configs: tuple[str, ...]) -> None:
    """Restore once more what REPORT lists as rejected, failed or not reached.

    REPORT is what the setting report of target-bc-images has written. Settings come from --config and from
    TARGET_BC_IMAGES_… as for the target. What has been restored since is kept as it is.
    """
    records = list(_unfinished(report))  # read before a new report may take the same path
    if not records:
        click.echo("Nothing to do: the report lists no record that was rejected or failed.", err=True)
        return
    with closing(TargetBCImages(config=settings_files(configs))) as target:
        target.listen(cast("IO[Any]", _messages(records)))


def _unfinished(report: str) -> Iterator[dict[str, Any]]:
    number = 0
    try:
        with Path(report).open("rb") as lines:
            for number, line in enumerate(lines, 1):  # noqa: B007 - the error below names it
                row = orjson.loads(line)
                if row.get("record"):
                    yield row["record"]
    except OSError as error:
        raise DamagedInput(f"The report {report} cannot be read: {error.strerror}.") from error
    except (orjson.JSONDecodeError, AttributeError) as error:
        raise DamagedInput(f"Line {number} of {report} is no line of a report.") from error


def _messages(records: list[dict[str, Any]]) -> Iterator[bytes]:
    head = {"type": "SCHEMA", "stream": "product_images", "schema": schema.load("product_images")}
    yield orjson.dumps({**head, "key_properties": ["store_hash", "id"]})
    for record in records:
        yield orjson.dumps({"type": "RECORD", "stream": "product_images", "record": record})
