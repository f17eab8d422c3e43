"""Two restores of one store that share a file store and nothing else: one of them writes, and nothing is doubled."""

from __future__ import annotations

from pathlib import Path

import pytest
from platformdirs import user_state_path

from bc_images.files import locks, open_files
from bc_images.files.locks import StoreLock, read_locks
from bigcommerce_sandbox import STORE_HASH
from target_bc_images.settings import TargetSettings
from tests.support import killable_process
from tests.support.target import RestoreScenario


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks.random, "uniform", lambda *_: 0.01)  # type: ignore[attr-defined]
    monkeypatch.setattr(locks, "_POLL", 0.01)


def lose_everything(scenario: RestoreScenario) -> None:
    for image in scenario.sandbox.dump(files=False)["images"]:
        scenario.sandbox.delete_image(image["id"])


def test_a_second_restore_with_another_state_dir_is_refused(scenario: RestoreScenario, tmp_path: Path) -> None:
    backup = tmp_path / "backup.singer"
    backup.write_bytes(scenario.backup())
    before = scenario.state()
    lose_everything(scenario)
    scenario.sandbox.set_flags(latency_ms=50)
    elsewhere = {"state_dir": str(tmp_path / "elsewhere"), "report": ""}
    first = killable_process.start(scenario.config, backup)
    assert killable_process.wait_for_request(scenario.sandbox, len(scenario.sandbox.requests()) + 4, first)
    second = scenario.restore(backup.read_bytes(), **elsewhere)
    assert second.code == 3
    assert f"Another restore of the store {STORE_HASH} is running: process {first.pid} on " in second.err
    assert "Nothing was written" in second.err
    first.join(killable_process.LONG)
    assert first.exitcode == 0
    assert scenario.state() == before
    third = scenario.restore(backup.read_bytes(), **elsewhere)
    assert (third.code, scenario.state()) == (0, before)
    assert not read_locks(open_files(scenario.config["file_store"]).backend, STORE_HASH)


def test_the_lock_of_a_killed_restore_does_not_stand_in_the_way(scenario_v3: RestoreScenario, tmp_path: Path) -> None:
    backup = tmp_path / "backup.singer"
    backup.write_bytes(scenario_v3.backup())
    before = scenario_v3.state()
    lose_everything(scenario_v3)
    scenario_v3.sandbox.set_flags(latency_ms=50)
    first = killable_process.start(scenario_v3.config, backup)
    assert killable_process.wait_for_request(scenario_v3.sandbox, len(scenario_v3.sandbox.requests()) + 4, first)
    killable_process.kill(first)
    killable_process.settled(scenario_v3.sandbox)
    backend = open_files(scenario_v3.config["file_store"]).backend
    assert read_locks(backend, STORE_HASH)
    assert scenario_v3.restore(backup.read_bytes()).code in {0, 1}
    assert not read_locks(backend, STORE_HASH)
    assert scenario_v3.state() == before


def test_a_plan_takes_no_lock_and_is_not_refused(scenario_v3: RestoreScenario) -> None:
    backup = scenario_v3.backup()
    with StoreLock(open_files(scenario_v3.config["file_store"]).backend, STORE_HASH):
        assert scenario_v3.restore(backup, dry_run=True).code == 0
        assert scenario_v3.restore(backup).code == 3


def test_a_restore_whose_lock_is_removed_stops_and_says_so(
    scenario_v3: RestoreScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = scenario_v3.backup()
    lose_everything(scenario_v3)
    scenario_v3.sandbox.set_flags(latency_ms=50)
    monkeypatch.setattr(locks, "RENEW_EVERY", 0.0)
    monkeypatch.setattr(locks.StoreLock, "_write", lambda lock: setattr(lock, "_key", "locks/none"))
    run = scenario_v3.restore(backup)
    assert run.code == 3
    assert "The lock of the store sandbox was lost: its entry in the file store was removed" in run.err
    assert run.summary["not_reached"] > 0
    assert not run.out


def test_without_a_file_store_it_is_said_what_is_not_protected(
    scenario_v3: RestoreScenario, caplog: pytest.LogCaptureFixture
) -> None:
    assert scenario_v3.restore(scenario_v3.backup(files=False), file_store="").code == 0
    assert "a restore of this store from elsewhere would not be seen" in caplog.text


def test_the_default_state_dir_does_not_depend_on_the_working_folder() -> None:
    options = TargetSettings.from_config({"store_hash": "abc"})
    assert options.state_dir == user_state_path("bc-images", appauthor=False) / "abc"
    assert options.state_dir.is_absolute()
