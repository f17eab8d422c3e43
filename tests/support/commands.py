"""Runs a command as its console script does, without the second that a new interpreter takes."""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib.metadata import entry_points
from pathlib import Path
from typing import NamedTuple

import pytest

__all__ = ["Done", "restored_handlers", "run"]


class Done(NamedTuple):
    """How a command ended, and what it wrote."""

    returncode: int
    stdout: bytes
    stderr: bytes


def run(command: str, *arguments: Path | str, stdin: bytes = b"", cwd: Path | None = None) -> Done:
    """Run one of our commands in this process; the environment holds no setting of ours meanwhile."""
    (script,) = entry_points(group="console_scripts", name=command)
    given, out, errors = (io.TextIOWrapper(io.BytesIO(content), encoding="utf-8") for content in (stdin, b"", b""))
    with _restored_process(), redirect_stdout(out), redirect_stderr(errors):
        sys.argv, sys.stdin = [command, *map(str, arguments)], given
        if cwd is not None:
            os.chdir(cwd)
        with pytest.raises(SystemExit) as leaving:
            script.load()()
    return Done(int(leaving.value.code or 0), _content(out), _content(errors))


@contextmanager
def _restored_process() -> Iterator[None]:
    """Undo what a command does to its process."""
    argv, stdin, folder, environment = sys.argv, sys.stdin, Path.cwd(), dict(os.environ)
    for name in environment:
        if name.startswith(("TAP_", "TARGET_")):
            del os.environ[name]
    try:
        with restored_handlers():
            yield
    finally:
        sys.argv, sys.stdin = argv, stdin
        os.chdir(folder)
        os.environ |= environment


@contextmanager
def restored_handlers() -> Iterator[None]:
    """Undo what a command does to the handlers of signals and logs."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    root = logging.getLogger()
    logs = [(handler, list(handler.filters), handler.formatter) for handler in root.handlers]
    level = root.level
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        root.handlers[:], root.level = [log for log, *_ in logs], level
        for log, filters, formatter in logs:
            log.filters[:], log.formatter = filters, formatter


def _content(stream: io.TextIOWrapper) -> bytes:
    stream.seek(0)
    return bytes(stream.buffer.read())
