"""The command: restore a snapshot into an empty store, once for each answer to what is disputed of a real one."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from bc_images.cli.drill.proof import ExpectedImages, Proof
from bc_images.cli.drill.store import DrillStore
from bc_images.cli.sources import config_option, load
from bc_images.config import from_environment
from bc_images.errors import FileStoreError, InvalidInput, PartialFailure
from bc_images.files import open_files
from bc_images.settings import Sample
from bc_images.singer.archive.settings import EXTRACTOR
from bc_images.singer.reader import SingerFile
from bc_images.snapshots.store import Snapshot, SnapshotStore
from target_bc_images.settings import TargetSettings
from target_bc_images.target import TargetBCImages

__all__ = ["drill"]

logger = logging.getLogger(__name__)

_ADVICE = "nothing was proved. Take another snapshot."

DISPUTED = {
    "embedded_images_max": "2",
    "image_write_bumps_product_date": "on",
    "limit_over_max": "clamp",
    "lingering_originals": "on",
    "lingering_renditions": "on",
    "shift_bumps_date": "on",
    "single_image_false_thumbnail": "sticks",
    "sort_order_shift": "shift",
    "thumbnail_after_delete": "none",
    "v2_404_shape": "object",
    "v2_multipart": "on",
    "v3_empty_list": "204",
    "v3_multipart_put": "off",
}
"""What is not known of a real store, and the answer that the sandbox does not give unless it is told to."""


@dataclass(frozen=True, slots=True)
class Run:
    """One restore of a drill.

    Attributes:
        api_version: of the API that it went by.
        flags: the disputed behaviours that were not the usual ones.
        proof: what it proved.
        problems: what the target said, if it did not do all.
    """

    api_version: str
    flags: Mapping[str, str]
    proof: Proof
    problems: list[str]

    @property
    def is_proved(self) -> bool:
        """Whether all of the snapshot was restored exactly."""
        return self.proof.is_complete and not self.problems

    def as_dict(self) -> dict[str, Any]:
        """Return it for ``--json`` and for the manifest."""
        return {
            "api_version": self.api_version,
            "flags": dict(self.flags),
            "proved": self.is_proved,
            "products": self.proof.products,
            "exact_products": self.proof.exact_products,
            "pictures": self.proof.images,
            "exact_pictures": self.proof.exact_images,
            "differences": self.proof.differences,
            "problems": self.problems,
        }


def _sample(ctx: click.Context, param: click.Parameter, text: str | None) -> Sample:
    try:
        return Sample(share=1.0) if text is None else Sample.parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from error


@click.command()
@click.argument("snapshot", required=False)
@config_option
@click.option("--name", help="Name of the snapshots. Default: the setting name.")
@click.option("--at", help="The newest snapshot that is not later than this date or time.")
@click.option("--sample", callback=_sample, metavar="N|P%", help="Only so many products, or such a share, at random.")
@click.option(
    "--api", type=click.Choice(["v3", "v2", "both"]), default="v3", show_default=True, help="Restore by this API."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def drill(
    snapshot: str | None,
    configs: tuple[str, ...],
    name: str | None,
    at: str | None,
    sample: Sample,
    api: str,
    *,
    as_json: bool,
) -> None:
    """Prove that a snapshot can be restored, on this machine.

    SNAPSHOT is the newest by default. Its products are created in an empty store, their images are restored into it
    by target-bc-images, and every picture, text, order and thumbnail is compared with the snapshot. All of it is done
    twice: where the behaviour of a real store is disputed, the second store gives the other answer. No request leaves
    this machine but those to the file store.

    Exit code 0 only if everything is exact, else 1.
    """
    settings = load(configs).archive(TargetBCImages)
    usual = from_environment("TAP_SINGER_ARCHIVE_", EXTRACTOR, os.environ)  # as for a restore in Meltano
    file_store, name = settings["file_store"], name or usual.get("name") or settings["name"]
    with closing(open_files(file_store)) as files, tempfile.TemporaryDirectory(prefix="bc-images-drill-") as folder:
        snapshots = SnapshotStore(files, name)
        # Once resolved, the same snapshot for every run, whatever is backed up meanwhile.
        file_name = snapshots.resolve(snapshot) if snapshot else snapshots.newest(at or usual.get("at"))
        expected = ExpectedImages(message for _, _, message in snapshots.messages(file_name))
        with closing(expected):
            runs: list[Run] = []
            total = expected.product_count
            if not total:
                raise InvalidInput(f"{file_name} contains no products: nothing was proved.")
            chosen = sample.of(total)
            products = expected.choose(chosen) if chosen < total else None
            exercise = Drill(file_store, name, file_name, expected, products, Path(folder))
            for version in ["v3", "v2"] if api == "both" else [api]:
                for run in exercise.runs(version):
                    runs.append(run)
                    if not as_json:
                        _print(run)
        is_proved = all(run.is_proved for run in runs)
        _note(snapshots, file_name, runs, is_proved=is_proved, is_sample=chosen < total)
    verdict = {"snapshot": file_name, "proved": is_proved, "runs": [run.as_dict() for run in runs]}
    if as_json:
        click.echo(json.dumps(verdict))
    elif is_proved:
        click.echo(f"proved: {runs[0].proof}")
    if not is_proved:
        first = next(run for run in runs if not run.is_proved)
        raise PartialFailure(f"Not proved: {first.proof} of {file_name} were restored exactly.")


def _note(snapshots: SnapshotStore, file_name: Snapshot, runs: list[Run], *, is_proved: bool, is_sample: bool) -> None:
    """Write the verdict into the manifest of the snapshot."""
    verdict = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "proved": is_proved,
        "is_sample": is_sample,
        "products": runs[0].proof.products,
        "pictures": runs[0].proof.images,
        "api_versions": sorted({run.api_version for run in runs}),
    }
    try:
        snapshots.note(file_name, last_drill=verdict)
    except FileStoreError as error:  # whoever may only read can drill
        logger.warning("The verdict was not written into the manifest: %s", error)


class Drill:
    """Restores one snapshot into one empty store after another.

    Args:
        file_store: where its pictures are.
        name: the name of its history.
        snapshot: its file name.
        expected: what it holds.
        products: the ids of the products that are restored; None: all.
        folder: for temporary files.
    """

    def __init__(
        self,
        file_store: str,
        name: str,
        snapshot: str,
        expected: ExpectedImages,
        products: list[int] | None,
        folder: Path,
    ) -> None:
        self._file_store = file_store
        self._name = name
        self._snapshot = snapshot
        self._expected = expected
        self._products = products
        self._folder = folder
        self._product_list = folder / "products.jsonl"
        expected.write_products(self._product_list)

    def runs(self, api_version: str) -> Iterator[Run]:
        """Yield the run by each set of answers; where only the disputed ones fail, each by itself as well."""
        usual = self._run(api_version, {})
        yield usual
        disputed = self._run(api_version, DISPUTED)
        yield disputed
        if usual.is_proved and not disputed.is_proved:
            yield from (self._run(api_version, {name: value}) for name, value in DISPUTED.items())

    def _run(self, api_version: str, flags: Mapping[str, str]) -> Run:
        problems: list[str] = []
        with (
            closing(DrillStore(self._product_list, flags)) as store,
            tempfile.TemporaryDirectory(dir=self._folder) as state_dir,
        ):
            config = {
                **store.settings(api_version),
                "file_store": self._file_store,
                "match_products_by": "id",
                "state_dir": state_dir,
                **({} if self._products is None else {"product_ids": self._products}),
            }
            with (
                closing(DrillTarget(config=config, adapt=_without_lock)) as target,
                closing(open_files(self._file_store)) as files,
            ):
                target.session.prints_summary = False
                with closing(SnapshotStore(files, self._name).open(self._snapshot)) as file:
                    restore_input = target.read([SingerFile(file, f"the archive {self._snapshot}", _ADVICE)])
                try:
                    target.apply(restore_input)
                except PartialFailure:
                    problems = target.session.report.problem_lines()
            return Run(api_version, flags, self._expected.compare(store.images), problems)


class DrillTarget(TargetBCImages):
    """The target under a name of its own: TARGET_BC_IMAGES_… of the environment is about another store."""

    name = "bc-images-drill"


def _without_lock(options: TargetSettings) -> TargetSettings:
    """The store is reached by nobody else, and the file store is only read."""
    return replace(options, takes_lock=False)


def _behaviour(flags: Mapping[str, str]) -> str:
    """Say in a few words how the store of a run behaved."""
    if not flags:
        return "usual answers"
    return "other answers" if len(flags) > 1 else " ".join(f"{name}={value}" for name, value in flags.items())


def _print(run: Run) -> None:
    click.echo(f"{'ok    ' if run.is_proved else 'FAILED'} {run.api_version}, {_behaviour(run.flags)}: {run.proof}")
    for line in (*run.problems, *run.proof.differences):
        click.echo(f"  {line}")
