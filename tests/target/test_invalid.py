"""Images of the store that cannot be read as records: left alone, named, and nothing is created beside them twice."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cli.test_verify import Verifier
from tests.support.invalid_rows import INFORMATION, INVALID
from tests.support.target import Stage, end, head, picture, row, singer

FIRST, SECOND = 101, 102


def odd_image(stage: Stage, **override: Any) -> dict[str, Any]:
    """Let an image of the second product be shown so; return it as the store holds it."""
    image = stage.images(SECOND)[1]
    stage.sandbox.override("images", image["id"], **override)
    return image


def paths(stage: Stage) -> list[str]:
    stage_writes = [path for _, path in stage.writes()]
    stage.sandbox.clear_requests()
    return stage_writes


@pytest.mark.parametrize("kind", INVALID)
def test_it_is_left_alone_and_all_else_is_restored(stage: Stage, kind: str) -> None:
    override, problem = INVALID[kind]
    backup, before = stage.backup(), stage.state()
    stage.sandbox.delete_image(stage.images(FIRST)[0]["id"])
    odd = odd_image(stage, **override)
    stage.sandbox.clear_requests()
    run = stage.restore(backup)
    assert run.code == 1, run.err
    assert stage.state() == before
    assert not [path for path in paths(stage) if f"/products/{SECOND}" in path]
    (rejected,) = [each for each in run.rows if each.get("status") == "rejected"]
    assert (rejected["product_id"], rejected["source_id"]) == (SECOND, odd["id"])
    assert problem in rejected["reason"]
    stage.sandbox.override("images", odd["id"])
    again = stage.restore(backup)
    assert (again.code, again.actions) == (0, [])


@pytest.mark.parametrize("kind", INFORMATION)
def test_what_is_only_informative_costs_nothing(stage: Stage, kind: str) -> None:
    backup, before = stage.backup(), stage.state()
    odd_image(stage, **INFORMATION[kind][0])
    stage.sandbox.delete_image(stage.images(SECOND)[0]["id"])
    assert stage.restore(backup).code == 0
    assert stage.state() == before


@pytest.mark.parametrize("kind", ["no order", "no path", "no thumbnail", "description a number"])
def test_a_sibling_is_restored_where_it_is_known_which_image_cannot_be_read(stage: Stage, kind: str) -> None:
    backup, before = stage.backup(), stage.state()
    odd = odd_image(stage, **INVALID[kind][0])
    lost = next(image for image in stage.images(SECOND) if image["id"] != odd["id"] and not image["is_thumbnail"])
    stage.sandbox.delete_image(lost["id"])
    run = stage.restore(backup)
    assert run.code == 1
    assert run.actions == [("create", "done"), ("reject", "rejected")]
    assert stage.state() == before


@pytest.mark.parametrize("kind", ["text", "null", "id missing", "no id"])
def test_nothing_is_created_that_may_be_the_one_that_cannot_be_read(stage: Stage, kind: str) -> None:
    backup = stage.backup()
    override = INVALID[kind][0]
    odd = odd_image(stage, **override, **({} if "row" in override else {"image_file": None}))
    lost = next(image for image in stage.images(SECOND) if image["id"] != odd["id"])
    stage.sandbox.delete_image(lost["id"])
    stage.sandbox.clear_requests()
    run = stage.restore(backup)
    assert run.code == 1
    assert run.actions == [("reject", "rejected")] * 2
    assert paths(stage) == []
    assert all(
        "it may be the image of the store that cannot be read" in each["reason"]
        for each in run.rows[:-1]
        if each["status"] == "rejected"
    )
    stage.sandbox.override("images", odd["id"])
    assert stage.restore(backup).actions == [("create", "done")]


@pytest.mark.parametrize("kind", ["no order", "text"])
def test_create_only_and_update_only_leave_it_too(stage: Stage, kind: str) -> None:
    backup, before = stage.backup(), stage.state()
    odd_image(stage, **INVALID[kind][0])
    for mode in ("create_only", "update_only"):
        stage.restore(backup, mode=mode)
        assert stage.writes() == []
        assert stage.state() == before


@pytest.mark.parametrize("kind", INVALID)
def test_a_mirror_never_deletes_it(stage: Stage, kind: str) -> None:
    """It is an image that the backup does not have: extra, and nobody knows what it is."""
    backup = stage.backup()
    extra = stage.sandbox.add_image(SECOND, picture(3), "extra.png")
    stage.sandbox.override("images", extra, **INVALID[kind][0])
    run = stage.restore(backup, mode="mirror", max_deletes=10, allow_data_loss=True)
    assert run.code == 1
    assert stage.writes() == []
    assert any(image["id"] == extra for image in stage.images(SECOND))
    assert INVALID[kind][1] in " ".join(str(each.get("reason")) for each in run.rows)


@pytest.mark.parametrize("kind", ["no order", "text", "id missing"])
def test_a_product_that_a_mirror_empties_keeps_it(stage: Stage, kind: str) -> None:
    """Over V2 all images of a product can go in one request: never this one with them."""
    records = [record for record in stage.records() if record["product_id"] != SECOND]
    odd = odd_image(stage, **INVALID[kind][0])
    run = stage.restore(singer(head(), *map(row, records), end()), mode="mirror", max_deletes=10)
    assert run.code == 1
    assert any(image["id"] == odd["id"] for image in stage.images(SECOND))


@pytest.mark.parametrize("kind", INVALID)
def test_verify_shows_it(stage: Stage, kind: str) -> None:
    override, problem = INVALID[kind]
    verifier = Verifier(stage)
    odd_image(stage, **override)
    code, lines = verifier()
    assert code == 1
    signs = [line[0] for line in lines[:-1]]
    assert signs
    assert set(signs) == {"!"}
    assert all(f"(product {SECOND}, image " in line for line in lines[:-1])
    assert problem in " ".join(lines)
    code, lines = verifier("--json")
    assert code == 1


def test_a_sku_that_is_no_text_matches_nothing_by_guess(stage: Stage) -> None:
    product = stage.sandbox.add_product(sku="5")
    stage.sandbox.add_image(product, picture(4), "five.png")
    backup, before = stage.backup(), stage.state()
    stage.sandbox.delete_image(stage.images(product)[0]["id"])
    stage.sandbox.delete_image(stage.images(FIRST)[0]["id"])
    stage.sandbox.override("products", product, sku=5)
    stage.sandbox.clear_requests()
    run = stage.restore(backup, match_products_by="sku")
    assert run.code == 1
    assert not [path for path in paths(stage) if f"/products/{product}/" in path]
    (rejected,) = [each for each in run.rows if each.get("status") == "rejected" and each["product_id"] == product]
    assert rejected["reason"] == f"product {product} may have the SKU '5', and may not: its sku is 5, not text"
    assert stage.state() | {product: before[product]} == before
    stage.sandbox.override("products", product)
    stage.restore(backup, match_products_by="sku")
    assert stage.state() == before
