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
from tests.support.target import Stage, kept_signals, picture

FIRST, SECOND = 101, 102


def again(stage: Stage, report: Path, **config: Any) -> Result:
    settings = stage.folder / "config.json"
    settings.write_text(json.dumps(stage.config | config))
    with kept_signals():
        return CliRunner().invoke(retry, [str(report), "--config", str(settings)])


def test_what_failed_is_restored_and_nothing_else(stage3: Stage) -> None:
    stage3.sandbox.set_image(stage3.images(FIRST)[0]["id"], description="x" * 300)
    before, backup = stage3.state(), stage3.backup()
    stage3.sandbox.set_image(stage3.images(FIRST)[0]["id"], description="short")
    stage3.sandbox.delete_image(stage3.images(SECOND)[0]["id"])
    stage3.sandbox.switch(description_max=255)
    assert stage3.restore(backup).code == 1
    stage3.sandbox.switch(description_max=0)
    stage3.sandbox.clear_requests()
    result = again(stage3, stage3.report)  # whose report takes the same path
    assert result.exit_code == 0, result.output
    assert len(stage3.writes()) == 1
    assert stage3.state() == before
    rows = [json.loads(line) for line in stage3.report.read_text().splitlines()]
    assert [(each["action"], each["status"]) for each in rows[:-1]] == [("update", "done")]


def test_what_was_not_reached_is_restored(stage: Stage) -> None:
    before, backup = stage.state(), stage.backup()
    for product in (FIRST, SECOND):
        for image in stage.images(product):
            stage.sandbox.delete_image(image["id"])
    stage.sandbox.faults("..s", match="POST /stores")
    assert stage.restore(backup).code == 3
    result = again(stage, stage.report)
    assert result.exit_code == 0, result.output
    assert stage.state() == before


@pytest.mark.parametrize("lost", [0, 1])
def test_a_neighbour_that_looks_the_same_is_not_taken_for_what_is_lost(stage: Stage, lost: int) -> None:
    """The report has no record of the neighbour, only that it was kept: the same picture, under the same name."""
    product = stage.sandbox.add_product(sku="TWINS")
    twins = [
        stage.sandbox.add_image(product, picture(1), "twin.png", sort_order=number, description=f"twin {number}")
        for number in range(2)
    ]
    before, backup = stage.state(), stage.backup()
    stage.sandbox.delete_image(twins[lost])
    stage.sandbox.faults("s", match="POST /stores")
    assert stage.restore(backup).code == 3
    result = again(stage, stage.report)
    assert result.exit_code == 0, result.output
    assert stage.state() == before


def test_still_failing_is_exit_code_1_and_listed_again(stage3: Stage) -> None:
    backup = stage3.backup()
    stage3.sandbox.delete_product(SECOND)
    assert stage3.restore(backup).code == 1
    result = again(stage3, stage3.report)
    assert isinstance(result.exception, BcImagesError)
    assert result.exception.exit_code == 1
    rows = [json.loads(line) for line in stage3.report.read_text().splitlines()]
    assert [each["reason"] for each in rows[:-1]] == ["there is no product 102 in the store"] * 3


def test_a_retry_that_is_stopped_loses_nothing_of_the_list(stage3: Stage) -> None:
    before, backup = stage3.state(), stage3.backup()
    for product in (FIRST, SECOND):
        stage3.sandbox.set_image(stage3.images(product)[0]["id"], description="overwritten")
    stage3.sandbox.faults("s", match="PUT /stores")
    assert stage3.restore(backup, concurrency=1).code == 3
    stage3.sandbox.faults("s" * 10)
    result = again(stage3, stage3.report)
    assert isinstance(result.exception, BcImagesError)
    assert result.exception.exit_code == 3
    stage3.sandbox.faults("")
    assert again(stage3, stage3.report).exit_code == 0
    assert stage3.state() == before


@pytest.mark.parametrize("later", [{"product_ids": [SECOND]}, {"state_dir": "/proc/nowhere"}])
def test_what_a_retry_does_not_take_on_stays_in_the_list(stage3: Stage, later: dict[str, Any]) -> None:
    before, backup = stage3.state(), stage3.backup()
    for product in (FIRST, SECOND):
        stage3.sandbox.set_image(stage3.images(product)[0]["id"], description="overwritten")
    stage3.sandbox.faults("s", match="PUT /stores")
    assert stage3.restore(backup, concurrency=1).code == 3
    result = again(stage3, stage3.report, **later)
    assert isinstance(result.exception, BcImagesError)
    assert again(stage3, stage3.report).exit_code == 0
    assert stage3.state() == before


def test_it_deletes_nothing_and_says_when_the_mirror_is_to_be_run_again(stage: Stage) -> None:
    before, backup = stage.state(), stage.backup()
    mirror = {"mode": "mirror", "max_deletes": 1}
    stage.sandbox.add_image(FIRST, picture(1), "extra.png")
    stage.sandbox.set_image(stage.images(SECOND)[0]["id"], description="overwritten")
    stage.sandbox.faults("s", match="(PUT|DELETE) /stores")
    stage.restore(backup, concurrency=1, **mirror)
    for _ in range(2):  # the second finds what the first has left
        stage.sandbox.faults("")
        stage.sandbox.clear_requests()
        result = again(stage, stage.report, **mirror)
        assert isinstance(result.exception, BcImagesError)
        assert result.exception.exit_code == 1
        assert "deletes, for which the mirror is to be run again" in str(result.exception)
        assert [method for method, _ in stage.writes() if method == "DELETE"] == []
    assert stage.restore(backup, **mirror).code == 0
    assert stage.state() == before
    assert again(stage, stage.report, **mirror).exit_code == 0


def test_a_mode_that_writes_less_stays_what_it_is(stage3: Stage) -> None:
    backup = stage3.backup()
    stage3.sandbox.delete_image(stage3.images(FIRST)[0]["id"])
    stage3.sandbox.set_image(stage3.images(SECOND)[0]["id"], description="mine")
    stage3.sandbox.faults("s")
    assert stage3.restore(backup, mode="create_only").code == 3
    assert again(stage3, stage3.report, mode="create_only").exit_code == 0
    assert stage3.images(SECOND)[0]["description"] == "mine"
    assert len(stage3.images(FIRST)) == 3


def test_more_than_one_batch_after_a_stop(tmp_path: Path) -> None:
    with SandboxServer(products=600, images=1) as sandbox:
        stage = Stage(sandbox, tmp_path)
        before, backup = stage.state(), stage.backup(files=False)
        for image in stage.records(files=False):
            sandbox.set_image(image["id"], description="overwritten")
        sandbox.faults("." * 250 + "s", match="PUT /stores")
        assert stage.restore(backup).code == 3
        assert again(stage, stage.report).exit_code == 0
        assert stage.state() == before


def test_nothing_to_do(stage3: Stage) -> None:
    stage3.restore(stage3.backup())
    stage3.sandbox.clear_requests()
    result = again(stage3, stage3.report)
    assert (result.exit_code, stage3.sandbox.requests()) == (0, [])
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
def test_no_report(stage3: Stage, content: bytes | None, words: str) -> None:
    path = stage3.folder / "no-report"
    if content is not None:
        path.write_bytes(content)
    result = again(stage3, path)
    assert isinstance(result.exception, BcImagesError)
    assert result.exception.exit_code == 3
    assert words in str(result.exception)
