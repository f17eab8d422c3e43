"""Every restore can be taken back: the undo holds what was there, pictures included, before the first write."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from bc_images.files import open_files
from bc_images.files.layout import object_key
from tests.support.target import RestoreScenario, end, head, picture, row, singer
from tests.target.test_modes import damage

FIRST, SECOND, THIRD = 101, 102, 103


def undo(scenario: RestoreScenario) -> bytes:
    """Return the newest undo."""
    return max(scenario.state_dir.glob("undo-*.singer")).read_bytes()


def only_sensible(scenario: RestoreScenario) -> None:
    """Take away all that could help beside the undo itself: the ledger."""
    for left in scenario.state_dir.glob("ledger*"):
        left.unlink()


def wreck(scenario: RestoreScenario) -> None:
    damage(scenario)
    one, two, three = (image["id"] for image in scenario.images(SECOND))
    scenario.sandbox.set_image(one, content=picture(50), filename="other.png")
    scenario.sandbox.set_image(two, is_thumbnail=True, sort_order=-4)
    scenario.sandbox.set_image(three, sort_order=2_000_000, description="Größe\n“7”")
    scenario.sandbox.add_image(FIRST, picture(4), "x.png", sort_order=0)


@pytest.mark.parametrize("shift", ["none", "shift"])
@pytest.mark.parametrize("forgets", [lambda _: None, only_sensible])
def test_it_brings_the_former_state_back_exactly(
    scenario: RestoreScenario, shift: str, forgets: Callable[[RestoreScenario], None]
) -> None:
    backed_up, backup = scenario.state(), scenario.backup()
    wreck(scenario)
    scenario.sandbox.set_flags(sort_order_shift=shift)
    former = scenario.state()
    assert scenario.restore(backup, mode="mirror", max_deletes=4).code == 0
    assert scenario.state() == backed_up
    forgets(scenario)
    run = scenario.restore(undo(scenario), mode="mirror", max_deletes=4)
    assert run.code == 0, run.err
    assert scenario.state() == former
    # and forth again: a restore of an undo has an undo, too
    assert scenario.restore(undo(scenario), mode="mirror", max_deletes=4).code == 0
    assert scenario.state() == backed_up


def test_it_touches_no_other_product(scenario_v3: RestoreScenario) -> None:
    backup = scenario_v3.backup()
    scenario_v3.sandbox.delete_image(scenario_v3.images(FIRST)[0]["id"])
    former = scenario_v3.state()
    assert scenario_v3.restore(backup).code == 0
    scenario_v3.sandbox.add_image(THIRD, picture(1), "meanwhile.png")
    meanwhile = scenario_v3.state()[THIRD]
    assert scenario_v3.restore(undo(scenario_v3), mode="mirror", max_deletes=1).code == 0
    assert scenario_v3.state() == {**former, THIRD: meanwhile}


def test_it_is_written_before_the_first_write(scenario: RestoreScenario) -> None:
    backup = scenario.backup()
    wreck(scenario)
    former = scenario.state()
    scenario.sandbox.faults("s" * 50, match="POST|PUT /stores|DELETE /stores")  # the very first write ends the run
    assert scenario.restore(backup, mode="mirror", max_deletes=4).code == 3
    kept = [orjson.loads(line) for line in undo(scenario).splitlines()]
    images = [message["record"] for message in kept if message["type"] == "RECORD" and message["stream"] != "products"]
    assert {image["product_id"] for image in images} >= {FIRST, SECOND, THIRD}
    assert kept[-1]["type"] == "ACTIVATE_VERSION"
    files = open_files(str(scenario.folder / "files"))
    endangered = [image for image in images if image["file_sha256"]]
    assert endangered
    for image in endangered:
        assert files.read(image["file_sha256"]) == scenario.sandbox.original(image["image_file"])
    assert scenario.state() == former


def test_it_grows_batch_by_batch_and_is_whole_after_each(scenario_v3: RestoreScenario) -> None:
    backup = scenario_v3.backup()
    wreck(scenario_v3)
    assert scenario_v3.restore(backup, mode="mirror", max_deletes=4).code == 0
    types = [orjson.loads(line)["type"] for line in undo(scenario_v3).splitlines()]
    assert types.count("ACTIVATE_VERSION") == 2  # the backup's products, and those that it empties
    assert types[-1] == "ACTIVATE_VERSION"


def test_nothing_to_do_leaves_no_undo(scenario_v3: RestoreScenario) -> None:
    assert scenario_v3.restore(scenario_v3.backup()).code == 0
    assert list(scenario_v3.state_dir.glob("undo*")) == []


def test_two_restores_of_one_product_are_taken_back_one_after_the_other(scenario: RestoreScenario) -> None:
    backup = scenario.backup()
    wreck(scenario)
    former = [scenario.state()]
    assert scenario.restore(backup).code == 0
    one, *_ = scenario.images(FIRST)
    scenario.sandbox.delete_image(one["id"])
    former.append(scenario.state())
    assert scenario.restore(backup).code == 0
    for path in sorted(scenario.state_dir.glob("undo*"), reverse=True):
        run = scenario.restore(path.read_bytes(), mode="mirror", max_deletes=4)
        assert (run.code, scenario.state()) == (0, former.pop()), run.err
    assert not former


@pytest.mark.parametrize("forgets", [lambda _: None, only_sensible])
def test_a_restore_by_sku_is_taken_back_by_sku(
    scenario: RestoreScenario, forgets: Callable[[RestoreScenario], None]
) -> None:
    """Over V2 too, where an image does not tell its product's SKU; and where the product had no image at all."""
    records = [
        {**record, "store_hash": "shop", "product_id": record["product_id"] + 900} for record in scenario.records()
    ]
    for image in scenario.images(FIRST):
        scenario.sandbox.delete_image(image["id"])
    scenario.sandbox.set_image(scenario.images(SECOND)[0]["id"], description="former")
    former = scenario.state()
    data = singer(head(), *map(row, records), end())
    settings = {"match_products_by": "sku", "mode": "mirror", "max_deletes": 3}
    assert scenario.restore(data, match_products_by="sku").code in {0, 1}  # one of the products has no SKU
    assert scenario.state() != former
    forgets(scenario)
    run = scenario.restore(undo(scenario), **settings)
    assert (run.code, scenario.state()) == (0, former), run.err


def test_a_picture_that_cannot_be_kept_is_not_lost(scenario: RestoreScenario) -> None:
    """Its original and its renditions do not answer: no replace, no delete at all, and all else goes on."""
    backup = scenario.backup()
    wreck(scenario)
    endangered = scenario.images(SECOND)[0]
    scenario.sandbox.faults("W" * 1000, match=r"GET /product_images/.*/other")
    scenario.sandbox.faults("W" * 1000, match=rf"GET /s-sandbox/products/\d+/images/{endangered['id']}/")
    run = scenario.restore(backup, mode="mirror", max_deletes=4, max_retries=0)
    assert run.code == 1
    assert ("reject", "rejected") in run.actions
    rejected = next(each for each in run.rows if each.get("action") == "reject")
    assert "would lose the present picture, of which no copy is kept" in rejected["reason"]
    assert scenario.images(SECOND)[0]["image_file"] == endangered["image_file"]
    assert {("create", "done"), ("update", "done")} <= {*run.actions}
    assert ("delete", "done") not in run.actions
    assert "mirror deleted nothing, because records were rejected" in run.err


def test_a_folder_that_cannot_be_written_changes_nothing(scenario_v3: RestoreScenario, tmp_path: Path) -> None:
    backup = scenario_v3.backup()
    wreck(scenario_v3)
    former = scenario_v3.state()
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    run = scenario_v3.restore(backup, state_dir=str(blocked / "state"))
    assert (run.code, scenario_v3.state()) == (2, former)
    assert "cannot be used" in run.err


def test_a_record_without_a_mark_restores_but_deletes_nothing(scenario_v3: RestoreScenario) -> None:
    scenario_v3.sandbox.add_image(FIRST, picture(1), "extra.png")
    record = scenario_v3.records()[0]
    listed = row({"store_hash": "sandbox", "id": FIRST, "image_count": 1}, "products")
    data = singer(head("products"), listed, head(), row(record))
    run = scenario_v3.restore(data, mode="mirror", max_deletes=9)
    assert (run.code, run.actions) == (1, [])
    run = scenario_v3.restore(data + singer(end()), mode="mirror", max_deletes=9)
    assert (run.code, run.actions) == (0, [("delete", "done")] * 3)


def rot(scenario: RestoreScenario, content: bytes) -> Path:
    """Save all pictures, then flip a bit of one of them; its length stays. Return where it is."""
    scenario.backup()
    path = scenario.folder / "files" / object_key(hashlib.sha256(content).hexdigest())
    assert path.read_bytes() == content
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    return path


@pytest.mark.parametrize("action", ["delete", "replace"])
def test_a_copy_that_has_rotted_is_none(scenario: RestoreScenario, action: str) -> None:
    """The file store has had the endangered picture for long, and no longer holds its bytes."""
    backup = scenario.backup()
    if action == "delete":
        scenario.sandbox.add_image(FIRST, picture(60), "extra.png")
    else:
        scenario.sandbox.set_image(scenario.images(FIRST)[0]["id"], content=picture(60), filename="other.png")
    former = scenario.state()
    rotten = rot(scenario, picture(60))
    run = scenario.restore(backup, mode="mirror", max_deletes=1)
    assert (run.code, run.actions) == (0, [(action, "done")]), run.err
    assert rotten.read_bytes() == picture(60)  # downloaded again before it was gone
    only_sensible(scenario)
    run = scenario.restore(undo(scenario), mode="mirror", max_deletes=1)
    assert run.code == 0, run.err
    assert scenario.state() == former


def test_a_copy_that_has_rotted_and_cannot_be_had_again(scenario_v3: RestoreScenario) -> None:
    """The store does not serve the picture either: then it is not lost on purpose."""
    backup = scenario_v3.backup()
    scenario_v3.sandbox.add_image(FIRST, picture(60), "extra.png")
    former = scenario_v3.state()
    endangered = next(image for image in scenario_v3.images(FIRST) if "extra" in image["image_file"])
    rot(scenario_v3, picture(60))
    scenario_v3.sandbox.faults("W" * 1000, match=r"GET /product_images/.*/extra")
    scenario_v3.sandbox.faults("W" * 1000, match=rf"GET /s-sandbox/products/\d+/images/{endangered['id']}/")
    run = scenario_v3.restore(backup, mode="mirror", max_deletes=1, max_retries=0)
    assert (run.code, run.actions) == (1, [("reject", "rejected")])
    rejected = next(each for each in run.rows if each.get("action") == "reject")
    assert "no copy is kept" in rejected["reason"]
    assert scenario_v3.state() == former


def held(scenario: RestoreScenario) -> dict[Path, bytes]:
    """Everything in the file store."""
    return {path: path.read_bytes() for path in (scenario.folder / "files").rglob("*") if path.is_file()}


def fetched(scenario: RestoreScenario, name: str) -> int:
    """How often the originals of that name were asked for."""
    paths = [each["path"] for each in scenario.sandbox.requests()]
    return sum(path.startswith("/product_images/") and name in path for path in paths)


def reborn(scenario: RestoreScenario, content: bytes) -> bytes:
    """Back up an image, then delete it and add another under its name, of which no backup knows the picture."""
    scenario.sandbox.add_image(FIRST, picture(60), "front.png")
    backup = scenario.backup()
    scenario.sandbox.delete_image(next(each["id"] for each in scenario.images(FIRST) if "front" in each["image_file"]))
    scenario.sandbox.add_image(FIRST, content, "front.png")
    scenario.sandbox.clear_requests()
    return backup


def test_what_is_only_compared_is_not_kept(scenario: RestoreScenario) -> None:
    """A restore that loses no picture only reads the file store, which may be mounted so."""
    backup = reborn(scenario, picture(60))
    before, former = held(scenario), scenario.state()
    run = scenario.restore(backup, mode="mirror", max_deletes=1)
    assert (run.code, run.actions, scenario.state()) == (0, [], former), run.err
    assert fetched(scenario, "front") == 1
    assert held(scenario) == before


@pytest.mark.parametrize("dry_run", [False, True])
def test_what_is_compared_and_then_endangered_is_downloaded_once(scenario: RestoreScenario, dry_run: bool) -> None:
    backup = reborn(scenario, picture(61))
    before, former = held(scenario), scenario.state()
    run = scenario.restore(backup, mode="mirror", max_deletes=1, dry_run=dry_run)
    assert run.code == 0, run.err
    assert fetched(scenario, "front") == 1
    if dry_run:
        assert (held(scenario), scenario.state()) == (before, former)
        return
    assert {*held(scenario).values()} == {*before.values(), picture(61)}
    assert scenario.restore(undo(scenario), mode="mirror", max_deletes=1).code == 0
    assert scenario.state() == former
