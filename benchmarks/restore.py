"""Restoring: a store that has lost every image, at 50 ms a request; and one in which nothing is to be done."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from benchmarks.harness import Command, Failed, Figure, Run, median, once
from benchmarks.sandbox_store import CONCURRENCY, ReplayServer, replay_server, sandbox
from benchmarks.target import backup, ours

LATENCY = 50  # milliseconds a request
IMAGES = 3  # a product


def figures(*, short: bool) -> list[Figure]:
    """Measure 3,000 creates with the ledger on, and a restore of 10,000 products that finds nothing to do."""
    products, times, many = (100, 1, 1000) if short else (1000, 3, 10_000)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return [*_creates(folder, products, times), _nothing(folder, many)]


def _creates(folder: Path, products: int, times: int) -> list[Figure]:
    number = products * IMAGES
    with sandbox(products, IMAGES) as url:
        store, files = ReplayServer(url), str(folder / "files")
        once(store.tap(file_store=files), folder / "backup.singer")
        start_up = median(once(Command([*store.tap().argv[:1], "--version"])) for _ in range(3)).seconds
        runs: list[Run] = []
        requests = 0
        for run in range(times):
            for image in _admin(url, "GET", "state?files=0")["images"]:
                _admin(url, "DELETE", f"images/{image['id']}")
            _admin(url, "DELETE", "requests")
            _admin(url, "POST", "flags", {"latency_ms": LATENCY})
            state = str(folder / f"state-{run}")
            runs.append(once(ours(store, folder, folder / "backup.singer", file_store=files, state_dir=state)))
            _admin(url, "POST", "flags", {"latency_ms": 0})
            sent = _admin(url, "GET", "requests")
            requests = len(sent)
            creates = sum(each["method"] == "POST" for each in sent)
            if creates != number:
                raise Failed(f"there were {creates} creates, not {number}")
    seconds, least = median(runs).seconds, requests * LATENCY / 1000 / CONCURRENCY
    most = 1.2 * least + start_up
    what = f"restore, {number:,} creates with their pictures at {LATENCY} ms, ledger on, concurrency {CONCURRENCY}"
    against = f"{requests:,} requests × {LATENCY} ms / {CONCURRENCY} = {least:.2f} s, start-up {start_up:.2f} s"
    return [
        Figure(
            f"{what}, whole process",
            f"{seconds:.2f} s",
            against,
            f"≤ 1.2 × {least:.2f} s + start-up = {most:.2f} s",
            seconds <= most,
        )
    ]


def _nothing(folder: Path, products: int) -> Figure:
    with replay_server(products, IMAGES) as store:
        path = backup(store, folder)
        command = ours(store, folder, path)
        once(command)  # the tape has everything now
        run, counts = store.timed(command, LATENCY)
    most = -(-products // 250) + 5
    return Figure(
        f"restore, {products:,} × {IMAGES} with nothing to do at {LATENCY} ms: requests",
        f"{counts.requests} ({run.seconds:.2f} s)",
        "",
        f"≤ {most}",
        counts.requests <= most,
    )


def _admin(url: str, method: str, what: str, body: dict[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = Request(f"{url}/_sandbox/{what}", data, {"Content-Type": "application/json"}, method=method)
    with urlopen(request) as answer:
        return json.loads(answer.read() or b"null")
