"""The settings of a tap that backs a sandbox up into a folder, and the records that it writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bigcommerce_sandbox import STORE_HASH, TOKEN, SandboxServer
from tests.support.commands import CommandResult


def tap_config(sandbox: SandboxServer, folder: Path) -> Path:
    """Write the settings of a tap that backs a sandbox up into ``files`` of a folder; return their path."""
    path = folder / "config.json"
    settings = {"store_hash": STORE_HASH, "access_token": TOKEN, "api_url": sandbox.url, "store_url": sandbox.url}
    path.write_text(json.dumps({**settings, "file_store": str(folder / "files")}))
    return path


def image_records(result: CommandResult) -> list[dict[str, Any]]:
    """The image records that a tap has written, in order."""
    messages = map(json.loads, result.out.splitlines())
    return [
        message["record"]
        for message in messages
        if message["type"] == "RECORD" and message["stream"] == "product_images"
    ]
