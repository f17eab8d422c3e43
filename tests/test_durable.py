"""What is to survive a crash is synced before its name is, and its name before anything relies on it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bc_images.durable import fsync_dir, fsync_file, rename


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that are synced, in order."""
    paths: list[str] = []
    fsync = os.fsync

    def record(descriptor: int) -> None:
        paths.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    return paths


def test_what_is_buffered_is_written_before_it_is_synced(tmp_path: Path, synced: list[str]) -> None:
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.write(b"content")
        fsync_file(file)
        assert path.read_bytes() == b"content"
    assert synced == [str(path)]


@pytest.mark.parametrize("exists", [False, True])
def test_a_rename_is_durable_and_replaces(tmp_path: Path, synced: list[str], exists: bool) -> None:
    path, temporary = tmp_path / "file", tmp_path / "file.partial"
    if exists:
        path.write_bytes(b"old")
    temporary.write_bytes(b"new")
    rename(temporary, path)
    assert path.read_bytes() == b"new"
    assert not temporary.exists()
    assert synced == [str(tmp_path)]


def test_a_rename_that_fails_leaves_both_files(tmp_path: Path) -> None:
    path, temporary = tmp_path / "folder", tmp_path / "file.partial"
    (path / "file").mkdir(parents=True)
    temporary.write_bytes(b"new")
    with pytest.raises(IsADirectoryError):
        rename(temporary, path)
    assert temporary.read_bytes() == b"new"
    assert (path / "file").is_dir()


def test_a_folder_is_closed_again_where_it_cannot_be_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(OSError, match="Input/output error"):
        fsync_dir(tmp_path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
