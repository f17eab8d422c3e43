"""Backups of former days restore for ever. The files of tests/data are added to and never changed."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from bc_images.bigcommerce.mapping import Record
from bigcommerce_sandbox import SandboxServer
from tests.support.target import RestoreScenario, picture

DATA = Path(__file__).parent.parent / "data"

GOLDEN = {
    "files.singer": "7d7b8a1e316b7cef7d03fee52c6c0fb7642cd4aa8d51241f70f72e53910b13d0",
    "undo.singer": "769949a43038655fefe2b0ed1da9c968207991fd81c7ccd1031cc3c78611510c",
    "v2.singer": "d0c0f8e724432a3d3e2ef908802ac159ff595309b7c3a5d83e30e8a13dccb892",
    "v3.singer": "9ffc8e6d61de8a305e2810c32ff7683080bdb248a543856d6c0e07c2585ec1ab",
    "warehouse.singer": "aec834d9ce06ac98dab5f5fa164393cb5855c09cd5028addac3402783a8d62e9",
}
"""Every backup and its digest: what was written once is not to be bent to what is read today."""

RECORDS = {"undo.singer": 4}  # of images; all others have 8


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    """The three products of which the backups speak, without images; the ids in the backups are used up."""
    with SandboxServer(products=3, images=0) as sandbox:
        for number in range(20):
            sandbox.delete_image(sandbox.add_image(101, picture(number), "gone.png"))
        yield sandbox


def records(backup: bytes) -> list[Record]:
    messages = [orjson.loads(line) for line in backup.splitlines()]
    found = [each for each in messages if each["type"] == "RECORD" and each["stream"].endswith("product_images")]
    return [each["record"] for each in found]


def test_none_was_added_without_its_digest_or_changed() -> None:
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in DATA.glob("*.singer*")}
    assert found == GOLDEN


@pytest.mark.parametrize("settings", [{}, {"mode": "mirror", "max_deletes": 0}], ids=["upsert", "mirror"])
@pytest.mark.parametrize("name", GOLDEN)
def test_it_restores(
    sandbox: SandboxServer, tmp_path: Path, api_version: str, name: str, settings: dict[str, Any]
) -> None:
    """What has a picture in the backup is lost in the store, what has none is there with other fields."""
    if settings and name == "warehouse.singer":
        settings = {}  # a table read back has no mark of its end
    scenario = RestoreScenario(sandbox, tmp_path, api_version)
    shutil.copytree(DATA / "files", tmp_path / "files")
    backup = (DATA / name).read_bytes()
    wanted = records(backup)
    assert len(wanted) == RECORDS.get(name, 8)
    for record in wanted:
        if not record["file_sha256"]:
            sandbox.add_image(
                record["product_id"],
                picture(record["id"]),
                "x.png",
                image_file=record["image_file"],
                sort_order=record["sort_order"] + (1 if record["sort_order"] < 100 else -1),
                description="overwritten",
                is_thumbnail=False,
            )
    run = scenario.restore(backup, **settings)
    assert run.code == 0, run.err
    live = sandbox.dump()["images"]
    assert len(live) == len(wanted)
    assert sorted(map(shape, wanted), key=str) == sorted((shape(image, wanted) for image in live), key=str)
    again = scenario.restore(backup, **settings)
    assert (again.code, again.actions) == (0, [])


def shape(image: dict[str, Any], wanted: list[Record] | None = None) -> tuple[Any, ...]:
    """Return what must agree; the digest where the backup knows it."""
    digest = image.get("file_sha256") or image.get("sha256")
    if wanted is not None and digest not in {record["file_sha256"] for record in wanted}:
        digest = None
    fields = ("product_id", "sort_order", "is_thumbnail")
    return (*(image[name] for name in fields), image["description"] or "", digest)
