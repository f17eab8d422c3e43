"""Modes, dry run, the choice of products and how they are found, and what the report says of it all."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from bigcommerce_sandbox import SandboxServer
from target_bc_images import planning
from tests.support.target import Run, Stage, end, head, picture, row, singer

FIRST, SECOND, THIRD = 101, 102, 103


def damage(stage: Stage) -> None:
    """One image lost, one overwritten, one too many, and a product that the backup does not know."""
    sandbox = stage.sandbox
    sandbox.delete_image(stage.images(FIRST)[0]["id"])
    sandbox.set_image(stage.images(SECOND)[0]["id"], description="overwritten")
    sandbox.add_image(THIRD, picture(1), "extra.png")
    product = sandbox.add_product(sku="NEW")
    sandbox.add_image(product, picture(2), "unknown.png")
    sandbox.add_image(product, picture(3), "unknown.png")


class TestModes:
    def test_upsert_creates_and_changes(self, stage3: Stage) -> None:
        backup = stage3.backup()
        damage(stage3)
        run = stage3.restore(backup)
        assert (run.code, run.actions) == (0, [("create", "done"), ("update", "done")])

    def test_create_only_changes_nothing(self, stage3: Stage) -> None:
        backup = stage3.backup()
        damage(stage3)
        run = stage3.restore(backup, mode="create_only")
        assert (run.code, run.actions) == (0, [("create", "done")])
        assert stage3.images(SECOND)[0]["description"] == "overwritten"

    def test_create_only_puts_back_what_the_store_shifts(self, stage3: Stage) -> None:
        backup = stage3.backup()
        damage(stage3)
        stage3.sandbox.switch(sort_order_shift="shift")
        before = {image["id"]: image["sort_order"] for image in stage3.images(FIRST)}
        assert stage3.restore(backup, mode="create_only").code == 0
        assert before.items() <= {image["id"]: image["sort_order"] for image in stage3.images(FIRST)}.items()

    def test_create_only_finishes_what_it_has_created(self, stage: Stage) -> None:
        stage.sandbox.reset(6, 5)
        before, backup = stage.state(), stage.backup()
        for image in stage.sandbox.dump(files=False)["images"]:
            stage.sandbox.delete_image(image["id"])
        stage.sandbox.switch(sort_order_shift="shift")
        run = stage.restore(backup, mode="create_only")
        assert (run.code, run.actions) == (0, [("create", "done")] * 30)
        assert stage.state() == before

    def test_create_only_finishes_what_an_earlier_run_has_created(self, stage3: Stage) -> None:
        before, backup = stage3.state(), stage3.backup()
        for image in stage3.images(FIRST):
            stage3.sandbox.delete_image(image["id"])
        stage3.sandbox.switch(sort_order_shift="shift")
        stage3.sandbox.faults("..s", match=f"(POST|PUT) .*/{FIRST}/images")
        assert stage3.restore(backup, mode="create_only").code == 3
        assert stage3.state() != before
        stage3.sandbox.set_image(stage3.images(FIRST)[0]["id"], sort_order=70)
        stage3.sandbox.faults("")
        assert stage3.restore(backup, mode="create_only").code == 0
        assert stage3.state() == before
        stage3.sandbox.set_image(stage3.images(FIRST)[0]["id"], description="by hand")  # finished: it is the shop's now
        assert stage3.restore(backup, mode="create_only").actions == []

    @pytest.mark.parametrize("shift", ["none", "shift"])
    def test_create_only_disturbs_nobody(self, stage: Stage, shift: str) -> None:
        backup = stage.backup()
        stage.sandbox.switch(sort_order_shift=shift)
        stage.sandbox.set_image(stage.images(FIRST)[1]["id"], sort_order=7, description="by hand", is_thumbnail=True)
        lost = stage.images(FIRST)[0]
        stage.sandbox.delete_image(lost["id"])
        there = {image["id"]: image for image in stage.images(FIRST)}
        assert stage.restore(backup, mode="create_only").code == 0
        after = stage.images(FIRST)
        for image in after:
            if image["id"] in there:
                image["date_modified"] = there[image["id"]]["date_modified"]
        assert [image for image in after if image["id"] in there] == list(there.values())
        (made,) = (image for image in after if image["id"] not in there)
        assert (made["sort_order"], made["is_thumbnail"]) == (lost["sort_order"], False)

    def test_update_only_creates_nothing(self, stage3: Stage) -> None:
        backup = stage3.backup()
        damage(stage3)
        run = stage3.restore(backup, mode="update_only")
        assert (run.code, run.actions) == (0, [("update", "done")])
        assert len(stage3.images(FIRST)) == 2

    def test_mirror_deletes_what_the_backup_lacks(self, stage: Stage) -> None:
        before, backup = stage.state(), stage.backup()
        damage(stage)
        run = stage.restore(backup, mode="mirror", max_deletes=3)
        assert (run.code, stage.state()) == (0, before), run.err
        assert run.summary["summary"]["delete"] == 3
        assert stage.restore(backup, mode="mirror", max_deletes=0).actions == []

    def test_a_product_whose_images_all_go_takes_one_delete_on_v2(self, sandbox: SandboxServer, tmp_path: Any) -> None:
        stage = Stage(sandbox, tmp_path, "v2")
        backup = stage.backup()
        product = sandbox.add_product(sku="NEW")
        for number in range(5):
            sandbox.add_image(product, picture(number), "unknown.png")
        sandbox.clear_requests()
        assert stage.restore(backup, mode="mirror", max_deletes=5).code == 0
        assert stage.writes() == [("DELETE", f"/stores/sandbox/v2/products/{product}/images")]

    def test_mirror_spares_products_that_an_input_with_a_list_of_products_does_not_list(self, stage3: Stage) -> None:
        records = stage3.records()
        listed = [
            row({"store_hash": "sandbox", "id": pid, "image_count": 3}, "products") for pid in (FIRST, SECOND, THIRD)
        ]
        damage(stage3)
        spared = stage3.state()
        kept = [row(each) for each in records if each["product_id"] in {FIRST, SECOND}]
        data = singer(head("products"), *listed, head(), *kept, end())
        run = stage3.restore(data, mode="mirror", max_deletes=4)
        assert run.code == 0, run.err
        assert THIRD not in stage3.state()  # listed, and none of its images: they all go
        assert {pid: images for pid, images in stage3.state().items() if pid > THIRD} == {
            pid: images for pid, images in spared.items() if pid > THIRD
        }

    def test_mirror_of_products_without_images_empties_them(self, stage3: Stage) -> None:
        ids = {each["id"] for each in stage3.sandbox.dump(files=False)["products"]}
        rows = [row({"store_hash": "sandbox", "id": each, "image_count": 0}, "products", None) for each in ids]
        data = singer(head("products"), *rows, head(), end())
        run = stage3.restore(data, mode="mirror", max_deletes=15)
        assert (run.code, stage3.state()) == (0, {}), run.err

    def test_mirror_of_an_empty_store_empties_it(self, stage3: Stage) -> None:
        run = stage3.restore(singer(head(), end()), mode="mirror", max_deletes=15)
        assert (run.code, stage3.state()) == (0, {})

    @pytest.mark.parametrize("stream", ["products", "orders", "product_images"])
    def test_an_input_without_any_record_of_ours_changes_nothing(self, stage3: Stage, stream: str) -> None:
        before = stage3.state()
        foreign = {"id": 7, "sku": 5, "_sdc_deleted_at": "2026-01-01" if stream == "product_images" else None}
        data = singer(head(stream), row(foreign, stream, None), head(), end())
        run = stage3.restore(data, mode="mirror", max_deletes=15)
        assert (run.code, stage3.state()) == (1, before)
        assert "mirror deleted nothing, because no record of the input is one of an image or a product" in run.err


class TestProductThatIsFull:
    """The store takes so many images a product and no more; what counts is how many there are in the end."""

    @pytest.fixture(autouse=True)
    def full(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(planning, "MAX_IMAGES", 5)
        stage.sandbox.switch(max_images=5)

    @pytest.mark.parametrize("extra", [2, 3, 5])
    def test_a_mirror_makes_room(self, stage: Stage, extra: int) -> None:
        stage.sandbox.add_image(FIRST, picture(20), "four.png", is_thumbnail=False, sort_order=8)
        stage.sandbox.add_image(FIRST, picture(21), "five.png", is_thumbnail=False, sort_order=9)
        before, backup = stage.state(), stage.backup()
        for image in stage.images(FIRST)[:extra]:
            stage.sandbox.delete_image(image["id"])
        for number in range(extra):
            stage.sandbox.add_image(FIRST, picture(30 + number), f"extra-{number}.png", is_thumbnail=False)
        planned = stage.restore(backup, mode="mirror", max_deletes=extra, dry_run=True)
        assert planned.code == 0
        assert planned.actions.count(("create", "planned")) == planned.actions.count(("delete", "planned")) == extra
        run = stage.restore(backup, mode="mirror", max_deletes=extra)
        assert run.code == 0, run.err
        assert run.actions.count(("create", "done")) == run.actions.count(("delete", "done")) == extra
        assert stage.state() == before

    def test_without_deletes_the_rest_is_rejected(self, stage: Stage) -> None:
        backup = stage.backup()
        stage.sandbox.delete_image(stage.images(FIRST)[0]["id"])
        for number in range(3):
            stage.sandbox.add_image(FIRST, picture(30 + number), f"extra-{number}.png", is_thumbnail=False)
        run = stage.restore(backup)
        assert ("reject", "rejected") in run.actions
        assert "a product holds at most 5 images" in run.err

    def test_nothing_is_deleted_for_creates_that_never_come(self, stage: Stage) -> None:
        """Another product fails first: then neither deletes nor the creates that need their room are done."""
        backup = stage.backup()
        stage.sandbox.delete_image(stage.images(FIRST)[0]["id"])
        for number in range(3):
            stage.sandbox.add_image(FIRST, picture(30 + number), f"extra-{number}.png", is_thumbnail=False)
        stage.sandbox.set_image(stage.images(SECOND)[0]["id"], description="wrong")
        stage.sandbox.faults("7" * 100, match=f"PUT .*/{SECOND}/images")
        run = stage.restore(backup, mode="mirror", max_deletes=3)
        assert run.code == 1
        assert {("create", "not reached"), ("delete", "not reached")} <= {*run.actions}
        stage.sandbox.faults("")
        assert stage.restore(backup, mode="mirror", max_deletes=3).code == 0
        assert len(stage.images(FIRST)) == 3


class TestMirrorRefuses:
    """Every doubt about the input leaves all images where they are."""

    def check(self, stage: Stage, data: bytes, code: int, words: str, **settings: Any) -> Run:
        run = stage.restore(data, mode="mirror", **{"max_deletes": 100, **settings})
        assert run.code == code
        assert words in run.err
        assert [path for method, path in stage.writes() if method == "DELETE"] == []
        return run

    def test_one_delete_too_many(self, stage3: Stage) -> None:
        backup = stage3.backup()
        damage(stage3)
        before = stage3.state()
        stage3.sandbox.clear_requests()
        self.check(stage3, backup, 2, "mirror would delete 3 images, more than max_deletes 2", max_deletes=2)
        assert (stage3.writes(), stage3.state()) == ([], before)

    def test_no_mark_at_the_end(self, stage3: Stage) -> None:
        data = singer(head(), *map(row, stage3.records()))
        damage(stage3)
        run = self.check(stage3, data, 1, "the input does not end with the mark of a complete sweep")
        assert run.actions == [("create", "done"), ("update", "done")]  # what needs no trust is done all the same

    def test_a_record_after_the_mark(self, stage3: Stage) -> None:
        records = stage3.records()
        data = singer(head(), *map(row, records[1:]), end(), row(records[0]))
        damage(stage3)
        self.check(stage3, data, 1, "does not end with the mark")

    def test_a_cut_line(self, stage3: Stage) -> None:
        backup = stage3.backup()
        damage(stage3)
        self.check(stage3, backup[:-150], 3, "is cut off")

    def test_a_rejected_record(self, stage3: Stage) -> None:
        records = stage3.records()
        damage(stage3)
        data = singer(head(), *map(row, [{**records[0], "sort_order": "x"}, *records[1:]]), end())
        self.check(stage3, data, 1, "mirror deleted nothing, because records were rejected")

    def test_a_picture_that_cannot_be_sent(self, stage3: Stage) -> None:
        records = stage3.records()
        damage(stage3)
        data = singer(head(), *map(row, [{**records[0], "file_sha256": "f" * 64}, *records[1:]]), end())
        self.check(stage3, data, 1, "mirror deleted nothing, because records were rejected")

    def test_a_store_that_cannot_be_read_to_the_end(self, stage3: Stage) -> None:
        backup = stage3.backup()
        damage(stage3)
        stage3.sandbox.faults(".h")
        self.check(stage3, backup, 3, "not JSON")

    def test_no_files_to_keep_the_pictures_in(self, stage3: Stage) -> None:
        backup = stage3.backup(files=False)
        damage(stage3)
        stage3.sandbox.delete_product(FIRST)
        records = [each for each in map(orjson.loads, backup.splitlines()) if each["type"] != "RECORD" or
                   each["record"]["product_id"] != FIRST]  # fmt: skip
        reason = (
            "mirror deleted nothing, because 3 deletes were refused: no copy of the picture is kept (set file_store"
        )
        run = self.check(stage3, singer(*records), 1, reason, file_store="")
        assert run.actions == [("reject", "rejected")] * 3 + [("update", "done")]
        assert "records were rejected" not in run.err.rpartition("mirror deleted nothing")[2]
        extra = {image["id"]: image["image_file"] for image in stage3.images(THIRD) if "extra" in image["image_file"]}
        assert extra
        for image_id, path in extra.items():
            assert (
                f"image {image_id}: delete would lose the present picture, of which no copy is kept ({path})" in run.err
            )
        run = stage3.restore(singer(*records), mode="mirror", max_deletes=3, file_store="", allow_data_loss=True)
        assert run.code == 0
        assert run.actions == [("delete", "done")] * 3

    def test_a_replace_without_files_never_comes_back_in_a_later_round(self, stage3: Stage) -> None:
        """It is refused at first, while something else is written to its product: planning again must know."""
        records = stage3.records(files=False)
        one, two, _ = stage3.images(FIRST)
        stage3.sandbox.set_image(one["id"], content=picture(9), filename="else.png")
        stage3.sandbox.set_image(two["id"], description="overwritten")
        before = stage3.sandbox.original(stage3.images(FIRST)[0]["image_file"])
        run = stage3.restore(singer(head(), *map(row, records)), file_store="")
        assert run.actions == [("reject", "rejected"), ("update", "done")]
        assert stage3.sandbox.original(stage3.images(FIRST)[0]["image_file"]) == before


class TestDryRun:
    @pytest.mark.parametrize("settings", [{}, {"mode": "mirror", "max_deletes": 3}])
    def test_it_plans_everything_and_writes_nothing(self, stage: Stage, settings: dict[str, Any]) -> None:
        backup = stage.backup()
        damage(stage)
        stage.sandbox.set_image(stage.images(SECOND)[1]["id"], content=picture(77), filename="else.png")
        files = sorted((stage.folder / "files").rglob("*"))
        before = stage.state()
        stage.sandbox.clear_requests()
        run = stage.restore(backup, dry_run=True, **settings)
        assert run.code == 0
        deletes = [("delete", "planned")] * (3 if settings else 0)
        assert run.actions == [("create", "planned"), *deletes, ("replace", "planned"), ("update", "planned")]
        assert (stage.writes(), stage.state(), run.out) == ([], before, "")
        assert sorted((stage.folder / "files").rglob("*")) == files
        assert sorted(each.name for each in stage.folder.iterdir()) == ["files", "report.jsonl"]

    def test_its_plan_is_what_the_run_then_does(self, stage: Stage) -> None:
        backup = stage.backup()
        damage(stage)
        planned = stage.restore(backup, dry_run=True, mode="mirror", max_deletes=3)
        done = stage.restore(backup, mode="mirror", max_deletes=3)
        assert [(a, "done") for a, _ in planned.actions] == done.actions
        assert planned.summary["summary"] == done.summary["summary"]

    def test_a_ledger_that_a_killed_run_has_left_is_read_and_left_as_it_is(self, stage3: Stage) -> None:
        backup = stage3.backup()
        damage(stage3)
        stage3.restore(backup)
        before = {each.name: each.read_bytes() for each in stage3.state_dir.iterdir()}
        assert stage3.restore(backup, dry_run=True).actions == []
        assert {each.name: each.read_bytes() for each in stage3.state_dir.iterdir()} == before


class TestProducts:
    """Which products a record is restored to."""

    def test_only_the_chosen_ones(self, stage: Stage) -> None:
        backup = stage.backup()
        for product in (FIRST, SECOND):
            stage.sandbox.delete_image(stage.images(product)[0]["id"])
        stage.sandbox.add_image(THIRD, picture(1), "extra.png")
        run = stage.restore(backup, product_ids=[SECOND], mode="mirror", max_deletes=5)
        assert (run.code, run.actions) == (0, [("create", "done")])
        assert [len(stage.images(each)) for each in (FIRST, SECOND, THIRD)] == [2, 3, 4]
        run = stage.restore(backup, product_ids=[THIRD, 999], mode="mirror", max_deletes=5)
        assert (run.code, run.actions) == (0, [("delete", "done")])

    def test_a_product_that_is_gone(self, stage: Stage) -> None:
        backup = stage.backup()
        stage.sandbox.delete_product(SECOND)
        run = stage.restore(backup)
        assert run.code == 1
        assert run.actions == [("reject", "rejected")] * 3
        assert {each["reason"] for each in run.rows if each.get("action") == "reject"} == {
            "there is no product 102 in the store"
        }


class TestOtherStore:
    """From one store to another: ids mean nothing there, SKUs do."""

    @pytest.fixture
    def backup(self, stage: Stage) -> bytes:
        """Of a store whose products and images have other ids, some of them those of images here."""
        records = [
            {**each, "store_hash": "other", "id": each["id"] + 1, "product_id": each["product_id"] + 1}
            for each in stage.records()
        ]
        return singer(head(), *map(row, records), end())

    def test_by_sku(self, stage: Stage, backup: bytes) -> None:
        before = stage.state()
        for product in (FIRST, SECOND):
            for image in stage.images(product):
                stage.sandbox.delete_image(image["id"])
        run = stage.restore(backup, match_products_by="sku")
        assert run.code == 0, run.err
        assert stage.state() == before
        for left in stage.state_dir.glob("ledger*"):
            left.unlink()
        assert stage.restore(backup, match_products_by="sku").actions == []

    def test_by_sku_where_nobody_or_several_have_it(self, stage: Stage, backup: bytes) -> None:
        stage.sandbox.add_product(sku="SKU-000001")
        stage.sandbox.delete_product(THIRD)
        run = stage.restore(backup, match_products_by="sku")
        assert run.code == 1
        assert {(each["product_id"], each["reason"]) for each in run.rows if each.get("action") == "reject"} == {
            (SECOND + 1, "2 products have the SKU 'SKU-000001'"),
            (THIRD + 1, "no products have the SKU 'SKU-000002'"),
        }

    def test_by_sku_without_one(self, stage3: Stage, backup: bytes) -> None:
        messages = [orjson.loads(line) for line in backup.splitlines()]
        for message in messages:
            if message["type"] == "RECORD":
                message["record"]["product_sku"] = [None, ""][message["record"]["id"] % 2]
        run = stage3.restore(singer(*messages), match_products_by="sku")
        assert run.code == 1
        assert {each["reason"] for each in run.rows if each.get("action") == "reject"} == {"has no product_sku"}
        assert run.summary["rejected"] == 15

    def test_a_sku_is_matched_to_the_letter(self, stage3: Stage) -> None:
        stage3.sandbox.add_product(sku="a,b")
        product = stage3.sandbox.add_product(sku="a, b*&=é")
        records = [{**stage3.records()[0], "store_hash": "other", "product_sku": "a, b*&=é"}]
        assert stage3.restore(singer(head(), *map(row, records)), match_products_by="sku").code == 0
        assert len(stage3.images(product)) == 1

    def test_mirror_by_sku_spares_products_without_one(self, stage: Stage, backup: bytes) -> None:
        stage.sandbox.add_image(FIRST, picture(1), "extra.png")
        stage.sandbox.add_image(stage.sandbox.add_product(sku=""), picture(2), "unknown.png")
        run = stage.restore(backup, match_products_by="sku", mode="mirror", max_deletes=1)
        assert (run.code, run.actions) == (0, [("delete", "done")])

    def test_several_stores_into_one_product_are_one_plan(self, stage3: Stage) -> None:
        """Two sources for one product: a mirror of both must not delete what it has just created from the other."""
        records = stage3.records()
        theirs = [{**each, "store_hash": "other", "id": each["id"] + 500, "image_file": f"z/{each['image_file']}x.png"}
                  for each in records]  # fmt: skip
        data = singer(head(), *map(row, records), *map(row, theirs), end())
        run = stage3.restore(data, match_products_by="id", mode="mirror", max_deletes=0)
        assert run.code == 0, run.err
        assert run.summary["summary"]["create"] == 15
        assert stage3.restore(data, match_products_by="id", mode="mirror", max_deletes=0).actions == []

    def test_by_id_across_stores_has_to_be_chosen(self, stage3: Stage) -> None:
        records = [{**each, "store_hash": "other"} for each in stage3.records()]
        stage3.sandbox.delete_image(stage3.images(FIRST)[0]["id"])
        before = len(stage3.images(FIRST))
        run = stage3.restore(singer(head(), *map(row, records)), match_products_by="id")
        assert run.code == 0
        assert len(stage3.images(FIRST)) == before + 1


class TestReport:
    def test_a_line_an_action_and_a_summary(self, stage3: Stage) -> None:
        backup = stage3.backup()
        damage(stage3)
        run = stage3.restore(backup)
        assert len(run.rows) == 16
        fields = {"action", "reason", "product_id", "source_id", "target_id", "status", "error"}
        assert all(fields <= each.keys() for each in run.rows[:-1])
        created = next(each for each in run.rows if each.get("action") == "create")
        assert created["target_id"] in {image["id"] for image in stage3.images(FIRST)}
        assert created["source_id"] != created["target_id"]
        assert run.rows[-1] == {
            "summary": {"create": 1, "replace": 0, "update": 1, "delete": 0, "keep": 13, "reject": 0},
            "rejected": 0,
            "failed": 0,
            "undecided": 0,
            "different": 0,
            "unverified": 0,
            "not_reached": 0,
            "skipped_streams": {},
        }

    def test_the_table(self, stage3: Stage) -> None:
        backup = stage3.backup()
        damage(stage3)
        run = stage3.restore(backup, report_by_product=True)
        rows = [line.split() for line in run.err.splitlines()]
        assert ["action", "done", "kept"] in rows
        assert ["create", "1", "-"] in rows
        assert ["keep", "-", "13"] in rows
        assert "product 101" in run.err
        assert "undo-" in run.err

    def test_no_file_unless_asked_for(self, stage3: Stage) -> None:
        stage3.restore(stage3.backup(), report=None)
        assert not stage3.report.exists()

    @pytest.mark.parametrize("path", ["/proc/nowhere/report", "/"])
    def test_a_path_that_cannot_be_written(self, stage3: Stage, path: str) -> None:
        backup = stage3.backup()
        stage3.sandbox.clear_requests()
        run = stage3.restore(backup, report=path)
        assert (run.code, stage3.sandbox.requests()) == (2, [])
        assert "The report " in run.err

    def test_a_full_disk_ends_the_run_with_a_clear_line(self, stage3: Stage) -> None:
        backup = stage3.backup()
        run = stage3.restore(backup, report="/dev/full")
        assert run.code == 3
        assert "The report /dev/full cannot be written: No space left on device" in run.err
        assert run.out == ""


def test_a_failed_action_is_listed_with_the_stores_own_words(stage3: Stage) -> None:
    stage3.sandbox.set_image(stage3.images(FIRST)[0]["id"], description="x" * 300)
    before, backup = stage3.state(), stage3.backup()
    stage3.sandbox.set_image(stage3.images(FIRST)[0]["id"], description="short")
    stage3.sandbox.delete_image(stage3.images(SECOND)[0]["id"])
    stage3.sandbox.switch(description_max=255)
    run = stage3.restore(backup)
    assert run.code == 1
    assert run.actions == [("create", "done"), ("update", "failed")]
    failed = next(each for each in run.rows if each.get("status") == "failed")
    assert "must not be longer than 255 characters" in failed["error"]
    assert failed["record"]["description"] == "x" * 300
    assert run.out == ""
    again = singer(head(), row(json.loads(json.dumps(failed["record"]))))
    stage3.sandbox.clear_requests()
    run = stage3.restore(again)  # known not to be taken: it is not sent again
    assert (run.code, run.rows[0]["differences"][0]["kept"], stage3.writes()) == (1, "short", [])
    stage3.sandbox.switch(description_max=0)
    stage3.lose_ledger()
    assert stage3.restore(again).code == 0
    assert stage3.state() == before


def test_on_error_stop_stops_at_the_first_failure(stage3: Stage) -> None:
    backup = stage3.backup()
    for image in stage3.records(files=False):
        stage3.sandbox.set_image(image["id"], description="overwritten")
    stage3.sandbox.switch(description_max=1)
    run = stage3.restore(backup, on_error="stop", concurrency=1)
    assert run.code == 1
    statuses = [status for _, status in run.actions]
    assert statuses.count("failed") == 1
    assert statuses.count("not reached") >= 1
