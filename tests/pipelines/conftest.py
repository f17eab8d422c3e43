from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bigcommerce_sandbox import SandboxServer
from tests.support.meltano_project import Project
from tests.support.postgres import Postgres, postgres


@pytest.fixture
def store() -> Iterator[SandboxServer]:
    """A small store whose every fifth product has no image."""
    with SandboxServer(products=30, images=3, flags={"seed_without_images": 5}) as running:
        yield running


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    """One PostgreSQL for all tests."""
    with postgres() as running:
        yield running


@pytest.fixture
def warehouse(server: Postgres) -> Iterator[Postgres]:
    """An empty warehouse."""
    server.empty()
    yield server
    server.empty()


@pytest.fixture
def project(tmp_path: Path, store: SandboxServer) -> Project:
    """The Meltano project, pointed at the store."""
    return Project(tmp_path / "project", store.url)


@pytest.fixture
def with_postgres(tmp_path: Path, store: SandboxServer, warehouse: Postgres) -> Project:
    """The Meltano project, pointed at the store and the warehouse."""
    settings = {**warehouse.settings("target-postgres"), **warehouse.settings("tap-postgres")}
    return Project(tmp_path / "project", store.url, settings)
