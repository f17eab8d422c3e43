"""The target on records that need no write: against a default SDK target, which does not even look at the store."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.harness import Command, Failed, Figure, Run, median, once
from benchmarks.sandbox_store import ReplayServer, replay_server

PLAIN = "default SDK BatchSink"


def figures(*, short: bool) -> list[Figure]:
    """Measure 200,000 records (20,000 for short) at 0 ms, and the memory of 1,000,000."""
    products, times = (6_667, 1) if short else (66_667, 3)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with replay_server(products, 3) as store:
            rate = _rate(store, folder, times, products * 3)
        few, many = (10_000, 20_000) if short else (66_667, 333_334)
        return [*rate, *_memory(folder, few, many)]


def backup(store: ReplayServer, folder: Path) -> Path:
    """Return the file that the tap writes of a store."""
    path = folder / "backup.singer"
    once(store.tap(), path)
    return path


def ours(store: ReplayServer, folder: Path, path: Path, **settings: str | int) -> Command:
    """Return our target on a file."""
    given: dict[str, Any] = {"state_dir": str(folder / "state"), **settings}
    tap = store.tap(**given)
    env = {name.replace("TAP_", "TARGET_", 1): value for name, value in tap.env.items()}
    return Command([Path(tap.argv[0]).with_name("target-bc-images"), "--config=ENV", "--input", path], env)


def _rate(store: ReplayServer, folder: Path, times: int, number: int) -> list[Figure]:
    path = backup(store, folder)
    command = ours(store, folder, path)
    plain = Command([sys.executable, "-m", "benchmarks.peers.plain_target", "--input", path])
    once(command)  # the tape has everything now
    runs: dict[str, list[Run]] = {PLAIN: [], "ours": []}
    for _ in range(times):
        runs[PLAIN].append(once(plain))
        run, counts = store.timed(command)
        runs["ours"].append(run)
    most = -(-(number // 3) // 250) + 5
    rate = {name: number / median(of).seconds for name, of in runs.items()}
    share = rate["ours"] / rate[PLAIN]
    what = f"target, {number:,} records that need no write, whole process"
    return [
        Figure(
            f"{what}: of a {PLAIN}",
            f"{share:.1f} × ({rate['ours']:,.0f} records/s)",
            f"{PLAIN} {rate[PLAIN]:,.0f}",
            "≥ 5 ×",
            share >= 5,
        ),
        Figure("the same: requests", f"{counts.requests}", "", f"≤ {most}", counts.requests <= most),
    ]


def _memory(folder: Path, few: int, many: int) -> list[Figure]:
    peaks = {}
    for products in (few, many):
        with replay_server(products, 3) as store:
            path = backup(store, folder)
            peaks[products] = once(ours(store, folder, path)).megabytes
            path.unlink()
    if peaks[many] != peaks[many]:
        raise Failed("the peak is not known")
    return [
        Figure(
            f"target, memory, {many * 3:,} records that need no write",
            f"{peaks[many]:.1f} MB",
            f"{few * 3:,}: {peaks[few]:.1f} MB",
            "< 120 MB",
            peaks[many] < 120,
        )
    ]
