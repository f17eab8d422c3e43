"""How far a restore is, while it is under way: not only after each batch of products."""

from __future__ import annotations

import logging
import re
from functools import partial

import pytest

from bc_images.progress import Progress
from target_bc_images import run
from tests.support.target import RestoreScenario


def test_within_a_batch(
    scenario_v3: RestoreScenario, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    backup = scenario_v3.backup()
    images = scenario_v3.sandbox.dump(files=False)["images"]
    for image in images:
        scenario_v3.sandbox.delete_image(image["id"])
    scenario_v3.sandbox.set_flags(latency_ms=20)
    monkeypatch.setattr(run, "Progress", partial(Progress, every=0.01))
    with caplog.at_level(logging.INFO, "target_bc_images.run"):
        assert scenario_v3.restore(backup, concurrency=1).code == 0
    lines = [record.getMessage() for record in caplog.records if " images (" in record.getMessage()]
    done = [int(line.split()[0]) for line in lines]
    assert done == sorted(done)
    assert {*done} - {0, len(images)}, lines
    assert all(line.split()[2] == str(len(images)) for line in lines)
    middle = [line for line, number in zip(lines, done, strict=True) if 0 < number < len(images)]
    assert any(re.search(r"\d+ files? \([\d.]+ k?B\), .*requests? left, .* to go", line) for line in middle), lines
