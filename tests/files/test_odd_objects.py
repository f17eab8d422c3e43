"""Where a file belongs there is a FIFO, a directory, a device, a socket or a link to itself: nothing waits for it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from bc_images import regular_files
from bc_images.files.layout import parse_ref
from bigcommerce_sandbox import STORE_HASH, TOKEN, SandboxServer
from tests.support.commands import CommandResult, run
from tests.support.tap_backup import image_records

BIN = Path(sys.executable).parent


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        here = Path.cwd()
        os.chdir(path.parent)  # the name of a socket is short
        try:
            made.bind(path.name)
        finally:
            os.chdir(here)


def _directory(path: Path) -> None:
    path.mkdir()
    (path / "something").touch()


MAKE: dict[str, Callable[[Path], None]] = {
    "FIFO": os.mkfifo,
    "directory": _directory,
    "socket": _socket,
    "character device": lambda path: path.symlink_to("/dev/zero"),
    "link": lambda path: path.symlink_to(path.name),
}
kinds = pytest.mark.parametrize("kind", MAKE)


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regular_files, "_WAIT", 100)


@pytest.fixture
def target_config(config: Path, tmp_path: Path) -> Path:
    path = tmp_path / "target.json"
    more = {"state_dir": str(tmp_path / "state"), "report": str(tmp_path / "report.jsonl")}
    path.write_text(json.dumps({**json.loads(config.read_bytes()), **more}))
    return path


def records(done: CommandResult) -> list[dict[str, Any]]:
    return sorted(image_records(done), key=lambda record: int(record["id"]))


def damaged(config: Path) -> tuple[str, dict[str, str]]:
    """Back up; put something of each kind in the place of a picture; return the backup and the digest of each."""
    backup = run("tap-bc-images", "--config", config)
    assert backup.code == 0, backup.err
    digests = sorted({record["file_sha256"] for record in records(backup)})
    assert len(digests) > len(MAKE)
    places = dict(zip(MAKE, digests, strict=False))
    for kind, digest in places.items():
        path = picture_path(config, digest)
        path.unlink()
        MAKE[kind](path)
    return backup.out, places


def picture_path(config: Path, digest: str) -> Path:
    return config.parent / "files" / "sha256" / digest[:2] / digest


def test_check_names_each_and_reads_the_rest(config: Path, tmp_path: Path) -> None:
    backup, places = damaged(config)
    (tmp_path / "backup.singer").write_text(backup)
    for arguments in ([], [tmp_path / "backup.singer"]):
        done = run("bc-images", "check", "--file-store", str(tmp_path / "files"), *arguments)
        assert done.code == 1, done.err
        lines = done.out.splitlines()
        for kind, digest in places.items():
            (line,) = [line for line in lines if digest in line and line.startswith("!")]
            assert f"is a {kind}" in line
            assert "named by" in line
        assert "5 corrupt, 0 missing" in lines[-1]


@kinds
def test_a_backup_that_is_no_file_does_not_keep_the_others_from_being_checked(
    kind: str, config: Path, tmp_path: Path
) -> None:
    backup, places = damaged(config)
    (tmp_path / "backup.singer").write_text(backup)
    MAKE[kind](tmp_path / "odd")
    for order in (["odd", "backup.singer"], ["backup.singer", "odd"]):
        paths = [tmp_path / name for name in order]
        done = run("bc-images", "check", "--file-store", str(tmp_path / "files"), *paths)
        assert done.code == 3
        assert f"{len(places)} corrupt, 0 missing" in done.out
        assert "/odd cannot be read" in done.err


def test_the_next_backup_puts_the_pictures_back(config: Path) -> None:
    """All but one: a directory that is not empty may be somebody's, so that it is named and its record has no file."""
    _, places = damaged(config)
    done = run("tap-bc-images", "--config", config)
    assert done.code == 1, done.err
    lacking = [record for record in records(done) if record["file_sha256"] is None]
    assert len(lacking) == 1
    assert f"{places['directory']} in the file store is a directory" in done.err
    for kind, digest in places.items():
        path = picture_path(config, digest)
        assert path.is_dir() if kind == "directory" else path.is_file()
        assert not path.is_symlink()
    path = picture_path(config, places["directory"])
    (path / "something").unlink()
    assert run("tap-bc-images", "--config", config).code == 0
    assert path.is_file()


def test_a_file_in_the_place_of_a_folder_of_pictures_costs_these_alone(config: Path) -> None:
    first = run("tap-bc-images", "--config", config)
    (digest, *_) = sorted({record["file_sha256"] for record in records(first)})
    folder = picture_path(config, digest).parent
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    os.mkfifo(folder)
    done = run("tap-bc-images", "--config", config)
    assert done.code == 1, done.err
    assert f"sha256/{digest[:2]} in the file store is a FIFO" in done.err
    expected = [None if record["file_sha256"][:2] == digest[:2] else record["file_sha256"] for record in records(first)]
    assert [record["file_sha256"] for record in records(done)] == expected


def test_a_restore_rejects_these_records_and_restores_the_rest(
    config: Path, target_config: Path, sandbox: SandboxServer
) -> None:
    backup, places = damaged(config)
    total = len(sandbox.dump()["images"])
    for image in sandbox.dump()["images"]:
        sandbox.delete_image(image["id"])
    done = run("target-bc-images", "--config", target_config, stdin=backup)
    assert done.code == 1, done.err
    *rows, _ = map(json.loads, (config.parent / "report.jsonl").read_bytes().splitlines())
    rejected = [line for line in rows if line["status"] in {"rejected", "failed"}]
    assert {line["record"]["file_sha256"] for line in rejected} == set(places.values())
    assert len(sandbox.dump()["images"]) == total - len(rejected)
    for line in rejected:
        kind = next(kind for kind, digest in places.items() if digest == line["record"]["file_sha256"])
        assert f"is a {kind}" in (line["error"] or line["reason"])


def test_a_directory_in_the_place_of_a_ref(config: Path, tmp_path: Path) -> None:
    run("tap-bc-images", "--config", config)
    ref = next(path for path in (tmp_path / "files" / "refs").rglob("*=original"))
    assert parse_ref(ref.relative_to(tmp_path / "files").as_posix())
    ref.unlink()
    ref.mkdir()
    done = run("tap-bc-images", "--config", config)
    assert done.code == 0
    assert f"{ref.name} in the file store is a directory" in done.err
    done = run("bc-images", "check", "--file-store", str(tmp_path / "files"))
    assert done.code == 1
    assert f"{ref.name}  is a directory" in done.out


@kinds
def test_an_archive_that_is_no_file_is_passed_over(kind: str, tmp_path: Path) -> None:
    config = tmp_path / "archive.json"
    config.write_text(json.dumps({"file_store": str(tmp_path / "files")}))
    message = b'{"type": "SCHEMA", "stream": "things", "schema": {}, "key_properties": []}\n'
    message += b'{"type": "ACTIVATE_VERSION", "stream": "things", "version": 1}\n'
    assert run("target-singer-archive", "--config", config, stdin=message).code == 0
    newest = "29990101T000000Z.singer.gz"
    MAKE[kind](tmp_path / "files" / "archives" / "store" / newest)
    done = run("tap-singer-archive", "--config", config)
    assert (done.code, done.out) == (0, message.decode())
    config.write_text(json.dumps({"file_store": str(tmp_path / "files"), "archive": newest}))
    done = run("tap-singer-archive", "--config", config)
    assert done.code == 3
    assert newest in done.err


INPUTS: dict[str, list[str]] = {
    "tap-bc-images": ["--config", "--state", "--catalog"],
    "target-bc-images": ["--config", "--input"],
    "target-singer-archive": ["--config"],
    "tap-singer-archive": ["--config"],
    "bc-images verify": ["--config", "--backup"],
    "bc-images check": ["BACKUP"],
    "bc-images retry": ["--config", "REPORT"],
    "source-bc-images check": ["--config"],
    "source-bc-images read": ["--catalog", "--state"],
    "destination-bc-images check": ["--config"],
}


@kinds
@pytest.mark.parametrize(
    ("command", "option"), [(name, option) for name, options in INPUTS.items() for option in options]
)
def test_an_input_that_is_no_file_is_named(
    command: str, option: str, kind: str, config: Path, target_config: Path, tmp_path: Path
) -> None:
    (tmp_path / "files" / "sha256").mkdir(parents=True)
    odd = tmp_path / "odd"
    MAKE[kind](odd)
    name, *words = command.split()
    settings = (
        target_config if "target" in name or "destination" in name or words[:1] in (["verify"], ["retry"]) else config
    )
    arguments: list[str | Path] = [*words]
    if option != "--config" and words != ["check"]:
        arguments += ["--config", settings]
    if words == ["check"] and name == "bc-images":
        arguments += ["--file-store", str(tmp_path / "files")]
    if words == ["read"] and option == "--state":
        (tmp_path / "catalog.json").write_text('{"streams": []}')
        arguments += ["--catalog", tmp_path / "catalog.json"]
    elif words == ["read"] and option == "--config":
        arguments += ["--catalog", tmp_path / "catalog.json"]
    if words == ["retry"] and option == "--config":
        (tmp_path / "old.jsonl").write_text('{"status": "rejected", "record": {}}\n{"summary": {}}\n')
        arguments += [tmp_path / "old.jsonl"]
    if words == ["verify"] and option == "--config":
        (tmp_path / "backup.singer").touch()
        arguments += ["--backup", tmp_path / "backup.singer"]
    arguments += [odd] if option.isupper() else [option, odd]
    done = run(name, *arguments)
    text = done.err + done.out
    assert "odd" in text or (option == "--state" and name == "source-bc-images") or option in text
    assert kind in text or (kind == "link" and "symbolic link" in text), text
    assert "Traceback" not in text
    assert "This is a bug" not in text
    assert done.code in ({0, 2, 3} if name.startswith(("source", "destination")) else {2, 3})


@pytest.mark.parametrize("kind", [kind for kind in MAKE if kind != "character device"])  # a terminal is one
def test_a_report_that_cannot_be_written_is_refused_at_the_start(
    kind: str, target_config: Path, tmp_path: Path
) -> None:
    report = tmp_path / "report.jsonl"
    settings = json.loads(target_config.read_bytes())
    MAKE[kind](report)
    target_config.write_text(json.dumps({**settings, "report": str(report)}))
    done = run("target-bc-images", "--config", target_config)
    assert done.code == 2, done.err
    assert f"The report {report} cannot be written: it is a {kind}" in done.err


@kinds
@pytest.mark.parametrize("file", [f"ledger-{STORE_HASH}.sqlite", f"ledger-{STORE_HASH}.lock"])
def test_a_ledger_that_is_no_file_is_refused(
    kind: str, file: str, config: Path, target_config: Path, tmp_path: Path
) -> None:
    backup = run("tap-bc-images", "--config", config).out
    (tmp_path / "state").mkdir()
    MAKE[kind](tmp_path / "state" / file)
    done = run("target-bc-images", "--config", target_config, stdin=backup)
    assert done.code == 2, done.err
    assert file in done.err


def test_a_pipe_that_another_process_writes_to_is_read(config: Path, tmp_path: Path) -> None:
    """As the shell's ``<(command)`` is, also where the command takes longer than we wait for a writer."""
    backup = run("tap-bc-images", "--config", config).out
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    opened = threading.Event()

    def write() -> None:
        with fifo.open("wb") as writer:
            opened.set()
            threading.Event().wait(0.5)
            writer.write(backup.encode())

    writer = threading.Thread(target=write)
    writer.start()
    done = run("bc-images", "check", "--file-store", str(tmp_path / "files"), fifo)
    writer.join()
    assert done.code == 0, done.err
    assert "0 corrupt, 0 missing, 0 orphaned" in done.out


@pytest.mark.parametrize(
    "command",
    [
        ["bc-images", "check", "--file-store", "files", "odd"],
        ["bc-images", "verify", "--backup", "odd"],
        ["tap-bc-images", "--config", "odd"],
        ["tap-bc-images", "--state", "odd"],
        ["target-bc-images", "--input", "odd"],
        ["tap-singer-archive", "--config", "odd"],
        ["target-singer-archive", "--config", "odd"],
        ["source-bc-images", "check", "--config", "odd"],
        ["destination-bc-images", "check", "--config", "odd"],
    ],
    ids=" ".join,
)
def test_the_first_sigterm_ends_every_command(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "files" / "sha256").mkdir(parents=True)
    os.mkfifo(tmp_path / "odd")
    environment = {f"TARGET_BC_IMAGES_{name}": value for name, value in TARGET.items()}
    descriptor = os.open(tmp_path / "odd", os.O_RDWR)  # there is a writer, which never writes
    process = subprocess.Popen(
        [BIN / command[0], *command[1:]],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **environment, "TARGET_BC_IMAGES_STATE_DIR": str(tmp_path)},
    )
    try:
        until = time.monotonic() + 60
        while not _has_open(process.pid, tmp_path / "odd") and time.monotonic() < until:
            time.sleep(0.02)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) in {-signal.SIGTERM, 128 + signal.SIGTERM}
    finally:
        process.kill()
        process.wait()
        os.close(descriptor)


TARGET = {"STORE_HASH": STORE_HASH, "ACCESS_TOKEN": TOKEN, "API_URL": "http://127.0.0.1:9"}


def _has_open(pid: int, path: Path) -> bool:
    for link in Path(f"/proc/{pid}/fd").glob("*"):
        with suppress(OSError):
            if link.readlink() == path:
                return True
    return False
