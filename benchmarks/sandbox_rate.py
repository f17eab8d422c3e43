"""How many small V2 lists a second the sandbox serves, so that it is not what is measured elsewhere."""

from __future__ import annotations

import re
import shutil
import statistics
import subprocess

from benchmarks.harness import Failed, Figure
from benchmarks.sandbox_store import HASH, TOKEN, replay_server, sandbox

PATH = f"/stores/{HASH}/v2/products/101/images"


def figures(*, short: bool) -> list[Figure]:
    """Ask with wrk, over 16 connections; the baseline is a server that sends the same bytes without any work."""
    if shutil.which("wrk") is None:
        raise Failed("wrk is not installed. On Debian: apt-get install wrk")
    seconds, times = (1, 1) if short else (4, 3)
    with sandbox(1000, 3) as url, replay_server(10, 3) as store:
        rates = {address: [_wrk(address, seconds) for _ in range(times)] for address in (url, store.url)}
    ours, baseline = (statistics.median(of) for of in rates.values())
    return [
        Figure("sandbox, small V2 lists", f"{ours:,.0f} a second", f"replay {baseline:,.0f}", "≥ 4,000", ours >= 4000)
    ]


def _wrk(url: str, seconds: int) -> float:
    headers = ["-H", f"X-Auth-Token: {TOKEN}", "-H", "Accept: application/json"]
    command = ["wrk", "-t1", "-c16", f"-d{seconds}s", *headers, url + PATH]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
    if rate is None or "Non-2xx" in output or "Socket errors" in output:
        raise Failed(f"wrk: {output}")
    return float(rate[1])
