"""Whatever fails, at whichever request: after a second run the store is as after a clean restore."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bc_images.sandbox import SandboxServer
from bc_images.sandbox.faults import FAULTS
from tests.target import victim
from tests.target.scenario import Scenario

REQUESTS = {("v3", "upsert"): 16, ("v3", "mirror"): 27, ("v2", "upsert"): 38, ("v2", "mirror"): 64}
"""How many requests the clean restore takes, WebDAV's among them: a change here is to be understood."""

HELD = "pP"  # for clients that are killed meanwhile
LETTERS = "".join(letter for letter in FAULTS if letter not in "." + HELD)


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with SandboxServer(products=4, images=3) as box:
        yield box


@pytest.fixture(params=["upsert", "mirror"])
def scenario(server: SandboxServer, tmp_path: Path, api_version: str, request: pytest.FixtureRequest) -> Scenario:
    return Scenario(server, tmp_path, api_version, request.param)


def test_the_clean_restore(scenario: Scenario) -> None:
    run = scenario.run()
    assert run.code == 0, run.err
    assert scenario.state() == scenario.wanted
    requests = scenario.box.requests()
    assert len(requests) == REQUESTS[scenario.config["api_version"], scenario.mode], [
        (each["method"], each["path"]) for each in requests
    ]


def disturbed(scenario: Scenario, index: int, letter: str, *, lose_ledger: bool) -> None:
    """Restore with a fault at one request, once more if that run did not get through, and look at the end."""
    scenario.prepare()
    scenario.box.faults("." * index + letter, match="")
    run = scenario.run()
    scenario.box.faults("")
    where = f"{letter} at request {index + 1}: {run.err}"
    if run.code:
        assert run.code in {1, 3}, where
        assert run.states == [], where
        if lose_ledger:
            scenario.lose_ledger()
        again = scenario.run()
        assert again.code == 0, f"{where}, then {again.err}"
    assert scenario.state() == scenario.wanted, where
    scenario.end()


@pytest.mark.parametrize("letter", "wlnt5")
def test_a_fault_now_and_then(scenario: Scenario, letter: str) -> None:
    """A sample of the next test: faults of every kind, spread over the requests."""
    requests = REQUESTS[scenario.config["api_version"], scenario.mode]
    for index in range(LETTERS.index(letter) % 7, requests, max(7, requests // 3)):
        disturbed(scenario, index, letter, lose_ledger=False)


@pytest.mark.slow
@pytest.mark.parametrize("letter", LETTERS)
def test_any_fault_at_any_request(scenario: Scenario, letter: str) -> None:
    for index in range(REQUESTS[scenario.config["api_version"], scenario.mode]):
        disturbed(scenario, index, letter, lose_ledger=False)


def killed(scenario: Scenario, index: int, letter: str, *, lose_ledger: bool) -> None:
    """Kill a restore while one of its requests is held, before or after the store has done it; restore again."""
    scenario.prepare()
    scenario.box.faults("." * index + letter, match="")
    process = victim.start(scenario.config, scenario.backup_file)
    assert victim.wait_for_request(scenario.box, index + 1, process), "it ended before"
    victim.settled(scenario.box)
    victim.kill(process)
    scenario.box.faults("")
    victim.settled(scenario.box)
    if lose_ledger:
        scenario.lose_ledger()
    run = scenario.run()
    where = f"killed at request {index + 1} ({letter}): {run.err}"
    assert run.code == 0, where
    assert scenario.state() == scenario.wanted, where
    scenario.end()


@pytest.mark.parametrize("letter", HELD)
def test_killed_now_and_then(scenario: Scenario, letter: str) -> None:
    """A sample of the next test."""
    requests = REQUESTS[scenario.config["api_version"], scenario.mode]
    for index in range(HELD.index(letter) + 2, requests, requests // 2):
        killed(scenario, index, letter, lose_ledger=False)


@pytest.mark.slow
@pytest.mark.parametrize("letter", HELD)
@pytest.mark.parametrize("lose_ledger", [False, True])
def test_killed_at_any_request(scenario: Scenario, letter: str, lose_ledger: bool) -> None:
    for index in range(REQUESTS[scenario.config["api_version"], scenario.mode]):
        killed(scenario, index, letter, lose_ledger=lose_ledger)
