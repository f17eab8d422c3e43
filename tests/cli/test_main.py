"""The command ``bc-images``: how it ends when it is told to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.scripted_server import TOKEN, Reply, Request, says, serving

COMMAND = str(Path(sys.executable).with_name("bc-images"))
PATIENCE = 60  # seconds


@contextmanager
def running(arguments: list[str], ready: Callable[[], bool]) -> Iterator[subprocess.Popen[str]]:
    """Start the command and wait until it is where the test wants it."""
    process = subprocess.Popen([COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + PATIENCE
        while not ready():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, "the command never got there"
            time.sleep(0.02)
        yield process
    finally:
        process.kill()
        process.wait()


def stopped(process: subprocess.Popen[str], signum: signal.Signals) -> None:
    process.send_signal(signum)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, err.strip()) == (128 + signum, "", "bc-images: stopped by a signal.")


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_stopped_while_the_store_is_silent(tmp_path: Path, signum: signal.Signals) -> None:
    answers = threading.Event()

    def handle(_: Request) -> Reply:
        answers.wait(PATIENCE)
        return says({})

    with serving(handle) as server:
        config = tmp_path / "config.json"
        config.write_text(json.dumps({"store_hash": "abc", "access_token": TOKEN, "api_url": server.url}))
        with running(["shards", "--count", "4", "--config", str(config)], lambda: bool(server.requests)) as process:
            stopped(process, signum)
        answers.set()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_stopped_while_a_backup_is_read(tmp_path: Path, signum: signal.Signals) -> None:
    """A pipe in its place never comes to an end."""
    backup, files = tmp_path / "backup.singer", tmp_path / "files"
    (files / "sha256").mkdir(parents=True)
    os.mkfifo(backup)
    pipe = -1

    def is_read() -> bool:
        nonlocal pipe
        try:
            pipe = os.open(backup, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # nobody has opened it for reading
            return False
        return True

    with running(["check", "--file-store", str(files), str(backup)], is_read) as process:
        stopped(process, signum)
    os.close(pipe)
