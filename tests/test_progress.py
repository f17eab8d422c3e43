"""How far a run is: every command shows it, on a terminal or not, and never more than there is."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from functools import partialmethod
from pathlib import Path
from typing import Any

import pytest

from bc_images.progress import Progress
from bc_images.singer.archive.loader import keep
from bigcommerce_sandbox import READ_ONLY_TOKEN, SandboxServer
from tests.support import commands, terminal
from tests.support.target import RestoreScenario

BIN = Path(sys.executable).parent
FIRST = 101


@pytest.fixture
def scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RestoreScenario]:
    """A store, its backup, and an archive of that; progress is shown all the time, and once more at its end."""
    monkeypatch.setattr(Progress, "__init__", partialmethod(Progress.__init__, every=0.01))
    leave = Progress.__exit__

    def show_and_leave(progress: Progress, *error: Any) -> None:
        progress._log()  # at least once, however quick the run was
        leave(progress, *error)

    monkeypatch.setattr(Progress, "__exit__", show_and_leave)
    with SandboxServer(products=5, images=3) as sandbox:
        scenario = RestoreScenario(sandbox, tmp_path)
        backup = scenario.backup()
        (tmp_path / "backup.singer").write_bytes(backup)
        (tmp_path / "config.json").write_text(json.dumps(scenario.config))
        shared = ("store_hash", "access_token", "api_url", "store_url", "file_store")
        (tmp_path / "tap.json").write_text(json.dumps({name: scenario.config[name] for name in shared}))
        (tmp_path / "archive.json").write_text(json.dumps({"file_store": scenario.config["file_store"]}))
        keep(
            backup.splitlines(keepends=True),
            {"file_store": scenario.config["file_store"], "name": "store", "require_complete": True},
        )
        sandbox.set_flags(latency_ms=50)
        yield scenario


def shown(err: str, noun: str) -> list[tuple[int, int]]:
    """Return what the lines say: how many are done, and of how many."""
    return [
        (int(done.replace(",", "")), int(total.replace(",", "")))
        for done, total in re.findall(rf"([\d,]+) of ([\d,]+) {noun}s? \(", err)
    ]


def check(numbers: list[tuple[int, int]], total: int) -> None:
    assert numbers
    assert {of for _, of in numbers} == {total}
    done = [number for number, _ in numbers]
    assert done == sorted(done)
    assert done[-1] <= total


def test_tap(scenario: RestoreScenario) -> None:
    done = commands.run("tap-bc-images", "--config", scenario.folder / "tap.json")
    assert done.code == 0, done.err
    check(shown(done.err, "image"), 15)
    assert "15 files already saved" in done.err


def test_verify(scenario: RestoreScenario) -> None:
    scenario.sandbox.delete_image(scenario.images(FIRST)[0]["id"])
    command = ["verify", "--backup", "backup.singer", "--config", "config.json"]
    done = commands.run("bc-images", *command, cwd=scenario.folder)
    assert done.out.splitlines()[-1] == "1 difference (14 same, 1 missing)"
    check(shown(done.err, "image"), 15)


def test_verify_on_a_terminal(scenario: RestoreScenario) -> None:
    command: list[str | Path] = [BIN / "bc-images", "verify", "--all"]
    command += ["--backup", "backup.singer", "--config", "config.json"]
    seen = terminal.run(command, stdout=True, cwd=scenario.folder)
    assert seen.code == 0
    assert "━" in seen.err
    assert "0 differences (15 same)" in seen.err
    assert seen.err.count("= SKU-") == 15


def test_restore_and_retry(scenario: RestoreScenario) -> None:
    for image in scenario.images(FIRST):
        scenario.sandbox.delete_image(image["id"])
    config, settings = scenario.folder / "config.json", json.loads((scenario.folder / "config.json").read_text())
    config.write_text(json.dumps({**settings, "access_token": READ_ONLY_TOKEN}))
    backup = (scenario.folder / "backup.singer").read_bytes()
    done = commands.run("target-bc-images", "--config", config, stdin=backup)
    assert done.code == 3, done.err
    check(shown(done.err, "image"), 15)
    config.write_text(json.dumps(settings))
    done = commands.run("bc-images", "retry", scenario.report, "--config", config, cwd=scenario.folder)
    assert done.code == 0, done.err
    numbers = shown(done.err, "image")
    check(numbers, numbers[0][1])
    assert numbers[0][1] >= 3


def test_a_mirror_that_deletes_more_than_it_restores(scenario: RestoreScenario) -> None:
    """54 of 41 images, one could read: deletes are no records of the backup."""
    for image in scenario.images(FIRST)[:2]:
        scenario.sandbox.delete_image(image["id"])
    for number in range(20):
        scenario.sandbox.add_image(FIRST, b"GIF89a" + bytes([number]) * 10, f"extra{number}.gif")
    config = json.loads((scenario.folder / "config.json").read_text())
    (scenario.folder / "config.json").write_text(json.dumps({**config, "mode": "mirror", "max_deletes": 20}))
    backup = (scenario.folder / "backup.singer").read_bytes()
    done = commands.run("target-bc-images", "--config", scenario.folder / "config.json", stdin=backup)
    assert done.code == 0, done.err
    numbers = shown(done.err, "image")
    assert all(number <= total == 15 for number, total in numbers)


def test_shards(scenario: RestoreScenario) -> None:
    done = commands.run("bc-images", "shards", "--count", "4", "--config", scenario.folder / "tap.json")
    assert done.code == 0, done.err
    check(shown(done.err, "shard"), 4)


def test_archives(scenario: RestoreScenario) -> None:
    """How many records there will be, a stream does not say."""
    backup = (scenario.folder / "backup.singer").read_bytes()
    line = next(line for line in backup.splitlines(keepends=True) if b'"RECORD"' in line)
    many = backup.replace(line, line * 3000)
    done = commands.run("target-singer-archive", "--config", scenario.folder / "archive.json", stdin=many)
    assert done.code == 0, done.err
    assert re.search(r"target-singer-archive: [\d,]+ records?, [\d,]+/s\n", done.err)
    assert "3,014 records in" in done.err
    done = commands.run("tap-singer-archive", "--config", scenario.folder / "archive.json")
    assert done.code == 0, done.err
    assert re.search(r"tap-singer-archive: [\d,]+ records?, [\d,]+/s\n", done.err)


def test_airbyte(scenario: RestoreScenario) -> None:
    stream = {"name": "product_images", "json_schema": {}, "supported_sync_modes": ["full_refresh"]}
    configured = {"stream": stream, "sync_mode": "full_refresh", "destination_sync_mode": "append"}
    (scenario.folder / "catalog.json").write_text(json.dumps({"streams": [configured]}))
    command = ["read", "--config", "tap.json", "--catalog", "catalog.json"]
    done = commands.run("source-bc-images", *command, cwd=scenario.folder)
    assert done.code == 0, done.err
    check(shown(done.err, "image"), 15)
