"""What was lost comes back exactly; what is the same is left alone."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from tests.support.target import Stage, head, picture, row, singer

FIRST, SECOND, THIRD = 101, 102, 103  # ids of the seeded products


def wreck(stage: Stage) -> None:
    """A bad day: a product emptied, pictures overwritten, texts, orders and thumbnails changed."""
    sandbox = stage.sandbox
    for image in stage.images(FIRST):
        sandbox.delete_image(image["id"])
    one, two, three = (image["id"] for image in stage.images(SECOND))
    sandbox.set_image(one, description="overwritten", sort_order=17)
    sandbox.set_image(two, is_thumbnail=True)
    sandbox.set_image(three, content=picture(99), filename="other.png")
    sandbox.delete_image(stage.images(THIRD)[1]["id"])


def test_a_bad_day_is_undone_exactly(stage: Stage) -> None:
    before, backup = stage.state(), stage.backup()
    wreck(stage)
    assert stage.state() != before
    run = stage.restore(backup)
    assert run.code == 0, run.err
    assert stage.state() == before
    assert run.states == [{"bookmarks": {"product_images": {"at": 1}}}]
    assert run.summary["summary"] == {"create": 4, "replace": 1, "update": 1, "delete": 0, "keep": 9, "reject": 0}


def test_the_second_restore_writes_nothing(stage: Stage) -> None:
    backup = stage.backup()
    wreck(stage)
    stage.restore(backup)
    stage.sandbox.clear_requests()
    run = stage.restore(backup)
    assert (run.code, run.actions, stage.writes()) == (0, [], [])


def test_without_ledger_and_ids_names_and_digests_prevent_duplicates(stage: Stage) -> None:
    before, backup = stage.state(), stage.backup()
    wreck(stage)
    stage.restore(backup)
    for left in stage.state_dir.iterdir():
        left.unlink()
    stage.sandbox.clear_requests()
    run = stage.restore(backup)
    assert (run.code, run.actions, stage.writes()) == (0, [], [])
    assert stage.state() == before


@pytest.mark.parametrize("shift", ["none", "shift"])
def test_siblings_that_the_backup_does_not_know_stay_as_they_are(stage: Stage, shift: str) -> None:
    backup = stage.backup()
    for number in range(3):
        stage.sandbox.add_image(FIRST, picture(number), f"new-{number}.png", sort_order=number, is_thumbnail=False)
    before = stage.state()
    stage.sandbox.delete_image(stage.images(FIRST)[0]["id"])
    stage.sandbox.set_image(stage.images(FIRST)[0]["id"], sort_order=0)
    stage.sandbox.switch(sort_order_shift=shift)
    run = stage.restore(backup)
    assert run.code == 0, run.err
    assert stage.state() == before


def test_equal_sort_orders_come_back_although_the_store_shifts(stage: Stage) -> None:
    for image in stage.images(FIRST):
        stage.sandbox.set_image(image["id"], sort_order=2)
    before, backup = stage.state(), stage.backup()
    stage.sandbox.switch(sort_order_shift="shift")
    stage.sandbox.delete_image(stage.images(FIRST)[0]["id"])
    stage.sandbox.delete_image(stage.images(FIRST)[0]["id"])
    assert stage.restore(backup).code == 0
    assert stage.state() == before


def test_what_is_restored_without_files_comes_from_the_address_that_the_record_carries(stage: Stage) -> None:
    records = stage.records(files=False)
    gone, other = stage.images(FIRST)[:2]
    records[0]["zoom_url"] = f"{stage.sandbox.url}/product_images/{other['image_file']}"
    stage.sandbox.delete_image(gone["id"])
    run = stage.restore(singer(head(), *map(row, records)), file_store="")
    assert run.code == 0, run.err
    assert [shape[3] for shape in stage.state()[FIRST]].count(digest(stage, other)) == 2
    assert stage.restore(singer(head(), *map(row, records)), file_store="").actions == []


def test_an_address_that_no_longer_serves_is_one_rejected_record(stage: Stage) -> None:
    backup = stage.backup(files=False)
    for image in stage.images(FIRST)[:2]:
        stage.sandbox.delete_image(image["id"])
    stage.sandbox.set_image(stage.images(SECOND)[0]["id"], description="overwritten")
    run = stage.restore(backup, file_store="")
    assert run.code == 1
    assert run.actions == [("reject", "rejected"), ("reject", "rejected"), ("update", "done")]
    assert "its old address answers that it is gone" in next(
        each["reason"] for each in run.rows if each["status"] == "rejected"
    )
    assert run.states == []


def digest(stage: Stage, image: dict[str, Any]) -> str:
    return hashlib.sha256(stage.sandbox.original(image["image_file"]) or b"").hexdigest()
