"""What a store may do to a restore without a word: agree and not apply, list late, get new images meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from requests.auth import HTTPDigestAuth

from bc_images.bigcommerce.v2 import V2Client
from bc_images.bigcommerce.v3 import V3Client
from bigcommerce_sandbox import DAV_PASSWORD, DAV_USERNAME, SandboxServer
from target_bc_images import executor
from tests.support import killable_process
from tests.support.target import RestoreScenario, end, head, picture, row, singer

FIRST, SECOND, THIRD = 101, 102, 103


def other_picture(scenario: RestoreScenario, product_id: int = FIRST) -> dict[str, Any]:
    """Give a product's first image another picture, under a name like the first one's; return it."""
    image = scenario.images(product_id)[0]
    name = image["image_file"].rpartition("/")[2]
    scenario.sandbox.set_image(image["id"], content=picture(77), filename=name)
    return scenario.images(product_id)[0]


class TestReplaceThatIsNotApplied:
    """It is answered with 200 and the image as it was (seen: "image_url not updated although 200, same id")."""

    def test_once(self, scenario: RestoreScenario) -> None:
        before, backup = scenario.state(), scenario.backup()
        other_picture(scenario)
        scenario.sandbox.faults("o", match=r"(PUT|POST) .*/images/\d+$")
        assert scenario.restore(backup).code == 0
        assert scenario.state() == before

    def test_always(self, scenario: RestoreScenario) -> None:
        before, backup = scenario.state(), scenario.backup()
        other_picture(scenario)
        scenario.sandbox.faults("o" * 100, match=r"(PUT|POST) .*/images/\d+$")
        run = scenario.restore(backup)
        assert (run.code, run.actions) == (1, [("replace", "failed")])
        scenario.sandbox.faults("")
        assert scenario.restore(backup).code == 0
        assert scenario.state() == before


class TestPictureThatCannotBeRead:
    def test_nobody_says_that_all_is_well(self, scenario: RestoreScenario) -> None:
        before, backup = scenario.state(), scenario.backup()
        other_picture(scenario)
        there = scenario.state()
        scenario.sandbox.faults("u" * 100, match="GET /product_images/")
        run = scenario.restore(backup, max_retries=0)
        assert (run.code, run.actions, run.states) == (1, [("reject", "rejected")], [])
        assert "failed to read" in run.rows[0]["reason"]
        assert scenario.state() == there
        scenario.sandbox.faults("")
        assert scenario.restore(backup).code == 0
        assert scenario.state() == before


@pytest.fixture
def at_first_write(scenario: RestoreScenario, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Do something just before the first PUT of a restore, as somebody else at the same store might."""

    def set_up(what: Callable[[], None]) -> None:
        for kind in (V2Client, V3Client):
            update = kind.update
            done: list[int] = []

            def later(self: Any, *rest: Any, update: Any = update, done: list[int] = done) -> Any:
                if not done:
                    done.append(1)
                    what()
                return update(self, *rest)

            monkeypatch.setattr(kind, "update", later)

    return set_up


class TestImagesThatComeInMeanwhile:
    """No plan has shown them and no undo holds them: they stay, whatever the mode."""

    @pytest.mark.parametrize("loses", [False, True])
    def test_a_mirror_spares_them(self, scenario: RestoreScenario, at_first_write: Any, loses: bool) -> None:
        backup = scenario.backup()
        scenario.sandbox.set_image(scenario.images(FIRST)[0]["id"], description="wrong")
        scenario.sandbox.add_image(FIRST, picture(1), "extra.png")

        def come_in() -> None:
            for number in range(3):
                scenario.sandbox.add_image(FIRST, picture(10 + number), f"new-{number}.png")

        at_first_write(come_in)
        run = scenario.restore(backup, mode="mirror", max_deletes=1, allow_data_loss=loses)
        assert (run.code, run.actions) == (0, [("delete", "done"), ("update", "done")])
        names = [image["image_file"] for image in scenario.images(FIRST)]
        assert sum("new-" in name for name in names) == 3
        assert not any("extra" in name for name in names)

    def test_even_where_the_whole_product_goes(
        self, scenario: RestoreScenario, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        backup = scenario.backup()
        product = scenario.sandbox.add_product(sku="NEW")
        for number in range(2):
            scenario.sandbox.add_image(product, picture(number), "extra.png")
        for kind in (V2Client, V3Client):
            delete_all = kind.delete_all

            def later(self: Any, *rest: Any, delete_all: Any = delete_all) -> None:
                scenario.sandbox.add_image(product, picture(9), "new.png")
                delete_all(self, *rest)

            monkeypatch.setattr(kind, "delete_all", later)
        run = scenario.restore(backup, mode="mirror", max_deletes=2)
        assert (run.code, run.actions) == (0, [("delete", "done")] * 2)
        assert ["new" in image["image_file"] for image in scenario.images(product)] == [True]


class TestDeletesComeLast:
    def test_one_failure_and_nothing_is_deleted(self, scenario: RestoreScenario) -> None:
        """The third product's image has nothing to do with the first one's, and yet: a mirror is one whole."""
        backup = scenario.backup()
        scenario.sandbox.delete_image(scenario.images(FIRST)[0]["id"])
        scenario.sandbox.add_image(THIRD, picture(1), "extra.png")
        scenario.sandbox.faults("5" * 100, match="POST .*/images$")
        run = scenario.restore(backup, mode="mirror", max_deletes=1, max_retries=0, pending_write_timeout=900)
        assert run.code == 1
        assert run.actions == [("create", "undecided"), ("delete", "not reached")]
        assert "mirror deleted nothing, because 1 image is undecided." in run.err
        assert len(scenario.images(THIRD)) == 4

    def test_what_somebody_else_has_deleted_is_done(self, scenario: RestoreScenario, at_first_write: Any) -> None:
        before, backup = scenario.state(), scenario.backup()
        scenario.sandbox.set_image(scenario.images(FIRST)[0]["id"], description="wrong")
        extra = scenario.sandbox.add_image(FIRST, picture(1), "extra.png")
        at_first_write(lambda: scenario.sandbox.delete_image(extra))
        run = scenario.restore(backup, mode="mirror", max_deletes=1)
        assert (run.code, run.actions) == (0, [("delete", "done"), ("update", "done")])
        assert scenario.state() == before

    def test_the_thumbnail_is_right_after_them(self, scenario: RestoreScenario) -> None:
        for image in scenario.images(FIRST):
            scenario.sandbox.set_image(image["id"], is_thumbnail=False)
        before, backup = scenario.state(), scenario.backup()
        scenario.sandbox.add_image(FIRST, picture(1), "extra.png", is_thumbnail=True)
        assert scenario.restore(backup, mode="mirror", max_deletes=1).code == 0
        assert scenario.state() == before


class TestListThatLags:
    """The store has named the new image and does not list it for longer than anybody waits."""

    @pytest.mark.parametrize("is_there", [True, False])
    def test_no_second_image(self, scenario: RestoreScenario, monkeypatch: pytest.MonkeyPatch, is_there: bool) -> None:
        before, backup = scenario.state(), scenario.backup()
        scenario.sandbox.delete_image(scenario.images(FIRST)[0]["id"])
        looks = 0
        for kind in (V2Client, V3Client):
            products = kind.products

            def lagging(self: Any, ids: Any, products: Any = products) -> Iterator[Any]:
                nonlocal looks
                looks += 1
                for product in products(self, ids):
                    newest = max(image["id"] for image in scenario.sandbox.dump(files=False)["images"])
                    if 1 < looks < 2 + len(executor.POLL_DELAYS):
                        product.images = [image for image in product.images if image["id"] < newest]
                    yield product

            monkeypatch.setattr(kind, "products", lagging)
        if not is_there:  # the store has agreed and not applied
            scenario.sandbox.faults("n", match="POST .*/images$")
        run = scenario.restore(backup)
        assert (run.code, run.actions) == (0, [("create", "done")])
        assert scenario.state() == before


class TestImageThatTheStoreFailsAt:
    """One image whose write ends in 500 whenever it is tried is one failure; a store that fails at all ends the run."""

    def test_the_others_go_on(self, scenario: RestoreScenario) -> None:
        backup = scenario.backup()
        bad = scenario.images(FIRST)[0]["id"]
        for product in (FIRST, SECOND, THIRD):
            scenario.sandbox.set_image(scenario.images(product)[0]["id"], description="wrong")
        scenario.sandbox.faults("5" * 100, match=f"PUT .*/images/{bad}$")
        run = scenario.restore(backup, max_retries=1)
        assert (run.code, run.actions) == (1, [("update", "done"), ("update", "done"), ("update", "failed")])
        assert run.states == []

    def test_what_was_done_without_an_answer_is_done(self, scenario: RestoreScenario) -> None:
        backup = scenario.backup()
        before = scenario.state()
        for product in (FIRST, SECOND):
            scenario.sandbox.set_image(scenario.images(product)[0]["id"], description="wrong")
        scenario.sandbox.faults("w" * 100, match=r"PUT .*/images/\d+$")
        run = scenario.restore(backup, max_retries=1)
        assert (run.code, run.actions) == (0, [("update", "done")] * 2)
        assert scenario.state() == before

    def test_nor_does_an_image_that_is_only_to_be_put_back(self, scenario: RestoreScenario) -> None:
        """The store has shifted it, and cannot put it back now: that is told, and the next run does it."""
        scenario.sandbox.set_flags(sort_order_shift="shift")
        backup = scenario.backup()
        wanted = next(image for image in scenario.records() if image["product_id"] == FIRST)
        there = scenario.sandbox.add_image(FIRST, picture(1), "mine.png", sort_order=wanted["sort_order"])
        before = scenario.state()
        scenario.sandbox.delete_image(wanted["id"])
        scenario.sandbox.faults("7" * 100, match=f"PUT .*/images/{there}$")
        run = scenario.restore(backup)
        assert (run.code, run.actions) == (1, [("create", "done"), ("update", "failed")])
        scenario.sandbox.faults("")
        assert scenario.restore(backup).code == 0
        assert scenario.state() == before

    def test_but_not_for_ever(self, sandbox: SandboxServer, scenario: RestoreScenario) -> None:
        sandbox.reset(20, 2)
        backup = scenario.backup()
        for image in sandbox.dump(files=False)["images"]:
            sandbox.set_image(image["id"], description="wrong")
        sandbox.clear_requests()
        sandbox.faults("5" * 1000, match="PUT .*/images")
        run = scenario.restore(backup, max_retries=0, concurrency=1)
        assert run.code == 3
        assert len([method for method, _ in scenario.writes() if method == "PUT"]) == executor.MAX_UNANSWERED


class TestSkus:
    def test_two_products_of_the_input_with_one_sku_are_not_merged(self, scenario: RestoreScenario) -> None:
        records = scenario.records()
        one = next(each for each in records if each["product_id"] == FIRST)
        other = {**one, "id": 999, "product_id": 7, "store_hash": "elsewhere"}
        there = scenario.state()
        run = scenario.restore(singer(head(), row(one), row(other), end()), match_products_by="sku")
        assert (run.code, run.actions) == (1, [("reject", "rejected")] * 2)
        assert "2 products of the input have the SKU" in run.rows[0]["reason"]
        assert scenario.state() == there

    def test_a_second_image_of_the_same_name_does_not_take_the_first_ones_place(
        self, scenario: RestoreScenario
    ) -> None:
        """Two runs of an input that tells only what is new, without files: the ledger knows whose image is whose."""
        (one, *_), product = scenario.records(files=False), scenario.sandbox.add_product(sku="COPY")
        url = scenario.sandbox.dump(files=False)["images"]
        assert url
        shop = {**one, "store_hash": "shop", "product_sku": "COPY", "is_thumbnail": False}
        for number, order in ((1, 5), (2, 6)):
            data = singer(head(), row({**shop, "id": number, "sort_order": order}))
            assert scenario.restore(data, match_products_by="sku", file_store="").code == 0
        assert [image["sort_order"] for image in scenario.images(product)] == [5, 6]


class TestWithoutFiles:
    def test_another_picture_under_the_same_id_is_seen(self, scenario: RestoreScenario) -> None:
        """There is no file store any more; the backup still tells the digests."""
        backup = scenario.backup()
        assert scenario.restore(backup, file_store="").actions == []
        other_picture(scenario)
        there = scenario.state()
        run = scenario.restore(backup, file_store="")
        assert (run.code, run.actions) == (1, [("reject", "rejected")])
        assert "replace would lose the present picture" in run.rows[0]["reason"]
        assert scenario.state() == there

    def test_saved_pictures_that_cannot_be_sent_are_named_by_the_plan(
        self, scenario: RestoreScenario, caplog: pytest.LogCaptureFixture
    ) -> None:
        backup = scenario.backup()
        for image in scenario.images(FIRST):
            scenario.sandbox.delete_image(image["id"])
        there = scenario.state()
        for dry_run in (True, False):
            scenario.sandbox.clear_requests()
            caplog.clear()
            run = scenario.restore(backup, file_store="", dry_run=dry_run)
            assert (run.code, run.actions, scenario.writes()) == (1, [("reject", "rejected")] * 3, [])
            assert "file_store is not set (set it to the file store of the backup)" in run.rows[0]["reason"]
            assert "3 images to be created or replaced with a saved picture, but file_store is not set" in caplog.text
            assert "(and 2 more like this)" in run.err
        assert scenario.state() == there

    @pytest.mark.parametrize("files", ["", "files"])
    def test_a_backup_without_the_picture_says_so(
        self, scenario: RestoreScenario, files: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        backup = scenario.backup(files=False)
        scenario.sandbox.delete_image(scenario.images(FIRST)[0]["id"])
        for dry_run in (True, False):
            run = scenario.restore(backup, file_store=files and str(scenario.folder / files), dry_run=dry_run)
            assert (run.code, run.actions) == (1, [("reject", "rejected")])
            reason = next(each["reason"] for each in run.rows if each["status"] == "rejected")
            assert reason == "the backup has no picture of this image, and its old address answers that it is gone"
            assert "file_store is not set" not in caplog.text

    def test_an_address_that_the_store_cannot_fetch(self, scenario: RestoreScenario) -> None:
        """Nobody knows before: it is the failure of the run, and says what the backup lacks."""
        backup = scenario.backup(files=False)
        scenario.sandbox.delete_image(scenario.images(FIRST)[0]["id"])
        scenario.sandbox.faults("5" * 50, match="GET /(product_images|stencil|cdn)|GET .*[.]")
        run = scenario.restore(backup, file_store="")
        assert (run.code, run.actions) == (1, [("create", "failed")])
        assert run.failed["error"].startswith("the backup has no picture of this image, and its old address does not")

    @pytest.mark.parametrize("serves", ["original", "rendition"])
    def test_an_address_that_still_serves_a_deleted_picture_is_found(
        self, scenario: RestoreScenario, serves: str
    ) -> None:
        scenario.sandbox.set_flags(
            lingering_originals="on", lingering_renditions="on" if serves == "rendition" else "off"
        )
        backup = scenario.backup(files=False)
        before = [shape[:3] for shape in scenario.state()[FIRST]]
        for image in scenario.images(FIRST):
            scenario.sandbox.delete_image(image["id"])
        run = scenario.restore(backup, file_store="")
        assert (run.code, run.actions) == (0, [("create", "done")] * 3)
        assert [shape[:3] for shape in scenario.state()[FIRST]] == before
        assert scenario.restore(backup, file_store="").actions == []


class TestLitter:
    def test_a_killed_run_leaves_nothing_in_the_import_folder(self, sandbox: SandboxServer, tmp_path: Path) -> None:
        scenario = RestoreScenario(sandbox, tmp_path, "v2")
        backup = tmp_path / "backup.singer"
        backup.write_bytes(scenario.backup())
        for image in scenario.images(FIRST):
            sandbox.delete_image(image["id"])
        sandbox.faults("p", match="POST .*/images$")
        sandbox.clear_requests()
        process = killable_process.start(scenario.config, backup)
        while not any(method == "POST" for method, _ in scenario.writes()):
            assert process.is_alive()
            time.sleep(0.01)
        killable_process.kill(process)
        (put,) = {path for method, path in scenario.writes() if method == "PUT"}  # the first is asked who it is
        dav = HTTPDigestAuth(DAV_USERNAME, DAV_PASSWORD)
        assert requests.get(sandbox.url + put, auth=dav, timeout=killable_process.LONG).status_code == 200
        assert scenario.restore(backup.read_bytes()).code == 0
        assert requests.get(sandbox.url + put, auth=dav, timeout=killable_process.LONG).status_code == 404
