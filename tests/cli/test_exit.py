"""Standard output that is closed, full or not there: every command ends with a documented exit code and no noise."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bc_images.singer.archive.loader import keep
from bigcommerce_sandbox import SandboxServer
from tests.support.target import RestoreScenario

BIN = Path(sys.executable).parent
TIMEOUT = 60  # seconds


@dataclass(frozen=True)
class Call:
    """A command with its arguments and what it reads."""

    arguments: list[str]
    stdin: bytes = b""


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Call]]:
    """One call of every command that writes to stdout, each with at least one line to write."""
    folder = tmp_path_factory.mktemp("calls")
    with SandboxServer(products=3, images=2) as sandbox:
        scenario = RestoreScenario(sandbox, folder)
        backup = scenario.backup()
        (folder / "backup.singer").write_bytes(backup)
        list(scenario.records())
        shared = ("store_hash", "access_token", "api_url", "store_url", "file_store")
        config = _json(folder / "config.json", {name: scenario.config[name] for name in shared})
        target = _json(folder / "target.json", {**scenario.config, "report": str(folder / "report.jsonl")})
        archive = _json(folder / "archive.json", {"file_store": scenario.config["file_store"]})
        keep(
            backup.splitlines(keepends=True),
            {"file_store": scenario.config["file_store"], "name": "store", "require_complete": True},
        )
        (folder / "files" / "sha256" / "stray").write_bytes(b"x")
        airbyte_config = {**json.loads(Path(config).read_text()), "state_dir": str(folder / "airbyte")}
        airbyte = _json(folder / "airbyte.json", airbyte_config)
        catalog = _json(folder / "catalog.json", _configured_catalog())
        yield {
            "tap": Call(["tap-bc-images", "--config", config]),
            "tap --about": Call(["tap-bc-images", "--about"]),
            "tap --discover": Call(["tap-bc-images", "--discover"]),
            "tap --help": Call(["tap-bc-images", "--help"]),
            "target": Call(["target-bc-images", "--config", target], backup),
            "target --version": Call(["target-bc-images", "--version"]),
            "target --about": Call(["target-bc-images", "--about", "--format", "json"]),
            "tap archive": Call(["tap-singer-archive", "--config", archive]),
            "tap archive --about": Call(["tap-singer-archive", "--about"]),
            "target archive": Call(["target-singer-archive", "--config", archive], backup),
            "source read": Call(["source-bc-images", "read", "--config", config, "--catalog", catalog]),
            "source spec": Call(["source-bc-images", "spec"]),
            "destination check": Call(["destination-bc-images", "check", "--config", airbyte]),
            "verify": Call(
                ["bc-images", "verify", "--all", "--config", target, "--backup", str(folder / "backup.singer")]
            ),
            "backup": Call(["bc-images", "backup", "--config", config]),
            "check": Call(["bc-images", "check", "--file-store", scenario.config["file_store"]]),
            "shards": Call(["bc-images", "shards", "--count", "2", "--config", config]),
            "retry --help": Call(["bc-images", "retry", "--help"]),
            "--help": Call(["bc-images", "--help"]),
            "--version": Call(["bc-images", "--version"]),
        }


def _json(path: Path, content: object) -> str:
    path.write_text(json.dumps(content))
    return str(path)


def _configured_catalog() -> dict[str, object]:
    stream = {"name": "product_images", "json_schema": {}, "supported_sync_modes": ["full_refresh"]}
    return {"streams": [{"stream": stream, "sync_mode": "full_refresh", "destination_sync_mode": "append"}]}


COMMANDS = [
    "tap",
    "tap --about",
    "tap --discover",
    "tap --help",
    "target",
    "target --version",
    "target --about",
    "tap archive",
    "tap archive --about",
    "target archive",
    "source read",
    "source spec",
    "destination check",
    "verify",
    "backup",
    "check",
    "shards",
    "retry --help",
    "--help",
    "--version",
]


def run(call: Call, stdout: int, *, unbuffered: bool) -> tuple[int, str]:
    """Run a call with this file descriptor as its stdout; return its exit code and what it wrote to stderr."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    if unbuffered:
        environment["PYTHONUNBUFFERED"] = "1"
    program, *arguments = call.arguments
    done = subprocess.run(
        [BIN / program, *arguments],
        input=call.stdin,
        stdout=stdout,
        stderr=subprocess.PIPE,
        env=environment,
        timeout=TIMEOUT,
    )
    return done.returncode, done.stderr.decode()


@pytest.mark.parametrize("unbuffered", [False, True], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("name", COMMANDS)
def test_nobody_reads_the_output(calls: dict[str, Call], name: str, *, unbuffered: bool) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    code, err = run(calls[name], writing, unbuffered=unbuffered)
    os.close(writing)
    assert code == 141, err
    assert not [word for word in ("Traceback", "BrokenPipe", "Exception ignored", "Unexpected") if word in err], err


@pytest.mark.parametrize("unbuffered", [False, True], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("name", ["tap", "target", "tap archive", "source spec", "verify", "check", "--help"])
def test_there_is_no_room_for_the_output(calls: dict[str, Call], name: str, *, unbuffered: bool) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    code, err = run(calls[name], full, unbuffered=unbuffered)
    os.close(full)
    assert code == 3, err
    assert err.splitlines()[-1].endswith("The output cannot be written: No space left on device.")
    assert not [word for word in ("Traceback", "Exception ignored", "Unexpected") if word in err], err


def test_every_command_is_among_them(calls: dict[str, Call]) -> None:
    assert calls.keys() == set(COMMANDS)


def test_output_that_is_not_there() -> None:
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", BIN / "tap-bc-images", "--about"], stderr=subprocess.PIPE, timeout=TIMEOUT
    )
    assert (done.returncode, b"Standard output is closed" in done.stderr) == (2, True)


@pytest.mark.parametrize("name", ["target", "verify"])
def test_nobody_reads_the_messages(calls: dict[str, Call], name: str) -> None:
    """What is said on stderr changes nothing in what was done, and in the exit code of it."""
    reading, writing = os.pipe()
    os.close(reading)
    call = calls[name]
    program, *arguments = call.arguments
    done = subprocess.run(
        [BIN / program, *arguments], input=call.stdin, stdout=subprocess.PIPE, stderr=writing, timeout=TIMEOUT
    )
    os.close(writing)
    assert done.returncode == 0
    assert done.stdout


@pytest.mark.parametrize("name", ["tap", "target", "verify"])
def test_messages_that_go_nowhere_do_not_go_to_stdout(calls: dict[str, Call], name: str) -> None:
    call = calls[name]
    usual, closed = (
        subprocess.run(
            ["sh", "-c", f'exec "$@"{redirection}', "sh", BIN / call.arguments[0], *call.arguments[1:]],
            input=call.stdin,
            stdout=subprocess.PIPE,
            timeout=TIMEOUT,
        )
        for redirection in ("", " 2>&-")
    )
    assert (closed.returncode, usual.returncode) == (0, 0)
    assert len(closed.stdout.splitlines()) == len(usual.stdout.splitlines())
    nonsense: list[str | Path] = ["sh", "-c", 'exec "$@" 2>&-', "sh", BIN / call.arguments[0], "--nonsense"]
    done = subprocess.run(nonsense, stdout=subprocess.PIPE, timeout=TIMEOUT)
    assert (done.returncode, done.stdout) == (2, b"")


@pytest.mark.parametrize(("name", "code"), [("target", 3), ("target archive", 3), ("tap", 0)])
def test_input_that_is_closed_is_empty(calls: dict[str, Call], name: str, code: int) -> None:
    call = calls[name]
    command: list[str | Path] = ["sh", "-c", 'exec "$@" <&-', "sh", BIN / call.arguments[0], *call.arguments[1:]]
    done = subprocess.run(command, capture_output=True, timeout=TIMEOUT)
    assert done.returncode == code, done.stderr
    assert not [word for word in (b"Traceback", b"Unexpected") if word in done.stderr]
