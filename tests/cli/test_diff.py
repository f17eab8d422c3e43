"""``bc-images diff``: two snapshots, or one and the live store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bigcommerce_sandbox import SandboxServer
from tests.support.commands import run
from tests.support.tap import settings as tap_settings


@pytest.fixture
def folder(sandbox: SandboxServer, tmp_path: Path) -> Path:
    """A folder with the settings of the sandbox, and two snapshots: an image has been deleted between them."""
    lines = [f"{name} = {json.dumps(value)}" for name, value in tap_settings(sandbox.url, file_store="files").items()]
    (tmp_path / "bc-images.toml").write_text("\n".join(lines))
    assert run("bc-images", "backup", cwd=tmp_path).code == 0
    sandbox.delete_image(sandbox.dump(files=False)["images"][-1]["id"])
    assert run("bc-images", "backup", cwd=tmp_path).code == 0
    return tmp_path


def ids(folder: Path) -> list[str]:
    done = run("bc-images", "snapshots", "--json", cwd=folder)
    return [json.loads(line)["short_id"] for line in done.out.splitlines()]


def test_two_snapshots(folder: Path) -> None:
    first, second = ids(folder)
    done = run("bc-images", "diff", first, second, cwd=folder)
    assert done.code == 1, done.err
    removed, *_, summary = done.out.splitlines()
    assert removed.startswith("- ")
    assert "1 removed" in summary
    back = run("bc-images", "diff", "latest", first, "--json", cwd=folder)
    lines: list[dict[str, Any]] = [json.loads(line) for line in back.out.splitlines()]
    assert lines[0]["sign"] == "+"
    assert lines[-1]["summary"]["added"] == 1


def test_the_same_snapshot(folder: Path) -> None:
    done = run("bc-images", "diff", "latest", "latest", cwd=folder)
    assert (done.code, done.out) == (0, "0 differences (14 same)\n"), done.err
    assert len(run("bc-images", "diff", "latest", "latest", "--all", cwd=folder).out.splitlines()) == 15


def test_the_live_store(folder: Path) -> None:
    first, second = ids(folder)
    done = run("bc-images", "diff", first, cwd=folder)
    assert done.code == 1, done.err
    assert "1 missing" in done.out.splitlines()[-1]
    same = run("bc-images", "diff", second, cwd=folder)
    assert (same.code, same.out) == (0, "0 differences (14 same)\n"), same.err


@pytest.mark.parametrize(("word", "code"), [("yesterday", 2), ("0" * 40, 3), ("x.singer.gz", 3)])
def test_a_snapshot_that_is_not_there(folder: Path, word: str, code: int) -> None:
    for arguments in ((word, "latest"), ("latest", word), (word,)):
        done = run("bc-images", "diff", *arguments, cwd=folder)
        assert done.code == code, done.err
        assert "Traceback" not in done.err
        assert done.out == ""
