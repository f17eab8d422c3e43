"""Images of the store that cannot be read as records: left alone, named, and nothing is created beside them twice."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.invalid_rows import INFORMATION, INVALID
from tests.support.target import RestoreScenario, end, head, picture, row, singer
from tests.support.verifier import Verifier

FIRST, SECOND = 101, 102


def odd_image(scenario: RestoreScenario, **override: Any) -> dict[str, Any]:
    """Let an image of the second product be shown so; return it as the store holds it."""
    image = scenario.images(SECOND)[1]
    scenario.sandbox.override("images", image["id"], **override)
    return image


def paths(scenario: RestoreScenario) -> list[str]:
    image_writes = [path for _, path in scenario.writes()]
    scenario.sandbox.clear_requests()
    return image_writes


@pytest.mark.parametrize("kind", INVALID)
def test_it_is_left_alone_and_all_else_is_restored(scenario: RestoreScenario, kind: str) -> None:
    override, problem = INVALID[kind]
    backup, before = scenario.backup(), scenario.state()
    scenario.sandbox.delete_image(scenario.images(FIRST)[0]["id"])
    odd = odd_image(scenario, **override)
    scenario.sandbox.clear_requests()
    run = scenario.restore(backup)
    assert run.code == 1, run.err
    assert scenario.state() == before
    assert not [path for path in paths(scenario) if f"/products/{SECOND}" in path]
    (rejected,) = [each for each in run.rows if each.get("status") == "rejected"]
    assert (rejected["product_id"], rejected["source_id"]) == (SECOND, odd["id"])
    assert problem in rejected["reason"]
    scenario.sandbox.override("images", odd["id"])
    again = scenario.restore(backup)
    assert (again.code, again.actions) == (0, [])


@pytest.mark.parametrize("kind", INFORMATION)
def test_what_is_only_informative_costs_nothing(scenario: RestoreScenario, kind: str) -> None:
    backup, before = scenario.backup(), scenario.state()
    odd_image(scenario, **INFORMATION[kind][0])
    scenario.sandbox.delete_image(scenario.images(SECOND)[0]["id"])
    assert scenario.restore(backup).code == 0
    assert scenario.state() == before


@pytest.mark.parametrize("kind", ["no order", "no path", "no thumbnail", "description a number"])
def test_a_sibling_is_restored_where_it_is_known_which_image_cannot_be_read(
    scenario: RestoreScenario, kind: str
) -> None:
    backup, before = scenario.backup(), scenario.state()
    odd = odd_image(scenario, **INVALID[kind][0])
    lost = next(image for image in scenario.images(SECOND) if image["id"] != odd["id"] and not image["is_thumbnail"])
    scenario.sandbox.delete_image(lost["id"])
    run = scenario.restore(backup)
    assert run.code == 1
    assert run.actions == [("create", "done"), ("reject", "rejected")]
    assert scenario.state() == before


@pytest.mark.parametrize("kind", ["text", "null", "id missing", "no id"])
def test_nothing_is_created_that_may_be_the_one_that_cannot_be_read(scenario: RestoreScenario, kind: str) -> None:
    backup = scenario.backup()
    override = INVALID[kind][0]
    odd = odd_image(scenario, **override, **({} if "row" in override else {"image_file": None}))
    lost = next(image for image in scenario.images(SECOND) if image["id"] != odd["id"])
    scenario.sandbox.delete_image(lost["id"])
    scenario.sandbox.clear_requests()
    run = scenario.restore(backup)
    assert run.code == 1
    assert run.actions == [("reject", "rejected")] * 2
    assert paths(scenario) == []
    assert all(
        "it may be the image of the store that is not valid" in each["reason"]
        for each in run.rows[:-1]
        if each["status"] == "rejected"
    )
    scenario.sandbox.override("images", odd["id"])
    assert scenario.restore(backup).actions == [("create", "done")]


@pytest.mark.parametrize("kind", ["no order", "text"])
def test_create_only_and_update_only_leave_it_too(scenario: RestoreScenario, kind: str) -> None:
    backup, before = scenario.backup(), scenario.state()
    odd_image(scenario, **INVALID[kind][0])
    for mode in ("create_only", "update_only"):
        scenario.restore(backup, mode=mode)
        assert scenario.writes() == []
        assert scenario.state() == before


@pytest.mark.parametrize("kind", INVALID)
def test_a_mirror_never_deletes_it(scenario: RestoreScenario, kind: str) -> None:
    """It is an image that the backup does not have: extra, and nobody knows what it is."""
    backup = scenario.backup()
    extra = scenario.sandbox.add_image(SECOND, picture(3), "extra.png")
    scenario.sandbox.override("images", extra, **INVALID[kind][0])
    run = scenario.restore(backup, mode="mirror", max_deletes=10, allow_data_loss=True)
    assert run.code == 1
    assert scenario.writes() == []
    assert any(image["id"] == extra for image in scenario.images(SECOND))
    assert INVALID[kind][1] in " ".join(str(each.get("reason")) for each in run.rows)


@pytest.mark.parametrize("kind", ["no order", "text", "id missing"])
def test_a_product_that_a_mirror_empties_keeps_it(scenario: RestoreScenario, kind: str) -> None:
    """Over V2 all images of a product can go in one request: never this one with them."""
    records = [record for record in scenario.records() if record["product_id"] != SECOND]
    odd = odd_image(scenario, **INVALID[kind][0])
    run = scenario.restore(singer(head(), *map(row, records), end()), mode="mirror", max_deletes=10)
    assert run.code == 1
    assert any(image["id"] == odd["id"] for image in scenario.images(SECOND))


@pytest.mark.parametrize("kind", INVALID)
def test_verify_shows_it(scenario: RestoreScenario, kind: str) -> None:
    override, problem = INVALID[kind]
    verifier = Verifier(scenario)
    odd_image(scenario, **override)
    code, lines = verifier()
    assert code == 1
    signs = [line[0] for line in lines[:-1]]
    assert signs
    assert set(signs) == {"!"}
    assert all(f"(product {SECOND}, image " in line for line in lines[:-1])
    assert problem in " ".join(lines)
    code, lines = verifier("--json")
    assert code == 1


def test_a_sku_that_is_no_text_matches_nothing_by_guess(scenario: RestoreScenario) -> None:
    product = scenario.sandbox.add_product(sku="5")
    scenario.sandbox.add_image(product, picture(4), "five.png")
    backup, before = scenario.backup(), scenario.state()
    scenario.sandbox.delete_image(scenario.images(product)[0]["id"])
    scenario.sandbox.delete_image(scenario.images(FIRST)[0]["id"])
    scenario.sandbox.override("products", product, sku=5)
    scenario.sandbox.clear_requests()
    run = scenario.restore(backup, match_products_by="sku")
    assert run.code == 1
    assert not [path for path in paths(scenario) if f"/products/{product}/" in path]
    (rejected,) = [each for each in run.rows if each.get("status") == "rejected" and each["product_id"] == product]
    assert rejected["reason"] == f"product {product} may have the SKU '5', and may not: its sku is 5, not text"
    assert scenario.state() | {product: before[product]} == before
    scenario.sandbox.override("products", product)
    scenario.restore(backup, match_products_by="sku")
    assert scenario.state() == before
