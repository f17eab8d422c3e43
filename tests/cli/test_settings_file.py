"""Every command takes its settings from ``bc-images.toml`` of the current folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bigcommerce_sandbox import STORE_HASH, TOKEN, SandboxServer
from tests.support.commands import run


@pytest.fixture
def folder(sandbox: SandboxServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a settings file and a snapshot."""
    monkeypatch.chdir(tmp_path)
    lines = {
        "store_hash": STORE_HASH,
        "access_token": TOKEN,
        "api_url": sandbox.url,
        "store_url": sandbox.url,
        "file_store": "files",
        "state_dir": "state",
        "report": "report.jsonl",
    }
    text = "".join(f"{name} = {json.dumps(value)}\n" for name, value in lines.items())
    (tmp_path / "bc-images.toml").write_text(text)
    assert run("bc-images", "backup").code == 0
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["check"], "15 files"),
        (["unlock"], "There are no locks."),
        (["verify", "--archive"], "0 differences (15 same)"),
        (["shards", "--count", "2"], "product_id_max"),
        (["snapshots"], STORE_HASH),
        (["diff", "latest"], "0 differences"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_it_needs_no_option(folder: Path, arguments: list[str], expected: str) -> None:
    result = run("bc-images", *arguments)
    assert (result.code, expected in result.out) == (0, True), result.out + result.err
    assert folder == Path.cwd()


def test_retry_does_too(folder: Path, sandbox: SandboxServer) -> None:
    image = sandbox.dump()["images"][0]
    sandbox.delete_image(image["id"])
    picture = folder / "files/sha256" / image["sha256"][:2] / image["sha256"]
    content = picture.read_bytes()
    picture.unlink()
    assert run("bc-images", "restore", "--yes").code == 1
    picture.write_bytes(content)
    assert run("bc-images", "retry", "report.jsonl").code == 0
    assert len(sandbox.dump(files=False)["images"]) == 15


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [(["check"], "file_store"), (["unlock"], "file_store"), (["unlock", "--file-store", "files"], "store_hash")],
)
def test_without_one_the_error_names_the_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], missing: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("bc-images", *arguments)
    assert result.code == 2
    assert f"The setting {missing} is missing" in result.last_line
    assert "bc-images.toml" in result.last_line
    assert f"BC_IMAGES_{missing.upper()}" in result.last_line
