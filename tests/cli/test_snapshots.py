"""``bc-images snapshots``, and what ``check`` counts of them by default."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bc_images.files import open_files
from bc_images.snapshots import SnapshotStore
from bigcommerce_sandbox import SandboxServer
from tests.support.commands import run
from tests.support.tap import settings as tap_settings


@pytest.fixture
def folder(sandbox: SandboxServer, tmp_path: Path) -> Path:
    """A folder with the settings of the sandbox."""
    lines = [f"{name} = {json.dumps(value)}" for name, value in tap_settings(sandbox.url, file_store="files").items()]
    (tmp_path / "bc-images.toml").write_text("\n".join(lines))
    return tmp_path


@pytest.fixture
def two(folder: Path) -> Path:
    """A folder with two snapshots."""
    for _ in range(2):
        done = run("bc-images", "backup", cwd=folder)
        assert done.code == 0, done.err
    return folder


def listed(folder: Path, *arguments: str) -> list[dict[str, Any]]:
    done = run("bc-images", "snapshots", "--json", *arguments, cwd=folder)
    assert done.code == 0, done.err
    return [json.loads(line) for line in done.out.splitlines()]


def test_an_empty_list_says_what_to_do(folder: Path) -> None:
    (folder / "files").mkdir()
    done = run("bc-images", "snapshots", cwd=folder)
    assert (done.code, done.out) == (0, "There are no snapshots in files/archives. Make one: bc-images backup\n")
    assert listed(folder) == []


def test_the_table(two: Path) -> None:
    done = run("bc-images", "snapshots", cwd=two)
    assert done.code == 0, done.err
    heading, titles, first, second = done.out.splitlines()
    assert heading.startswith("store  ")
    assert titles.split() == [
        "id", "time", "(UTC)", "products", "images", "new", "size", "complete", "check", "drill",
    ]  # fmt: skip
    rows = listed(two)
    assert [line[:8] for line in (first, second)] == [row["short_id"] for row in rows]
    assert [row["new_pictures"] for row in rows] == [15, 0]
    assert " 15 " in first
    assert " 0 " in second
    assert max(map(len, done.out.splitlines())) <= 80
    assert first.split()[-3:] == ["yes", "-", "-"]


def test_an_unreadable_snapshot_is_named_and_the_others_are_listed(two: Path) -> None:
    snapshots = SnapshotStore(open_files(str(two / "files")), "store")
    first, second = snapshots.list()
    path = two / "files/archives/store" / first
    path.write_bytes(path.read_bytes()[:100])
    done = run("bc-images", "snapshots", cwd=two)
    assert done.code == 1
    assert first in done.err.splitlines()[-1]
    assert snapshots.manifest(second).short_id in done.out


def test_a_name_that_has_none(two: Path) -> None:
    assert listed(two, "--name", "other") == []
    assert len(listed(two, "--name", "store")) == 2


def test_check_counts_what_snapshots_name(two: Path) -> None:
    assert run("bc-images", "check", "--file-store", "files", cwd=two).code == 0
    assert [row["last_check"]["is_sound"] for row in listed(two)] == [True, True]
    assert run("bc-images", "snapshots", cwd=two).out.splitlines()[-1].split()[-2:] == ["0m", "-"]
    picture = next(path for path in (two / "files/sha256").rglob("*") if path.is_file())
    for ref in (two / "files/refs").rglob(f"*={picture.name}=*"):
        ref.unlink()
    picture.unlink()
    done = run("bc-images", "check", "--file-store", "files", cwd=two)
    assert done.code == 1
    (finding,) = (line for line in done.out.splitlines() if line.startswith("- "))
    assert picture.name in finding
    assert "in store/" in finding
    assert [row["last_check"]["is_sound"] for row in listed(two)] == [False, False]
    assert " !" in run("bc-images", "snapshots", cwd=two).out.splitlines()[-1]


def test_check_names_a_snapshot_that_it_cannot_read(two: Path) -> None:
    first, _ = SnapshotStore(open_files(str(two / "files")), "store").list()
    path = two / "files/archives/store" / first
    path.write_bytes(path.read_bytes()[:100])
    done = run("bc-images", "check", "--file-store", "files", cwd=two)
    assert done.code == 3
    assert first in done.err
