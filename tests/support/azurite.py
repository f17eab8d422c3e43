"""Azurite from npm, Microsoft's own emulator of Azure Blob Storage."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.environments import CACHE, made_once
from tests.support.postgres import free_port
from tests.support.processes import running

__all__ = ["Azurite", "azurite"]

_PACKAGE = "azurite@3.35.0"
_ACCOUNT = "devstoreaccount1"
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The documented key of every Azurite; no secret."""


@dataclass(frozen=True)
class Azurite:
    """A running server."""

    port: int

    def connection_string(self, key: str = _KEY) -> str:
        """Return what leads a client to the server."""
        address = f"http://127.0.0.1:{self.port}/{_ACCOUNT}"
        return f"DefaultEndpointsProtocol=http;AccountName={_ACCOUNT};AccountKey={key};BlobEndpoint={address};"

    @property
    def wrong_key(self) -> str:
        """A key of the right form that the server does not accept."""
        return f"Zzzz{_KEY[4:]}"


@contextmanager
def azurite(folder: Path) -> Iterator[Azurite]:
    """Start a server on a free port with its data in `folder`."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not installed: apt-get install nodejs npm")
    port = free_port()
    options = ["--silent", "--skipApiVersionCheck", "--blobHost", "127.0.0.1", "--blobPort", str(port)]
    with running("node", _program(), *options, "--location", folder, port=port, log=folder / "log"):
        yield Azurite(port)


def _program() -> Path:
    """Return the program; the first call installs it."""
    modules = CACHE / "azurite"
    with made_once(modules, _PACKAGE) as is_made:
        if not is_made:
            modules.mkdir(parents=True)
            (modules / "package.json").write_text("{}")
            command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", _PACKAGE]
            done = subprocess.run(command, cwd=modules, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
    return modules / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
