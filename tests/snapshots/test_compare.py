"""Two snapshots compared: every order of products, and more of them than wait in memory."""

from __future__ import annotations

import random
from typing import Any

import pytest

from bc_images.errors import InvalidInput
from bc_images.snapshots import compare
from bc_images.snapshots.compare import compare_snapshots

Images = dict[tuple[int, int], dict[str, Any]]


def image(product: int, number: int, **more: Any) -> dict[str, Any]:
    record = {"store_hash": "abc", "product_id": product, "id": number, "description": "", "file_sha256": "a" * 64}
    return {"type": "RECORD", "stream": "product_images", "record": {**record, **more}}


def signs(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> dict[int, str]:
    changes = list(compare_snapshots(before, after))
    by_id: dict[int, str] = {(change.after or change.before or {})["id"]: change.sign for change in changes}
    assert len(by_id) == len(changes)
    return by_id


def test_each_sign() -> None:
    before = [image(1, 1), image(1, 2), image(2, 3), image(2, 4)]
    after = [image(1, 1, date_modified="later"), image(1, 2, description="new"), image(2, 4, file_sha256="b" * 64)]
    assert signs(before, [*after, image(3, 5)]) == {1: "=", 2: "*", 3: "-", 4: "*", 5: "+"}
    changes = {change.sign: change for change in compare_snapshots(before[3:], after[2:])}
    assert changes["*"].fields == ("file_sha256",)


def test_a_picture_that_one_side_does_not_know_is_no_difference() -> None:
    assert signs([image(1, 1)], [image(1, 1, file_sha256=None)]) == {1: "="}


def test_other_streams_and_messages_do_not_count() -> None:
    other = {"type": "RECORD", "stream": "products", "record": {"id": 1}}
    assert signs([other, image(1, 1), {"type": "STATE", "value": {}}], [image(1, 1), other]) == {1: "="}


def test_two_stores_are_two() -> None:
    assert [change.sign for change in compare_snapshots([image(1, 1)], [image(1, 1, store_hash="x")])] == ["-", "+"]


@pytest.mark.parametrize("seed", range(20))
def test_the_order_does_not_matter(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "_LIMIT", 3)
    chance = random.Random(seed)
    sides = []
    for _ in range(2):
        products = chance.sample(range(1, 41), 30)
        sides.append(
            [image(product, product * 10 + n, sort_order=chance.randrange(2)) for product in products for n in range(2)]
        )
    expected = {}
    before, after = ({row["record"]["id"]: row["record"] for row in side} for side in sides)
    for number in before.keys() | after.keys():
        old, new = before.get(number), after.get(number)
        expected[number] = "+" if old is None else "-" if new is None else "=" if old == new else "*"
    assert signs(*sides) == expected
    for side in sides:
        side.sort(key=lambda row: row["record"]["id"])
    assert signs(*sides) == expected


@pytest.mark.parametrize("record", [{}, {"id": 1}, {"id": "1", "product_id": 1}, None, []])
def test_a_record_without_ids(record: Any) -> None:
    with pytest.raises(InvalidInput, match="no id"):
        list(compare_snapshots([{"type": "RECORD", "stream": "product_images", "record": record}], []))
