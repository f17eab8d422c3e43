"""The console scripts of the connectors; say which extra is missing."""

from __future__ import annotations

import importlib
from typing import NoReturn

from bc_images.cli.exit import run_and_exit
from bc_images.errors import SettingsError

__all__ = ["destination", "source"]


def source() -> NoReturn:
    """Run ``source-bc-images``."""
    _start("source")


def destination() -> NoReturn:
    """Run ``destination-bc-images``."""
    _start("destination")


def _start(name: str) -> NoReturn:
    try:
        connector = importlib.import_module(f"bc_images_airbyte.{name}")
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if missing.partition(".")[0] != "airbyte_protocol_dataclasses":
            raise
        message = f"{missing} is not installed. Run: pip install 'bc-images[airbyte]'"

        def refuse() -> NoReturn:
            raise SettingsError(message)

        run_and_exit(f"{name}-bc-images", refuse, interrupted_message="stopped.")
    connector.main()
    raise AssertionError("a connector's main never returns")
