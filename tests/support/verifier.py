"""``bc-images verify`` over the backup of a store, as a fixture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bc_images.cli.verify import verify
from bc_images.errors import BcImagesError
from tests.support.commands import restored_handlers
from tests.support.target import RestoreScenario


class Verifier:
    """Backs a store up, and runs the command over this backup."""

    def __init__(self, scenario: RestoreScenario) -> None:
        self.scenario = scenario
        self.backup = scenario.folder / "backup.singer"
        self.backup.write_bytes(scenario.backup())

    def __call__(self, *arguments: str, backup: Path | None = None, **config: Any) -> tuple[int, list[str]]:
        settings = self.scenario.folder / "config.json"
        settings.write_text(json.dumps(self.scenario.config | config))
        command = ["--backup", str(backup or self.backup), "--config", str(settings), *arguments]
        with restored_handlers():
            result = CliRunner().invoke(verify, command)
        if isinstance(result.exception, BcImagesError):
            return result.exception.exit_code, [*result.stdout.splitlines(), str(result.exception)]
        assert isinstance(result.exception, SystemExit | None), result.exception
        return result.exit_code, result.stdout.splitlines()


@pytest.fixture
def verifier(scenario: RestoreScenario) -> Verifier:
    """The command over a backup of the store, over both versions of the API."""
    return Verifier(scenario)


@pytest.fixture
def verifier_v3(scenario_v3: RestoreScenario) -> Verifier:
    """The command over a backup of the store, over V3."""
    return Verifier(scenario_v3)
