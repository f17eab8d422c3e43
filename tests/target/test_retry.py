"""``bc-images retry``: what a report lists as rejected or failed is fed again, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bc_images.errors import BcImagesError
from target_bc_images.retry import retry
from tests.target.stage import Stage, kept_signals

FIRST, SECOND = 101, 102


def again(stage: Stage, report: Path, **config: Any) -> Result:
    settings = stage.folder / "config.json"
    settings.write_text(json.dumps(stage.config | config))
    with kept_signals():
        return CliRunner().invoke(retry, [str(report), "--config", str(settings)])


def test_what_failed_is_restored_and_nothing_else(stage3: Stage) -> None:
    stage3.box.set_image(stage3.images(FIRST)[0]["id"], description="x" * 300)
    before, backup = stage3.state(), stage3.backup()
    stage3.box.set_image(stage3.images(FIRST)[0]["id"], description="short")
    stage3.box.delete_image(stage3.images(SECOND)[0]["id"])
    stage3.box.switch(description_max=255)
    assert stage3.restore(backup).code == 1
    stage3.box.switch(description_max=0)
    stage3.box.clear_requests()
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
            stage.box.delete_image(image["id"])
    stage.box.faults("..s", match="POST /stores")
    assert stage.restore(backup).code == 3
    result = again(stage, stage.report)
    assert result.exit_code == 0, result.output
    assert stage.state() == before


def test_still_failing_is_exit_code_1_and_listed_again(stage3: Stage) -> None:
    backup = stage3.backup()
    stage3.box.delete_product(SECOND)
    assert stage3.restore(backup).code == 1
    result = again(stage3, stage3.report)
    assert isinstance(result.exception, BcImagesError)
    assert result.exception.exit_code == 1
    rows = [json.loads(line) for line in stage3.report.read_text().splitlines()]
    assert [each["reason"] for each in rows[:-1]] == ["there is no product 102 in the store"] * 3


def test_nothing_to_do(stage3: Stage) -> None:
    stage3.restore(stage3.backup())
    stage3.box.clear_requests()
    result = again(stage3, stage3.report)
    assert (result.exit_code, stage3.box.requests()) == (0, [])
    assert "Nothing to do" in result.output


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read"),
        (b"no report\n", "Line 1 of"),
        (b'{"a": 1}\n[]\n', "Line 2 of"),
        (b"\xff\n", "Line 1 of"),
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
