"""Whatever fails, at whichever request: after a second run the store is as after a clean restore.

The quick cases take some of the requests, the slow ones all: every fault at every request, and a kill at every
request, before and after the store has done its work, with and without the ledger.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bigcommerce_sandbox import SandboxServer
from bigcommerce_sandbox.faults import FAULT_CODES
from target_bc_images import executor
from tests.support import killable_process
from tests.support.damaged_store import THIRD, DamagedStore
from tests.support.target import ImageState

REQUESTS = {("v3", "upsert"): 18, ("v3", "mirror"): 30, ("v2", "upsert"): 42, ("v2", "mirror"): 70}
"""How many requests the clean restore takes, WebDAV's among them: a change here is to be understood."""

HELD = "pP"  # for clients that are killed meanwhile
CODES = "".join(code for code in FAULT_CODES if code not in "." + HELD)


@pytest.fixture(autouse=True)
def poll_delays(impatient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed client's create is decided by the clock of the store, which counts whole seconds."""
    monkeypatch.setattr(executor, "POLL_DELAYS", killable_process.POLL_DELAYS)


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with SandboxServer(products=4, images=3) as sandbox:
        yield sandbox


@pytest.fixture(params=["upsert", "mirror"])
def damaged(server: SandboxServer, tmp_path: Path, api_version: str, request: pytest.FixtureRequest) -> DamagedStore:
    return DamagedStore(server, tmp_path, api_version, request.param)


def all_requests(damaged: DamagedStore) -> int:
    return REQUESTS[damaged.config["api_version"], damaged.mode]


def some_requests(damaged: DamagedStore, code: str) -> range:
    """Return three or four of the requests, all over the restore, and other ones for each fault."""
    stride = all_requests(damaged) // 3
    return range(ord(code) % stride, all_requests(damaged), stride)


def test_the_clean_restore(damaged: DamagedStore) -> None:
    run = damaged.run()
    assert run.code == 0, run.err
    assert damaged.state() == damaged.wanted
    requests = [(each["method"], each["path"]) for each in damaged.sandbox.requests()]
    assert len(requests) == all_requests(damaged), requests


def disturbed(damaged: DamagedStore, index: int, code: str) -> None:
    """Restore with a fault at one request, once more if that run did not get through, and look at the end."""
    damaged.prepare()
    damaged.sandbox.faults("." * index + code, match="")
    run = damaged.run()
    damaged.sandbox.faults("")
    where = f"{code} at request {index + 1}: {run.err}"
    if run.code:
        assert run.code in {1, 3}, where
        assert run.states == [], where
        again = damaged.run()
        assert again.code == 0, f"{where}, then {again.err}"
    assert damaged.state() == damaged.wanted, where
    damaged.end()


def killed(damaged: DamagedStore, index: int, code: str, *, lose_ledger: bool) -> None:
    """Kill a restore while one of its requests is held, before or after the store has done it; restore again."""
    damaged.prepare()
    damaged.sandbox.faults("." * index + code, match="")
    process = killable_process.start(damaged.config, damaged.backup_file)
    assert killable_process.wait_for_request(damaged.sandbox, index + 1, process), "it ended before"
    killable_process.settled(damaged.sandbox)
    killable_process.kill(process)
    damaged.sandbox.faults("")
    killable_process.settled(damaged.sandbox)
    if lose_ledger:
        damaged.lose_ledger()
    run = damaged.run()
    where = f"killed at request {index + 1} ({code}): {run.err}"
    assert run.code == 0, where
    state, wanted = damaged.state(), damaged.wanted
    if lose_ledger:  # nobody else knows where the store has moved an image from that the backup does not know
        state, wanted = without_places_of_strangers(state), without_places_of_strangers(wanted)
    assert state == wanted, where
    damaged.end()


def without_places_of_strangers(found: dict[int, list[ImageState]]) -> dict[int, list[ImageState]]:
    def forget(shape: ImageState) -> ImageState:
        return (0, *shape[1:]) if shape[2] == "new" else shape

    return {**found, THIRD: sorted(map(forget, found[THIRD]))}


@pytest.mark.parametrize("code", "qwlnh")
def test_a_fault_at_some_requests(damaged: DamagedStore, code: str) -> None:
    for index in some_requests(damaged, code):
        disturbed(damaged, index, code)


@pytest.mark.parametrize("code", HELD)
def test_killed_at_some_requests(damaged: DamagedStore, code: str) -> None:
    for number, index in enumerate(some_requests(damaged, code)):
        killed(damaged, index, code, lose_ledger=number % 3 == 1)


@pytest.mark.slow
@pytest.mark.parametrize("code", CODES)
def test_any_fault_at_any_request(damaged: DamagedStore, code: str) -> None:
    # The longest restore repeats what the three others do: there each fault takes every third request, in turns.
    turns = 3 if all_requests(damaged) == max(REQUESTS.values()) else 1
    for index in range(ord(code) % turns, all_requests(damaged), turns):
        disturbed(damaged, index, code)


@pytest.mark.slow
@pytest.mark.parametrize("code", HELD)
@pytest.mark.parametrize("lose_ledger", [False, True], ids=["ledger", "no ledger"])
def test_killed_at_any_request(damaged: DamagedStore, code: str, lose_ledger: bool) -> None:
    for index in range(all_requests(damaged)):
        killed(damaged, index, code, lose_ledger=lose_ledger)
