"""The scan by itself, without the tap around it: time and requests at 50 ms, images a second at 0 ms, memory.

``python -m benchmarks.full_scan <address> <version>`` is what is measured: a process that walks a store and prints
what it took.
"""

from __future__ import annotations

import resource
import statistics
import sys
import time
from math import ceil

import orjson
import requests

from benchmarks.harness import Command, Failed, Figure, once
from benchmarks.sandbox_store import CONCURRENCY, HASH, TOKEN, ReplayServer, replay_server

LATENCY = 50  # milliseconds a request


def figures(*, short: bool) -> list[Figure]:
    """Measure V2 and V3 at 50 ms, and V3 at 0 ms and in memory."""
    few, many, more, times = (250, 1000, 2000, 1) if short else (1000, 10_000, 100_000, 3)
    with replay_server(few, 3) as store:
        found = [_v2(store, few, times), *_v3(store, few, times)]
    with replay_server(many, 3) as store:
        found += _v3(store, many, times)
        small = _walked(store, "v3")["megabytes"]
    with replay_server(more, 3) as store:
        large, rate = _walked(store, "v3")["megabytes"], _rates(store, more * 3, times)
    growth = large / small - 1
    return [
        *found,
        rate,
        Figure(
            f"V3 scan alone, memory, {many:,} × 3 -> {more:,} × 3",
            f"{growth:+.1%} ({large:.1f} MB)",
            f"{small:.1f} MB",
            "< 5 %, < 100 MB",
            growth < 0.05 and large < 100,
        ),
    ]


def _v2(store: ReplayServer, products: int, times: int) -> Figure:
    seconds, asked = _timed(store, "v2", times)
    ideal, most = asked * LATENCY / 1000 / CONCURRENCY, products + ceil(products / 250) + 3
    return Figure(
        f"V2 scan alone, {products:,} × 3 at {LATENCY} ms",
        f"{seconds:.2f} s, {asked} requests",
        f"requests × {LATENCY} ms / {CONCURRENCY} = {ideal:.2f} s",
        f"≤ {1.15 * ideal:.2f} s, ≤ {most} requests",
        seconds <= 1.15 * ideal and asked <= most,
    )


def _v3(store: ReplayServer, products: int, times: int) -> list[Figure]:
    seconds, asked = _timed(store, "v3", times)
    most = ceil(products / 250) + CONCURRENCY + 2
    ideal = (3 + ceil(products / 250 / CONCURRENCY)) * LATENCY / 1000  # count, first page, bounds, then side by side
    return [
        Figure(
            f"V3 scan alone, {products:,} × 3 at {LATENCY} ms",
            f"{seconds:.2f} s, {asked} requests",
            f"{LATENCY} ms times the longest row of requests = {ideal:.2f} s",
            f"≤ {most} requests",
            asked <= most,
        )
    ]


def _timed(store: ReplayServer, version: str, times: int) -> tuple[float, int]:
    """Return the median seconds of a walk and its requests."""
    _walked(store, version)  # the tape has every answer now
    taken, asked = [], 0
    for _ in range(times):
        store.rewind(LATENCY)
        taken.append(_walked(store, version)["seconds"])
        counts = store.counts()
        if counts.misses:
            raise Failed(f"{counts.misses} requests were not on the tape")
        asked = counts.requests
    return statistics.median(taken), asked


def _rates(store: ReplayServer, images: int, times: int) -> Figure:
    """Compare with a loop of requests and orjson that does nothing with what it reads."""
    store.rewind()
    bare = max(_bare(store, images) for _ in range(times + 1))
    store.rewind()
    ours = max(images / _walked(store, "v3")["seconds"] for _ in range(times))
    return Figure(
        f"V3 scan alone, {images:,} images at 0 ms",
        f"{ours:,.0f} images/s",
        f"requests + orjson, parsed and dropped: {bare:,.0f} images/s",
        "≥ 0.5 of it",
        ours >= 0.5 * bare,
    )


def _bare(store: ReplayServer, images: int) -> float:
    began, seen, after = time.perf_counter(), 0, 0
    with requests.Session() as session:
        session.headers["X-Auth-Token"] = TOKEN
        while seen < images:
            query: dict[str, str | int] = {"id:greater": after, "sort": "id", "limit": 250, "include": "images"}
            page = orjson.loads(session.get(f"{store.api}/v3/catalog/products", params=query).content)["data"]
            after, seen = page[-1]["id"], seen + sum(len(product["images"]) for product in page)
    return images / (time.perf_counter() - began)


def _walked(store: ReplayServer, version: str) -> dict[str, float]:
    from pathlib import Path
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        once(Command([sys.executable, "-m", "benchmarks.full_scan", store.url, version]), out)
        measured: dict[str, float] = orjson.loads(out.read_bytes())
        return measured


def walk(url: str, version: str) -> dict[str, float]:
    """Walk the whole store; return seconds, images, and megabytes at the peak."""
    from bc_images.bigcommerce import open_store
    from bc_images.settings import Settings

    config = {"store_hash": HASH, "access_token": TOKEN, "api_url": url, "store_url": url, "api_version": version}
    store = open_store(Settings.from_config({**config, "concurrency": CONCURRENCY, "rate_limit_reserve": 0}))
    began = time.perf_counter()
    store.count_images()
    images = sum(len(product.images) for product in store.scan())
    seconds = time.perf_counter() - began
    return {
        "seconds": seconds,
        "images": images,
        "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
    }


if __name__ == "__main__":
    sys.stdout.buffer.write(orjson.dumps(walk(*sys.argv[1:3])))
