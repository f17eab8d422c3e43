"""The store that the benchmarks read: a sandbox, and before it a server that replays its answers at no cost."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import Request, urlopen

from benchmarks.harness import ROOT, Command, Failed, Run, beside_python, environment, once

__all__ = ["HASH", "TOKEN", "Counts", "ReplayServer", "replay_server", "sandbox"]

HASH, TOKEN = "sandbox", "sandbox-token"
CONCURRENCY = 8


@dataclass(frozen=True)
class Counts:
    """Requests since the tape was rewound: all, those for pictures, and those that went on to the sandbox."""

    requests: int
    pictures: int
    misses: int


@dataclass(frozen=True)
class ReplayServer:
    """A running store; `url` serves as api_url and store_url."""

    url: str

    @property
    def api(self) -> str:
        """Where the API is."""
        return f"{self.url}/stores/{HASH}"

    def rewind(self, latency_ms: float = 0) -> None:
        """Delay every answer by so many milliseconds, and count anew."""
        urlopen(Request(f"{self.url}/_replay?latency={latency_ms}", method="POST")).close()

    def counts(self) -> Counts:
        """Return what was asked since."""
        with urlopen(f"{self.url}/_replay") as answer:
            return Counts(**json.load(answer))

    def tap(self, api_version: str = "v3", **settings: str | int) -> Command:
        """Our tap on this store, set through its environment."""
        given = {
            "store_hash": HASH,
            "access_token": TOKEN,
            "api_url": self.url,
            "store_url": self.url,
            "api_version": api_version,
            "concurrency": CONCURRENCY,
            **settings,
        }
        env = {f"TAP_BC_IMAGES_{name.upper()}": str(value) for name, value in given.items()}
        return Command([beside_python("tap-bc-images"), "--config=ENV"], env)

    def peer(self, name: str, *arguments: str) -> Command:
        """Return a program of `benchmarks.peers` on this store, in our own virtual environment."""
        return Command([sys.executable, "-m", f"benchmarks.peers.{name}", self.api, TOKEN, *arguments])

    def timed(self, command: Command, latency_ms: float = 0, out: Path | None = None) -> tuple[Run, Counts]:
        """Run a command once and say what it asked for.

        Raises:
            Failed: something was asked that is not on the tape, so that the sandbox was measured with it.
        """
        self.rewind(latency_ms)
        run = once(command, out)
        counts = self.counts()
        if counts.misses:
            raise Failed(f"{command.argv}: {counts.misses} of {counts.requests} requests were not on the tape")
        return run, counts


@contextmanager
def _process(*argv: str | Path) -> Iterator[str]:
    """Run a server for the time of the context; yield the address that its first line names."""
    command = [str(part) for part in argv]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment()) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            found = re.findall(r"http://127\.0\.0\.1:\d+", line)
            if not found:
                raise Failed(f"{argv} did not start")
            yield found[-1]
        finally:
            process.terminate()


@contextmanager
def sandbox(products: int, images: int, *options: str) -> Iterator[str]:
    """Run a sandbox store in a process of its own; yield its address."""
    stock = [f"--products={products}", f"--images={images}"]
    with _process(beside_python("bc-images"), "sandbox", "--port=0", *stock, *options) as url:
        yield url


@contextmanager
def replay_server(products: int, images: int, *options: str) -> Iterator[ReplayServer]:
    """Run a sandbox and a replay server before it, each in a process of its own."""
    with ExitStack() as stack:
        behind = stack.enter_context(sandbox(products, images, *options))
        yield ReplayServer(stack.enter_context(_process(sys.executable, "-m", "benchmarks.replay", behind)))
