"""Archives through their two commands: what goes in comes out, and a scan cut short never passes for a whole one."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support import commands
from tests.support.commands import CommandResult

BIN = Path(sys.executable).parent

SCHEMA = {"type": "SCHEMA", "stream": "things", "schema": {"type": "object"}, "key_properties": ["id"]}
RECORD = {"type": "RECORD", "stream": "things", "record": {"id": 1, "text": "Größe\n🧦 \"'", "none": None, "empty": ""}}
STATE = {"type": "STATE", "value": {"bookmarks": {"things": {"since": 1}}}}
DONE = {"type": "ACTIVATE_VERSION", "stream": "things", "version": 1}


def text(*messages: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(message).encode() + b"\n" for message in messages)


def run(command: str, folder: Path, stdin: bytes = b"", **settings: Any) -> CommandResult:
    config = folder / "config.json"
    config.write_text(json.dumps({"file_store": str(folder / "files"), **settings}))
    done = commands.run(command, "--config", config, stdin=stdin)
    assert "Traceback" not in done.err
    assert len(done.err.splitlines()) <= 2
    return done


def keep(folder: Path, stdin: bytes, **settings: Any) -> CommandResult:
    return run("target-singer-archive", folder, stdin, **settings)


def give(folder: Path, **settings: Any) -> CommandResult:
    return run("tap-singer-archive", folder, **settings)


def archives(folder: Path, name: str = "store") -> list[Path]:
    return sorted((folder / "files" / "archives" / name).glob("*.singer.gz"))


def test_every_message_comes_back_as_it_was_but_state(tmp_path: Path) -> None:
    odd = b'{"type": "RECORD",   "stream":"things", "record": {"id": 2, "n": 1.10, "big": 12345678901234567890}}\n'
    whole = text(SCHEMA, RECORD) + odd + text(STATE, DONE, STATE)
    done = keep(tmp_path, whole)
    assert done.code == 0, done.err
    assert json.loads(done.out) == STATE["value"]
    (path,) = archives(tmp_path)
    assert re.fullmatch(r"\d{8}T\d{6}Z\.singer\.gz", path.name)
    assert gzip.decompress(path.read_bytes()) == whole
    assert give(tmp_path).out.encode() == text(SCHEMA, RECORD) + odd + text(DONE)


def test_a_scan_cut_short_is_no_archive_of_the_store(tmp_path: Path) -> None:
    assert keep(tmp_path, text(SCHEMA, RECORD, DONE)).code == 0
    (whole,) = archives(tmp_path)
    done = keep(tmp_path, text(SCHEMA, RECORD, RECORD, STATE))
    assert done.code == 1
    assert done.out == "", "no STATE for what is no backup"
    (cut,) = set(archives(tmp_path)) - {whole}
    assert cut.name.endswith(".incomplete.singer.gz")
    assert give(tmp_path).out.encode() == text(SCHEMA, RECORD, DONE), "the newest whole one"
    asked = give(tmp_path, archive=cut.name)
    assert asked.out.encode() == text(SCHEMA, RECORD, RECORD)


def test_one_stream_of_two_that_is_not_whole_is_enough(tmp_path: Path) -> None:
    other = {**SCHEMA, "stream": "others"}
    done = keep(tmp_path, text(SCHEMA, other, RECORD, DONE))
    assert done.code == 1
    assert archives(tmp_path)[0].name.endswith(".incomplete.singer.gz")


def test_a_record_after_the_mark_takes_it_back(tmp_path: Path) -> None:
    assert keep(tmp_path, text(SCHEMA, RECORD, DONE, RECORD)).code == 1


def test_taps_without_a_mark_may_be_archived_on_request(tmp_path: Path) -> None:
    assert keep(tmp_path, text(SCHEMA, RECORD, STATE), require_complete=False).code == 0
    assert give(tmp_path).out.encode() == text(SCHEMA, RECORD)


@pytest.mark.parametrize(
    ("broken", "word"),
    [
        (text(SCHEMA, RECORD)[:-9], "truncated"),
        (text(SCHEMA) + b"oops\n" + text(DONE), "Line 2"),
        (text(RECORD), "before its SCHEMA"),
        (text(SCHEMA, {"type": "BATCH", "stream": "things"}), "BATCH"),
        (text(SCHEMA, {"type": "RECORD"}), "Line 2"),
        (b"[]\n", "Line 1"),
        (b"", "no stream"),
        (text(STATE), "no stream"),
        (text(SCHEMA, STATE), "before its first record"),
    ],
)
def test_damaged_input_leaves_no_archive(tmp_path: Path, broken: bytes, word: str) -> None:
    done = keep(tmp_path, broken)
    assert done.code == 3
    assert word in done.err
    assert not archives(tmp_path)
    assert not list((tmp_path / "files" / "tmp").glob("*"))


def test_a_signal_leaves_no_archive(tmp_path: Path) -> None:
    environment = {**os.environ, "TARGET_SINGER_ARCHIVE_FILE_STORE": str(tmp_path / "files")}
    process = subprocess.Popen(
        [BIN / "target-singer-archive"], stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )
    assert process.stdin
    noise = {**RECORD, "record": {"noise": os.urandom(200_000).hex()}}
    process.stdin.write(text(SCHEMA, noise))
    process.stdin.flush()
    while not any(path.stat().st_size for path in (tmp_path / "files").glob("tmp/*")):
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate()
    assert process.returncode == 143
    assert b"no archive was made" in errors
    assert not archives(tmp_path)
    assert not list((tmp_path / "files" / "tmp").glob("*"))


def test_an_empty_store_is_a_whole_one(tmp_path: Path) -> None:
    assert keep(tmp_path, text(SCHEMA, DONE)).code == 0
    assert give(tmp_path).out.encode() == text(SCHEMA, DONE)


def test_two_runs_in_one_second_make_two_archives(tmp_path: Path) -> None:
    for _ in range(3):
        keep(tmp_path, text(SCHEMA, RECORD, DONE))
    assert len(archives(tmp_path)) == 3


@pytest.fixture
def history(tmp_path: Path) -> Path:
    folder = tmp_path / "files" / "archives" / "store"
    folder.mkdir(parents=True)
    for day in ("20250110T020000Z", "20250111T020000Z", "20250112T020000Z", "20250113T020000Z.incomplete"):
        note = text(SCHEMA, {**RECORD, "record": {"day": day}}, DONE)
        (folder / f"{day}.singer.gz").write_bytes(gzip.compress(note))
    return tmp_path


@pytest.mark.parametrize(
    ("at", "day"),
    [
        (None, "20250112T020000Z"),
        ("2025-01-11", "20250111T020000Z"),
        ("2025-01-11T02:00:00Z", "20250111T020000Z"),
        ("2025-01-11T01:59:59Z", "20250110T020000Z"),
        ("2025-01-11T03:00:00+02:00", "20250110T020000Z"),
        ("2031-01-01", "20250112T020000Z"),
    ],
)
def test_a_point_in_time(history: Path, at: str | None, day: str) -> None:
    done = give(history, **({"at": at} if at else {}))
    assert json.loads(done.out.splitlines()[1])["record"] == {"day": day}


@pytest.mark.parametrize(
    ("settings", "code", "word"),
    [
        ({"at": "2025-01-09"}, 3, "o complete archive found that is not later"),
        ({"at": "yesterday"}, 2, "no date"),
        ({"name": "other"}, 3, "o complete archive found"),
        ({"name": "../store"}, 2, "name"),
        ({"archive": "../../x.singer.gz"}, 2, "archive"),
        ({"archive": "x.singer.gz"}, 3, "no archive x"),
        ({"archive": "x.singer.gz", "at": "2025-01-01"}, 2, "one of them"),
        ({"file_store": ""}, 2, "file_store is missing"),
        ({"folders": "x"}, 2, "Unknown setting"),
    ],
)
def test_what_cannot_be_given_is_one_line(history: Path, settings: dict[str, Any], code: int, word: str) -> None:
    done = give(history, **settings)
    assert (done.code, done.out) == (code, "")
    assert word in done.err
    assert len(done.err.splitlines()) == 1 or "reading" in done.err


@pytest.mark.parametrize("cut", [1, 9, 40])
def test_a_damaged_archive_says_so(history: Path, cut: int) -> None:
    path = history / "files" / "archives" / "store" / "20250112T020000Z.singer.gz"
    path.write_bytes(path.read_bytes()[:-cut])
    done = give(history)
    assert done.code == 3
    assert "damaged" in done.err


def test_settings_come_from_the_environment_too(history: Path) -> None:
    environment = {
        **os.environ,
        "TAP_SINGER_ARCHIVE_FILE_STORE": str(history / "files"),
        "TAP_SINGER_ARCHIVE_NAME": "store",
    }
    done = subprocess.run([BIN / "tap-singer-archive"], env=environment, capture_output=True, check=True)
    assert len(done.stdout.splitlines()) == 3


def test_a_large_archive_comes_back_line_by_line(tmp_path: Path) -> None:
    records = [{**RECORD, "record": {"id": number, "text": "x" * (number % 997)}} for number in range(5000)]
    whole = text(SCHEMA, *records, DONE)
    assert keep(tmp_path, whole).code == 0
    assert give(tmp_path).out.encode() == whole
