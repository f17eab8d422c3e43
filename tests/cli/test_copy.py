"""``bc-images copy``: a second file store that is as good as the first."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from bigcommerce_sandbox import STORE_HASH, TOKEN, SandboxServer
from tests.support.commands import CommandResult, run
from tests.support.file_stores import everywhere
from tests.support.stopped_writes import Killed, StoppedWrites


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with settings, and a file store of two snapshots that share pictures; the store still runs."""
    folder = tmp_path_factory.mktemp("original")
    with SandboxServer(products=2, images=2) as sandbox:
        config = folder / "config.json"
        address = {"api_url": sandbox.url, "store_url": sandbox.url, "file_store": str(folder / "files")}
        config.write_text(json.dumps({"store_hash": STORE_HASH, "access_token": TOKEN, **address}))
        for day in ("20250130", "20250131"):
            assert run("bc-images", "backup", "--config", config).code == 0
            (made,) = (folder / "files/archives/store").glob("2026*.singer.gz")
            made.rename(made.with_name(f"{day}T020000Z.singer.gz"))
            made.with_name(made.name.replace(".singer.gz", ".manifest.json")).unlink()
            sandbox.delete_image(sandbox.dump(files=False)["images"][0]["id"])
        yield folder


@pytest.fixture
def files(original: Path, tmp_path: Path) -> Path:
    """A copy of that file store, with settings beside it."""
    shutil.copytree(original / "files", tmp_path / "files")
    settings = json.loads((original / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**settings, "file_store": str(tmp_path / "files")}))
    return tmp_path / "files"


def copy(files: Path, destination: Path | str, *arguments: str) -> CommandResult:
    return run("bc-images", "copy", str(destination), "--config", files.with_name("config.json"), *arguments)


def tree(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file() and "tmp" not in path.relative_to(folder).parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_the_copy_is_as_the_original(files: Path, tmp_path: Path) -> None:
    result = copy(files, tmp_path / "second", "--json")
    assert result.code == 0, result.err
    counts = json.loads(result.out)
    assert (counts["snapshots"], counts["known_snapshots"], counts["pictures"], counts["problems"]) == (2, 0, 4, [])
    assert tree(tmp_path / "second") == tree(files)
    again = json.loads(copy(files, tmp_path / "second", "--json").out)
    assert (again["snapshots"], again["known_snapshots"], again["pictures"], again["bytes"]) == (0, 2, 0, 0)


@everywhere
def test_to_every_kind_of_file_store_and_back(files: Path, tmp_path: Path, place: str) -> None:
    place = place.removesuffix("files") + "elsewhere"  # `files` is the original
    assert copy(files, place).code == 0
    before = tree(files)
    config = json.loads(files.with_name("config.json").read_text())
    files.with_name("config.json").write_text(json.dumps({**config, "file_store": place}))
    result = copy(files, tmp_path / "third")
    assert result.code == 0, result.err
    assert tree(tmp_path / "third") == before


def test_a_backup_into_the_copy_downloads_nothing(files: Path, tmp_path: Path, original: Path) -> None:
    assert copy(files, tmp_path / "second").code == 0
    settings = json.loads((original / "config.json").read_text())
    config = tmp_path / "second.json"
    config.write_text(json.dumps({**settings, "file_store": str(tmp_path / "second")}))
    assert run("bc-images", "backup", "--config", config).code == 0
    (listed,) = (
        row
        for row in map(json.loads, run("bc-images", "snapshots", "--config", config, "--json").lines)
        if row["time"] > "2026"
    )
    assert listed["new_pictures"] == 0
    proved = run("bc-images", "drill", "--config", config, "20250130T020000Z.singer.gz")
    assert proved.lines[-1] == "proved: 2 of 2 products, 4 of 4 pictures"


@pytest.mark.parametrize("damage", ["missing", "corrupt", "truncated"])
def test_what_is_lost_in_the_original_is_named(files: Path, tmp_path: Path, damage: str) -> None:
    first, second = ("20250130T020000Z.singer.gz", "20250131T020000Z.singer.gz")
    names = {path.name for path in (files / "sha256").rglob("*") if path.is_file()}
    still = gzip.decompress((files / "archives/store" / second).read_bytes()).decode()
    (only_in_first,) = (name for name in names if name not in still)
    victim = next((files / "sha256").rglob(only_in_first))
    if damage == "missing":
        victim.unlink()
    else:
        victim.write_bytes(victim.read_bytes()[:-1] if damage == "truncated" else b"x" * victim.stat().st_size)
    result = copy(files, tmp_path / "second")
    assert result.code == 1
    assert only_in_first in result.out
    assert "Traceback" not in result.err
    kept = tree(tmp_path / "second")
    assert f"archives/store/{second}" in kept, "the other snapshot is whole"
    assert f"archives/store/{first}" not in kept
    assert {Path(name).name for name in kept if name.startswith("sha256/")} == names - {only_in_first}


def test_a_picture_that_is_lost_in_the_copy_comes_back(files: Path, tmp_path: Path) -> None:
    assert copy(files, tmp_path / "second").code == 0
    min(path for path in (tmp_path / "second/sha256").rglob("*") if path.is_file()).unlink()
    assert json.loads(copy(files, tmp_path / "second", "--json").out)["pictures"] == 1
    assert tree(tmp_path / "second") == tree(files)


def test_another_snapshot_of_the_same_name_stays(files: Path, tmp_path: Path) -> None:
    assert copy(files, tmp_path / "second").code == 0
    archives = tmp_path / "second/archives/store"
    other = archives / "20250130T020000Z.singer.gz"
    other.write_bytes((archives / "20250131T020000Z.singer.gz").read_bytes())
    before = other.read_bytes()
    result = copy(files, tmp_path / "second")
    assert (result.code, "another snapshot of this name" in result.out) == (1, True)
    assert other.read_bytes() == before


def test_a_corrupt_snapshot_costs_itself(files: Path, tmp_path: Path) -> None:
    damaged = files / "archives/store/20250130T020000Z.singer.gz"
    damaged.write_bytes(damaged.read_bytes()[:-20])
    result = copy(files, tmp_path / "second")
    assert (result.code, damaged.name in result.out) == (1, True)
    assert [path.name for path in (tmp_path / "second/archives/store").glob("*.gz")] == ["20250131T020000Z.singer.gz"]


def test_stopped_at_any_write_it_is_completed_by_the_next(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No moment leaves a snapshot whose pictures are not all there."""
    from bc_images.cli import copy as command
    from bc_images.snapshots import copy as copying

    monkeypatch.setattr(copying, "THREADS", 1)
    stopped = StoppedWrites(
        monkeypatch, "begin", "touch", counts=lambda backend: backend.display_name.endswith("second")
    )
    destination = tmp_path / "second"
    arguments = [str(destination), "--config", str(files.with_name("config.json"))]
    assert command.copy.main(arguments, standalone_mode=False) is None
    total, expected = stopped.calls, tree(destination)
    assert total >= 4 + 2 * 2 + 4
    for limit in range(total):
        shutil.rmtree(destination)
        stopped.calls, stopped.limit = 0, limit
        with pytest.raises(Killed):
            command.copy.main(arguments, standalone_mode=False)
        if destination.exists():
            kept = tree(destination)
            for name, content in kept.items():
                if name.endswith(".singer.gz"):
                    for line in gzip.decompress(content).splitlines():
                        digest = json.loads(line).get("record", {}).get("file_sha256")
                        assert digest is None or f"sha256/{digest[:2]}/{digest}" in kept
        else:
            destination.mkdir()
        stopped.limit = 10**9  # the next one is not stopped
        command.copy.main(arguments, standalone_mode=False)
        assert tree(destination) == expected


@pytest.mark.parametrize(
    ("destination", "code", "message"),
    [
        ("files", 2, "DEST is the file store itself"),
        ("", 2, "file_store is empty"),
        ("memory://x", 2, "memory://"),
    ],
)
def test_wrong_destinations(files: Path, destination: str, code: int, message: str) -> None:
    place = str(files) if destination == "files" else destination
    result = copy(files, place)
    assert (result.code, message in result.last_line) == (code, True), result.err


def test_without_snapshots_there_is_nothing_to_copy(files: Path, tmp_path: Path) -> None:
    shutil.rmtree(files / "archives")
    result = copy(files, tmp_path / "second")
    assert (result.code, "no snapshots" in result.last_line) == (3, True)
    assert copy(files, tmp_path / "second", "--name", "other").code == 3


def test_a_file_store_that_is_not_there(files: Path, tmp_path: Path) -> None:
    shutil.rmtree(files)
    result = copy(files, tmp_path / "second")
    assert (result.code, "No file store found" in result.last_line) == (3, True)
