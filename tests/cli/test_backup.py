"""``bc-images backup``: one snapshot, the same as the pipe of tap and archive makes; or none."""

from __future__ import annotations

import gzip
import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bigcommerce_sandbox import SandboxServer
from tests.support.commands import BIN, run, run_process
from tests.support.tap import settings as tap_settings

PATIENCE = 60  # seconds


@pytest.fixture
def folder(sandbox: SandboxServer, tmp_path: Path) -> Path:
    """A folder with the settings of the sandbox."""
    lines = [f"{name} = {json.dumps(value)}" for name, value in tap_settings(sandbox.url, file_store="files").items()]
    (tmp_path / "bc-images.toml").write_text("\n".join(lines))
    return tmp_path


def snapshots(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "files/archives/store").glob("*.singer.gz"))


def messages(path: Path) -> Iterator[dict[str, Any]]:
    for line in gzip.decompress(path.read_bytes()).splitlines():
        message = json.loads(line)
        message.pop("time_extracted", None)
        message.pop("version", None)
        yield message


def test_what_the_pipe_of_tap_and_archive_writes(folder: Path) -> None:
    done = run("bc-images", "backup", cwd=folder)
    assert (done.code, len(snapshots(folder))) == (0, 1), done.err
    assert done.out.startswith("files/archives/store/")
    assert "5 products, 15 images, 15 new pictures (" in done.out
    again = run("bc-images", "backup", cwd=folder)
    assert "5 products, 15 images, 0 new pictures (0 B)" in again.out

    config = folder / "tap.json"
    config.write_text(json.dumps(tap_settings(_url(folder), file_store="files")))
    found = run("tap-bc-images", "--discover", cwd=folder)
    catalog = json.loads(found.out)
    for stream in catalog["streams"]:
        stream["metadata"][-1]["metadata"]["selected"] = True
        for each in stream["metadata"]:
            if not each["breadcrumb"]:
                each["metadata"]["selected"] = True
    (folder / "catalog.json").write_text(json.dumps(catalog))
    piped = run("tap-bc-images", "--config", config, "--catalog", "catalog.json", cwd=folder)
    archive = folder / "archive.json"
    archive.write_text(json.dumps({"file_store": "files"}))
    assert run("target-singer-archive", "--config", archive, stdin=piped.out, cwd=folder).code == 0
    first, *others = ([*messages(folder / "files/archives/store" / name)] for name in snapshots(folder))
    assert len(others) == 2
    assert all(each == first for each in others)


def _url(folder: Path) -> str:
    (line,) = (line for line in (folder / "bc-images.toml").read_text().splitlines() if line.startswith("api_url"))
    return str(json.loads(line.partition("= ")[2]))


def test_a_picture_that_fails_costs_itself(folder: Path, sandbox: SandboxServer) -> None:
    sandbox.faults("5", "GET /product_images/")
    done = run("bc-images", "backup", cwd=folder)
    assert done.code == 1, done.err
    (name,) = snapshots(folder)
    assert ".incomplete" not in name
    assert "14 new pictures" in done.out
    assert "1 picture could not be downloaded" in done.last_line


def test_a_store_that_fails_half_way_leaves_an_incomplete_snapshot(folder: Path, sandbox: SandboxServer) -> None:
    sandbox.reset(products=600, images=1)
    sandbox.faults("..s", "GET .*/products$")
    (folder / "slow.json").write_text('{"concurrency": 1}')
    done = run("bc-images", "backup", "--config", "bc-images.toml", "--config", "slow.json", cwd=folder)
    assert (done.code, done.out) == (3, ""), done.err
    assert "suspended" in done.last_line
    (name,) = snapshots(folder)
    assert name.endswith(".incomplete.singer.gz")
    assert f"{name} is not a complete backup" in done.err


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"access_token": "wrong"}, 3, "token"),
        ({"api_url": "http://127.0.0.1:9"}, 3, "127.0.0.1:9"),
        ({"store_hash": ""}, 2, "store_hash is missing"),
        ({"file_store": ""}, 2, "file_store is missing"),
        ({"file_store": "memory://x"}, 2, "memory"),
        ({"name": "a/b"}, 2, "name is 'a/b'"),
        ({"concurrency": 0}, 2, "concurrency"),
    ],
)
def test_one_clear_line(folder: Path, change: dict[str, Any], code: int, words: str) -> None:
    (folder / "more.json").write_text(json.dumps(change))
    done = run("bc-images", "backup", "--config", "bc-images.toml", "--config", "more.json", cwd=folder)
    assert done.code == code, done.err
    assert done.last_line.startswith("bc-images: ")
    assert words in done.last_line
    assert "Traceback" not in done.err
    assert done.out == ""
    assert snapshots(folder) == []


def test_a_file_store_that_cannot_be_written(folder: Path) -> None:
    (folder / "files").mkdir()
    (folder / "files/archives").write_text("in the way")
    done = run("bc-images", "backup", cwd=folder)
    assert done.code == 3
    assert "Traceback" not in done.err


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_signal_leaves_no_snapshot(folder: Path, sandbox: SandboxServer, signum: signal.Signals) -> None:
    sandbox.set_flags(latency_ms=100)
    sandbox.reset(products=300, images=2)
    (folder / "slow.json").write_text('{"concurrency": 1}')
    command = [str(BIN / "bc-images"), "backup", "--config", "bc-images.toml", "--config", "slow.json"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + PATIENCE
    while not any((folder / "files").rglob("sha256/*/*")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signum)
    out, err = process.communicate(timeout=PATIENCE)
    assert snapshots(folder) == []
    assert out == ""
    if signum is signal.SIGKILL:
        assert process.returncode == -signum
        return
    assert process.returncode == 128 + signum
    assert err.splitlines()[-1].startswith("bc-images: stopped by a signal: no snapshot was made.")
    assert err.count("no snapshot was made") == 1


def test_help_names_the_exit_codes() -> None:
    done = run_process("bc-images", "backup", "--help")
    assert done.code == 0
    assert "after a signal: there is no snapshot." in " ".join(done.out.split())
