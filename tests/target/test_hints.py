"""What is said of a record whose product is not found: where it is now, or which one has almost its SKU."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.target import Stage, head, picture, row, singer

FIRST, SECOND = 101, 102


def reasons(stage: Stage, data: bytes, **settings: Any) -> set[str]:
    run = stage.restore(data, **settings)
    assert run.code == 1
    return {each["reason"] for each in run.rows if each.get("action") == "reject"}


def remade(stage: Stage, product_id: int) -> tuple[str, int]:
    """Delete a product and make it anew; return its SKU and its new id."""
    sku = stage.records(files=False)[3 * (product_id - FIRST)]["product_sku"]
    stage.sandbox.delete_product(product_id)
    return sku, stage.sandbox.add_product(sku=sku)


def test_a_product_made_anew_is_found_by_its_sku(stage: Stage) -> None:
    before, backup = stage.state(), stage.backup()
    sku, product_id = remade(stage, FIRST)
    said = f"its SKU '{sku}' is that of product {product_id}: set match_products_by to sku"
    assert reasons(stage, backup) == {f"there is no product {FIRST} in the store; {said}"}
    assert stage.restore(backup, match_products_by="sku").code == 0
    after = stage.state()
    assert sorted(after.pop(product_id)) == sorted(before.pop(FIRST))
    assert after == before


def test_no_hint_where_matching_by_sku_would_not_help(stage3: Stage) -> None:
    """Two products carry it, or the input has the one that carries it under its own id; or it is gone."""
    records = stage3.records()
    stage3.sandbox.delete_product(SECOND)
    gone = [row(each) for each in records]
    assert reasons(stage3, singer(head(), *gone)) == {f"there is no product {SECOND} in the store"}
    twice = row({**records[0], "product_id": 999, "id": 10_000})
    plain = {f"there is no product {number} in the store" for number in (SECOND, 999)}
    assert reasons(stage3, singer(head(), *gone, twice)) == plain
    stage3.sandbox.add_product(sku=records[3]["product_sku"])
    stage3.sandbox.add_product(sku=records[3]["product_sku"])
    assert reasons(stage3, singer(head(), *gone)) == {f"there is no product {SECOND} in the store"}


def test_only_as_many_as_is_cheap_are_looked_for(stage3: Stage) -> None:
    record = stage3.records()[0]
    rows = [row({**record, "id": 1000 + n, "product_id": 5000 + n, "product_sku": f"GONE-{n}"}) for n in range(600)]
    stage3.sandbox.clear_requests()
    assert len(reasons(stage3, singer(head(), *rows))) == 600
    assert len(stage3.sandbox.requests()) < 15


@pytest.mark.parametrize("wanted", [str.lower, lambda sku: f" {sku}", lambda sku: f"{sku} ", lambda sku: f"\t{sku}\n"])
def test_a_sku_that_differs_in_case_or_blanks_is_named(stage: Stage, wanted: Any) -> None:
    records = stage.records()
    sku = records[0]["product_sku"]
    other = wanted(sku)
    data = singer(head(), *(row({**each, "product_sku": other}) for each in records[:3]))
    said = f"product {FIRST} has {sku!r}, which differs in case or blanks: correct one of them"
    assert reasons(stage, data, match_products_by="sku") == {f"no products have the SKU {other!r}; {said}"}


def test_a_sku_of_mixed_case_is_found_as_a_keyword(stage3: Stage) -> None:
    product_id = stage3.sandbox.add_product(sku=" Blue-Sock ")
    stage3.sandbox.add_image(product_id, picture(1), "sock.png")
    record = {**stage3.records()[0], "product_sku": "BLUE-sock"}
    (reason,) = reasons(stage3, singer(head(), row(record)), match_products_by="sku")
    assert f"product {product_id} has ' Blue-Sock ', which differs in case or blanks" in reason


@pytest.mark.parametrize("key", ["id", "sku"])
def test_a_sku_of_a_megabyte(stage: Stage, key: str) -> None:
    """No product can have it, and no address can carry it: one rejected record, and the others are restored."""
    records, before = stage.records(), stage.state()
    stage.sandbox.delete_image(stage.images(SECOND)[0]["id"])
    huge = {**records[0], "product_sku": "ß" * 2**20, "product_id": 999, "id": 9999}
    run = stage.restore(singer(head(), row(huge), *map(row, records)), match_products_by=key)
    assert (run.code, run.summary["rejected"], stage.state()) == (1, 1, before)
    (rejected,) = [each for each in run.rows if each.get("action") == "reject"]
    assert len(rejected["reason"]) < 300
    assert len(run.err) < 5000
