"""The settings of a tap that backs a store up into a folder, as a fixture, and the records that it writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bigcommerce_sandbox import STORE_HASH, TOKEN, SandboxServer
from tests.support.commands import CommandResult


@pytest.fixture
def config(sandbox: SandboxServer, tmp_path: Path) -> Path:
    """The file with the settings of a tap that backs the store up into ``files`` beside it."""
    path = tmp_path / "config.json"
    settings = {"store_hash": STORE_HASH, "access_token": TOKEN, "api_url": sandbox.url, "store_url": sandbox.url}
    path.write_text(json.dumps({**settings, "file_store": str(tmp_path / "files")}))
    return path


def image_records(result: CommandResult) -> list[dict[str, Any]]:
    """The image records that a tap has written, in order."""
    messages = map(json.loads, result.out.splitlines())
    return [
        message["record"]
        for message in messages
        if message["type"] == "RECORD" and message["stream"] == "product_images"
    ]
