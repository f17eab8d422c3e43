"""JSON lines in a temporary file: they come back as they went in, and a full disk is explained."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from bc_images.errors import FatalError
from bc_images.tempfiles import JsonLines, disk_errors, temporary_database

VALUES = [{"a": 1}, {"a": "line\nbreak", "b": None}, [], "é" * 100_000]


def test_values_come_back_in_order_as_often_as_they_are_read() -> None:
    lines = JsonLines("the values")
    for value in VALUES:
        lines.add(value)
    assert list(lines) == VALUES
    assert list(lines) == VALUES
    lines.close()


def test_a_line_is_read_again_by_its_offset() -> None:
    lines = JsonLines("the values")
    for value in VALUES:
        lines.add(value)
    offsets = [offset for offset, _ in lines.lines()]
    assert [lines.read(offset) for offset in reversed(offsets)] == VALUES[::-1]
    lines.close()


def test_a_missing_temporary_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with pytest.raises(FatalError, match=r"Cannot write the values to the temporary folder .*missing: No such file"):
        JsonLines("the values")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk that is full")
def test_a_full_disk_is_noticed_before_anything_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.TemporaryFile", lambda buffering: Path("/dev/full").open("r+b", buffering))  # noqa: SIM115
    lines = JsonLines("the values")
    lines.add({})
    with pytest.raises(FatalError, match=r"the values .*No space left on device\. Free some space"):
        list(lines)
    lines.close()


def test_a_temporary_database_that_is_full_is_explained() -> None:
    database = temporary_database()
    database.execute("PRAGMA max_page_count = 2")
    database.execute("CREATE TABLE list (text)")
    with (
        pytest.raises(FatalError, match=r"Cannot write the list .*full\. Free"),
        disk_errors("the list", sqlite3.OperationalError),
    ):
        database.execute("INSERT INTO list VALUES (?)", ("x" * 100_000,))
    database.close()
