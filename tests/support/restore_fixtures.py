"""Fixtures: a store to be backed up, damaged and restored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bc_images.bigcommerce.retry import RetryPolicy
from bigcommerce_sandbox import SandboxServer
from target_bc_images import executor
from tests.support import killable_process
from tests.support.target import RestoreScenario


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait as often as a real run does, and not as long."""
    monkeypatch.setattr(executor, "POLL_DELAYS", (0.0, 0.01, 0.03, 0.1))
    monkeypatch.setattr(RetryPolicy, "backoff", killable_process.backoff)


@pytest.fixture(params=["v3", "v2"])
def api_version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    """A store of 5 products with 3 images each."""
    with SandboxServer(products=5, images=3) as server:
        yield server


@pytest.fixture
def scenario(sandbox: SandboxServer, tmp_path: Path, api_version: str) -> RestoreScenario:
    """The store with files, over both versions of the API."""
    return RestoreScenario(sandbox, tmp_path, api_version)


@pytest.fixture
def scenario_v3(sandbox: SandboxServer, tmp_path: Path) -> RestoreScenario:
    """The store with files, over V3."""
    return RestoreScenario(sandbox, tmp_path)
