"""Running whole processes, taking medians, and saying whether a figure is what it must be.

This module stays small in memory: the peak that the kernel reports for a child is at least that of its parent.
"""

from __future__ import annotations

import hashlib
import math
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import orjson

__all__ = [
    "ROOT",
    "Command",
    "Failed",
    "Figure",
    "Run",
    "beside_python",
    "digest",
    "environment",
    "machine",
    "median",
    "once",
    "rounds",
    "table",
]

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent


class Failed(Exception):
    """A command that is measured did not do its work: there is no figure."""


@dataclass(frozen=True)
class Command:
    """A process to measure: its arguments, and what its environment has beyond ours."""

    argv: Sequence[str | Path]
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """What one process took: seconds by the clock, seconds of processor time, and megabytes (10^6) at its peak.

    The peak is unknown (NaN) where it is no more than that of the process that started it.
    """

    seconds: float
    cpu: float
    megabytes: float


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    what: str
    measured: str
    against: str
    target: str
    met: bool


def beside_python(name: str) -> Path:
    """Return a command that is installed in this virtual environment."""
    return BIN / name


def environment() -> dict[str, str]:
    """Return our environment without what would make Python slower than users have it."""
    slowing = {"PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"}  # such as compiling every module at every start
    return {name: value for name, value in os.environ.items() if name not in slowing}


def once(command: Command, out: Path | None = None) -> Run:
    """Run a process to its end, its output into a file or nowhere.

    Raises:
        Failed: its exit code is not 0.
    """
    with tempfile.TemporaryFile() as errors, open(out or os.devnull, "wb") as output:  # noqa: PTH123 - /dev/null, too
        began = time.perf_counter()
        process = subprocess.Popen(
            [str(part) for part in command.argv],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            cwd=ROOT,
            env={**environment(), **command.env},
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise Failed(f"{command.argv} ended with {process.returncode}:\n{_tail(errors)}")
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak = usage.ru_maxrss * 1024 / 1e6 if usage.ru_maxrss > own else math.nan
    return Run(seconds, usage.ru_utime + usage.ru_stime, peak)


def _tail(errors: IO[bytes]) -> str:
    errors.seek(0)
    return errors.read().decode(errors="replace")[-2000:]


def rounds(commands: Mapping[str, Command], number: int) -> dict[str, list[Run]]:
    """Run the commands in turn, `number` times over, so that a change of the machine's mood meets all of them."""
    runs: dict[str, list[Run]] = {name: [] for name in commands}
    for _ in range(number):
        for name, command in commands.items():
            runs[name].append(once(command))
    return runs


def median(runs: Iterable[Run]) -> Run:
    """Return the median of each quantity."""
    several = list(runs)
    return Run(
        statistics.median(run.seconds for run in several),
        statistics.median(run.cpu for run in several),
        statistics.median(run.megabytes for run in several),
    )


def digest(command: Command, fields: Sequence[str] = ()) -> str:
    """Run a command once, untimed, and return a hash of the records it wrote; of some of their fields, if named.

    It takes Singer messages and plain JSON lines.
    """
    found = hashlib.sha256()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        once(command, out)
        with out.open("rb") as lines:
            for record in _records(lines):
                found.update(orjson.dumps([record[name] for name in fields] if fields else record))
    return found.hexdigest()


def _records(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        message = orjson.loads(line)
        if "type" not in message:
            yield message
        elif message["type"] == "RECORD":
            yield message["record"]


def machine() -> str:
    """Say on what this runs."""
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} cores ({_processor()}), {platform.system()} {platform.release()}, "
        f"{platform.python_implementation()} {platform.python_version()}, load at start {load:.1f}"
    )


def _processor() -> str:
    with open("/proc/cpuinfo") as lines:  # noqa: PTH123
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def table(figures: Sequence[Figure]) -> str:
    """Return the figures as a table in Markdown."""
    rows = [("what", "measured", "in the same run", "must reach", "")]
    rows += [(each.what, each.measured, each.against, each.target, "yes" if each.met else "**no**") for each in figures]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines.insert(1, "|---|---|---|---|---|")
    return "\n".join(lines)
