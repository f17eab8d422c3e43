"""What of a ``meltano run`` of 100,000 images is ours, and what the loader's; warehouse, DuckDB file and archive."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness import Failed, Figure, digest, median
from benchmarks.sandbox_store import ReplayServer, replay_server
from tests.support.meltano_project import Project
from tests.support.postgres import postgres

LOADERS = {
    "warehouse": "target-postgres",
    "warehouse-duckdb": "target-duckdb",
    "archive": "target-singer-archive",
}
MOST = 0.35  # of all processor time, beside a loader that does more than to copy
TAP = "tap-bc-images"
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Shares:
    """Seconds of one run by the clock, and of the processor for each program in it."""

    wall: float
    cpu: dict[str, float]

    def share(self, name: str) -> float:
        return self.cpu[name] / sum(self.cpu.values())


def figures(*, short: bool) -> list[Figure]:
    """Measure 100,000 images (10,000 for short) at 0 ms."""
    products, times = (2000, 1) if short else (20_000, 3)
    number = products * 5
    with ExitStack() as stack:
        store = stack.enter_context(replay_server(products, 5))
        server = stack.enter_context(postgres())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        digest(store.tap())  # records the tape
        alone = median(store.timed(store.tap())[0] for _ in range(times)).seconds
        found = []
        for job, loader in LOADERS.items():
            project = Project(folder / job, store.url, server.settings("target-postgres"))
            tasks = [job] if job != "archive" else [TAP, loader]
            runs = [_measured(project, store, tasks, loader, number) for _ in range(times)]
            # In a short run, what each program takes to start outweighs what it does.
            limit = None if short or loader == LOADERS["archive"] else MOST
            found.append(_figure(loader, number, runs, alone, limit))
        return found


def _measured(project: Project, store: ReplayServer, tasks: list[str], loader: str, number: int) -> Shares:
    store.rewind()
    began = time.perf_counter()
    process = project.start("run", "--full-refresh", *tasks, TARGET_SINGER_ARCHIVE_FILE_STORE="output")
    log = project.folder / "log"
    cpu: dict[int, tuple[str, float]] = {}
    with log.open("w") as out:
        while process.poll() is None:  # the output is short: a pipe holds it until the end
            cpu |= _below(process.pid, (TAP, loader))
            time.sleep(0.05)
        wall = time.perf_counter() - began
        out.write(process.communicate()[0])
    text = log.read_text()
    if process.returncode or f"{number:,} records written" not in text:
        raise Failed(f"meltano run {' '.join(tasks)} ended with {process.returncode}:\n{text[-2000:]}")
    if store.counts().misses:
        raise Failed("some requests were not on the tape")
    spent: defaultdict[str, float] = defaultdict(float)
    for name, seconds in cpu.values():
        spent[name] += seconds
    return Shares(wall, dict(spent))


def _below(ancestor: int, names: tuple[str, str]) -> dict[int, tuple[str, float]]:
    """Return program and processor seconds of a process and of all below it, by process id."""
    parents, found = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        if words == [""]:  # it has ended, and nobody has taken note yet: what it was called is gone
            continue
        pid = int(folder.name)
        parents[pid] = int(fields[1])
        called = {Path(word).name for word in words[:3]}
        name = next((name for name in names if name in called), "meltano")
        found[pid] = (name, (int(fields[11]) + int(fields[12])) / _TICK)
    return {pid: told for pid, told in found.items() if _is_below(pid, ancestor, parents)}


def _is_below(pid: int, ancestor: int, parents: dict[int, int]) -> bool:
    while pid != ancestor and pid in parents:
        pid = parents[pid]
    return pid == ancestor


def _figure(loader: str, number: int, runs: list[Shares], alone: float, limit: float | None) -> Figure:
    wall = statistics.median(run.wall for run in runs)
    ours, theirs, rest = (statistics.median(run.share(name) for run in runs) for name in (TAP, loader, "meltano"))
    return Figure(
        f"`meltano run`, {number:,} images to {loader}: the tap's share of all processor time",
        f"{ours:.0%} ({wall:.1f} s in all)",
        f"{loader} {theirs:.0%}, Meltano {rest:.0%}; the tap alone {alone:.1f} s",
        "-" if limit is None else f"≤ {limit:.0%}",
        limit is None or ours <= limit,
    )
