"""Where the report is written, when it takes its place, and that it names every record however the run ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from bigcommerce_sandbox import READ_ONLY_TOKEN, TOKEN, SandboxServer
from tests.support import killable_process
from tests.support.full_disk import no_file_longer_than
from tests.support.target import RestoreScenario, end, head, picture, row, singer

FIRST, SECOND, THIRD = 101, 102, 103
OLD = b'{"summary": {}}\n'


def empty(scenario: RestoreScenario, *product_ids: int) -> None:
    for product_id in product_ids:
        for image in scenario.images(product_id):
            scenario.sandbox.delete_image(image["id"])


def partials(scenario: RestoreScenario) -> list[Path]:
    return list(scenario.folder.glob("report.jsonl.*"))


class TestPlace:
    """An earlier report gives way to a whole one only."""

    def test_a_second_run_by_mistake_leaves_the_report_of_the_first_alone(self, scenario_v3: RestoreScenario) -> None:
        backup = scenario_v3.folder / "backup.singer"
        backup.write_bytes(scenario_v3.backup())
        empty(scenario_v3, FIRST)
        scenario_v3.sandbox.clear_requests()
        scenario_v3.sandbox.set_flags(slow_ms=2000)
        scenario_v3.sandbox.faults(".z")
        scenario_v3.report.write_bytes(OLD)
        first = killable_process.start(scenario_v3.config, backup)
        assert killable_process.wait_for_request(scenario_v3.sandbox, 2, first)
        second = scenario_v3.restore(backup.read_bytes() + singer(row({"id": "unfit"})))
        assert (second.code, scenario_v3.report.read_bytes()) == (2, OLD)
        assert "rejected" in second.err
        first.join(killable_process.LONG)
        rows = [json.loads(line) for line in scenario_v3.report.read_text().splitlines()]
        assert [each["status"] for each in rows[:-1]].count("done") == 3
        assert partials(scenario_v3) == []

    @pytest.mark.parametrize("damage", [b"nonsense\n", b'{"type": "RECORD'])
    def test_an_input_that_is_damaged_leaves_it_alone(self, scenario_v3: RestoreScenario, damage: bytes) -> None:
        scenario_v3.report.write_bytes(OLD)
        assert scenario_v3.restore(scenario_v3.backup() + damage).code == 3
        assert (scenario_v3.report.read_bytes(), partials(scenario_v3)) == (OLD, [])

    def test_a_run_that_is_killed_leaves_it_alone(self, scenario_v3: RestoreScenario) -> None:
        backup = scenario_v3.folder / "backup.singer"
        backup.write_bytes(scenario_v3.backup())
        empty(scenario_v3, FIRST)
        scenario_v3.sandbox.clear_requests()
        scenario_v3.sandbox.faults(".p")
        scenario_v3.report.write_bytes(OLD)
        process = killable_process.start(scenario_v3.config, backup)
        assert killable_process.wait_for_request(scenario_v3.sandbox, 2, process)
        killable_process.kill(process)
        assert scenario_v3.report.read_bytes() == OLD

    def test_what_is_rejected_while_reading_stands_in_it(self, scenario_v3: RestoreScenario) -> None:
        records = scenario_v3.records()
        run = scenario_v3.restore(singer(head(), row({**records[0], "sort_order": "x"}), *map(row, records[1:])))
        assert run.actions == [("reject", "rejected")]
        assert scenario_v3.report.stat().st_mode & 0o777 == 0o600

    def test_through_a_link(self, scenario_v3: RestoreScenario) -> None:
        scenario_v3.report.symlink_to("elsewhere.jsonl")
        assert scenario_v3.restore(scenario_v3.backup()).code == 0
        assert scenario_v3.report.is_symlink()
        assert len((scenario_v3.folder / "elsewhere.jsonl").read_bytes().splitlines()) == 16

    def test_into_a_pipe(self, scenario_v3: RestoreScenario) -> None:
        os.mkfifo(scenario_v3.report)
        with subprocess.Popen(["cat", str(scenario_v3.report)], stdout=subprocess.PIPE) as reader:
            assert scenario_v3.restore(scenario_v3.backup()).code == 0
            assert reader.stdout is not None
            assert len(reader.stdout.read().splitlines()) == 16
        assert scenario_v3.report.is_fifo()

    def test_a_disk_that_is_full_leaves_it_alone(self, scenario_v3: RestoreScenario) -> None:
        unfit = {**scenario_v3.records()[0], "sort_order": "x"}
        data = singer(head(), *[row(unfit)] * 100)
        scenario_v3.restore(data)
        length = len(scenario_v3.report.read_bytes())  # more than the temporary files of the input take
        scenario_v3.report.write_bytes(OLD)
        with no_file_longer_than(length - 1):
            run = scenario_v3.restore(data)
        assert (run.code, "The report " in run.err) == (3, True)
        assert (scenario_v3.report.read_bytes(), partials(scenario_v3)) == (OLD, [])


class TestNotReached:
    """A run that is stopped in the middle names every record of its input."""

    @pytest.fixture
    def large(self, tmp_path: Path) -> Any:
        """Three batches of products."""
        with SandboxServer(products=600, images=1) as sandbox:
            yield RestoreScenario(sandbox, tmp_path)

    def damaged(self, scenario: RestoreScenario, by: str = "product_id") -> tuple[bytes, int]:
        """Overwrite every image; return the backup, and how many images there are."""
        records = scenario.records(files=False)
        if by == "product_sku":
            records = [each for each in records if each["product_sku"]]
        backup = singer(head(), *map(row, records), end())
        for record in records:
            scenario.sandbox.set_image(record["id"], description="overwritten")
        return backup, len(records)

    def check(self, rows: list[dict[str, Any]], total: int) -> Counter[str]:
        problem_lines = [(each["product_id"], each["source_id"]) for each in rows[:-1] if each["source_id"]]
        assert len(problem_lines) == len(set(problem_lines)) == total
        bad = [each for each in rows[:-1] if each["status"] in {"failed", "rejected", "not reached"}]
        assert all("record" in each for each in bad if each["source_id"])
        return Counter(each["status"] for each in rows[:-1])

    @pytest.mark.parametrize("by", ["id", "sku"])
    def test_the_store_goes_away(self, large: RestoreScenario, by: str) -> None:
        backup, total = self.damaged(large, f"product_{by}")
        large.sandbox.faults("." * 250 + "s", match="PUT /stores")
        run = large.restore(backup, match_products_by=by)
        assert run.code == 3
        counts = self.check(run.rows, total)
        assert counts["done"] >= 200
        assert counts["not reached"] == run.summary["not_reached"] == total - counts["done"] - counts["failed"]
        undecided = [each for each in run.rows if "action" in each and each["action"] is None]
        assert len(undecided) >= 50
        assert f"unplanned     {'-':<12}  " in run.err

    def test_the_store_is_not_there_at_all(self, large: RestoreScenario) -> None:
        backup, total = self.damaged(large)
        large.sandbox.faults("s" * 10)
        run = large.restore(backup)
        assert (run.code, self.check(run.rows, total)) == (3, {"not reached": total})
        run = large.restore(backup, report=None)
        assert (run.code, f"unplanned     {total}" in run.err) == (3, True)

    def test_the_first_failure_when_it_is_to_stop_there(self, large: RestoreScenario) -> None:
        backup, total = self.damaged(large)
        large.sandbox.set_flags(description_max=1)
        run = large.restore(backup, on_error="stop", concurrency=1)
        counts = self.check(run.rows, total)
        left = total - counts["done"] - 1
        assert (run.code, counts["failed"], counts["not reached"]) == (1, 1, left)
        assert f"1 record was rejected or failed, {left} not reached" in run.err

    def test_the_first_record_that_does_not_fit_when_it_is_to_stop_there(self, large: RestoreScenario) -> None:
        backup, total = self.damaged(large)
        broken = backup.replace(b'"sort_order":0', b'"sort_order":"first"', 1)
        large.sandbox.clear_requests()
        run = large.restore(broken, on_error="stop")
        assert (run.code, large.sandbox.requests()) == (1, [])
        assert self.check(run.rows, total) == {"rejected": 1, "not reached": total - 1}

    def test_a_product_that_is_gone_when_it_is_to_stop_there(self, large: RestoreScenario) -> None:
        backup, total = self.damaged(large)
        large.sandbox.delete_product(large.records(files=False)[300]["product_id"])
        run = large.restore(backup, on_error="stop")
        counts = self.check(run.rows, total)
        assert run.code == 1
        assert (counts["rejected"], counts["planned"]) == (1, 0)
        assert counts["not reached"] == total - counts["done"] - 1

    def test_a_signal(self, large: RestoreScenario) -> None:
        backup, total = self.damaged(large)
        large.sandbox.set_flags(slow_ms=5)

        def stop() -> None:
            while len(large.writes()) < 20:
                pass
            os.kill(os.getpid(), signal.SIGTERM)

        threading.Thread(target=stop, daemon=True).start()
        run = large.restore(backup)
        assert run.code == 143
        counts = self.check(run.rows, total)
        assert counts["done"] + counts["unverified"] + counts["not reached"] == total
        assert counts["unverified"] >= 20

    def test_a_mirror_says_that_it_had_not_looked_for_all_deletes(self, scenario_v3: RestoreScenario) -> None:
        backup = scenario_v3.backup()
        scenario_v3.sandbox.add_image(scenario_v3.sandbox.add_product(sku="NEW"), picture(1), "unknown.png")
        scenario_v3.sandbox.set_image(scenario_v3.images(FIRST)[0]["id"], description="overwritten")
        scenario_v3.sandbox.faults("s", match="PUT /stores")
        run = scenario_v3.restore(backup, mode="mirror", max_deletes=1)
        assert run.code == 3
        assert ("delete", "not reached") in run.actions


class TestStderr:
    """What a person sees who has set no report."""

    def test_one_record_of_each_kind_that_was_rejected_or_failed(self, scenario_v3: RestoreScenario) -> None:
        records = scenario_v3.records()
        records[0]["sort_order"] = "first\nof all"
        records[1]["image_file"] = [f"https://me:{TOKEN}@example.com/?key=hush"]
        records[2]["description"] = ["x" * 5000]
        for product in (SECOND, THIRD, 104):
            scenario_v3.sandbox.delete_product(product)
        err = scenario_v3.restore(singer(head(), *map(row, records), row({"id": None})), report=None).err
        problem_lines = [line for line in err.splitlines() if line.startswith(("rejected", "..."))]
        one, two = (
            f"rejected      product {FIRST}, image {each['id']}: does not fit the schema: " for each in records[:2]
        )
        assert problem_lines[0].startswith(one + r"sort_order: 'first\nof all' is not of type 'integer'")
        assert problem_lines[1].startswith(two + "image_file: ['https://***@")
        assert len(problem_lines[2]) < 400
        assert problem_lines[3].startswith("rejected      a record without an id: does not fit the schema: ")
        assert re.search(r": there is no product 10\d in the store \(and 8 more like this\)$", problem_lines[4])
        assert len(problem_lines) == 5
        assert TOKEN not in err
        assert "hush" not in err

    def test_the_words_of_the_store(self, scenario_v3: RestoreScenario) -> None:
        backup = scenario_v3.backup()
        for image in scenario_v3.records(files=False):
            scenario_v3.sandbox.set_image(image["id"], description="overwritten")
        scenario_v3.sandbox.set_flags(description_max=1)
        run = scenario_v3.restore(backup, report=None)
        failed = sum(record["description"] == "overwritten" for record in scenario_v3.records(files=False))
        problem_lines = [line for line in run.err.splitlines() if "must not be longer than 1 characters" in line]
        assert failed > 1
        assert len(problem_lines) == 1
        assert problem_lines[0].startswith("failed        product 1")
        assert problem_lines[0].endswith(f"(and {failed - 1} more like this)")
        assert f"{failed} records were rejected or failed: set report" in run.err


class TestUndoIsNamed:
    """Only where something was, or may have been, written."""

    WORDS = "What this run changed can be taken back"

    def check(
        self, scenario: RestoreScenario, code: int, faults: str = "", match: str = "PUT /stores", **config: Any
    ) -> bool:
        backup = scenario.backup()
        scenario.sandbox.set_image(scenario.images(FIRST)[0]["id"], description="x")
        scenario.sandbox.faults(faults, match=match)
        run = scenario.restore(backup, **config)
        assert run.code == code, run.err
        return self.WORDS in run.err

    def test_after_a_write(self, scenario_v3: RestoreScenario) -> None:
        assert self.check(scenario_v3, 0)

    def test_after_a_write_of_which_nobody_knows(self, scenario_v3: RestoreScenario) -> None:
        assert self.check(scenario_v3, 1, "W", max_retries=0)

    def test_not_where_there_was_nothing_to_do(self, scenario_v3: RestoreScenario) -> None:
        assert self.WORDS not in scenario_v3.restore(scenario_v3.backup()).err

    def test_not_where_the_store_took_nothing(self, scenario_v3: RestoreScenario) -> None:
        scenario_v3.sandbox.set_image(scenario_v3.images(FIRST)[0]["id"], description="x" * 300)
        backup = scenario_v3.backup()
        scenario_v3.sandbox.set_image(scenario_v3.images(FIRST)[0]["id"], description="x")
        scenario_v3.sandbox.set_flags(description_max=255)
        for on_error in ("continue", "stop"):
            run = scenario_v3.restore(backup, on_error=on_error)
            assert (run.code, self.WORDS in run.err) == (1, False)

    def test_not_where_the_token_may_only_read(self, scenario_v3: RestoreScenario) -> None:
        assert not self.check(scenario_v3, 3, access_token=READ_ONLY_TOKEN)

    def test_not_where_the_store_is_suspended(self, scenario_v3: RestoreScenario) -> None:
        assert not self.check(scenario_v3, 3, "s")


def test_an_undo_that_cannot_be_written_stops_a_run_that_has_begun(scenario_v3: RestoreScenario) -> None:
    """It is no wrong setting (exit code 2): batches may have been written by then."""
    backup = scenario_v3.backup()
    scenario_v3.sandbox.set_image(scenario_v3.images(FIRST)[0]["id"], description="x" * 200_000)
    before = scenario_v3.state()
    with no_file_longer_than(160_000):
        run = scenario_v3.restore(backup)
    assert (run.code, scenario_v3.state()) == (3, before)
    assert "The undo file" in run.err
    assert run.summary["not_reached"] == 15
