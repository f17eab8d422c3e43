"""The tap over V3: whole processes at 50 ms a request, against a bare loop, tap-rest-api-msdk and dlt."""

from __future__ import annotations

import tempfile
from math import ceil
from pathlib import Path

from benchmarks.harness import Command, Failed, Figure, digest, median, rounds
from benchmarks.peers import msdk
from benchmarks.peers.environments import DLT, python_of
from benchmarks.sandbox_store import CONCURRENCY, TOKEN, ReplayServer, replay_server

LATENCY = 50  # milliseconds a request
BASELINE, OURS, MSDK = "bare loop", "ours", "tap-rest-api-msdk"
DLT_EXTRACT, DLT_RUN = "dlt, extract", "dlt, load to files"


def figures(*, short: bool) -> list[Figure]:
    """Measure a small store and a larger one."""
    few, many, times = (1000, 3000, 1) if short else (1000, 10_000, 5)
    with tempfile.TemporaryDirectory() as folder:
        return [*_scan(few, Path(folder), times), *_scan(many, Path(folder), times)]


def _scan(products: int, folder: Path, times: int) -> list[Figure]:
    what = f"V3 scan, {products:,} × 3 at {LATENCY} ms, whole process"
    with replay_server(products, 3) as store:
        commands = _commands(store, folder)
        _same_images(store, commands)
        _, counts = store.timed(commands[OURS], LATENCY)
        store.rewind(LATENCY)
        runs = rounds(commands, times)
        if store.counts().misses:
            raise Failed("some requests were not on the tape")
    seconds = {name: median(of).seconds for name, of in runs.items()}
    ours = seconds[OURS]
    others = ", ".join(f"{name} {seconds[name]:.2f} s" for name in commands if name != OURS)
    bound = ceil(products / 250) + CONCURRENCY + 2
    asked = Figure(
        f"V3 scan, {products:,} products: requests", f"{counts.requests}", "", f"≤ {bound}", counts.requests <= bound
    )
    if products <= 1000:
        return [Figure(what, f"{ours:.2f} s", others, "≤ 1.0 s", ours <= 1.0), asked]
    shares = {name: ours / seconds[name] for name in (MSDK, DLT_EXTRACT, DLT_RUN)}
    return [
        Figure(f"{what}: share of {name}", f"{share:.2f} ({ours:.2f} s)", others, "≤ 0.33", share <= 1 / 3)
        for name, share in shares.items()
    ] + [asked]


def _commands(store: ReplayServer, folder: Path) -> dict[str, Command]:
    return {
        BASELINE: store.peer("baseline_v3"),
        OURS: store.tap(),
        MSDK: msdk.command(store.api, TOKEN, folder),
        DLT_EXTRACT: _dlt(store, "extract"),
        DLT_RUN: _dlt(store, "run"),
    }


def _dlt(store: ReplayServer, what: str) -> Command:
    script = Path(__file__).with_name("peers") / "dlt_rest_api.py"
    return Command([python_of(DLT), script, store.api, TOKEN, what], {"RUNTIME__DLTHUB_TELEMETRY": "false"})


def _same_images(store: ReplayServer, commands: dict[str, Command]) -> None:
    """Record every answer that will be asked for, and make sure that all bring the same images.

    Raises:
        Failed: they do not.
    """
    if digest(commands[BASELINE]) != digest(commands[OURS]):
        raise Failed("the baseline does not write the messages that the tap writes")
    ids = digest(commands[OURS], ["id"])
    for name, command in {MSDK: commands[MSDK], DLT_RUN: _dlt(store, "rows")}.items():
        if digest(command, ["id"]) != ids:
            raise Failed(f"{name} does not bring the same images")
