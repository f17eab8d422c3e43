"""``bc-images retry``: what a report lists as rejected or failed is fed again, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bc_images.cli.retry import retry
from bc_images.errors import BcImagesError
from bigcommerce_sandbox import SandboxServer
from tests.support.commands import restored_handlers
from tests.support.target import RestoreScenario, picture

FIRST, SECOND = 101, 102


def again(scenario: RestoreScenario, report: Path, **config: Any) -> Result:
    settings = scenario.folder / "config.json"
    settings.write_text(json.dumps(scenario.config | config))
    with restored_handlers():
        return CliRunner().invoke(retry, [str(report), "--config", str(settings)])


def test_what_failed_is_restored_and_nothing_else(scenario_v3: RestoreScenario) -> None:
    scenario_v3.sandbox.set_image(scenario_v3.images(FIRST)[0]["id"], description="x" * 300)
    before, backup = scenario_v3.state(), scenario_v3.backup()
    scenario_v3.sandbox.set_image(scenario_v3.images(FIRST)[0]["id"], description="short")
    scenario_v3.sandbox.delete_image(scenario_v3.images(SECOND)[0]["id"])
    scenario_v3.sandbox.set_flags(description_max=255)
    assert scenario_v3.restore(backup).code == 1
    scenario_v3.sandbox.set_flags(description_max=0)
    scenario_v3.sandbox.clear_requests()
    result = again(scenario_v3, scenario_v3.report)  # whose report takes the same path
    assert result.exit_code == 0, result.output
    assert len(scenario_v3.writes()) == 1
    assert scenario_v3.state() == before
    rows = [json.loads(line) for line in scenario_v3.report.read_text().splitlines()]
    assert [(each["action"], each["status"]) for each in rows[:-1]] == [("update", "done")]


def test_what_was_not_reached_is_restored(scenario: RestoreScenario) -> None:
    before, backup = scenario.state(), scenario.backup()
    for product in (FIRST, SECOND):
        for image in scenario.images(product):
            scenario.sandbox.delete_image(image["id"])
    scenario.sandbox.faults("..s", match="POST /stores")
    assert scenario.restore(backup).code == 3
    result = again(scenario, scenario.report)
    assert result.exit_code == 0, result.output
    assert scenario.state() == before


@pytest.mark.parametrize("lost", [0, 1])
def test_a_neighbour_that_looks_the_same_is_not_taken_for_what_is_lost(scenario: RestoreScenario, lost: int) -> None:
    """The report has no record of the neighbour, only that it was kept: the same picture, under the same name."""
    product = scenario.sandbox.add_product(sku="TWINS")
    twins = [
        scenario.sandbox.add_image(product, picture(1), "twin.png", sort_order=number, description=f"twin {number}")
        for number in range(2)
    ]
    before, backup = scenario.state(), scenario.backup()
    scenario.sandbox.delete_image(twins[lost])
    scenario.sandbox.faults("s", match="POST /stores")
    assert scenario.restore(backup).code == 3
    result = again(scenario, scenario.report)
    assert result.exit_code == 0, result.output
    assert scenario.state() == before


def test_still_failing_is_exit_code_1_and_listed_again(scenario_v3: RestoreScenario) -> None:
    backup = scenario_v3.backup()
    scenario_v3.sandbox.delete_product(SECOND)
    assert scenario_v3.restore(backup).code == 1
    result = again(scenario_v3, scenario_v3.report)
    assert isinstance(result.exception, BcImagesError)
    assert result.exception.exit_code == 1
    rows = [json.loads(line) for line in scenario_v3.report.read_text().splitlines()]
    assert [each["reason"] for each in rows[:-1]] == ["there is no product 102 in the store"] * 3


def test_a_retry_that_is_stopped_loses_nothing_of_the_list(scenario_v3: RestoreScenario) -> None:
    before, backup = scenario_v3.state(), scenario_v3.backup()
    for product in (FIRST, SECOND):
        scenario_v3.sandbox.set_image(scenario_v3.images(product)[0]["id"], description="overwritten")
    scenario_v3.sandbox.faults("s", match="PUT /stores")
    assert scenario_v3.restore(backup, concurrency=1).code == 3
    scenario_v3.sandbox.faults("s" * 10)
    result = again(scenario_v3, scenario_v3.report)
    assert isinstance(result.exception, BcImagesError)
    assert result.exception.exit_code == 3
    scenario_v3.sandbox.faults("")
    assert again(scenario_v3, scenario_v3.report).exit_code == 0
    assert scenario_v3.state() == before


@pytest.mark.parametrize("later", [{"product_ids": [SECOND]}, {"state_dir": "/proc/nowhere"}])
def test_what_a_retry_does_not_take_on_stays_in_the_list(scenario_v3: RestoreScenario, later: dict[str, Any]) -> None:
    before, backup = scenario_v3.state(), scenario_v3.backup()
    for product in (FIRST, SECOND):
        scenario_v3.sandbox.set_image(scenario_v3.images(product)[0]["id"], description="overwritten")
    scenario_v3.sandbox.faults("s", match="PUT /stores")
    assert scenario_v3.restore(backup, concurrency=1).code == 3
    result = again(scenario_v3, scenario_v3.report, **later)
    assert isinstance(result.exception, BcImagesError)
    assert again(scenario_v3, scenario_v3.report).exit_code == 0
    assert scenario_v3.state() == before


def test_it_deletes_nothing_and_says_when_the_mirror_is_to_be_run_again(scenario: RestoreScenario) -> None:
    before, backup = scenario.state(), scenario.backup()
    mirror = {"mode": "mirror", "max_deletes": 1}
    scenario.sandbox.add_image(FIRST, picture(1), "extra.png")
    scenario.sandbox.set_image(scenario.images(SECOND)[0]["id"], description="overwritten")
    scenario.sandbox.faults("s", match="(PUT|DELETE) /stores")
    scenario.restore(backup, concurrency=1, **mirror)
    for _ in range(2):  # the second finds what the first has left
        scenario.sandbox.faults("")
        scenario.sandbox.clear_requests()
        result = again(scenario, scenario.report, **mirror)
        assert isinstance(result.exception, BcImagesError)
        assert result.exception.exit_code == 1
        assert "deletes, for which the mirror is to be run again" in str(result.exception)
        assert [method for method, _ in scenario.writes() if method == "DELETE"] == []
    assert scenario.restore(backup, **mirror).code == 0
    assert scenario.state() == before
    assert again(scenario, scenario.report, **mirror).exit_code == 0


def test_a_mode_that_writes_less_stays_what_it_is(scenario_v3: RestoreScenario) -> None:
    backup = scenario_v3.backup()
    scenario_v3.sandbox.delete_image(scenario_v3.images(FIRST)[0]["id"])
    scenario_v3.sandbox.set_image(scenario_v3.images(SECOND)[0]["id"], description="mine")
    scenario_v3.sandbox.faults("s")
    assert scenario_v3.restore(backup, mode="create_only").code == 3
    assert again(scenario_v3, scenario_v3.report, mode="create_only").exit_code == 0
    assert scenario_v3.images(SECOND)[0]["description"] == "mine"
    assert len(scenario_v3.images(FIRST)) == 3


def test_more_than_one_batch_after_a_stop(tmp_path: Path) -> None:
    with SandboxServer(products=600, images=1) as sandbox:
        scenario = RestoreScenario(sandbox, tmp_path)
        before, backup = scenario.state(), scenario.backup(files=False)
        for image in scenario.records(files=False):
            sandbox.set_image(image["id"], description="overwritten")
        sandbox.faults("." * 250 + "s", match="PUT /stores")
        assert scenario.restore(backup).code == 3
        assert again(scenario, scenario.report).exit_code == 0
        assert scenario.state() == before


def test_nothing_to_do(scenario_v3: RestoreScenario) -> None:
    scenario_v3.restore(scenario_v3.backup())
    scenario_v3.sandbox.clear_requests()
    result = again(scenario_v3, scenario_v3.report)
    assert (result.exit_code, scenario_v3.sandbox.requests()) == (0, [])
    assert "Nothing to do" in result.output


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read"),
        (b"no report\n", "Line 1 of"),
        (b'{"a": 1}\n[]\n', "Line 2 of"),
        (b"\xff\n", "Line 1 of"),
        (b'{"status": []}\n', "Line 1 of"),
        (b'{"status": "failed"}\n', "ends before its summary"),
        (b"", "ends before its summary"),
    ],
)
def test_no_report(scenario_v3: RestoreScenario, content: bytes | None, words: str) -> None:
    path = scenario_v3.folder / "no-report"
    if content is not None:
        path.write_bytes(content)
    result = again(scenario_v3, path)
    assert isinstance(result.exception, BcImagesError)
    assert result.exception.exit_code == 3
    assert words in str(result.exception)
