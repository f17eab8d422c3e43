"""The ledger: one run at a time, never another store's, and what happens when it is lost, damaged or full."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from bc_images.errors import FatalError, SettingsError
from bigcommerce_sandbox import SandboxServer
from target_bc_images.context import LedgerEntry
from target_bc_images.ledger import Intent, Ledger
from tests.support import killable_process
from tests.support.full_disk import no_file_longer_than
from tests.support.target import RestoreScenario

FIRST, SECOND = 101, 102
SOURCE = ("sandbox", 1)
INTENT = Intent(FIRST, SOURCE, "a/001/x__12345.jpg", frozenset({"x"}), frozenset({7, 9}), 5.0)


def empty(scenario: RestoreScenario, product_id: int = FIRST) -> None:
    for image in scenario.images(product_id):
        scenario.sandbox.delete_image(image["id"])


class TestBook:
    """What is written down is there after a crash."""

    def test_intents_and_what_became_of_them(self, tmp_path: Path) -> None:
        ledger = Ledger(tmp_path, "sandbox")
        other = Intent(SECOND, ("other", 2), "b", frozenset({"b"}), frozenset(), 6.0)
        ledger.begin(INTENT)
        ledger.begin(other)
        ledger.close()
        ledger = Ledger(tmp_path, "sandbox")
        assert ledger.open_intents() == [INTENT, other]
        ledger.commit(FIRST, SOURCE, LedgerEntry(12, "x", "y"))
        ledger.abort(other)
        assert ledger.open_intents() == []
        assert ledger.entries([SOURCE, ("other", 2)]) == {SOURCE: LedgerEntry(12, "x", "y")}
        ledger.close()

    def test_a_chain_of_restores_ends_where_the_image_is_now(self, tmp_path: Path) -> None:
        ledger = Ledger(tmp_path, "sandbox")
        ledger.commit(
            FIRST, ("shop", 5), LedgerEntry(9, "a", "b")
        )  # restored, lost, backed up as 9 before, restored again
        ledger.commit(FIRST, ("sandbox", 9), LedgerEntry(12, "b", "c"))
        ledger.commit(FIRST, ("sandbox", 12), LedgerEntry(15, "other", "d"))  # with another picture by then
        assert ledger.entries([("shop", 5), ("sandbox", 9), ("sandbox", 12)]) == {
            ("shop", 5): LedgerEntry(15, "", "d"),
            ("sandbox", 9): LedgerEntry(15, "", "d"),
            ("sandbox", 12): LedgerEntry(15, "other", "d"),
        }
        ledger.commit(FIRST, ("sandbox", 12), LedgerEntry(15, "c", "d"))
        assert ledger.entries([("shop", 5)]) == {("shop", 5): LedgerEntry(15, "a", "d")}
        ledger.commit(
            FIRST, ("sandbox", 15), LedgerEntry(9, "d", "b")
        )  # a store that was reset: a chain without an end
        assert ledger.entries([("shop", 5)]) == {("shop", 5): LedgerEntry(9, "a", "b")}
        assert ledger.entries([("shop", 5)], {12: "c"}) == {("shop", 5): LedgerEntry(12, "a", "c")}
        assert ledger.owner_of({9: "b", 12: "c", 15: "another file", 99: "x"}) == {
            9: ("sandbox", 15),
            12: ("sandbox", 9),
        }
        ledger.close()

    def test_siblings_are_remembered_for_a_day(self, tmp_path: Path) -> None:
        ledger, now = Ledger(tmp_path, "sandbox"), 1_800_000_000.0
        ledger.save_siblings({FIRST: [{"id": 7, "sort_order": 3, "is_thumbnail": True, "description": "x"}]}, now)
        assert ledger.load_siblings([FIRST, SECOND], now) == {7: {"sort_order": 3, "is_thumbnail": True}}
        assert ledger.load_siblings([SECOND], now) == {}
        assert ledger.load_siblings([FIRST], now + 25 * 3600) == {}
        ledger.clear_siblings([FIRST])
        assert ledger.load_siblings([FIRST], now) == {}
        ledger.close()

    def test_a_copy_to_read_leaves_no_trace(self, tmp_path: Path) -> None:
        assert Ledger.read_only(tmp_path / "none", "sandbox").open_intents() == []
        assert not (tmp_path / "none").exists()
        ledger = Ledger(tmp_path, "sandbox")
        ledger.begin(INTENT)
        before = {each.name: each.read_bytes() for each in tmp_path.iterdir()}  # as a killed run leaves it
        assert Ledger.read_only(tmp_path, "sandbox").open_intents() == [INTENT]
        assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == before
        ledger.close()


class TestOneAtATime:
    def test_the_second_refuses_and_names_the_holder(self, scenario_v3: RestoreScenario, tmp_path: Path) -> None:
        backup = tmp_path / "backup.singer"
        backup.write_bytes(scenario_v3.backup())
        empty(scenario_v3)
        scenario_v3.sandbox.clear_requests()
        scenario_v3.sandbox.faults(".p")
        first = killable_process.start(scenario_v3.config, backup)
        assert killable_process.wait_for_request(scenario_v3.sandbox, 2, first)
        before = len(scenario_v3.sandbox.requests())
        second = scenario_v3.restore(backup.read_bytes())
        assert second.code == 2
        assert f"process {first.pid} on " in second.err
        assert "is restoring to this store with this state_dir: wait for it, or stop it" in second.err
        assert len(scenario_v3.sandbox.requests()) == before
        killable_process.kill(first)
        scenario_v3.sandbox.faults("")
        third = scenario_v3.restore(backup.read_bytes())  # the lock has died with its holder
        assert third.code == 0, third.err
        assert len(scenario_v3.images(FIRST)) == 3

    def test_another_store_has_a_ledger_of_its_own(self, tmp_path: Path) -> None:
        one, two = Ledger(tmp_path, "one"), Ledger(tmp_path, "two")
        one.close()
        two.close()


class TestLost:
    def test_of_another_store(self, scenario_v3: RestoreScenario) -> None:
        Ledger(scenario_v3.state_dir, "other").close()
        (scenario_v3.state_dir / "ledger-other.sqlite").rename(scenario_v3.state_dir / "ledger-sandbox.sqlite")
        backup = scenario_v3.backup()
        empty(scenario_v3)
        scenario_v3.sandbox.clear_requests()
        for dry_run in (False, True):
            run = scenario_v3.restore(backup, dry_run=dry_run)
            assert run.code == 2
            assert "is that of the store other. Move it away" in run.err
        assert scenario_v3.writes() == []

    @pytest.mark.parametrize(
        "content", [b"this is no database, however long one looks at it" * 100, b"SQLite format 3\0"]
    )
    def test_damaged(self, scenario_v3: RestoreScenario, content: bytes) -> None:
        backup = scenario_v3.backup()
        empty(scenario_v3)
        scenario_v3.state_dir.mkdir()
        (scenario_v3.state_dir / "ledger-sandbox.sqlite").write_bytes(content)
        scenario_v3.sandbox.clear_requests()
        run = scenario_v3.restore(backup)
        assert run.code == 2
        assert "is not a ledger" in run.err
        assert scenario_v3.writes() == []

    def test_opened_and_killed(self, scenario_v3: RestoreScenario) -> None:
        """All that there is of it is an empty file: whoever only reads takes it for a new one, as a restore does."""
        backup = scenario_v3.backup()
        empty(scenario_v3)
        scenario_v3.state_dir.mkdir()
        (scenario_v3.state_dir / "ledger-sandbox.sqlite").touch()
        assert scenario_v3.restore(backup, dry_run=True).actions == [("create", "planned")] * 3
        assert (scenario_v3.state_dir / "ledger-sandbox.sqlite").stat().st_size == 0
        assert scenario_v3.restore(backup).actions == [("create", "done")] * 3

    def test_damaged_in_the_middle(self, scenario_v3: RestoreScenario) -> None:
        backup = scenario_v3.backup()
        empty(scenario_v3)
        assert scenario_v3.restore(backup).code == 0
        path = scenario_v3.state_dir / "ledger-sandbox.sqlite"
        content = path.read_bytes()
        path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
        empty(scenario_v3)
        scenario_v3.sandbox.clear_requests()
        run = scenario_v3.restore(backup)
        assert run.code == 3
        assert "The ledger cannot be used: " in run.err
        assert "still makes no duplicates" in run.err
        assert scenario_v3.writes() == []

    def test_deleted_between_two_runs(self, scenario: RestoreScenario) -> None:
        before, backup = scenario.state(), scenario.backup()
        empty(scenario)
        scenario.sandbox.faults("s", match=r"POST /stores.*101")
        assert scenario.restore(backup, concurrency=1).code == 3
        shutil.rmtree(scenario.state_dir)
        assert scenario.restore(backup).code == 0
        assert scenario.state() == before

    def test_a_full_disk(self, scenario_v3: RestoreScenario) -> None:
        """The ledger fills up in the middle: nothing is created any more; the next run goes on."""
        before, backup = scenario_v3.state(), scenario_v3.backup()
        empty(scenario_v3)
        empty(scenario_v3, SECOND)
        scenario_v3.sandbox.clear_requests()
        with no_file_longer_than(104_000):
            run = scenario_v3.restore(backup, concurrency=1)
        assert run.code == 3
        assert "The ledger cannot be used: " in run.err
        assert "Free the disk or fix state_dir, then run again" in run.err
        assert run.out == ""
        made = [path for method, path in scenario_v3.writes() if method == "POST"]
        assert 1 <= len(made) <= 5
        assert scenario_v3.restore(backup).code == 0
        assert scenario_v3.state() == before


def test_a_write_that_fails_is_an_error_of_the_whole_run(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, "sandbox")
    with no_file_longer_than(4096), pytest.raises(FatalError, match="Free the disk or fix state_dir"):
        ledger.begin(INTENT)
    ledger.close()


def test_a_folder_that_cannot_be_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="Set state_dir to a writable folder"):
        Ledger(tmp_path / "file", "sandbox")


def test_an_image_that_an_intent_finds_is_not_created_again(sandbox: SandboxServer, tmp_path: Path) -> None:
    """A run was killed after the store had created the image; its name alone would fit two of them."""
    scenario = RestoreScenario(sandbox, tmp_path)
    same_names = 104
    before, backup = scenario.state(), scenario.backup()
    lost = scenario.images(same_names)[1]
    content = sandbox.original(lost["image_file"]) or b""
    sandbox.delete_image(lost["id"])
    others = frozenset(image["id"] for image in scenario.images(same_names))
    made = sandbox.add_image(same_names, content, "main-image.jpg", sort_order=9)
    with_intent = Intent(
        same_names, ("sandbox", lost["id"]), lost["image_file"], frozenset({"main-image"}), others, 0.0
    )
    ledger = Ledger(scenario.state_dir, "sandbox")
    ledger.begin(with_intent)
    ledger.close()
    run = scenario.restore(backup)
    assert (run.code, run.actions) == (0, [("update", "done")])
    assert scenario.state() == before
    with sqlite3.connect(scenario.state_dir / "ledger-sandbox.sqlite") as db:
        assert db.execute("SELECT source_id, target_id FROM images").fetchall() == [(lost["id"], made)]
        assert db.execute("SELECT count(*) FROM intents").fetchone() == (0,)
    db.close()
