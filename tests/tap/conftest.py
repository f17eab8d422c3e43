from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from bigcommerce_sandbox import SandboxServer


@pytest.fixture(autouse=True)
def _untouched(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep the tap's settings out of the environment, and its signal handlers out of the test process."""
    for name in list(os.environ):
        if name.startswith("TAP_BC_IMAGES_"):
            monkeypatch.delenv(name)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def _server() -> Iterator[SandboxServer]:
    with SandboxServer(products=0) as server:
        yield server


@pytest.fixture
def sandbox(_server: SandboxServer) -> SandboxServer:
    """An empty store; `reset` fills it."""
    _server.set_flags(
        latency_ms=0,
        seed_without_images=0,
        v2_available="on",
        quota=1_000_000,
        picture_bytes=0,
        slow_ms=1000,
        cdn="off",
    )
    _server.reset(products=0, images=0, seed=0)
    return _server


@pytest.fixture(params=["v3", "v2"])
def version(request: pytest.FixtureRequest) -> str:
    """Each API version in turn."""
    return str(request.param)
