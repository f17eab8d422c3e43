"""What is said of a record whose product is not found: where it is now, or which one has almost its SKU."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.target import RestoreScenario, head, picture, row, singer

FIRST, SECOND = 101, 102


def reasons(scenario: RestoreScenario, data: bytes, **settings: Any) -> set[str]:
    run = scenario.restore(data, **settings)
    assert run.code == 1
    return {each["reason"] for each in run.rows if each.get("action") == "reject"}


def remade(scenario: RestoreScenario, product_id: int) -> tuple[str, int]:
    """Delete a product and make it anew; return its SKU and its new id."""
    sku = scenario.records(files=False)[3 * (product_id - FIRST)]["product_sku"]
    scenario.sandbox.delete_product(product_id)
    return sku, scenario.sandbox.add_product(sku=sku)


def test_a_product_made_anew_is_found_by_its_sku(scenario: RestoreScenario) -> None:
    before, backup = scenario.state(), scenario.backup()
    sku, product_id = remade(scenario, FIRST)
    said = f"its SKU '{sku}' is that of product {product_id}: set match_products_by to sku"
    assert reasons(scenario, backup) == {f"there is no product {FIRST} in the store; {said}"}
    assert scenario.restore(backup, match_products_by="sku").code == 0
    after = scenario.state()
    assert sorted(after.pop(product_id)) == sorted(before.pop(FIRST))
    assert after == before


def test_no_hint_where_matching_by_sku_would_not_help(scenario_v3: RestoreScenario) -> None:
    """Two products carry it, or the input has the one that carries it under its own id; or it is gone."""
    records = scenario_v3.records()
    scenario_v3.sandbox.delete_product(SECOND)
    gone = [row(each) for each in records]
    assert reasons(scenario_v3, singer(head(), *gone)) == {f"there is no product {SECOND} in the store"}
    twice = row({**records[0], "product_id": 999, "id": 10_000})
    plain = {f"there is no product {number} in the store" for number in (SECOND, 999)}
    assert reasons(scenario_v3, singer(head(), *gone, twice)) == plain
    scenario_v3.sandbox.add_product(sku=records[3]["product_sku"])
    scenario_v3.sandbox.add_product(sku=records[3]["product_sku"])
    assert reasons(scenario_v3, singer(head(), *gone)) == {f"there is no product {SECOND} in the store"}


def test_only_as_many_as_is_cheap_are_looked_for(scenario_v3: RestoreScenario) -> None:
    record = scenario_v3.records()[0]
    rows = [row({**record, "id": 1000 + n, "product_id": 5000 + n, "product_sku": f"GONE-{n}"}) for n in range(600)]
    scenario_v3.sandbox.clear_requests()
    assert len(reasons(scenario_v3, singer(head(), *rows))) == 600
    assert len(scenario_v3.sandbox.requests()) < 15


@pytest.mark.parametrize("wanted", [str.lower, lambda sku: f" {sku}", lambda sku: f"{sku} ", lambda sku: f"\t{sku}\n"])
def test_a_sku_that_differs_in_case_or_blanks_is_named(scenario: RestoreScenario, wanted: Any) -> None:
    records = scenario.records()
    sku = records[0]["product_sku"]
    other = wanted(sku)
    data = singer(head(), *(row({**each, "product_sku": other}) for each in records[:3]))
    said = f"product {FIRST} has {sku!r}, which differs in case or blanks: correct one of them"
    assert reasons(scenario, data, match_products_by="sku") == {f"no products have the SKU {other!r}; {said}"}


def test_a_sku_of_mixed_case_is_found_as_a_keyword(scenario_v3: RestoreScenario) -> None:
    product_id = scenario_v3.sandbox.add_product(sku=" Blue-Sock ")
    scenario_v3.sandbox.add_image(product_id, picture(1), "sock.png")
    record = {**scenario_v3.records()[0], "product_sku": "BLUE-sock"}
    (reason,) = reasons(scenario_v3, singer(head(), row(record)), match_products_by="sku")
    assert f"product {product_id} has ' Blue-Sock ', which differs in case or blanks" in reason


@pytest.mark.parametrize("key", ["id", "sku"])
def test_a_sku_of_a_megabyte(scenario: RestoreScenario, key: str) -> None:
    """No product can have it, and no address can carry it: one rejected record, and the others are restored."""
    records, before = scenario.records(), scenario.state()
    scenario.sandbox.delete_image(scenario.images(SECOND)[0]["id"])
    huge = {**records[0], "product_sku": "ß" * 2**20, "product_id": 999, "id": 9999}
    run = scenario.restore(singer(head(), row(huge), *map(row, records)), match_products_by=key)
    assert (run.code, run.summary["rejected"], scenario.state()) == (1, 1, before)
    (rejected,) = [each for each in run.rows if each.get("action") == "reject"]
    assert len(rejected["reason"]) < 300
    assert len(run.err) < 5000
