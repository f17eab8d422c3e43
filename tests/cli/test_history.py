"""``bc-images history`` and ``bc-images extract``: one product through all snapshots, and pictures as files."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from bc_images.cli.extract import safe_name
from bigcommerce_sandbox import SandboxServer
from tests.support.commands import run
from tests.support.tap import settings as tap_settings


@pytest.fixture
def image(sandbox: SandboxServer) -> dict[str, Any]:
    """The image that is deleted between two snapshots."""
    deleted: dict[str, Any] = sandbox.dump(files=False)["images"][-1]
    return deleted


@pytest.fixture
def folder(sandbox: SandboxServer, tmp_path: Path, image: dict[str, Any]) -> Path:
    """A folder with the settings of the sandbox, and three snapshots: an image has been deleted after the second."""
    lines = [f"{name} = {json.dumps(value)}" for name, value in tap_settings(sandbox.url, file_store="files").items()]
    (tmp_path / "bc-images.toml").write_text("\n".join(lines))
    for number in range(3):
        if number == 2:
            sandbox.delete_image(image["id"])
        assert run("bc-images", "backup", cwd=tmp_path).code == 0
    return tmp_path


def test_an_image(folder: Path, image: dict[str, Any]) -> None:
    done = run("bc-images", "history", str(image["id"]), "--json", cwd=folder)
    assert done.code == 0, done.err
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert [line["sign"] for line in lines if line["id"] == image["id"]] == ["+", "-"]
    assert len({line["snapshot"] for line in lines}) == 2, "nothing happened in the second"


def test_a_product(folder: Path, image: dict[str, Any]) -> None:
    done = run("bc-images", "history", str(image["product_id"]), cwd=folder)
    assert done.code == 0, done.err
    signs = [line.strip()[0] for line in done.out.splitlines() if line.startswith("  ")]
    assert signs.count("+") == 3
    assert signs.count("-") == 1


def test_what_no_snapshot_names(folder: Path) -> None:
    for item in ("999999", "no such sku", "9" * 40):
        done = run("bc-images", "history", item, cwd=folder)
        assert (done.code, done.out) == (3, "")
        assert "names the product or image" in done.err


def test_pictures_as_files(folder: Path, image: dict[str, Any]) -> None:
    first = json.loads(run("bc-images", "snapshots", "--json", cwd=folder).out.splitlines()[0])["short_id"]
    done = run("bc-images", "extract", first, "out", "--product", str(image["product_id"]), cwd=folder)
    assert done.code == 0, done.err
    with (folder / "out/images.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3
    for row in rows:
        assert hashlib.sha256((folder / "out" / row["file"]).read_bytes()).hexdigest() == row["file_sha256"]
    assert {path.name for path in (folder / "out").iterdir()} == {"images.csv", *(row["file"] for row in rows)}
    again = run("bc-images", "extract", first, "out", cwd=folder)
    assert again.code == 2
    assert "not empty" in again.err


def test_a_picture_that_is_gone(folder: Path) -> None:
    picture = next(path for path in (folder / "files/sha256").rglob("*") if path.is_file())
    picture.unlink()
    done = run("bc-images", "extract", "latest", "out", cwd=folder)
    assert done.code == 1
    assert picture.name in done.err
    with (folder / "out/images.csv").open(encoding="utf-8-sig", newline="") as file:
        assert [row["file"] for row in csv.DictReader(file) if row["file_sha256"] == picture.name] == [""]


def test_products_that_are_not_there(folder: Path) -> None:
    done = run("bc-images", "extract", "latest", "out", "--product", "nothing", cwd=folder)
    assert done.code == 3
    assert "--product" in done.err


@pytest.mark.parametrize(
    ("image_file", "name"),
    [
        ("p/001/sock__1.jpg", "sock__1.jpg"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\x.jpg", "x.jpg"),
        ("..", "image"),
        ("", "image"),
        (None, "image"),
        (".hidden.png", "hidden.png"),
        ("a/Größe \x1b[1m.jpg", "Gr_e_1m.jpg"),
        ("nul.png", "_nul.png"),
        ("images.csv", "images-7.csv"),
        ("x" * 300 + ".jpg", "x" * 96 + ".jpg"),
    ],
)
def test_names_are_safe(image_file: str | None, name: str) -> None:
    assert safe_name({"image_file": image_file, "id": 7}, {"images.csv"}) == name


def test_names_do_not_collide() -> None:
    taken: set[str] = set()
    names = [safe_name({"image_file": file, "id": 7}, taken) for file in ("a/x.jpg", "b/X.jpg", "c/x.jpg", "x-7.jpg")]
    assert len({name.lower() for name in names}) == 4
