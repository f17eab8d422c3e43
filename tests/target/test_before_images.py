"""Every restore can be taken back: the undo holds what was there, pictures included, before the first write."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from bc_images.files import open_files
from bc_images.files.index import object_key
from tests.support.target import Stage, end, head, picture, row, singer
from tests.target.test_modes import damage

FIRST, SECOND, THIRD = 101, 102, 103


def undo(stage: Stage) -> bytes:
    """Return the newest undo."""
    return max(stage.state_dir.glob("undo-*.singer")).read_bytes()


def only_sensible(stage: Stage) -> None:
    """Take away all that could help beside the undo itself: the ledger."""
    for left in stage.state_dir.glob("ledger*"):
        left.unlink()


def wreck(stage: Stage) -> None:
    damage(stage)
    one, two, three = (image["id"] for image in stage.images(SECOND))
    stage.sandbox.set_image(one, content=picture(50), filename="other.png")
    stage.sandbox.set_image(two, is_thumbnail=True, sort_order=-4)
    stage.sandbox.set_image(three, sort_order=2_000_000, description="Größe\n“7”")
    stage.sandbox.add_image(FIRST, picture(4), "x.png", sort_order=0)


@pytest.mark.parametrize("shift", ["none", "shift"])
@pytest.mark.parametrize("forgets", [lambda _: None, only_sensible])
def test_it_brings_the_former_state_back_exactly(stage: Stage, shift: str, forgets: Callable[[Stage], None]) -> None:
    backed_up, backup = stage.state(), stage.backup()
    wreck(stage)
    stage.sandbox.switch(sort_order_shift=shift)
    former = stage.state()
    assert stage.restore(backup, mode="mirror", max_deletes=4).code == 0
    assert stage.state() == backed_up
    forgets(stage)
    run = stage.restore(undo(stage), mode="mirror", max_deletes=4)
    assert run.code == 0, run.err
    assert stage.state() == former
    # and forth again: a restore of an undo has an undo, too
    assert stage.restore(undo(stage), mode="mirror", max_deletes=4).code == 0
    assert stage.state() == backed_up


def test_it_touches_no_other_product(stage3: Stage) -> None:
    backup = stage3.backup()
    stage3.sandbox.delete_image(stage3.images(FIRST)[0]["id"])
    former = stage3.state()
    assert stage3.restore(backup).code == 0
    stage3.sandbox.add_image(THIRD, picture(1), "meanwhile.png")
    meanwhile = stage3.state()[THIRD]
    assert stage3.restore(undo(stage3), mode="mirror", max_deletes=1).code == 0
    assert stage3.state() == {**former, THIRD: meanwhile}


def test_it_is_written_before_the_first_write(stage: Stage) -> None:
    backup = stage.backup()
    wreck(stage)
    former = stage.state()
    stage.sandbox.faults("s" * 50, match="POST|PUT /stores|DELETE /stores")  # the very first write ends the run
    assert stage.restore(backup, mode="mirror", max_deletes=4).code == 3
    kept = [orjson.loads(line) for line in undo(stage).splitlines()]
    images = [message["record"] for message in kept if message["type"] == "RECORD" and message["stream"] != "products"]
    assert {image["product_id"] for image in images} >= {FIRST, SECOND, THIRD}
    assert kept[-1]["type"] == "ACTIVATE_VERSION"
    files = open_files(str(stage.folder / "files"))
    endangered = [image for image in images if image["file_sha256"]]
    assert endangered
    for image in endangered:
        assert files.read(image["file_sha256"]) == stage.sandbox.original(image["image_file"])
    assert stage.state() == former


def test_it_grows_batch_by_batch_and_is_whole_after_each(stage3: Stage) -> None:
    backup = stage3.backup()
    wreck(stage3)
    assert stage3.restore(backup, mode="mirror", max_deletes=4).code == 0
    types = [orjson.loads(line)["type"] for line in undo(stage3).splitlines()]
    assert types.count("ACTIVATE_VERSION") == 2  # the backup's products, and those that it empties
    assert types[-1] == "ACTIVATE_VERSION"


def test_nothing_to_do_leaves_no_undo(stage3: Stage) -> None:
    assert stage3.restore(stage3.backup()).code == 0
    assert list(stage3.state_dir.glob("undo*")) == []


def test_two_restores_of_one_product_are_taken_back_one_after_the_other(stage: Stage) -> None:
    backup = stage.backup()
    wreck(stage)
    former = [stage.state()]
    assert stage.restore(backup).code == 0
    one, *_ = stage.images(FIRST)
    stage.sandbox.delete_image(one["id"])
    former.append(stage.state())
    assert stage.restore(backup).code == 0
    for path in sorted(stage.state_dir.glob("undo*"), reverse=True):
        run = stage.restore(path.read_bytes(), mode="mirror", max_deletes=4)
        assert (run.code, stage.state()) == (0, former.pop()), run.err
    assert not former


@pytest.mark.parametrize("forgets", [lambda _: None, only_sensible])
def test_a_restore_by_sku_is_taken_back_by_sku(stage: Stage, forgets: Callable[[Stage], None]) -> None:
    """Over V2 too, where an image does not tell its product's SKU; and where the product had no image at all."""
    records = [{**record, "store_hash": "shop", "product_id": record["product_id"] + 900} for record in stage.records()]
    for image in stage.images(FIRST):
        stage.sandbox.delete_image(image["id"])
    stage.sandbox.set_image(stage.images(SECOND)[0]["id"], description="former")
    former = stage.state()
    data = singer(head(), *map(row, records), end())
    settings = {"match_products_by": "sku", "mode": "mirror", "max_deletes": 3}
    assert stage.restore(data, match_products_by="sku").code in {0, 1}  # one of the products has no SKU
    assert stage.state() != former
    forgets(stage)
    run = stage.restore(undo(stage), **settings)
    assert (run.code, stage.state()) == (0, former), run.err


def test_a_picture_that_cannot_be_kept_is_not_lost(stage: Stage) -> None:
    """Its original and its renditions do not answer: no replace, no delete at all, and all else goes on."""
    backup = stage.backup()
    wreck(stage)
    endangered = stage.images(SECOND)[0]
    stage.sandbox.faults("W" * 1000, match=r"GET /product_images/.*/other")
    stage.sandbox.faults("W" * 1000, match=rf"GET /s-sandbox/products/\d+/images/{endangered['id']}/")
    run = stage.restore(backup, mode="mirror", max_deletes=4, max_retries=0)
    assert run.code == 1
    assert ("reject", "rejected") in run.actions
    rejected = next(each for each in run.rows if each.get("action") == "reject")
    assert "would lose the present picture, of which no copy is kept" in rejected["reason"]
    assert stage.images(SECOND)[0]["image_file"] == endangered["image_file"]
    assert {("create", "done"), ("update", "done")} <= {*run.actions}
    assert ("delete", "done") not in run.actions
    assert "mirror deleted nothing, because records were rejected" in run.err


def test_a_folder_that_cannot_be_written_changes_nothing(stage3: Stage, tmp_path: Path) -> None:
    backup = stage3.backup()
    wreck(stage3)
    former = stage3.state()
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    run = stage3.restore(backup, state_dir=str(blocked / "state"))
    assert (run.code, stage3.state()) == (2, former)
    assert "cannot be used" in run.err


def test_a_record_without_a_mark_restores_but_deletes_nothing(stage3: Stage) -> None:
    stage3.sandbox.add_image(FIRST, picture(1), "extra.png")
    record = stage3.records()[0]
    listed = row({"store_hash": "sandbox", "id": FIRST, "image_count": 1}, "products")
    data = singer(head("products"), listed, head(), row(record))
    run = stage3.restore(data, mode="mirror", max_deletes=9)
    assert (run.code, run.actions) == (1, [])
    run = stage3.restore(data + singer(end()), mode="mirror", max_deletes=9)
    assert (run.code, run.actions) == (0, [("delete", "done")] * 3)


def rot(stage: Stage, content: bytes) -> Path:
    """Save all pictures, then flip a bit of one of them; its length stays. Return where it is."""
    stage.backup()
    path = stage.folder / "files" / object_key(hashlib.sha256(content).hexdigest())
    assert path.read_bytes() == content
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    return path


@pytest.mark.parametrize("action", ["delete", "replace"])
def test_a_copy_that_has_rotted_is_none(stage: Stage, action: str) -> None:
    """The file store has had the endangered picture for long, and no longer holds its bytes."""
    backup = stage.backup()
    if action == "delete":
        stage.sandbox.add_image(FIRST, picture(60), "extra.png")
    else:
        stage.sandbox.set_image(stage.images(FIRST)[0]["id"], content=picture(60), filename="other.png")
    former = stage.state()
    rotten = rot(stage, picture(60))
    run = stage.restore(backup, mode="mirror", max_deletes=1)
    assert (run.code, run.actions) == (0, [(action, "done")]), run.err
    assert rotten.read_bytes() == picture(60)  # downloaded again before it was gone
    only_sensible(stage)
    run = stage.restore(undo(stage), mode="mirror", max_deletes=1)
    assert run.code == 0, run.err
    assert stage.state() == former


def test_a_copy_that_has_rotted_and_cannot_be_had_again(stage3: Stage) -> None:
    """The store does not serve the picture either: then it is not lost on purpose."""
    backup = stage3.backup()
    stage3.sandbox.add_image(FIRST, picture(60), "extra.png")
    former = stage3.state()
    endangered = next(image for image in stage3.images(FIRST) if "extra" in image["image_file"])
    rot(stage3, picture(60))
    stage3.sandbox.faults("W" * 1000, match=r"GET /product_images/.*/extra")
    stage3.sandbox.faults("W" * 1000, match=rf"GET /s-sandbox/products/\d+/images/{endangered['id']}/")
    run = stage3.restore(backup, mode="mirror", max_deletes=1, max_retries=0)
    assert (run.code, run.actions) == (1, [("reject", "rejected")])
    rejected = next(each for each in run.rows if each.get("action") == "reject")
    assert "no copy is kept" in rejected["reason"]
    assert stage3.state() == former


def held(stage: Stage) -> dict[Path, bytes]:
    """Everything in the file store."""
    return {path: path.read_bytes() for path in (stage.folder / "files").rglob("*") if path.is_file()}


def fetched(stage: Stage, name: str) -> int:
    """How often the originals of that name were asked for."""
    paths = [each["path"] for each in stage.sandbox.requests()]
    return sum(path.startswith("/product_images/") and name in path for path in paths)


def reborn(stage: Stage, content: bytes) -> bytes:
    """Back up an image, then delete it and add another under its name, of which no backup knows the picture."""
    stage.sandbox.add_image(FIRST, picture(60), "front.png")
    backup = stage.backup()
    stage.sandbox.delete_image(next(each["id"] for each in stage.images(FIRST) if "front" in each["image_file"]))
    stage.sandbox.add_image(FIRST, content, "front.png")
    stage.sandbox.clear_requests()
    return backup


def test_what_is_only_compared_is_not_kept(stage: Stage) -> None:
    """A restore that loses no picture only reads the file store, which may be mounted so."""
    backup = reborn(stage, picture(60))
    before, former = held(stage), stage.state()
    run = stage.restore(backup, mode="mirror", max_deletes=1)
    assert (run.code, run.actions, stage.state()) == (0, [], former), run.err
    assert fetched(stage, "front") == 1
    assert held(stage) == before


@pytest.mark.parametrize("dry_run", [False, True])
def test_what_is_compared_and_then_endangered_is_downloaded_once(stage: Stage, dry_run: bool) -> None:
    backup = reborn(stage, picture(61))
    before, former = held(stage), stage.state()
    run = stage.restore(backup, mode="mirror", max_deletes=1, dry_run=dry_run)
    assert run.code == 0, run.err
    assert fetched(stage, "front") == 1
    if dry_run:
        assert (held(stage), stage.state()) == (before, former)
        return
    assert {*held(stage).values()} == {*before.values(), picture(61)}
    assert stage.restore(undo(stage), mode="mirror", max_deletes=1).code == 0
    assert stage.state() == former
