"""The tap over V2: one request a product, as many at once as `concurrency` says, against a bare pool of threads."""

from __future__ import annotations

from math import ceil

from benchmarks.harness import Command, Failed, Figure, beside_python, digest, median, rounds
from benchmarks.sandbox_store import CONCURRENCY, replay_server

LATENCY = 50  # milliseconds a request
BASELINE, OURS, START = "bare threads", "ours", "start-up (--version)"


def figures(*, short: bool) -> list[Figure]:
    """Measure 1,000 products with 3 images each."""
    products, times = (250, 1) if short else (1000, 3)
    with replay_server(products, 3) as store:
        commands = {
            BASELINE: store.peer("baseline_v2", str(CONCURRENCY)),
            OURS: store.tap("v2"),
            START: Command([beside_python("tap-bc-images"), "--version"]),
        }
        if digest(commands[OURS], ["id"]) != digest(store.tap("v3"), ["id"]):
            raise Failed("V2 and V3 do not bring the same images")
        digest(commands[BASELINE])
        _, counts = store.timed(commands[OURS], LATENCY)
        store.rewind(LATENCY)
        runs = rounds(commands, times)
        if store.counts().misses:
            raise Failed("some requests were not on the tape")
    seconds = {name: median(of).seconds for name, of in runs.items()}
    ideal = counts.requests * LATENCY / 1000 / CONCURRENCY
    bound = 1.15 * ideal + seconds[START]
    most = products + ceil(products / 250) + 3
    what = f"V2 scan, {products:,} × 3 at {LATENCY} ms, concurrency {CONCURRENCY}"
    return [
        Figure(
            f"{what}, whole process",
            f"{seconds[OURS]:.2f} s",
            f"{BASELINE} {seconds[BASELINE]:.2f} s, requests × {LATENCY} ms / {CONCURRENCY} = {ideal:.2f} s, "
            f"{START} {seconds[START]:.2f} s",
            f"≤ 1.15 × {ideal:.2f} s + start-up = {bound:.2f} s",
            seconds[OURS] <= bound,
        ),
        Figure(f"{what}: requests", f"{counts.requests}", "", f"≤ {most}", counts.requests <= most),
    ]
