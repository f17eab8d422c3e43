"""The rate budget as the sole user of a store: how much of the quota is used while it is the bound, and how many 429s.

The window is scaled down from 30 s. ``python -m benchmarks.quota <address> <requests> <reserve>`` is what is
measured: a process that sends so many small requests as fast as it may and prints the seconds.
"""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import Request, urlopen

from benchmarks.harness import Command, Figure, once
from benchmarks.sandbox_store import CONCURRENCY, HASH, TOKEN, sandbox

QUOTA = 150
WINDOW = 1000  # milliseconds


def figures(*, short: bool) -> list[Figure]:
    """Measure without and with a share that is left to other apps."""
    windows = 4 if short else 20
    figures = []
    with sandbox(1, 1, f"--quota={QUOTA}", f"--window={WINDOW}") as url:
        for reserve in (0.0, 0.1):
            granted = QUOTA - int(QUOTA * reserve)
            # What begins and ends a run is in both of them, and falls out of the difference.
            first = _seconds(url, 2 * granted, reserve)
            second = _seconds(url, (2 + windows) * granted, reserve)
            share = windows * WINDOW / 1000 / (second - first)
            refused = _refused(url)
            figures.append(
                Figure(
                    f"quota of {QUOTA} per {WINDOW / 1000:g} s, sole user, reserve {reserve}",
                    f"{share:.1%} of the {granted} used, {refused} × 429",
                    f"{windows} windows",
                    "≥ 95 %, 0 × 429",
                    share >= 0.95 and refused == 0,
                )
            )
    return figures


def _seconds(url: str, number: int, reserve: float) -> float:
    with TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        once(Command([sys.executable, "-m", "benchmarks.quota", url, str(number), str(reserve)]), out)
        time.sleep(WINDOW / 1000)  # the next run finds a fresh window
        return float(out.read_text())


def _refused(url: str) -> int:
    """Return how many requests were answered with 429, and forget them."""
    with urlopen(f"{url}/_sandbox/requests") as answer:
        statuses = [request["status"] for request in json.load(answer)]
    urlopen(Request(f"{url}/_sandbox/requests", method="DELETE")).close()
    return statuses.count(429)


def send(url: str, number: int, reserve: float) -> float:
    """Send so many requests as fast as the budget lets them go; return the seconds."""
    from bc_images.bigcommerce.transport import HttpClient
    from bc_images.settings import Settings

    config = {"store_hash": HASH, "access_token": TOKEN, "api_url": url, "concurrency": CONCURRENCY}
    client = HttpClient(Settings.from_config({**config, "rate_limit_reserve": reserve}))
    began = time.perf_counter()
    with ThreadPoolExecutor(CONCURRENCY) as executor:
        for answer in executor.map(client.get, ["/v2/time"] * number):
            assert answer
    return time.perf_counter() - began


if __name__ == "__main__":
    print(send(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
