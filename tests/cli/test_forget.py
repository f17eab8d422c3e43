"""``bc-images forget``: old snapshots leave the list, and nothing else changes."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.support.commands import CommandResult, run
from tests.support.pictures import picture
from tests.support.stopped_writes import Killed, StoppedWrites


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A file store of five nights, each with a picture of its own."""
    for night in range(1, 6):
        content = picture("png", night)
        digest = hashlib.sha256(content).hexdigest()
        path = tmp_path / "files/sha256" / digest[:2] / digest
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        record = {"store_hash": "a", "id": night, "product_id": 1, "image_file": f"{night}.png", "file_sha256": digest}
        messages: list[dict[str, Any]] = [
            {"type": "SCHEMA", "stream": "product_images", "schema": {}},
            {"type": "RECORD", "stream": "product_images", "record": {**record, "file_size": len(content)}},
            {"type": "ACTIVATE_VERSION", "stream": "product_images", "version": 1},
        ]
        archive = tmp_path / f"files/archives/store/2025010{night}T020000Z.singer.gz"
        archive.parent.mkdir(parents=True, exist_ok=True)
        archive.write_bytes(gzip.compress(b"".join(orjson.dumps(message) + b"\n" for message in messages)))
    return tmp_path / "files"


def command(files: Path, name: str, *arguments: str) -> CommandResult:
    config = files.with_name("config.json")
    config.write_text(json.dumps({"file_store": str(files)}))
    if name == "check":
        return run("bc-images", "check", "--file-store", files, *arguments)
    return run("bc-images", name, "--config", config, *arguments)


def forget(files: Path, *arguments: str) -> CommandResult:
    return command(files, "forget", *arguments)


def listed(files: Path) -> list[str]:
    return sorted(path.name[:8] for path in (files / "archives/store").glob("*.singer.gz"))


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_not_kept_is_moved_with_its_manifest(files: Path) -> None:
    assert command(files, "snapshots").code == 0  # which makes the manifests
    before = tree(files)
    result = forget(files, "--keep-last", "2")
    assert (result.code, result.lines[-1]) == (0, "3 snapshots forgotten.")
    assert listed(files) == ["20250104", "20250105"]
    (moment,) = (files / "trash/store").iterdir()
    moved = {f"archives/store/{name}": content for name, content in tree(moment).items()}
    rest = {name: content for name, content in tree(files).items() if not name.startswith("trash/")}
    assert {**rest, **moved} == before
    assert len(moved) == 6
    assert command(files, "check").code == 0, "pictures of forgotten snapshots are no orphans"
    assert forget(files, "--keep-last", "2").lines[-1] == "0 snapshots forgotten."


def test_a_dry_run_changes_nothing(files: Path) -> None:
    command(files, "snapshots")
    before = tree(files)
    result = forget(files, "--keep-daily", "1", "--dry-run")
    assert (result.code, result.lines[-1]) == (0, "4 snapshots would be forgotten.")
    assert [line.split()[-1] for line in result.lines[:4]] == ["forget"] * 4
    assert tree(files) == before


def test_without_a_policy_nothing_is_forgotten(files: Path) -> None:
    for arguments in ((), ("--keep-last", "0"), ("--dry-run",)):
        result = forget(files, *arguments)
        assert (result.code, "Nothing was forgotten" in result.last_line) == (2, True)
    assert forget(files, "--keep-within", "3w").code == 2
    assert forget(files, "--keep-last", "-2").code == 2
    assert len(listed(files)) == 5


def test_an_unreadable_snapshot_stops_it(files: Path) -> None:
    (files / "archives/store/20250102T020000Z.singer.gz").write_bytes(b"\x1f\x8b damaged")
    result = forget(files, "--keep-last", "1")
    assert (result.code, "Nothing was forgotten" in result.last_line) == (3, True)
    assert len(listed(files)) == 5


@pytest.mark.parametrize("damage", ["picture", "snapshot"])
def test_damage_that_the_last_check_has_found_stops_it(files: Path, damage: str) -> None:
    command(files, "snapshots")  # its manifest makes a damaged snapshot look sound
    if damage == "picture":
        victim = min(path for path in (files / "sha256").rglob("*") if path.is_file())
    else:
        victim = files / "archives/store/20250102T020000Z.singer.gz"
    content = victim.read_bytes()
    victim.write_bytes(content[:-12] + b"x" * 12)
    assert command(files, "check").code != 0
    result = forget(files, "--keep-last", "1")
    assert (result.code, "has found damage" in result.last_line) == (3, True)
    assert len(listed(files)) == 5
    victim.write_bytes(content)
    assert command(files, "check").code == 0
    assert forget(files, "--keep-last", "1").code == 0
    assert listed(files) == ["20250105"]


def test_without_snapshots_or_file_store(files: Path, tmp_path: Path) -> None:
    assert forget(files, "--keep-last", "1", "--name", "other").code == 3
    files.rename(tmp_path / "elsewhere")
    result = forget(files, "--keep-last", "1")
    assert (result.code, "No file store found" in result.last_line) == (3, True)
    assert not files.exists()


def test_stopped_at_any_write_no_snapshot_is_lost(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bc_images.cli.forget import forget as function

    command(files, "snapshots")
    contents = {path.name: path.read_bytes() for path in (files / "archives/store").glob("*.singer.gz")}
    stopped = StoppedWrites(monkeypatch, "begin", "remove")
    arguments = ["--config", str(files.with_name("config.json")), "--keep-last", "1"]
    for stopped.limit in range(1, 100):
        stopped.calls = 0
        try:
            function.main(arguments, standalone_mode=False)
            break
        except Killed:
            there = {path.name: path.read_bytes() for path in files.rglob("*.singer.gz")}
            assert there == contents
    assert listed(files) == ["20250105"]
    assert {path.name: path.read_bytes() for path in files.rglob("*.singer.gz")} == contents
