from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bc_images.files import webdav
from bc_images.http import client
from bc_images.sandbox import SandboxServer
from target_bc_images import apply
from tests.target import victim
from tests.target.stage import Stage


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait as often as a real run does, and not as long."""
    monkeypatch.setattr(apply, "PATIENCE", victim.PATIENCE)
    monkeypatch.setattr(client, "backoff", victim.backoff)
    monkeypatch.setattr(webdav, "backoff", victim.backoff)


@pytest.fixture(params=["v3", "v2"])
def api_version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def box() -> Iterator[SandboxServer]:
    """A store of 5 products with 3 images each."""
    with SandboxServer(products=5, images=3) as server:
        yield server


@pytest.fixture
def stage(box: SandboxServer, tmp_path: Path, api_version: str) -> Stage:
    """The store with files, over both versions of the API."""
    return Stage(box, tmp_path, api_version)


@pytest.fixture
def stage3(box: SandboxServer, tmp_path: Path) -> Stage:
    """The store with files, over V3."""
    return Stage(box, tmp_path)
