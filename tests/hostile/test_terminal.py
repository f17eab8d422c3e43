"""Text from outside never controls a terminal: what does not print is escaped, and a line stays a line."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bc_images import logs
from bigcommerce_sandbox import STORE_HASH, TOKEN, SandboxServer
from tests.support import commands
from tests.support.hostile_server import peer
from tests.support.target import end, head, row, singer

# Clears the screen, sets the title, writes another line, turns text around, and begins a sequence in one C1 character.
HOSTILE = "a\x1b[2J\x1b]0;owned\x07\r\nfalse: line\u202eb\u2028c\x9b31m\x00\x7f\ud83d"


def shown(*outputs: str) -> str:
    """Return what a command printed, after making sure that nothing in it can control a terminal."""
    text = "".join(outputs)
    for number, line in enumerate(text.split("\n"), 1):
        assert line.isprintable(), f"line {number}: {line!r}"
        assert not line.startswith("false: line"), "a text from outside has become a line of its own"
    return text


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    with SandboxServer(products=2, images=1) as server:
        yield server


@contextmanager
def configured(folder: Path, url: str, **settings: Any) -> Iterator[Path]:
    path = folder / "store.json"
    base = {"store_hash": STORE_HASH, "access_token": TOKEN, "api_url": url, "store_url": url}
    path.write_text(json.dumps({**base, **settings}))
    yield path


RECORD = {
    "store_hash": STORE_HASH,
    "id": 1,
    "product_id": 101,
    "product_sku": None,
    "image_file": "a/1.png",
    "is_thumbnail": False,
    "sort_order": 0,
    "description": "",
}

MESSAGES: dict[str, list[dict[str, Any]]] = {
    "stream": [head(HOSTILE), row({"id": 1}, HOSTILE), head(), row(RECORD)],
    "only stream": [head(HOSTILE), row({"id": 1}, HOSTILE)],
    "message type": [{"type": HOSTILE}],
    "id": [head(), row({**RECORD, "id": HOSTILE})],
    "product": [head(), row({**RECORD, "product_id": HOSTILE})],
    "store": [head(), row({**RECORD, "store_hash": HOSTILE})],
    "file": [head(), row({**RECORD, "image_file": HOSTILE, "zoom_url": f"http://10.0.0.1/{HOSTILE}"})],
    "text": [head(), row({**RECORD, "description": HOSTILE}), end()],
    "SKU": [head(), row({**RECORD, "product_sku": HOSTILE, "product_id": 999})],
    "digest": [head(), row({**RECORD, "file_sha256": HOSTILE})],
    "column": [head(), row({**RECORD, HOSTILE: 1, HOSTILE.upper(): 2})],
    "state": [head(), {"type": "STATE", "value": HOSTILE}],
}


@pytest.mark.parametrize("name", MESSAGES)
@pytest.mark.parametrize("matching", ["id", "sku"])
def test_the_target_and_verify(sandbox: SandboxServer, tmp_path: Path, name: str, matching: str) -> None:
    lines = b"\n".join(json.dumps(message).encode() for message in MESSAGES[name]) + b"\n"
    backup = tmp_path / "backup.singer"
    backup.write_bytes(lines)
    files = tmp_path / "files"
    with configured(tmp_path, sandbox.url, match_products_by=matching, file_store=str(files)) as config:
        for dry_run in (True, False):
            path = tmp_path / "target.json"
            path.write_text(json.dumps({**json.loads(config.read_text()), "dry_run": dry_run}))
            done = commands.run("target-bc-images", "--config", path, stdin=lines)
            shown(done.err)
        compared = commands.run("bc-images", "verify", "--all", "--config", config, "--backup", backup)
        shown(compared.out, compared.err)
        compared = commands.run("bc-images", "verify", "--json", "--config", config, "--backup", backup)
        shown(compared.out, compared.err)
    (files / "sha256").mkdir(parents=True, exist_ok=True)
    for options in ([], ["--json"]):
        checked = commands.run("bc-images", "check", "--file-store", str(files), *options, backup)
        shown(checked.out, checked.err)


def test_a_report_with_hostile_lines_is_tried_again(sandbox: SandboxServer, tmp_path: Path) -> None:
    report = tmp_path / "report.jsonl"
    lines = [
        {"action": HOSTILE, "status": "failed", "product_id": HOSTILE, "error": HOSTILE, "record": {"id": HOSTILE}},
        {"action": "delete", "status": HOSTILE, "reason": HOSTILE},
        {"summary": {}},
    ]
    report.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with configured(tmp_path, sandbox.url) as config:
        done = commands.run("bc-images", "retry", report, "--config", config)
        shown(done.out, done.err)


@pytest.mark.parametrize("status", [400, 401, 404, 422, 500, 503])
@pytest.mark.parametrize("command", ["tap-bc-images", "target-bc-images"])
def test_what_the_store_says_in_an_error(tmp_path: Path, status: int, command: str) -> None:
    body = json.dumps({"status": status, "title": HOSTILE, "errors": {HOSTILE: HOSTILE}}).encode()
    head_lines = f"HTTP/1.1 {status} x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with (
        peer(lambda _line: [head_lines.encode() + body]) as server,
        configured(tmp_path, server.url, max_retries=0) as config,
    ):
        done = commands.run(command, "--config", config, stdin=singer(head(), row(RECORD)))
    assert done.code in {1, 3}
    shown(done.err)


def test_names_of_files_and_locks_in_the_file_store(tmp_path: Path) -> None:
    name = HOSTILE.replace("\x00", "").replace("\ud83d", "")
    (tmp_path / "sha256").mkdir()
    (tmp_path / "sha256" / name).write_bytes(b"x")
    locks = tmp_path / "locks" / STORE_HASH
    locks.mkdir(parents=True)
    entry = {"host": HOSTILE, "machine": "m", "pid": 1, "started": HOSTILE, "renewed": "2026-01-01T00:00:00+00:00"}
    (locks / "0-1.json").write_text(json.dumps(entry))
    for options in ([], ["--json"]):
        done = commands.run("bc-images", "check", "--file-store", str(tmp_path), *options)
        assert "owned" in shown(done.out, done.err)
    done = commands.run("bc-images", "unlock", "--file-store", str(tmp_path), "--store-hash", STORE_HASH)
    assert "owned" in shown(done.out, done.err)


@pytest.mark.parametrize(
    "arguments",
    [
        ["bc-images", "{}"],
        ["bc-images", "check", "--file-store", "{}"],
        ["bc-images", "check", "--file-store", "x://{}"],
        ["bc-images", "verify", "--backup", "{}"],
        ["bc-images", "retry", "{}"],
        ["bc-images", "check", "--sample", "{}", "--file-store", "x"],
        ["tap-bc-images", "--config", "{}"],
        ["tap-bc-images", "--state", "{}"],
        ["tap-bc-images", "--{}"],
        ["target-bc-images", "--config", "{}"],
        ["tap-singer-archive", "--config", "{}"],
    ],
)
def test_the_command_line(arguments: list[str]) -> None:
    hostile = HOSTILE.replace("\x00", "").replace("\ud83d", "")
    command, *rest = [argument.replace("{}", hostile) for argument in arguments]
    done = commands.run(command, *rest)
    assert done.code in {2, 3}
    shown(done.out, done.err)


@pytest.mark.parametrize("part", ["catalog", "state", "config", "setting"])
def test_files_of_the_command_line(sandbox: SandboxServer, tmp_path: Path, part: str) -> None:
    catalog = {"streams": [{"tap_stream_id": HOSTILE, "stream": HOSTILE, "schema": {}, "metadata": []}]}
    state = {"bookmarks": {HOSTILE: {}, "product_images": {"full_table": HOSTILE, "replication_key_value": HOSTILE}}}
    settings: dict[str, Any] = {HOSTILE: 1} if part == "config" else {}
    if part == "setting":
        settings = {"api_version": HOSTILE}
    (tmp_path / "catalog.json").write_text(json.dumps(catalog))
    (tmp_path / "state.json").write_text(json.dumps(state))
    with configured(tmp_path, sandbox.url, **settings) as config:
        options: dict[str, list[str | Path]] = {
            "catalog": ["--catalog", tmp_path / "catalog.json"],
            "state": ["--state", tmp_path / "state.json"],
        }
        done = commands.run("tap-bc-images", "--config", config, *options.get(part, []))
    shown(done.err)


def test_a_traceback_is_escaped_and_keeps_its_lines(caplog: pytest.LogCaptureFixture) -> None:
    error = ValueError(HOSTILE)
    record = logging.LogRecord("x", logging.DEBUG, __file__, 1, "it %s", (HOSTILE,), (ValueError, error, None))
    text = logs._RedactingFormatter(logging.Formatter("%(message)s")).format(record)
    first, *traceback = text.split("\n")
    assert all(line.isprintable() for line in [first, *traceback])
    assert first.startswith("it a\\x1b[2J")
    assert len(traceback) >= 1
