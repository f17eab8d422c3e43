"""What is true of every way in which the command ends."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.commands import TIMEOUT, CommandResult
from tests.support.tap import Config, end, start

SECRET = "s3cr3t-t0ken"
"""A token that must be seen nowhere."""

SOON = 15  # seconds; a request that hangs would take 60, a pause of the quota 300


def check(ended: CommandResult, code: int, *said: str) -> None:
    """Hold what is true of every end."""
    assert ended.code == code, ended.err
    assert "Traceback" not in ended.err
    assert SECRET not in ended.out + ended.err
    assert ended.messages is not None  # every line is whole
    lines = [line for line in ended.err.splitlines() if line.startswith("tap-bc-images: ")]
    assert len(lines) == (1 if said else 0), ended.err
    if said and code < 128:
        assert ended.err.splitlines()[-1] == lines[0]
    for words in said:
        assert words in lines[0]


def stopped(process: subprocess.Popen[bytes], signum: signal.Signals) -> CommandResult:
    """Stop the tap by a signal: soon, with 128 + the signal's number, and as if nothing were complete."""
    began = time.monotonic()
    ended = end(process, signum)
    assert time.monotonic() - began < SOON
    check(ended, 128 + signum, "stopped by a signal")
    assert not ended.of("ACTIVATE_VERSION")
    return ended


@contextmanager
def running(config: Config, folder: Path, ready: Callable[[], bool]) -> Iterator[subprocess.Popen[bytes]]:
    """Start the tap and wait until it is where the test wants it."""
    process = start(config, folder)
    try:
        deadline = time.monotonic() + TIMEOUT
        while not ready():
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < deadline, "the tap never got there"
            time.sleep(0.02)
        yield process
    finally:
        process.kill()
        process.wait()
