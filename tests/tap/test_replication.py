"""Versions, ACTIVATE_VERSION, STATE and bookmarks: what a loader and the next run are told."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from bc_images.errors import BcImagesError, SettingsError, StoreSuspended, StoreUnreachable
from bigcommerce_sandbox import SandboxServer
from tap_bc_images.catalog import check_state, read_state
from tests.support.commands import CommandResult
from tests.support.tap import catalog_of, end, peak_memory, settings, start, stored, sync, written_before

OLD, NEW = "2024-01-01T00:00:00+00:00", "2025-06-01T12:00:00+00:00"


def product_ids(sandbox: SandboxServer) -> list[int]:
    return [product["id"] for product in sandbox.dump(files=False)["products"]]


def interrupted(sandbox: SandboxServer, config: dict[str, Any], product: int, **more: Any) -> CommandResult:
    """Run until the store refuses to tell the images of one product."""
    sandbox.faults("s", f"GET .*/products/{product}/images")
    with pytest.raises(StoreSuspended) as failed:
        sync(config, **more)
    return written_before(failed.value)


class TestFullTable:
    def test_one_version_and_its_activation_last(self, sandbox: SandboxServer, version: str) -> None:
        sandbox.reset(products=30, images=2)
        output = sync(settings(sandbox.url, api_version=version))
        assert output.kinds == ["SCHEMA", "RECORD", "ACTIVATE_VERSION", "STATE"]
        (activation,) = output.of("ACTIVATE_VERSION")
        assert output.versions() == {activation["version"]}
        assert activation["stream"] == "product_images"

    def test_a_later_run_has_a_higher_version(self, sandbox: SandboxServer) -> None:
        sandbox.reset(products=3, images=1)
        first, second = (sync(settings(sandbox.url)).versions().pop() for _ in range(2))
        assert first is not None
        assert second is not None
        assert first < second

    def test_an_empty_store_empties_the_table(self, sandbox: SandboxServer, version: str) -> None:
        output = sync(settings(sandbox.url, api_version=version))
        assert output.kinds == ["SCHEMA", "ACTIVATE_VERSION", "STATE"]

    @pytest.mark.parametrize(
        "more", [{"product_id_min": 1}, {"product_id_max": 999_999}, {"activate_version": False}], ids=str
    )
    def test_no_activation_where_it_would_speak_for_others(self, sandbox: SandboxServer, more: dict[str, Any]) -> None:
        sandbox.reset(products=30, images=2)
        output = sync(settings(sandbox.url, **more))
        assert output.kinds == ["SCHEMA", "RECORD", "STATE"]
        assert output.ids() == stored(sandbox)
        assert None not in output.versions()

    @pytest.mark.parametrize("letter", ["s", "h", "5"])
    def test_no_activation_after_an_error(self, sandbox: SandboxServer, version: str, letter: str) -> None:
        sandbox.reset(products=600, images=1)
        config = settings(sandbox.url, api_version=version, concurrency=1)
        sandbox.faults(f"..{letter}", "GET .*/products$")
        with pytest.raises(BcImagesError) as failed:
            sync(config)
        output = written_before(failed.value)
        assert output.records()
        assert not output.of("ACTIVATE_VERSION")

    def test_an_interrupted_full_sync_resumes(self, sandbox: SandboxServer, version: str) -> None:
        sandbox.reset(products=700, images=2)
        config = settings(sandbox.url, api_version=version, concurrency=1)
        sandbox.faults("..5", "GET .*/products$")
        with pytest.raises(StoreUnreachable) as failed:
            sync(config)
        first = written_before(failed.value)
        second = sync(config, state=first.states[-1])
        reached = first.states[-1]["bookmarks"]["product_images"]["full_table"]["last_product_id"]
        assert first.records()[-1]["product_id"] >= reached
        acknowledged = [record["id"] for record in first.records() if record["product_id"] <= reached]
        assert acknowledged + second.ids() == stored(sandbox)
        assert second.ids()
        assert first.versions() == second.versions()
        assert second.of("ACTIVATE_VERSION")[0]["version"] in first.versions()
        assert second.states[-1] == {"bookmarks": {"product_images": {}}}

    def test_a_product_is_never_half_acknowledged(self, sandbox: SandboxServer) -> None:
        """Every STATE stands behind all records up to its product, and before those of the next."""
        sandbox.reset(products=600, images=3)
        config = settings(sandbox.url, api_version="v2", concurrency=3)
        output = interrupted(sandbox, config, product_ids(sandbox)[560])
        assert len(output.states) == 3
        before: list[int] = []
        for message in output.messages:
            if message["type"] == "RECORD":
                before.append(message["record"]["product_id"])
            elif message["type"] == "STATE":
                reached = message["value"]["bookmarks"]["product_images"]["full_table"]["last_product_id"]
                assert max(before) == reached
                assert before.count(reached) == 3
        assert (
            output.states[-1]["bookmarks"]["product_images"]["full_table"]["last_product_id"]
            == product_ids(sandbox)[559]
        )

    @pytest.mark.parametrize(
        "change", [{"store_hash": "other"}, {"product_id_min": 5}, {"product_id_max": 9_999}], ids=str
    )
    def test_another_shard_or_store_begins_afresh(self, sandbox: SandboxServer, change: dict[str, Any]) -> None:
        sandbox.reset(products=10, images=1)
        full_table = {
            "store_hash": "sandbox",
            "product_id_min": None,
            "product_id_max": None,
            "version": 1,
            "last_product_id": product_ids(sandbox)[5],
        }
        state = {"bookmarks": {"product_images": {"full_table": {**full_table, **change}}}}
        output = sync(settings(sandbox.url), state=state)
        assert output.ids() == stored(sandbox)
        assert output.versions().isdisjoint({1})

    def test_state_stays_small(self, sandbox: SandboxServer) -> None:
        sandbox.reset(products=1500, images=1)
        output = sync(settings(sandbox.url))
        sizes = [len(json.dumps(state)) for state in output.states]
        assert len(sizes) == 7
        assert max(sizes) < 250
        assert max(sizes[:-1]) - min(sizes[:-1]) <= 1  # a product id of one digit more

    def test_each_stream_has_its_own_place(self, sandbox: SandboxServer) -> None:
        sandbox.reset(products=300, images=1)
        config = settings(sandbox.url, api_version="v2", concurrency=1)
        both = catalog_of(config, "products", "product_images")
        first = interrupted(sandbox, config, product_ids(sandbox)[280], catalog=both)
        assert not first.records("products")
        second = sync(config, catalog=both, state=first.states[-1])
        assert len(second.records()) == 20
        assert second.ids("products") == product_ids(sandbox)
        assert second.states[-1] == {"bookmarks": {"product_images": {}, "products": {}}}

    def test_killed_and_started_again(self, sandbox: SandboxServer, tmp_path: Path) -> None:
        sandbox.reset(products=700, images=2)
        config = settings(sandbox.url, api_version="v2")
        sandbox.faults("p", f"GET .*/products/{product_ids(sandbox)[600]}/images")
        process = start(config, tmp_path)
        assert process.stdout is not None
        lines: list[bytes] = []
        while sum(b'"STATE"' in line for line in lines) < 2:
            lines.append(process.stdout.readline())
            assert lines[-1], "the tap ended by itself"
        ended = end(process, signal.SIGKILL)
        assert ended.code == -signal.SIGKILL
        whole = b"".join(lines).decode() + ended.out[: ended.out.rfind("\n") + 1]
        first = CommandResult(0, whole)
        sandbox.faults("")
        acknowledged = first.states[-1]["bookmarks"]["product_images"]["full_table"]["last_product_id"]
        second = sync(config, state=first.states[-1])
        acknowledged = [record["id"] for record in first.records() if record["product_id"] <= acknowledged]
        assert acknowledged + second.ids() == stored(sandbox)
        assert first.versions() == second.versions() == {second.of("ACTIVATE_VERSION")[0]["version"]}


class TestIncremental:
    @pytest.fixture
    def images(self, sandbox: SandboxServer) -> list[int]:
        """Ids of 20 images, all changed long ago."""
        sandbox.reset(products=10, images=2)
        images = stored(sandbox)
        for image in images:
            sandbox.set_image(image, date_modified=OLD)
        return images

    def sync(self, sandbox: SandboxServer, state: Any = None, **more: Any) -> CommandResult:
        config = settings(sandbox.url, **more)
        catalog = catalog_of(config, "product_images", replication_method="INCREMENTAL")
        return sync(config, catalog=catalog, state=state)

    def bookmark(self, output: CommandResult) -> dict[str, Any]:
        found: dict[str, Any] = output.states[-1]["bookmarks"]["product_images"]
        return found

    def test_first_run_emits_everything(self, sandbox: SandboxServer, images: list[int]) -> None:
        output = self.sync(sandbox)
        assert output.ids() == images
        assert output.kinds == ["SCHEMA", "RECORD", "STATE"]
        assert output.versions() == {None}
        assert output.of("SCHEMA")[0]["bookmark_properties"] == ["date_modified"]
        assert self.bookmark(output) == {
            "replication_key": "date_modified",
            "replication_key_value": OLD,
            "store_hash": "sandbox",
            "product_id_min": None,
            "product_id_max": None,
        }

    def test_then_only_the_products_in_which_something_changed(self, sandbox: SandboxServer, images: list[int]) -> None:
        state = self.sync(sandbox).states[-1]
        for image in images[1:]:
            sandbox.set_image(image, date_modified="2023-12-31T23:59:59+00:00")
        sandbox.set_image(images[7], date_modified=NEW)
        output = self.sync(sandbox, state)
        # What lies on the bookmark comes again, and with each of the two their siblings, changed or not.
        assert output.ids() == [images[0], images[1], images[6], images[7]]
        assert self.bookmark(output)["replication_key_value"] == NEW
        assert self.bookmark(self.sync(sandbox, output.states[-1]))["replication_key_value"] == NEW

    def test_start_date(self, sandbox: SandboxServer, images: list[int]) -> None:
        sandbox.set_image(images[3], date_modified=NEW)
        assert self.sync(sandbox, start_date="2025-01-01").ids() == images[2:4]
        assert self.sync(sandbox, start_date="2025-06-01T14:00:00+02:00").ids() == images[2:4]
        assert self.sync(sandbox, start_date="2025-06-01T12:00:01Z").ids() == []
        # The later of the two counts.
        state = {"bookmarks": {"product_images": {"replication_key_value": NEW}}}
        assert self.sync(sandbox, state, start_date="2020-01-01").ids() == images[2:4]

    def test_full_table_has_no_start_date(self, sandbox: SandboxServer, images: list[int]) -> None:
        assert sync(settings(sandbox.url, start_date="2030-01-01")).ids() == images

    def test_the_bookmark_stays_behind_the_start_of_the_scan(self, sandbox: SandboxServer, images: list[int]) -> None:
        """An image that changes while its product has been passed must be found by the next run."""
        sandbox.set_image(images[-1])  # now
        state = self.sync(sandbox).states[-1]
        assert state["bookmarks"]["product_images"]["replication_key_value"] > OLD
        sandbox.set_image(images[0])
        assert images[0] in self.sync(sandbox, state).ids()

    def test_a_date_in_the_future_poisons_nothing(self, sandbox: SandboxServer, images: list[int]) -> None:
        sandbox.set_image(images[0], date_modified="2099-01-01T00:00:00+00:00")
        state = self.sync(sandbox).states[-1]
        sandbox.set_image(images[1])
        assert self.sync(sandbox, state).ids() == images[:2]

    def test_an_interrupted_run_moves_no_bookmark(self, sandbox: SandboxServer) -> None:
        sandbox.reset(products=700, images=1)
        sandbox.faults("..5", "GET .*/products$")
        state = {"bookmarks": {"product_images": {"replication_key": "date_modified", "replication_key_value": OLD}}}
        for image in stored(sandbox):
            sandbox.set_image(image, date_modified=NEW)
        with pytest.raises(StoreUnreachable) as failed:
            self.sync(sandbox, state, concurrency=1)
        output = written_before(failed.value)
        assert output.records()
        assert [each["bookmarks"]["product_images"]["replication_key_value"] for each in output.states] == [OLD]
        assert self.sync(sandbox, output.states[-1]).ids() == stored(sandbox)

    def test_the_bookmark_of_another_store_is_not_used(self, sandbox: SandboxServer, images: list[int]) -> None:
        state = {"bookmarks": {"product_images": {"replication_key_value": NEW, "store_hash": "other"}}}
        assert self.sync(sandbox, state).ids() == images

    @pytest.mark.parametrize(
        "other", [{}, {"product_id_min": 1}, {"product_id_min": 1, "product_id_max": 103}], ids=str
    )
    def test_the_bookmark_of_another_shard_is_not_used(
        self, sandbox: SandboxServer, images: list[int], other: dict[str, int]
    ) -> None:
        """It tells nothing of products that it has not seen; its own shard goes on from it."""
        shard = {"product_id_min": 2}
        state, own = (self.sync(sandbox, **which).states[-1] for which in (other, shard))
        for image in images:
            sandbox.set_image(image, date_modified="2023-12-31T23:59:59+00:00")
        assert self.sync(sandbox, state, **other).ids() == []
        assert self.sync(sandbox, state, **shard).ids() == images
        assert self.sync(sandbox, own, **other).ids() == self.sync(sandbox, **other).ids() != []

    def test_a_bookmark_that_names_no_shard_is_the_whole_stores(
        self, sandbox: SandboxServer, images: list[int]
    ) -> None:
        state = {"bookmarks": {"product_images": {"replication_key_value": NEW, "store_hash": "sandbox"}}}
        assert self.sync(sandbox, state).ids() == []
        assert self.sync(sandbox, state, product_id_min=1).ids() == images

    def test_a_run_without_a_change_keeps_the_bookmark(self, sandbox: SandboxServer, images: list[int]) -> None:
        sandbox.set_image(images[3], date_modified=NEW)
        state = self.sync(sandbox).states[-1]
        sandbox.set_image(images[3], date_modified=OLD)
        output = self.sync(sandbox, state)
        assert output.ids() == []
        assert output.states[-1] == state

    def test_refused_on_v2(self, sandbox: SandboxServer) -> None:
        with pytest.raises(SettingsError, match="INCREMENTAL needs api_version v3"):
            self.sync(sandbox, api_version="v2")
        assert not sandbox.requests()

    def test_refused_for_products(self, sandbox: SandboxServer) -> None:
        config = settings(sandbox.url)
        with pytest.raises(SettingsError, match="products can only be replicated FULL_TABLE"):
            sync(config, catalog=catalog_of(config, "products", replication_method="INCREMENTAL"))

    @pytest.mark.parametrize(
        ("root", "said"),
        [
            ({"replication_method": "LOG_BASED"}, "FULL_TABLE or INCREMENTAL"),
            ({"replication_method": "INCREMENTAL", "replication_key": "id"}, "can only be date_modified"),
        ],
    )
    def test_other_ways_are_refused(self, sandbox: SandboxServer, root: dict[str, str], said: str) -> None:
        config = settings(sandbox.url)
        with pytest.raises(SettingsError, match=said):
            sync(config, catalog=catalog_of(config, "product_images", **root))

    @pytest.mark.parametrize("bookmark", ["yesterday", 7, 20250101, {"a": 1}, "0001-01-01T00:00:00+14:00"])
    def test_a_damaged_bookmark(self, sandbox: SandboxServer, bookmark: Any) -> None:
        with pytest.raises(SettingsError, match="replication_key_value is"):
            self.sync(sandbox, {"bookmarks": {"product_images": {"replication_key_value": bookmark}}})


@pytest.mark.parametrize(
    "state",
    [
        {"bookmarks": []},
        {"bookmarks": {"product_images": "all"}},
        {"bookmarks": {"product_images": {"full_table": 7}}},
        {
            "bookmarks": {
                "product_images": {
                    "full_table": {
                        "store_hash": "sandbox",
                        "product_id_min": None,
                        "product_id_max": None,
                        "version": "1",
                        "last_product_id": 3,
                    }
                }
            }
        },
    ],
    ids=range(4),
)
def test_a_damaged_state(sandbox: SandboxServer, state: Any) -> None:
    with pytest.raises(SettingsError, match="The state is not valid"):
        sync(settings(sandbox.url), state=state)
    assert not sandbox.requests()


BOOKMARK = {"bookmarks": {"product_images": {"replication_key_value": NEW}}}


class TestGivenState:
    """Whatever a loader, Meltano or a user's hand has made of it."""

    @pytest.mark.parametrize(
        "given",
        [
            {"type": "STATE", "value": BOOKMARK},
            {"singer_state": BOOKMARK},
            BOOKMARK,
        ],
        ids=["message", "meltano", "plain"],
    )
    def test_what_is_wrapped_around_it_is_taken_off(self, given: dict[str, Any]) -> None:
        assert check_state(given) == BOOKMARK

    @pytest.mark.parametrize("given", [{"type": "STATE"}, {"type": "STATE", "value": []}, {"singer_state": "x"}])
    def test_what_is_wrapped_must_be_a_state(self, given: dict[str, Any]) -> None:
        with pytest.raises(SettingsError, match="The state is not valid: its"):
            check_state(given)

    def test_one_that_says_nothing_is_told(self, caplog: pytest.LogCaptureFixture) -> None:
        assert check_state({}) == {}
        assert not caplog.records
        check_state({"product_images": {}})
        assert "contains no bookmarks" in caplog.text

    @pytest.mark.parametrize(
        "text",
        [
            json.dumps(BOOKMARK),
            json.dumps(BOOKMARK, indent=2),
            f'{{"bookmarks": {{}}}}\n\n{json.dumps(BOOKMARK)}\n',
        ],
        ids=["one line", "spread over lines", "the last line of a loader"],
    )
    def test_its_text(self, text: str) -> None:
        assert read_state(text) == BOOKMARK

    @pytest.mark.parametrize("text", ["{", "{}\n{", "{}\n[]", "[]"])
    def test_damaged_text(self, text: str) -> None:
        with pytest.raises(SettingsError, match=r"--state.* is not valid"):
            read_state(text)

    @pytest.mark.parametrize("text", ["", " \n"])
    def test_an_empty_file_is_no_state(self, caplog: pytest.LogCaptureFixture, text: str) -> None:
        assert read_state(text) == {}
        assert "--state is empty" in caplog.text


@pytest.mark.parametrize("rest", [{"version": 1, "shape": "new"}, {}], ids=["one field more", "one less"])
def test_the_full_sync_of_another_version_begins_afresh(
    sandbox: SandboxServer, caplog: pytest.LogCaptureFixture, rest: dict[str, Any]
) -> None:
    sandbox.reset(products=10, images=1)
    place = {"product_id_min": None, "product_id_max": None, "last_product_id": product_ids(sandbox)[5]}
    full_table = {"store_hash": "sandbox", **place, **rest}
    output = sync(settings(sandbox.url), state={"bookmarks": {"product_images": {"full_table": full_table}}})
    assert output.ids() == stored(sandbox)
    assert output.versions().isdisjoint({1})
    assert output.states[-1] == {"bookmarks": {"product_images": {}}}
    assert [record.getMessage() for record in caplog.records if "of another tap version" in record.getMessage()] == [
        "The interrupted full sync in the state is of another tap version: this one begins afresh."
    ]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak is read from /proc")
def test_memory_stays_flat(sandbox: SandboxServer, tmp_path: Path) -> None:
    peaks = []
    for products in (2000, 8000):
        sandbox.reset(products=products, images=3)
        peaks.append(peak_memory(settings(sandbox.url, concurrency=2), tmp_path))
    assert peaks[1] < peaks[0] * 1.2, peaks  # what grows with the store would be twice as much
    assert peaks[1] < 110e6, peaks
