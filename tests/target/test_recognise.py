"""A picture that is in the store already, under whatever id and name, is found and not created again."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bc_images.bigcommerce.v2 import V2Client
from bc_images.bigcommerce.v3 import V3Client
from bigcommerce_sandbox import SandboxServer, media
from tests.support import commands
from tests.support.target import ImageState, RestoreScenario, picture, row, singer
from tests.support.target import head as schema_line

FIRST, SECOND = 101, 102


def upload_again(scenario: RestoreScenario, image: dict[str, Any], name: str, *, quality: int | None = None) -> None:
    """Delete an image and upload its picture as a new one, as people do; with `quality` re-encoded."""
    content = scenario.sandbox.original(image["image_file"]) or b""
    if quality is not None:
        content = media._encode(media.opened(content), b"again", quality=quality)[0]
    scenario.sandbox.delete_image(image["id"])
    fields = {name: image[name] for name in ("sort_order", "description", "is_thumbnail")}
    scenario.sandbox.add_image(image["product_id"], content, name, **fields)


def downloads(scenario: RestoreScenario) -> list[str]:
    return [each["path"] for each in scenario.sandbox.requests() if each["path"].startswith("/product_images/")]


def forget(scenario: RestoreScenario) -> None:
    shutil.rmtree(scenario.state_dir, ignore_errors=True)


class TestOtherNames:
    """Every picture was uploaded again under another name."""

    @pytest.fixture(autouse=True)
    def renamed(self, scenario: RestoreScenario) -> None:
        self.before, self.backup = scenario.state(), scenario.backup()
        for image in scenario.sandbox.dump(files=False)["images"]:
            upload_again(scenario, image, f"other-{image['id']}.{image['image_file'].rpartition('.')[2]}")
        scenario.sandbox.clear_requests()

    def test_nothing_is_to_do(self, scenario: RestoreScenario) -> None:
        assert scenario.restore(self.backup, dry_run=True).actions == []
        run = scenario.restore(self.backup)
        assert (run.code, run.actions, scenario.writes()) == (0, [], [])
        assert scenario.state() == self.before

    def test_the_second_restore_reads_no_picture(self, scenario: RestoreScenario) -> None:
        assert scenario.restore(self.backup).code == 0
        assert len(set(downloads(scenario))) == 15
        scenario.sandbox.clear_requests()
        assert scenario.restore(self.backup).code == 0
        assert downloads(scenario) == []

    def test_without_a_file_store_digests_still_tell(self, scenario: RestoreScenario) -> None:
        assert scenario.restore(self.backup, file_store="").actions == []

    def test_records_by_hand_find_them_too(self, scenario: RestoreScenario) -> None:
        """An input that does not say that it is complete."""
        data = b"".join(line for line in self.backup.splitlines(keepends=True) if b"ACTIVATE" not in line)
        assert scenario.restore(data).actions == []

    def test_only_fields_that_differ_are_written(self, scenario: RestoreScenario) -> None:
        scenario.sandbox.set_image(scenario.images(FIRST)[1]["id"], description="wrong")
        assert scenario.restore(self.backup).actions == [("update", "done")]
        assert scenario.state() == self.before

    def test_one_that_is_missing_is_created(self, scenario: RestoreScenario) -> None:
        scenario.sandbox.delete_image(scenario.images(FIRST)[1]["id"])
        assert scenario.restore(self.backup).actions == [("create", "done")]
        assert scenario.state() == self.before


def test_pictures_that_were_exchanged_are_found_by_content(scenario: RestoreScenario) -> None:
    backup = scenario.backup()
    one, two, _ = scenario.images(FIRST)
    contents = [scenario.sandbox.original(image["image_file"]) for image in (one, two)]
    scenario.sandbox.set_image(one["id"], content=contents[1], filename="x.jpg")
    scenario.sandbox.set_image(two["id"], content=contents[0], filename="y.jpg")
    run = scenario.restore(backup)
    assert run.code == 0, run.err
    assert {action for action, _ in run.actions} == {"update"}


def test_another_picture_that_comes_beside_the_lost_one_stays(scenario: RestoreScenario) -> None:
    before, backup = scenario.state(), scenario.backup()
    upload_again(scenario, scenario.images(FIRST)[0], "renamed.jpg")
    scenario.sandbox.add_image(FIRST, picture(50), "stranger.png", sort_order=9, is_thumbnail=False)
    run = scenario.restore(backup)
    assert (run.code, run.actions) == (0, [])
    assert len(scenario.images(FIRST)) == 4
    assert set(before[FIRST]) < set(scenario.state()[FIRST])


class TestReEncoded:
    """Other bytes, the same picture: no duplicate, and the bytes of the backup come back."""

    @pytest.mark.parametrize("name", ["other.jpg", None])
    def test_by_somebody(self, scenario: RestoreScenario, name: str | None) -> None:
        before, backup = scenario.state(), scenario.backup()
        for image in scenario.images(FIRST):
            upload_again(scenario, image, name or image["image_file"].rpartition("/")[2], quality=40)
        run = scenario.restore(backup)
        assert (run.code, run.actions) == (0, [("replace", "done")] * 3)
        assert {row["reason"] for row in run.rows if row.get("action") == "replace"} == {
            "the picture looks the same and has other bytes"
        }
        assert scenario.state() == before

    def test_by_the_store_and_the_ledger_is_lost(self, scenario: RestoreScenario) -> None:
        backup = scenario.backup()
        scenario.sandbox.set_flags(recompress_uploads="on")
        for image in scenario.images(FIRST):
            scenario.sandbox.delete_image(image["id"])
        assert scenario.restore(backup).actions == [("create", "done")] * 3
        forget(scenario)
        assert ("create", "done") not in scenario.restore(backup).actions
        assert len(scenario.images(FIRST)) == 3
        scenario.sandbox.clear_requests()
        assert (scenario.restore(backup).code, scenario.writes()) == (0, [])


class TestAlteredByACdn:
    """Nobody can read the bytes that the store has: what looks the same is kept, and verify says so."""

    def test_no_duplicate_and_it_is_said(self, scenario_v3: RestoreScenario) -> None:
        backup = scenario_v3.folder / "backup.singer"
        backup.write_bytes(scenario_v3.backup())
        for image in scenario_v3.images(FIRST):
            upload_again(scenario_v3, image, f"other-{image['id']}.jpg")
        scenario_v3.sandbox.set_flags(cdn="altered")
        config = scenario_v3.folder / "config.json"
        scenario_v3.config |= {"webdav_username": "", "webdav_password": ""}  # by which the bytes could be read
        config.write_text(json.dumps(scenario_v3.config))
        done = commands.run("bc-images", "verify", "--backup", backup, "--config", config)
        said = done.out
        assert done.code == 0, said
        similar = said.count("looks the same; its bytes were not compared")
        assert similar >= 2
        assert f"Not compared byte for byte: {similar} of the 15 that count as same" in said
        run = scenario_v3.restore(backup.read_bytes())
        assert (run.code, run.actions) == (0, [])


class TestStoreThatCountsAnew:
    """Restored, or a sandbox restarted: ids of new images equal those of the backup, and mean nothing."""

    @pytest.fixture
    def anew(
        self, tmp_path: Path, api_version: str
    ) -> Iterator[tuple[RestoreScenario, dict[int, list[ImageState]], bytes]]:
        with SandboxServer(products=30, images=3) as old:
            scenario = RestoreScenario(old, tmp_path, api_version)
            before, backup = scenario.state(), scenario.backup()
        with SandboxServer(products=30, images=0) as new:
            yield RestoreScenario(new, tmp_path, api_version), before, backup

    def test_every_picture_comes_back_once(
        self, anew: tuple[RestoreScenario, dict[int, list[ImageState]], bytes]
    ) -> None:
        scenario, before, backup = anew
        run = scenario.restore(backup, concurrency=8)
        assert run.code == 0, run.err
        assert scenario.state() == before
        made = len([method for method, path in scenario.writes() if method == "POST" and path.endswith("/images")])
        assert made == run.summary["summary"]["create"] == 90
        scenario.sandbox.clear_requests()
        assert (scenario.restore(backup).code, scenario.writes(), downloads(scenario)) == (0, [], [])
        forget(scenario)
        again = scenario.restore(backup)
        assert (again.code, again.actions, scenario.state()) == (0, [], before)

    def test_with_the_ledger_of_its_life_before(self, tmp_path: Path) -> None:
        with SandboxServer(products=30, images=3) as old:
            scenario = RestoreScenario(old, tmp_path)
            before, backup = scenario.state(), scenario.backup()
            for image in old.dump(files=False)["images"]:
                old.delete_image(image["id"])
            assert scenario.restore(backup).code == 0
        for _ in range(2):
            with SandboxServer(products=30, images=0) as new:
                scenario = RestoreScenario(new, tmp_path)
                run = scenario.restore(backup, concurrency=8)
                assert run.code == 0, run.err
                assert scenario.state() == before


class TestListsThatLag:
    """What the ledger names is asked for by its id before anything is created in its place."""

    def test_a_run_at_once_after_the_first_creates_nothing(
        self, scenario: RestoreScenario, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        backup = scenario.backup()
        newest = max(image["id"] for image in scenario.sandbox.dump(files=False)["images"])
        for image in scenario.images(FIRST)[:2]:
            scenario.sandbox.delete_image(image["id"])
        before = Counter(scenario.state()[SECOND])
        for kind in (V2Client, V3Client):
            products = kind.products

            def lagging(self: Any, ids: Any, products: Any = products) -> Iterator[Any]:
                for product in products(self, ids):
                    product.images = [image for image in product.images if image["id"] <= newest]
                    yield product

            monkeypatch.setattr(kind, "products", lagging)
        run = scenario.restore(backup)
        assert (run.code, run.actions) == (0, [("create", "done")] * 2)
        scenario.sandbox.clear_requests()
        run = scenario.restore(backup)
        assert (run.code, run.actions, scenario.writes()) == (0, [], [])
        assert (len(scenario.images(FIRST)), Counter(scenario.state()[SECOND])) == (3, before)


# Any of it, at random


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with SandboxServer(products=4, images=3) as sandbox:
        yield sandbox


EVENTS = st.lists(
    st.tuples(st.sampled_from(["rename", "encode", "again", "text", "delete", "forget"]), st.integers(0, 11)),
    min_size=1,
    max_size=14,
)
QUICK = settings(
    deadline=None, derandomize=True, max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
LONG = settings(
    deadline=None, max_examples=200, print_blob=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def trip(sandbox: SandboxServer, folder: Path, version: str, events: list[tuple[str, int]], recompress: bool) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    sandbox.reset(products=4, images=3)
    sandbox.set_flags(recompress_uploads="off")
    scenario = RestoreScenario(sandbox, folder, version)
    before = scenario.state()
    backup = scenario.backup()
    sandbox.set_flags(recompress_uploads="on" if recompress else "off")
    for number, (kind, place) in enumerate(events):
        images = sandbox.dump(files=False)["images"]
        if not images:
            break
        image = images[place % len(images)]
        name = image["image_file"].rpartition("/")[2]
        if kind == "rename":
            upload_again(scenario, image, f"name-{number}.{name.rpartition('.')[2]}")
        elif kind == "encode":
            upload_again(scenario, image, f"name-{number}.jpg", quality=60)
        elif kind == "again":
            upload_again(scenario, image, name)
        elif kind == "text":
            sandbox.set_image(image["id"], description="changed")
        elif kind == "delete":
            sandbox.delete_image(image["id"])
        else:
            assert scenario.restore(backup).code == 0
            forget(scenario)
    run = scenario.restore(backup)
    assert run.code == 0, run.err
    after = scenario.state()
    assert {product: len(images) for product, images in after.items()} == dict.fromkeys(before, 3)
    if recompress:  # the store keeps other bytes: all else is the same
        assert without_bytes(after) == without_bytes(before)
    else:
        assert after == before
    sandbox.clear_requests()
    assert (scenario.restore(backup).code, scenario.writes(), downloads(scenario)) == (0, [], [])


def without_bytes(state: dict[int, list[ImageState]]) -> dict[int, list[tuple[Any, ...]]]:
    return {product: sorted(image[:3] for image in images) for product, images in state.items()}


VERSIONS = pytest.mark.parametrize("version", ["v3", "v2"])


@VERSIONS
@QUICK
@given(events=EVENTS, recompress=st.booleans())
def test_no_picture_twice_none_lost(
    server: SandboxServer, tmp_path: Path, version: str, events: list[tuple[str, int]], recompress: bool
) -> None:
    trip(server, tmp_path / "trip", version, events, recompress)


@pytest.mark.slow
@VERSIONS
@LONG
@given(events=EVENTS, recompress=st.booleans())
def test_no_picture_twice_none_lost_at_length(
    server: SandboxServer, tmp_path: Path, version: str, events: list[tuple[str, int]], recompress: bool
) -> None:
    trip(server, tmp_path / "trip", version, events, recompress)


def test_a_record_without_digest_is_matched_by_name(scenario: RestoreScenario) -> None:
    records = scenario.records(files=False)
    for image in scenario.images(FIRST):
        upload_again(scenario, image, image["image_file"].rpartition("/")[2])
    assert scenario.restore(singer(schema_line(), *map(row, records)), file_store="").actions == []
