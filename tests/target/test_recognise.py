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

from bc_images.bigcommerce.v2 import StoreV2
from bc_images.bigcommerce.v3 import StoreV3
from bigcommerce_sandbox import SandboxServer, media
from tests.support import commands
from tests.support.target import ImageState, Stage, picture, row, singer
from tests.support.target import head as schema_line

FIRST, SECOND = 101, 102


def upload_again(stage: Stage, image: dict[str, Any], name: str, *, quality: int | None = None) -> None:
    """Delete an image and upload its picture as a new one, as people do; with `quality` re-encoded."""
    content = stage.sandbox.original(image["image_file"]) or b""
    if quality is not None:
        content = media._encode(media.opened(content), b"again", quality=quality)[0]
    stage.sandbox.delete_image(image["id"])
    fields = {name: image[name] for name in ("sort_order", "description", "is_thumbnail")}
    stage.sandbox.add_image(image["product_id"], content, name, **fields)


def downloads(stage: Stage) -> list[str]:
    return [each["path"] for each in stage.sandbox.requests() if each["path"].startswith("/product_images/")]


def forget(stage: Stage) -> None:
    shutil.rmtree(stage.state_dir, ignore_errors=True)


class TestOtherNames:
    """Every picture was uploaded again under another name."""

    @pytest.fixture(autouse=True)
    def renamed(self, stage: Stage) -> None:
        self.before, self.backup = stage.state(), stage.backup()
        for image in stage.sandbox.dump(files=False)["images"]:
            upload_again(stage, image, f"other-{image['id']}.{image['image_file'].rpartition('.')[2]}")
        stage.sandbox.clear_requests()

    def test_nothing_is_to_do(self, stage: Stage) -> None:
        assert stage.restore(self.backup, dry_run=True).actions == []
        run = stage.restore(self.backup)
        assert (run.code, run.actions, stage.writes()) == (0, [], [])
        assert stage.state() == self.before

    def test_the_second_restore_reads_no_picture(self, stage: Stage) -> None:
        assert stage.restore(self.backup).code == 0
        assert len(set(downloads(stage))) == 15
        stage.sandbox.clear_requests()
        assert stage.restore(self.backup).code == 0
        assert downloads(stage) == []

    def test_without_a_file_store_digests_still_tell(self, stage: Stage) -> None:
        assert stage.restore(self.backup, file_store="").actions == []

    def test_records_by_hand_find_them_too(self, stage: Stage) -> None:
        """An input that does not say that it is complete."""
        data = b"".join(line for line in self.backup.splitlines(keepends=True) if b"ACTIVATE" not in line)
        assert stage.restore(data).actions == []

    def test_only_fields_that_differ_are_written(self, stage: Stage) -> None:
        stage.sandbox.set_image(stage.images(FIRST)[1]["id"], description="wrong")
        assert stage.restore(self.backup).actions == [("update", "done")]
        assert stage.state() == self.before

    def test_one_that_is_missing_is_created(self, stage: Stage) -> None:
        stage.sandbox.delete_image(stage.images(FIRST)[1]["id"])
        assert stage.restore(self.backup).actions == [("create", "done")]
        assert stage.state() == self.before


def test_pictures_that_were_exchanged_are_found_by_content(stage: Stage) -> None:
    backup = stage.backup()
    one, two, _ = stage.images(FIRST)
    contents = [stage.sandbox.original(image["image_file"]) for image in (one, two)]
    stage.sandbox.set_image(one["id"], content=contents[1], filename="x.jpg")
    stage.sandbox.set_image(two["id"], content=contents[0], filename="y.jpg")
    run = stage.restore(backup)
    assert run.code == 0, run.err
    assert {action for action, _ in run.actions} == {"update"}


def test_another_picture_that_comes_beside_the_lost_one_stays(stage: Stage) -> None:
    before, backup = stage.state(), stage.backup()
    upload_again(stage, stage.images(FIRST)[0], "renamed.jpg")
    stage.sandbox.add_image(FIRST, picture(50), "stranger.png", sort_order=9, is_thumbnail=False)
    run = stage.restore(backup)
    assert (run.code, run.actions) == (0, [])
    assert len(stage.images(FIRST)) == 4
    assert set(before[FIRST]) < set(stage.state()[FIRST])


class TestReEncoded:
    """Other bytes, the same picture: no duplicate, and the bytes of the backup come back."""

    @pytest.mark.parametrize("name", ["other.jpg", None])
    def test_by_somebody(self, stage: Stage, name: str | None) -> None:
        before, backup = stage.state(), stage.backup()
        for image in stage.images(FIRST):
            upload_again(stage, image, name or image["image_file"].rpartition("/")[2], quality=40)
        run = stage.restore(backup)
        assert (run.code, run.actions) == (0, [("replace", "done")] * 3)
        assert {row["reason"] for row in run.rows if row.get("action") == "replace"} == {
            "the picture looks the same and has other bytes"
        }
        assert stage.state() == before

    def test_by_the_store_and_the_ledger_is_lost(self, stage: Stage) -> None:
        backup = stage.backup()
        stage.sandbox.switch(recompress_uploads="on")
        for image in stage.images(FIRST):
            stage.sandbox.delete_image(image["id"])
        assert stage.restore(backup).actions == [("create", "done")] * 3
        forget(stage)
        assert ("create", "done") not in stage.restore(backup).actions
        assert len(stage.images(FIRST)) == 3
        stage.sandbox.clear_requests()
        assert (stage.restore(backup).code, stage.writes()) == (0, [])


class TestAlteredByACdn:
    """Nobody can read the bytes that the store has: what looks the same is kept, and verify says so."""

    def test_no_duplicate_and_it_is_said(self, stage3: Stage) -> None:
        backup = stage3.folder / "backup.singer"
        backup.write_bytes(stage3.backup())
        for image in stage3.images(FIRST):
            upload_again(stage3, image, f"other-{image['id']}.jpg")
        stage3.sandbox.switch(cdn="altered")
        config = stage3.folder / "config.json"
        stage3.config |= {"webdav_username": "", "webdav_password": ""}  # by which the bytes could be read
        config.write_text(json.dumps(stage3.config))
        done = commands.run("bc-images", "verify", "--backup", backup, "--config", config)
        said = done.stdout.decode()
        assert done.returncode == 0, said
        similar = said.count("looks the same; whether its bytes are the same cannot be read")
        assert similar >= 2
        assert f"Not compared byte for byte: {similar} of the 15 that count as same" in said
        run = stage3.restore(backup.read_bytes())
        assert (run.code, run.actions) == (0, [])


class TestStoreThatCountsAnew:
    """Restored, or a sandbox restarted: ids of new images equal those of the backup, and mean nothing."""

    @pytest.fixture
    def anew(self, tmp_path: Path, api_version: str) -> Iterator[tuple[Stage, dict[int, list[ImageState]], bytes]]:
        with SandboxServer(products=30, images=3) as old:
            stage = Stage(old, tmp_path, api_version)
            before, backup = stage.state(), stage.backup()
        with SandboxServer(products=30, images=0) as new:
            yield Stage(new, tmp_path, api_version), before, backup

    def test_every_picture_comes_back_once(self, anew: tuple[Stage, dict[int, list[ImageState]], bytes]) -> None:
        stage, before, backup = anew
        run = stage.restore(backup, concurrency=8)
        assert run.code == 0, run.err
        assert stage.state() == before
        made = len([method for method, path in stage.writes() if method == "POST" and path.endswith("/images")])
        assert made == run.summary["summary"]["create"] == 90
        stage.sandbox.clear_requests()
        assert (stage.restore(backup).code, stage.writes(), downloads(stage)) == (0, [], [])
        forget(stage)
        again = stage.restore(backup)
        assert (again.code, again.actions, stage.state()) == (0, [], before)

    def test_with_the_ledger_of_its_life_before(self, tmp_path: Path) -> None:
        with SandboxServer(products=30, images=3) as old:
            stage = Stage(old, tmp_path)
            before, backup = stage.state(), stage.backup()
            for image in old.dump(files=False)["images"]:
                old.delete_image(image["id"])
            assert stage.restore(backup).code == 0
        for _ in range(2):
            with SandboxServer(products=30, images=0) as new:
                stage = Stage(new, tmp_path)
                run = stage.restore(backup, concurrency=8)
                assert run.code == 0, run.err
                assert stage.state() == before


class TestListsThatLag:
    """What the ledger names is asked for by its id before anything is created in its place."""

    def test_a_run_at_once_after_the_first_creates_nothing(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        backup = stage.backup()
        newest = max(image["id"] for image in stage.sandbox.dump(files=False)["images"])
        for image in stage.images(FIRST)[:2]:
            stage.sandbox.delete_image(image["id"])
        before = Counter(stage.state()[SECOND])
        for kind in (StoreV2, StoreV3):
            products = kind.products

            def lagging(self: Any, ids: Any, products: Any = products) -> Iterator[Any]:
                for product in products(self, ids):
                    product.images = [image for image in product.images if image["id"] <= newest]
                    yield product

            monkeypatch.setattr(kind, "products", lagging)
        run = stage.restore(backup)
        assert (run.code, run.actions) == (0, [("create", "done")] * 2)
        stage.sandbox.clear_requests()
        run = stage.restore(backup)
        assert (run.code, run.actions, stage.writes()) == (0, [], [])
        assert (len(stage.images(FIRST)), Counter(stage.state()[SECOND])) == (3, before)


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
    deadline=None, derandomize=True, max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
LONG = settings(
    deadline=None, max_examples=200, print_blob=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def trip(sandbox: SandboxServer, folder: Path, version: str, events: list[tuple[str, int]], recompress: bool) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    sandbox.reset(products=4, images=3)
    sandbox.switch(recompress_uploads="off")
    stage = Stage(sandbox, folder, version)
    before = stage.state()
    backup = stage.backup()
    sandbox.switch(recompress_uploads="on" if recompress else "off")
    for number, (kind, place) in enumerate(events):
        images = sandbox.dump(files=False)["images"]
        if not images:
            break
        image = images[place % len(images)]
        name = image["image_file"].rpartition("/")[2]
        if kind == "rename":
            upload_again(stage, image, f"name-{number}.{name.rpartition('.')[2]}")
        elif kind == "encode":
            upload_again(stage, image, f"name-{number}.jpg", quality=60)
        elif kind == "again":
            upload_again(stage, image, name)
        elif kind == "text":
            sandbox.set_image(image["id"], description="changed")
        elif kind == "delete":
            sandbox.delete_image(image["id"])
        else:
            assert stage.restore(backup).code == 0
            forget(stage)
    run = stage.restore(backup)
    assert run.code == 0, run.err
    after = stage.state()
    assert {product: len(images) for product, images in after.items()} == dict.fromkeys(before, 3)
    if recompress:  # the store keeps other bytes: all else is the same
        assert without_bytes(after) == without_bytes(before)
    else:
        assert after == before
    sandbox.clear_requests()
    assert (stage.restore(backup).code, stage.writes(), downloads(stage)) == (0, [], [])


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


def test_a_record_without_digest_is_matched_by_name(stage: Stage) -> None:
    records = stage.records(files=False)
    for image in stage.images(FIRST):
        upload_again(stage, image, image["image_file"].rpartition("/")[2])
    assert stage.restore(singer(schema_line(), *map(row, records)), file_store="").actions == []
