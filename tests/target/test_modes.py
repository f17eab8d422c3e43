"""Modes, dry run, the choice of products and how they are found, and what the report says of it all."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from bigcommerce_sandbox import SandboxServer
from target_bc_images import planning
from tests.support.commands import CommandResult
from tests.support.target import RestoreScenario, end, head, picture, row, singer

FIRST, SECOND, THIRD = 101, 102, 103


def damage(scenario: RestoreScenario) -> None:
    """One image lost, one overwritten, one too many, and a product that the backup does not know."""
    sandbox = scenario.sandbox
    sandbox.delete_image(scenario.images(FIRST)[0]["id"])
    sandbox.set_image(scenario.images(SECOND)[0]["id"], description="overwritten")
    sandbox.add_image(THIRD, picture(1), "extra.png")
    product = sandbox.add_product(sku="NEW")
    sandbox.add_image(product, picture(2), "unknown.png")
    sandbox.add_image(product, picture(3), "unknown.png")


class TestModes:
    def test_upsert_creates_and_changes(self, scenario_v3: RestoreScenario) -> None:
        backup = scenario_v3.backup()
        damage(scenario_v3)
        run = scenario_v3.restore(backup)
        assert (run.code, run.actions) == (0, [("create", "done"), ("update", "done")])

    def test_create_only_changes_nothing(self, scenario_v3: RestoreScenario) -> None:
        backup = scenario_v3.backup()
        damage(scenario_v3)
        run = scenario_v3.restore(backup, mode="create_only")
        assert (run.code, run.actions) == (0, [("create", "done")])
        assert scenario_v3.images(SECOND)[0]["description"] == "overwritten"

    def test_create_only_puts_back_what_the_store_shifts(self, scenario_v3: RestoreScenario) -> None:
        backup = scenario_v3.backup()
        damage(scenario_v3)
        scenario_v3.sandbox.set_flags(sort_order_shift="shift")
        before = {image["id"]: image["sort_order"] for image in scenario_v3.images(FIRST)}
        assert scenario_v3.restore(backup, mode="create_only").code == 0
        assert before.items() <= {image["id"]: image["sort_order"] for image in scenario_v3.images(FIRST)}.items()

    def test_create_only_finishes_what_it_has_created(self, scenario: RestoreScenario) -> None:
        scenario.sandbox.reset(6, 5)
        before, backup = scenario.state(), scenario.backup()
        for image in scenario.sandbox.dump(files=False)["images"]:
            scenario.sandbox.delete_image(image["id"])
        scenario.sandbox.set_flags(sort_order_shift="shift")
        run = scenario.restore(backup, mode="create_only")
        assert (run.code, run.actions) == (0, [("create", "done")] * 30)
        assert scenario.state() == before

    def test_create_only_finishes_what_an_earlier_run_has_created(self, scenario_v3: RestoreScenario) -> None:
        before, backup = scenario_v3.state(), scenario_v3.backup()
        for image in scenario_v3.images(FIRST):
            scenario_v3.sandbox.delete_image(image["id"])
        scenario_v3.sandbox.set_flags(sort_order_shift="shift")
        scenario_v3.sandbox.faults("..s", match=f"(POST|PUT) .*/{FIRST}/images")
        assert scenario_v3.restore(backup, mode="create_only").code == 3
        assert scenario_v3.state() != before
        scenario_v3.sandbox.set_image(scenario_v3.images(FIRST)[0]["id"], sort_order=70)
        scenario_v3.sandbox.faults("")
        assert scenario_v3.restore(backup, mode="create_only").code == 0
        assert scenario_v3.state() == before
        scenario_v3.sandbox.set_image(
            scenario_v3.images(FIRST)[0]["id"], description="by hand"
        )  # finished: it is the shop's now
        assert scenario_v3.restore(backup, mode="create_only").actions == []

    @pytest.mark.parametrize("shift", ["none", "shift"])
    def test_create_only_disturbs_nobody(self, scenario: RestoreScenario, shift: str) -> None:
        backup = scenario.backup()
        scenario.sandbox.set_flags(sort_order_shift=shift)
        scenario.sandbox.set_image(
            scenario.images(FIRST)[1]["id"], sort_order=7, description="by hand", is_thumbnail=True
        )
        lost = scenario.images(FIRST)[0]
        scenario.sandbox.delete_image(lost["id"])
        there = {image["id"]: image for image in scenario.images(FIRST)}
        assert scenario.restore(backup, mode="create_only").code == 0
        after = scenario.images(FIRST)
        for image in after:
            if image["id"] in there:
                image["date_modified"] = there[image["id"]]["date_modified"]
        assert [image for image in after if image["id"] in there] == list(there.values())
        (made,) = (image for image in after if image["id"] not in there)
        assert (made["sort_order"], made["is_thumbnail"]) == (lost["sort_order"], False)

    def test_update_only_creates_nothing(self, scenario_v3: RestoreScenario) -> None:
        backup = scenario_v3.backup()
        damage(scenario_v3)
        run = scenario_v3.restore(backup, mode="update_only")
        assert (run.code, run.actions) == (0, [("update", "done")])
        assert len(scenario_v3.images(FIRST)) == 2

    def test_mirror_deletes_what_the_backup_lacks(self, scenario: RestoreScenario) -> None:
        before, backup = scenario.state(), scenario.backup()
        damage(scenario)
        run = scenario.restore(backup, mode="mirror", max_deletes=3)
        assert (run.code, scenario.state()) == (0, before), run.err
        assert run.summary["summary"]["delete"] == 3
        assert scenario.restore(backup, mode="mirror", max_deletes=0).actions == []

    def test_a_product_whose_images_all_go_takes_one_delete_on_v2(self, sandbox: SandboxServer, tmp_path: Any) -> None:
        scenario = RestoreScenario(sandbox, tmp_path, "v2")
        backup = scenario.backup()
        product = sandbox.add_product(sku="NEW")
        for number in range(5):
            sandbox.add_image(product, picture(number), "unknown.png")
        sandbox.clear_requests()
        assert scenario.restore(backup, mode="mirror", max_deletes=5).code == 0
        assert scenario.writes() == [("DELETE", f"/stores/sandbox/v2/products/{product}/images")]

    def test_mirror_spares_products_that_an_input_with_a_list_of_products_does_not_list(
        self, scenario_v3: RestoreScenario
    ) -> None:
        records = scenario_v3.records()
        listed = [
            row({"store_hash": "sandbox", "id": pid, "image_count": 3}, "products") for pid in (FIRST, SECOND, THIRD)
        ]
        damage(scenario_v3)
        spared = scenario_v3.state()
        kept = [row(each) for each in records if each["product_id"] in {FIRST, SECOND}]
        data = singer(head("products"), *listed, head(), *kept, end())
        run = scenario_v3.restore(data, mode="mirror", max_deletes=4)
        assert run.code == 0, run.err
        assert THIRD not in scenario_v3.state()  # listed, and none of its images: they all go
        assert {pid: images for pid, images in scenario_v3.state().items() if pid > THIRD} == {
            pid: images for pid, images in spared.items() if pid > THIRD
        }

    def test_mirror_of_products_without_images_empties_them(self, scenario_v3: RestoreScenario) -> None:
        ids = {each["id"] for each in scenario_v3.sandbox.dump(files=False)["products"]}
        rows = [row({"store_hash": "sandbox", "id": each, "image_count": 0}, "products", None) for each in ids]
        data = singer(head("products"), *rows, head(), end())
        run = scenario_v3.restore(data, mode="mirror", max_deletes=15)
        assert (run.code, scenario_v3.state()) == (0, {}), run.err

    def test_mirror_of_an_empty_store_empties_it(self, scenario_v3: RestoreScenario) -> None:
        run = scenario_v3.restore(singer(head(), end()), mode="mirror", max_deletes=15)
        assert (run.code, scenario_v3.state()) == (0, {})

    @pytest.mark.parametrize("stream", ["products", "orders", "product_images"])
    def test_an_input_without_any_record_of_ours_changes_nothing(
        self, scenario_v3: RestoreScenario, stream: str
    ) -> None:
        before = scenario_v3.state()
        foreign = {"id": 7, "sku": 5, "_sdc_deleted_at": "2026-01-01" if stream == "product_images" else None}
        data = singer(head(stream), row(foreign, stream, None), head(), end())
        run = scenario_v3.restore(data, mode="mirror", max_deletes=15)
        assert (run.code, scenario_v3.state()) == (1, before)
        assert "mirror deleted nothing, because no record of the input is one of an image or a product" in run.err


class TestProductThatIsFull:
    """The store takes so many images a product and no more; what counts is how many there are in the end."""

    @pytest.fixture(autouse=True)
    def full(self, scenario: RestoreScenario, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(planning, "MAX_IMAGES", 5)
        scenario.sandbox.set_flags(max_images=5)

    @pytest.mark.parametrize("extra", [2, 3, 5])
    def test_a_mirror_makes_room(self, scenario: RestoreScenario, extra: int) -> None:
        scenario.sandbox.add_image(FIRST, picture(20), "four.png", is_thumbnail=False, sort_order=8)
        scenario.sandbox.add_image(FIRST, picture(21), "five.png", is_thumbnail=False, sort_order=9)
        before, backup = scenario.state(), scenario.backup()
        for image in scenario.images(FIRST)[:extra]:
            scenario.sandbox.delete_image(image["id"])
        for number in range(extra):
            scenario.sandbox.add_image(FIRST, picture(30 + number), f"extra-{number}.png", is_thumbnail=False)
        planned = scenario.restore(backup, mode="mirror", max_deletes=extra, dry_run=True)
        assert planned.code == 0
        assert planned.actions.count(("create", "planned")) == planned.actions.count(("delete", "planned")) == extra
        run = scenario.restore(backup, mode="mirror", max_deletes=extra)
        assert run.code == 0, run.err
        assert run.actions.count(("create", "done")) == run.actions.count(("delete", "done")) == extra
        assert scenario.state() == before

    def test_without_deletes_the_rest_is_rejected(self, scenario: RestoreScenario) -> None:
        backup = scenario.backup()
        scenario.sandbox.delete_image(scenario.images(FIRST)[0]["id"])
        for number in range(3):
            scenario.sandbox.add_image(FIRST, picture(30 + number), f"extra-{number}.png", is_thumbnail=False)
        run = scenario.restore(backup)
        assert ("reject", "rejected") in run.actions
        assert "a product can have at most 5 images" in run.err

    def test_nothing_is_deleted_for_creates_that_never_come(self, scenario: RestoreScenario) -> None:
        """Another product fails first: then neither deletes nor the creates that need their room are done."""
        backup = scenario.backup()
        scenario.sandbox.delete_image(scenario.images(FIRST)[0]["id"])
        for number in range(3):
            scenario.sandbox.add_image(FIRST, picture(30 + number), f"extra-{number}.png", is_thumbnail=False)
        scenario.sandbox.set_image(scenario.images(SECOND)[0]["id"], description="wrong")
        scenario.sandbox.faults("7" * 100, match=f"PUT .*/{SECOND}/images")
        run = scenario.restore(backup, mode="mirror", max_deletes=3)
        assert run.code == 1
        assert {("create", "not reached"), ("delete", "not reached")} <= {*run.actions}
        scenario.sandbox.faults("")
        assert scenario.restore(backup, mode="mirror", max_deletes=3).code == 0
        assert len(scenario.images(FIRST)) == 3


class TestMirrorRefuses:
    """Every doubt about the input leaves all images where they are."""

    def check(self, scenario: RestoreScenario, data: bytes, code: int, words: str, **settings: Any) -> CommandResult:
        run = scenario.restore(data, mode="mirror", **{"max_deletes": 100, **settings})
        assert run.code == code
        assert words in run.err
        assert [path for method, path in scenario.writes() if method == "DELETE"] == []
        return run

    def test_one_delete_too_many(self, scenario_v3: RestoreScenario) -> None:
        backup = scenario_v3.backup()
        damage(scenario_v3)
        before = scenario_v3.state()
        scenario_v3.sandbox.clear_requests()
        self.check(scenario_v3, backup, 2, "mirror would delete 3 images, more than max_deletes 2", max_deletes=2)
        assert (scenario_v3.writes(), scenario_v3.state()) == ([], before)

    def test_no_mark_at_the_end(self, scenario_v3: RestoreScenario) -> None:
        data = singer(head(), *map(row, scenario_v3.records()))
        damage(scenario_v3)
        run = self.check(scenario_v3, data, 1, "the input does not end with ACTIVATE_VERSION")
        assert run.actions == [("create", "done"), ("update", "done")]  # what needs no trust is done all the same

    def test_a_record_after_the_mark(self, scenario_v3: RestoreScenario) -> None:
        records = scenario_v3.records()
        data = singer(head(), *map(row, records[1:]), end(), row(records[0]))
        damage(scenario_v3)
        self.check(scenario_v3, data, 1, "does not end with ACTIVATE_VERSION")

    def test_a_cut_line(self, scenario_v3: RestoreScenario) -> None:
        backup = scenario_v3.backup()
        damage(scenario_v3)
        self.check(scenario_v3, backup[:-150], 3, "is truncated")

    def test_a_rejected_record(self, scenario_v3: RestoreScenario) -> None:
        records = scenario_v3.records()
        damage(scenario_v3)
        data = singer(head(), *map(row, [{**records[0], "sort_order": "x"}, *records[1:]]), end())
        self.check(scenario_v3, data, 1, "mirror deleted nothing, because records were rejected")

    def test_a_picture_that_cannot_be_sent(self, scenario_v3: RestoreScenario) -> None:
        records = scenario_v3.records()
        damage(scenario_v3)
        data = singer(head(), *map(row, [{**records[0], "file_sha256": "f" * 64}, *records[1:]]), end())
        self.check(scenario_v3, data, 1, "mirror deleted nothing, because records were rejected")

    def test_a_store_that_cannot_be_read_to_the_end(self, scenario_v3: RestoreScenario) -> None:
        backup = scenario_v3.backup()
        damage(scenario_v3)
        scenario_v3.sandbox.faults(".h")
        self.check(scenario_v3, backup, 3, "not JSON")

    def test_no_files_to_keep_the_pictures_in(self, scenario_v3: RestoreScenario) -> None:
        backup = scenario_v3.backup(files=False)
        damage(scenario_v3)
        scenario_v3.sandbox.delete_product(FIRST)
        records = [each for each in map(orjson.loads, backup.splitlines()) if each["type"] != "RECORD" or
                   each["record"]["product_id"] != FIRST]  # fmt: skip
        reason = (
            "mirror deleted nothing, because 3 deletes were refused: no copy of the picture is kept (set file_store"
        )
        run = self.check(scenario_v3, singer(*records), 1, reason, file_store="")
        assert run.actions == [("reject", "rejected")] * 3 + [("update", "done")]
        assert "records were rejected" not in run.err.rpartition("mirror deleted nothing")[2]
        extra = {
            image["id"]: image["image_file"] for image in scenario_v3.images(THIRD) if "extra" in image["image_file"]
        }
        assert extra
        for image_id, path in extra.items():
            assert (
                f"image {image_id}: delete would lose the present picture, of which no copy is kept ({path})" in run.err
            )
        run = scenario_v3.restore(singer(*records), mode="mirror", max_deletes=3, file_store="", allow_data_loss=True)
        assert run.code == 0
        assert run.actions == [("delete", "done")] * 3

    def test_a_replace_without_files_never_comes_back_in_a_later_round(self, scenario_v3: RestoreScenario) -> None:
        """It is refused at first, while something else is written to its product: planning again must know."""
        records = scenario_v3.records(files=False)
        one, two, _ = scenario_v3.images(FIRST)
        scenario_v3.sandbox.set_image(one["id"], content=picture(9), filename="else.png")
        scenario_v3.sandbox.set_image(two["id"], description="overwritten")
        before = scenario_v3.sandbox.original(scenario_v3.images(FIRST)[0]["image_file"])
        run = scenario_v3.restore(singer(head(), *map(row, records)), file_store="")
        assert run.actions == [("reject", "rejected"), ("update", "done")]
        assert scenario_v3.sandbox.original(scenario_v3.images(FIRST)[0]["image_file"]) == before


class TestDryRun:
    @pytest.mark.parametrize("settings", [{}, {"mode": "mirror", "max_deletes": 3}])
    def test_it_plans_everything_and_writes_nothing(self, scenario: RestoreScenario, settings: dict[str, Any]) -> None:
        backup = scenario.backup()
        damage(scenario)
        scenario.sandbox.set_image(scenario.images(SECOND)[1]["id"], content=picture(77), filename="else.png")
        files = sorted((scenario.folder / "files").rglob("*"))
        before = scenario.state()
        scenario.sandbox.clear_requests()
        run = scenario.restore(backup, dry_run=True, **settings)
        assert run.code == 0
        deletes = [("delete", "planned")] * (3 if settings else 0)
        assert run.actions == [("create", "planned"), *deletes, ("replace", "planned"), ("update", "planned")]
        assert (scenario.writes(), scenario.state(), run.out) == ([], before, "")
        assert sorted((scenario.folder / "files").rglob("*")) == files
        assert sorted(each.name for each in scenario.folder.iterdir()) == ["files", "report.jsonl"]

    def test_its_plan_is_what_the_run_then_does(self, scenario: RestoreScenario) -> None:
        backup = scenario.backup()
        damage(scenario)
        planned = scenario.restore(backup, dry_run=True, mode="mirror", max_deletes=3)
        done = scenario.restore(backup, mode="mirror", max_deletes=3)
        assert [(a, "done") for a, _ in planned.actions] == done.actions
        assert planned.summary["summary"] == done.summary["summary"]

    def test_a_ledger_that_a_killed_run_has_left_is_read_and_left_as_it_is(self, scenario_v3: RestoreScenario) -> None:
        backup = scenario_v3.backup()
        damage(scenario_v3)
        scenario_v3.restore(backup)
        before = {each.name: each.read_bytes() for each in scenario_v3.state_dir.iterdir()}
        assert scenario_v3.restore(backup, dry_run=True).actions == []
        assert {each.name: each.read_bytes() for each in scenario_v3.state_dir.iterdir()} == before


class TestProducts:
    """Which products a record is restored to."""

    def test_only_the_chosen_ones(self, scenario: RestoreScenario) -> None:
        backup = scenario.backup()
        for product in (FIRST, SECOND):
            scenario.sandbox.delete_image(scenario.images(product)[0]["id"])
        scenario.sandbox.add_image(THIRD, picture(1), "extra.png")
        run = scenario.restore(backup, product_ids=[SECOND], mode="mirror", max_deletes=5)
        assert (run.code, run.actions) == (0, [("create", "done")])
        assert [len(scenario.images(each)) for each in (FIRST, SECOND, THIRD)] == [2, 3, 4]
        run = scenario.restore(backup, product_ids=[THIRD, 999], mode="mirror", max_deletes=5)
        assert (run.code, run.actions) == (0, [("delete", "done")])

    def test_a_product_that_is_gone(self, scenario: RestoreScenario) -> None:
        backup = scenario.backup()
        scenario.sandbox.delete_product(SECOND)
        run = scenario.restore(backup)
        assert run.code == 1
        assert run.actions == [("reject", "rejected")] * 3
        assert {each["reason"] for each in run.rows if each.get("action") == "reject"} == {
            "there is no product 102 in the store"
        }


class TestOtherStore:
    """From one store to another: ids mean nothing there, SKUs do."""

    @pytest.fixture
    def backup(self, scenario: RestoreScenario) -> bytes:
        """Of a store whose products and images have other ids, some of them those of images here."""
        records = [
            {**each, "store_hash": "other", "id": each["id"] + 1, "product_id": each["product_id"] + 1}
            for each in scenario.records()
        ]
        return singer(head(), *map(row, records), end())

    def test_by_sku(self, scenario: RestoreScenario, backup: bytes) -> None:
        before = scenario.state()
        for product in (FIRST, SECOND):
            for image in scenario.images(product):
                scenario.sandbox.delete_image(image["id"])
        run = scenario.restore(backup, match_products_by="sku")
        assert run.code == 0, run.err
        assert scenario.state() == before
        for left in scenario.state_dir.glob("ledger*"):
            left.unlink()
        assert scenario.restore(backup, match_products_by="sku").actions == []

    def test_by_sku_where_nobody_or_several_have_it(self, scenario: RestoreScenario, backup: bytes) -> None:
        scenario.sandbox.add_product(sku="SKU-000001")
        scenario.sandbox.delete_product(THIRD)
        run = scenario.restore(backup, match_products_by="sku")
        assert run.code == 1
        assert {(each["product_id"], each["reason"]) for each in run.rows if each.get("action") == "reject"} == {
            (SECOND + 1, "2 products have the SKU 'SKU-000001'"),
            (THIRD + 1, "no products have the SKU 'SKU-000002'"),
        }

    def test_by_sku_without_one(self, scenario_v3: RestoreScenario, backup: bytes) -> None:
        messages = [orjson.loads(line) for line in backup.splitlines()]
        for message in messages:
            if message["type"] == "RECORD":
                message["record"]["product_sku"] = [None, ""][message["record"]["id"] % 2]
        run = scenario_v3.restore(singer(*messages), match_products_by="sku")
        assert run.code == 1
        assert {each["reason"] for each in run.rows if each.get("action") == "reject"} == {"has no product_sku"}
        assert run.summary["rejected"] == 15

    def test_a_sku_is_matched_to_the_letter(self, scenario_v3: RestoreScenario) -> None:
        scenario_v3.sandbox.add_product(sku="a,b")
        product = scenario_v3.sandbox.add_product(sku="a, b*&=é")
        records = [{**scenario_v3.records()[0], "store_hash": "other", "product_sku": "a, b*&=é"}]
        assert scenario_v3.restore(singer(head(), *map(row, records)), match_products_by="sku").code == 0
        assert len(scenario_v3.images(product)) == 1

    def test_mirror_by_sku_spares_products_without_one(self, scenario: RestoreScenario, backup: bytes) -> None:
        scenario.sandbox.add_image(FIRST, picture(1), "extra.png")
        scenario.sandbox.add_image(scenario.sandbox.add_product(sku=""), picture(2), "unknown.png")
        run = scenario.restore(backup, match_products_by="sku", mode="mirror", max_deletes=1)
        assert (run.code, run.actions) == (0, [("delete", "done")])

    def test_several_stores_into_one_product_are_one_plan(self, scenario_v3: RestoreScenario) -> None:
        """Two sources for one product: a mirror of both must not delete what it has just created from the other."""
        records = scenario_v3.records()
        theirs = [{**each, "store_hash": "other", "id": each["id"] + 500, "image_file": f"z/{each['image_file']}x.png"}
                  for each in records]  # fmt: skip
        data = singer(head(), *map(row, records), *map(row, theirs), end())
        run = scenario_v3.restore(data, match_products_by="id", mode="mirror", max_deletes=0)
        assert run.code == 0, run.err
        assert run.summary["summary"]["create"] == 15
        assert scenario_v3.restore(data, match_products_by="id", mode="mirror", max_deletes=0).actions == []

    def test_by_id_across_stores_has_to_be_chosen(self, scenario_v3: RestoreScenario) -> None:
        records = [{**each, "store_hash": "other"} for each in scenario_v3.records()]
        scenario_v3.sandbox.delete_image(scenario_v3.images(FIRST)[0]["id"])
        before = len(scenario_v3.images(FIRST))
        run = scenario_v3.restore(singer(head(), *map(row, records)), match_products_by="id")
        assert run.code == 0
        assert len(scenario_v3.images(FIRST)) == before + 1


class TestReport:
    def test_a_line_an_action_and_a_summary(self, scenario_v3: RestoreScenario) -> None:
        backup = scenario_v3.backup()
        damage(scenario_v3)
        run = scenario_v3.restore(backup)
        assert len(run.rows) == 16
        fields = {"action", "reason", "product_id", "source_id", "target_id", "status", "error"}
        assert all(fields <= each.keys() for each in run.rows[:-1])
        created = next(each for each in run.rows if each.get("action") == "create")
        assert created["target_id"] in {image["id"] for image in scenario_v3.images(FIRST)}
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

    def test_the_table(self, scenario_v3: RestoreScenario) -> None:
        backup = scenario_v3.backup()
        damage(scenario_v3)
        run = scenario_v3.restore(backup, report_by_product=True)
        rows = [line.split() for line in run.err.splitlines()]
        assert ["action", "done", "kept"] in rows
        assert ["create", "1", "-"] in rows
        assert ["keep", "-", "13"] in rows
        assert "product 101" in run.err
        assert "undo-" in run.err

    def test_no_file_unless_asked_for(self, scenario_v3: RestoreScenario) -> None:
        scenario_v3.restore(scenario_v3.backup(), report=None)
        assert not scenario_v3.report.exists()

    @pytest.mark.parametrize("path", ["/proc/nowhere/report", "/"])
    def test_a_path_that_cannot_be_written(self, scenario_v3: RestoreScenario, path: str) -> None:
        backup = scenario_v3.backup()
        scenario_v3.sandbox.clear_requests()
        run = scenario_v3.restore(backup, report=path)
        assert (run.code, scenario_v3.sandbox.requests()) == (2, [])
        assert "The report " in run.err

    def test_a_full_disk_ends_the_run_with_a_clear_line(self, scenario_v3: RestoreScenario) -> None:
        backup = scenario_v3.backup()
        run = scenario_v3.restore(backup, report="/dev/full")
        assert run.code == 3
        assert "The report /dev/full cannot be written: No space left on device" in run.err
        assert run.out == ""


def test_a_failed_action_is_listed_with_the_stores_own_words(scenario_v3: RestoreScenario) -> None:
    scenario_v3.sandbox.set_image(scenario_v3.images(FIRST)[0]["id"], description="x" * 300)
    before, backup = scenario_v3.state(), scenario_v3.backup()
    scenario_v3.sandbox.set_image(scenario_v3.images(FIRST)[0]["id"], description="short")
    scenario_v3.sandbox.delete_image(scenario_v3.images(SECOND)[0]["id"])
    scenario_v3.sandbox.set_flags(description_max=255)
    run = scenario_v3.restore(backup)
    assert run.code == 1
    assert run.actions == [("create", "done"), ("update", "failed")]
    failed = next(each for each in run.rows if each.get("status") == "failed")
    assert "must not be longer than 255 characters" in failed["error"]
    assert failed["record"]["description"] == "x" * 300
    assert run.out == ""
    again = singer(head(), row(json.loads(json.dumps(failed["record"]))))
    scenario_v3.sandbox.clear_requests()
    run = scenario_v3.restore(again)  # known not to be taken: it is not sent again
    assert (run.code, run.rows[0]["differences"][0]["kept"], scenario_v3.writes()) == (1, "short", [])
    scenario_v3.sandbox.set_flags(description_max=0)
    scenario_v3.lose_ledger()
    assert scenario_v3.restore(again).code == 0
    assert scenario_v3.state() == before


def test_on_error_stop_stops_at_the_first_failure(scenario_v3: RestoreScenario) -> None:
    backup = scenario_v3.backup()
    for image in scenario_v3.records(files=False):
        scenario_v3.sandbox.set_image(image["id"], description="overwritten")
    scenario_v3.sandbox.set_flags(description_max=1)
    run = scenario_v3.restore(backup, on_error="stop", concurrency=1)
    assert run.code == 1
    statuses = [status for _, status in run.actions]
    assert statuses.count("failed") == 1
    assert statuses.count("not reached") >= 1
