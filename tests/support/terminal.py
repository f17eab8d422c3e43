"""A command whose stderr, or whole output, is a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

from tests.support.commands import TIMEOUT, CommandResult

__all__ = ["answer", "run"]


def run(
    command: Sequence[str | Path], *, stdout: bool = False, stdin: bytes = b"", cwd: Path | None = None
) -> CommandResult:
    """Run a command with a terminal for its stderr and, if asked for, its stdout: `err` is what the terminal shows."""
    ours, theirs = pty.openpty()
    screen = b""

    def watch() -> None:
        nonlocal screen
        try:
            while piece := os.read(ours, 4096):
                screen += piece
        except OSError:  # how Linux says that the other side is closed
            return

    environment = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR"}}
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=theirs if stdout else subprocess.PIPE,
        stderr=theirs,
        env={**environment, "TERM": "xterm", "COLUMNS": "120"},
        cwd=cwd,
    )
    os.close(theirs)
    watcher = threading.Thread(target=watch)
    watcher.start()
    out, _ = process.communicate(stdin, timeout=TIMEOUT)
    watcher.join()
    os.close(ours)
    return CommandResult(process.returncode, (out or b"").decode(), screen.decode())


def answer(command: Sequence[str | Path], text: bytes, *, after: bytes, cwd: Path | None = None) -> CommandResult:
    """Run a command whose stdin, stdout and stderr are a terminal of 80 columns; type `text` once it shows `after`."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "80"},
        cwd=cwd,
    )
    os.close(theirs)
    screen, is_typed = b"", False
    try:
        while piece := os.read(ours, 4096):
            screen += piece
            if not is_typed and after in screen:
                os.write(ours, text)
                is_typed = True
    except OSError:  # how Linux says that the other side is closed
        pass
    os.close(ours)
    return CommandResult(process.wait(TIMEOUT), "", screen.decode())
