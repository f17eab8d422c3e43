"""The steps of the demo: warehouse, backup, damage, plan, restore, comparison; on V3, then on V2 with WebDAV."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import orjson
from rich.table import Table

import bigcommerce_sandbox.server  # noqa: F401 - without the extra, end here and not half-way
from bc_images.cli.demo import warehouse
from bc_images.cli.demo.compare import differences, records
from bc_images.cli.demo.shell import BIN, DemoShell
from bc_images.errors import FatalError, PartialFailure
from bigcommerce_sandbox.constants import DAV_PASSWORD, DAV_USERNAME, STORE_HASH, TOKEN

__all__ = ["demo"]

QUESTIONS = {
    "How many images, of how many products, and how much text do they lack?": """
        SELECT count(*) AS images, count(DISTINCT product_id) AS products,
               count(*) FILTER (coalesce(description, '') = '') AS without_description
        FROM raw.product_images""",
    "Which products show two pictures at the same place?": """
        SELECT product_id, any_value(product_sku) AS sku, sort_order, count(*) AS images
        FROM raw.product_images GROUP BY product_id, sort_order HAVING count(*) > 1
        ORDER BY product_id, sort_order LIMIT 5""",
    "Which kinds of files are there?": """
        SELECT split_part(image_file, '.', -1) AS kind, count(*) AS images
        FROM raw.product_images GROUP BY kind ORDER BY images DESC""",
}


@click.command
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("bc-images-demo"),
    show_default=True,
    help="Where everything is kept; an earlier demo in it is replaced.",
)
@click.option("--port", type=click.IntRange(1, 65535), default=8100, show_default=True, help="Port of the store.")
@click.option("--products", type=click.IntRange(150), default=500, show_default=True, help="Products of the store.")
@click.option("--images", type=click.IntRange(2), default=3, show_default=True, help="Images of each product.")
def demo(folder: Path, port: int, products: int, images: int) -> None:
    """Back up, damage and restore a store on this machine.

    Each command is shown before it is run. The exit code is 0 only if the restored store equals the first backup,
    picture bytes included.
    """
    began = time.monotonic()
    with DemoShell(folder, keep=[warehouse.FOLDER]) as stage:
        run = Demo(stage, f"http://127.0.0.1:{port}", products * images)
        stage.heading("A store on this machine")
        stage.say("All that follows is really run, here. To paste a command, first:")
        stage.show(f"cd {stage.folder}" + ("" if shutil.which("tap-bc-images") else f" && export PATH={BIN}:$PATH"))
        stage.serve(
            f"bc-images sandbox --port {port} --products {products} --images {images} --data store.sqlite",
            f"{run.url}/stores/{STORE_HASH}/v2/time",
        )
        run.fill_warehouse()
        outcomes = {
            "V3": run.disaster("v3", seed=1, target={}),
            "V2 + WebDAV": run.disaster(
                "v2",
                seed=2,
                target={"upload_method": "webdav", "webdav_username": DAV_USERNAME, "webdav_password": DAV_PASSWORD},
            ),
        }
        _end(stage, outcomes, time.monotonic() - began)


class Demo:
    """The scenes, played against one store of `expected` images at `url`."""

    def __init__(self, stage: DemoShell, url: str, expected: int) -> None:
        self.stage = stage
        self.url = url
        self.expected = expected

    def settings(self, version: str, **more: object) -> dict[str, Any]:
        """Return settings for this store; it serves the API and the originals at one address."""
        return {
            "store_hash": STORE_HASH,
            "access_token": TOKEN,
            "api_url": self.url,
            "store_url": self.url,
            "api_version": version,
            **more,
        }

    def fill_warehouse(self) -> None:
        """Load every image into DuckDB and ask it a few questions."""
        stage = self.stage
        stage.heading("Load a warehouse")
        stage.say("Any Singer loader will do. This one keeps its rows in a file of DuckDB, and lives by itself.")
        warehouse.install(stage)
        stage.write("duckdb.json", {"path": "warehouse.duckdb", "default_target_schema": "raw"})
        stage.write("tap.json", self.settings("v3"))
        stage.run(
            f"tap-bc-images --config tap.json | {warehouse.FOLDER}/bin/target-duckdb --config duckdb.json > state.json"
        )
        warehouse.count(stage, "raw.product_images", self.expected)
        stage.write("sql.py", warehouse.SQL)
        for question, sql in QUESTIONS.items():
            stage.say(f"\n{question}")
            stage.run(f'{warehouse.FOLDER}/bin/python sql.py "{" ".join(sql.split())}"')

    def disaster(self, version: str, seed: int, target: Mapping[str, object]) -> dict[str, int]:
        """Back up, wreck, plan, restore and compare; return how many actions of each kind the restore took.

        Raises:
            PartialFailure: the store is not what it was.
        """
        stage = self.stage
        stage.heading(f"{version.upper()}: back up, pictures included")
        stage.write(f"tap-{version}.json", self.settings(version, file_store="files"))
        stage.run(f"tap-bc-images --config tap-{version}.json > backup-{version}.singer")
        before = stage.folder / f"backup-{version}.singer"
        saved = records(before)
        digests = {record["file_sha256"] for record in saved}
        stage.say(f"{len(saved)} images in {before.name}, {len(digests)} different files in files/.")
        if len(saved) != self.expected:
            raise FatalError(f"The store has {self.expected} images and the backup {len(saved)}.")

        stage.heading(f"{version.upper()}: damage")
        stage.say("Pictures are deleted, text and order overwritten. The store keeps no copy of what is deleted.")
        stage.run(f"{BIN}/python -m bc_images.cli.demo.damage {self.url} --api-version {version} --seed {seed}")

        stage.heading(f"{version.upper()}: the plan")
        settings = self.settings(version, file_store="files", **target)
        stage.write(f"plan-{version}.json", {**settings, "dry_run": True, "report": f"plan-{version}.jsonl"})
        stage.run(f"target-bc-images --config plan-{version}.json < backup-{version}.singer")

        stage.heading(f"{version.upper()}: the restore")
        stage.write(f"target-{version}.json", {**settings, "report": f"report-{version}.jsonl"})
        stage.run(f"target-bc-images --config target-{version}.json < backup-{version}.singer > state.json")

        stage.heading(f"{version.upper()}: the proof")
        stage.say("The live store is compared with the backup, as you would do it:")
        stage.run(f"bc-images verify --config target-{version}.json --backup backup-{version}.singer")
        stage.say("And independently: the store is read again, with its pictures, and every digest compared.")
        stage.run(f"tap-bc-images --config tap-{version}.json > after-{version}.singer")
        self._prove(before, stage.folder / f"after-{version}.singer")
        return _repaired(stage.folder / f"report-{version}.jsonl")

    def _prove(self, before: Path, after: Path) -> None:
        lines = differences(before, after)
        for line in lines[:20]:
            self.stage.say(line)
        self.stage.say(f"{len(records(after))} images, {len(lines)} differences.")
        if lines:
            raise PartialFailure(f"The restored store differs from its backup in {len(lines)} images.")


def _repaired(report: Path) -> dict[str, int]:
    """Return the summary of a restore: its report's last line.

    Raises:
        FatalError: nothing had to be repaired, so that the demo has shown nothing.
    """
    last = report.read_bytes().splitlines()[-1]
    summary: dict[str, int] = orjson.loads(last)["summary"]
    if not (summary["create"] and summary["update"]):
        raise FatalError(f"{report.name} tells of no picture put back, or of no text: the damage was none.")
    return summary


def _end(stage: DemoShell, outcomes: Mapping[str, Mapping[str, int]], seconds: float) -> None:
    stage.heading("What was repaired")
    done = [name for name in next(iter(outcomes.values())) if any(summary[name] for summary in outcomes.values())]
    table = Table("", *done)
    for version, summary in outcomes.items():
        table.add_row(version, *(str(summary[name]) for name in done))
    stage.console.print(table)
    stage.say(f"All of it in {seconds:.0f} seconds. The files are in {stage.folder}.")
    stage.say("0 differences")
