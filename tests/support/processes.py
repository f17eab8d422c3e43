"""Starting a real server as a process of its own, and stopping it."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

__all__ = ["running"]

_START = 60.0  # seconds
_STOP = 10.0


@contextmanager
def running(*command: Path | str, port: int, log: Path, env: Mapping[str, str] | None = None) -> Iterator[None]:
    """Run a server until the context ends; it has begun to listen at `port` when the context begins."""
    with log.open("wb") as file:
        process = subprocess.Popen(list(map(str, command)), stdout=file, stderr=file, stdin=subprocess.DEVNULL, env=env)
    try:
        deadline = time.monotonic() + _START
        while not _listens(port):
            assert process.poll() is None, log.read_text(errors="replace")
            assert time.monotonic() < deadline, log.read_text(errors="replace")
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        try:
            process.wait(_STOP)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
