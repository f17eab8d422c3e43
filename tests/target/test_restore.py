"""What was lost comes back exactly; what is the same is left alone."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from tests.support.target import RestoreScenario, head, picture, row, singer

FIRST, SECOND, THIRD = 101, 102, 103  # ids of the seeded products


def wreck(scenario: RestoreScenario) -> None:
    """A bad day: a product emptied, pictures overwritten, texts, orders and thumbnails changed."""
    sandbox = scenario.sandbox
    for image in scenario.images(FIRST):
        sandbox.delete_image(image["id"])
    one, two, three = (image["id"] for image in scenario.images(SECOND))
    sandbox.set_image(one, description="overwritten", sort_order=17)
    sandbox.set_image(two, is_thumbnail=True)
    sandbox.set_image(three, content=picture(99), filename="other.png")
    sandbox.delete_image(scenario.images(THIRD)[1]["id"])


def test_a_bad_day_is_undone_exactly(scenario: RestoreScenario) -> None:
    before, backup = scenario.state(), scenario.backup()
    wreck(scenario)
    assert scenario.state() != before
    run = scenario.restore(backup)
    assert run.code == 0, run.err
    assert scenario.state() == before
    assert run.states == [{"bookmarks": {"product_images": {"at": 1}}}]
    assert run.summary["summary"] == {"create": 4, "replace": 1, "update": 1, "delete": 0, "keep": 9, "reject": 0}


def test_the_second_restore_writes_nothing(scenario: RestoreScenario) -> None:
    backup = scenario.backup()
    wreck(scenario)
    scenario.restore(backup)
    scenario.sandbox.clear_requests()
    run = scenario.restore(backup)
    assert (run.code, run.actions, scenario.writes()) == (0, [], [])


def test_without_ledger_and_ids_names_and_digests_prevent_duplicates(scenario: RestoreScenario) -> None:
    before, backup = scenario.state(), scenario.backup()
    wreck(scenario)
    scenario.restore(backup)
    for left in scenario.state_dir.iterdir():
        left.unlink()
    scenario.sandbox.clear_requests()
    run = scenario.restore(backup)
    assert (run.code, run.actions, scenario.writes()) == (0, [], [])
    assert scenario.state() == before


@pytest.mark.parametrize("shift", ["none", "shift"])
def test_siblings_that_the_backup_does_not_know_stay_as_they_are(scenario: RestoreScenario, shift: str) -> None:
    backup = scenario.backup()
    for number in range(3):
        scenario.sandbox.add_image(FIRST, picture(number), f"new-{number}.png", sort_order=number, is_thumbnail=False)
    before = scenario.state()
    scenario.sandbox.delete_image(scenario.images(FIRST)[0]["id"])
    scenario.sandbox.set_image(scenario.images(FIRST)[0]["id"], sort_order=0)
    scenario.sandbox.set_flags(sort_order_shift=shift)
    run = scenario.restore(backup)
    assert run.code == 0, run.err
    assert scenario.state() == before


def test_equal_sort_orders_come_back_although_the_store_shifts(scenario: RestoreScenario) -> None:
    for image in scenario.images(FIRST):
        scenario.sandbox.set_image(image["id"], sort_order=2)
    before, backup = scenario.state(), scenario.backup()
    scenario.sandbox.set_flags(sort_order_shift="shift")
    scenario.sandbox.delete_image(scenario.images(FIRST)[0]["id"])
    scenario.sandbox.delete_image(scenario.images(FIRST)[0]["id"])
    assert scenario.restore(backup).code == 0
    assert scenario.state() == before


def test_what_is_restored_without_files_comes_from_the_address_that_the_record_carries(
    scenario: RestoreScenario,
) -> None:
    records = scenario.records(files=False)
    gone, other = scenario.images(FIRST)[:2]
    records[0]["zoom_url"] = f"{scenario.sandbox.url}/product_images/{other['image_file']}"
    scenario.sandbox.delete_image(gone["id"])
    run = scenario.restore(singer(head(), *map(row, records)), file_store="")
    assert run.code == 0, run.err
    assert [shape[3] for shape in scenario.state()[FIRST]].count(digest(scenario, other)) == 2
    assert scenario.restore(singer(head(), *map(row, records)), file_store="").actions == []


def test_an_address_that_no_longer_serves_is_one_rejected_record(scenario: RestoreScenario) -> None:
    backup = scenario.backup(files=False)
    for image in scenario.images(FIRST)[:2]:
        scenario.sandbox.delete_image(image["id"])
    scenario.sandbox.set_image(scenario.images(SECOND)[0]["id"], description="overwritten")
    run = scenario.restore(backup, file_store="")
    assert run.code == 1
    assert run.actions == [("reject", "rejected"), ("reject", "rejected"), ("update", "done")]
    assert "its old address answers that it is gone" in next(
        each["reason"] for each in run.rows if each["status"] == "rejected"
    )
    assert run.states == []


def digest(scenario: RestoreScenario, image: dict[str, Any]) -> str:
    return hashlib.sha256(scenario.sandbox.original(image["image_file"]) or b"").hexdigest()
