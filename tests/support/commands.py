"""Run a command of ours, in this process or in one of its own, and what it wrote.

In this process is the usual way: it saves the second that a new interpreter takes.
"""

from __future__ import annotations

import io
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

__all__ = ["BIN", "TIMEOUT", "CommandResult", "restored_handlers", "run", "run_process"]

BIN = Path(sys.executable).parent
TIMEOUT = 60  # seconds until a test gives a process up


@dataclass(frozen=True)
class CommandResult:
    """How a command ended, and what it wrote to stdout, to stderr and, in `rows`, to its report."""

    code: int
    out: str = ""
    err: str = ""
    rows: list[dict[str, Any]] = field(default_factory=list)

    @property
    def lines(self) -> list[str]:
        """The lines of stdout."""
        return self.out.splitlines()

    @property
    def last_line(self) -> str:
        """The last line of stderr."""
        return self.err.splitlines()[-1] if self.err else ""

    # Stdout as Singer messages

    @cached_property
    def messages(self) -> list[dict[str, Any]]:
        """The lines of stdout, parsed; a line that is cut off is an error."""
        assert not self.out or self.out.endswith("\n"), f"cut off: {self.out[-200:]!r}"
        return [json.loads(line) for line in self.out.split("\n")[:-1]]

    def of(self, kind: str, stream: str | None = None) -> list[dict[str, Any]]:
        return [
            message for message in self.messages if message["type"] == kind and stream in {None, message.get("stream")}
        ]

    def records(self, stream: str = "product_images") -> list[dict[str, Any]]:
        return [message["record"] for message in self.of("RECORD", stream)]

    def ids(self, stream: str = "product_images") -> list[int]:
        return [record["id"] for record in self.records(stream)]

    def versions(self, stream: str = "product_images") -> set[int | None]:
        return {message.get("version") for message in self.of("RECORD", stream)}

    @property
    def states(self) -> list[Any]:
        """The values of the STATE messages; a target writes nothing but such values."""
        states = (message for message in self.messages if message.get("type", "STATE") == "STATE")
        return [message["value"] if "type" in message else message for message in states]

    @property
    def kinds(self) -> list[str]:
        """The types of the messages, with each run of equal ones once."""
        kinds: list[str] = []
        for message in self.messages:
            if kinds[-1:] != [message["type"]]:
                kinds.append(message["type"])
        return kinds

    # The report of a restore

    @property
    def actions(self) -> list[tuple[str, str]]:
        """Every line of the report as (action, status), but what was kept."""
        return sorted((line["action"], line["status"]) for line in self.rows if line.get("action", "keep") != "keep")

    @property
    def failed(self) -> dict[str, Any]:
        """The first line of the report that is about a failure."""
        return next(line for line in self.rows if line.get("status") == "failed")

    @property
    def summary(self) -> dict[str, Any]:
        return next(line for line in self.rows if "summary" in line)


def run(command: str, *arguments: Path | str, stdin: bytes | str = b"", cwd: Path | None = None) -> CommandResult:
    """Run a command in this process as its console script does, without any of our settings in the environment."""
    (script,) = entry_points(group="console_scripts", name=command)
    streams = (io.TextIOWrapper(io.BytesIO(content), encoding="utf-8") for content in (_bytes(stdin), b"", b""))
    text, out, errors = streams
    with _restored_process(), redirect_stdout(out), redirect_stderr(errors):
        sys.argv, sys.stdin = [command, *map(str, arguments)], text
        if cwd is not None:
            os.chdir(cwd)
        with pytest.raises(SystemExit) as leaving:
            script.load()()
    return CommandResult(int(leaving.value.code or 0), _content(out), _content(errors))


def run_process(
    command: Path | str,
    *arguments: Path | str,
    stdin: bytes | str = b"",
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = TIMEOUT,
) -> CommandResult:
    """Run a command in a process of its own; a bare name is one of ours."""
    program = BIN / command if Path(command).name == str(command) else command
    process = subprocess.run(
        [program, *arguments], input=_bytes(stdin), capture_output=True, cwd=cwd, env=env, timeout=timeout, check=False
    )
    return CommandResult(process.returncode, _text(process.stdout), _text(process.stderr))


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


def _content(stream: io.TextIOWrapper) -> str:
    stream.seek(0)
    return _text(bytes(stream.buffer.read()))


def _bytes(text: bytes | str) -> bytes:
    return text if isinstance(text, bytes) else text.encode(errors="surrogateescape")


def _text(content: bytes) -> str:
    return content.decode(errors="surrogateescape")
