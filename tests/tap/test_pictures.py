"""What the tap says of pictures that are saved and need a second look all the same."""

from __future__ import annotations

import io
import logging
import random
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bc_images.errors import SettingsError
from bc_images.files import open_files
from bigcommerce_sandbox import DAV_PASSWORD, DAV_USERNAME, STORE_HASH, SandboxServer
from tap_bc_images.settings import TapSettings
from tests.support.tap import catalog_of, run, settings, stored, sync

DAV = {"webdav_username": DAV_USERNAME, "webdav_password": DAV_PASSWORD}
FIRST = 101


@pytest.fixture
def store(sandbox: SandboxServer, tmp_path: Path) -> dict[str, Any]:
    """Settings for a store of 24 images, with a folder for their files."""
    sandbox.reset(products=8, images=3)
    return settings(sandbox.url, file_store=str(tmp_path / "files"))


def jpeg(size: tuple[int, int] = (60, 40), colour: str = "red") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, "JPEG")
    return out.getvalue()


def gif(frames: int) -> bytes:
    dice = random.Random(1)
    images = [Image.new("RGB", (4, 4), (dice.randrange(256), number % 256, 9)) for number in range(frames)]
    out = io.BytesIO()
    images[0].save(out, "GIF", save_all=True, append_images=images[1:])
    return out.getvalue()


def downloads(sandbox: SandboxServer) -> list[str]:
    return [each["path"] for each in sandbox.requests() if each["path"].startswith("/product_images/")]


@pytest.mark.parametrize(
    ("content", "name", "reason"),
    [
        (jpeg()[:-20], "cut.jpg", "it is truncated"),
        (gif(151), "long.gif", "it is a GIF of more than 150 frames"),
        (jpeg() + bytes(8 * 1024 * 1024), "large.jpg", "bytes and the store takes 8,388,608 at most"),
    ],
)
def test_what_the_store_would_refuse_is_named_in_every_run(
    sandbox: SandboxServer, store: dict[str, Any], tmp_path: Path, content: bytes, name: str, reason: str
) -> None:
    bad = sandbox.add_image(FIRST, content, name)
    for _ in range(2):
        ended = run(config=store, folder=tmp_path)
        assert ended.code == 0
        (line,) = (each for each in ended.err.splitlines() if f"Product {FIRST}, image {bad} (" in each)
        assert line.endswith(f"{reason}.")
        assert "1 picture would be refused by the store, so that no restore can bring it back." in ended.err
        assert next(each for each in ended.records() if each["id"] == bad)["file_sha256"]
    assert len(downloads(sandbox)) == 25


def test_sound_pictures_are_not_spoken_of(
    sandbox: SandboxServer, store: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    sandbox.add_image(FIRST, gif(150), "fine.gif")
    with caplog.at_level(logging.WARNING):
        sync(store)
    assert not caplog.records


@pytest.mark.parametrize("how", ["zoom", "cdn"])
def test_what_stands_in_for_an_original_is_counted_in_every_run(
    sandbox: SandboxServer, store: dict[str, Any], tmp_path: Path, how: str
) -> None:
    if how == "cdn":
        sandbox.set_flags(cdn="altered")
    else:
        for image in stored(sandbox)[:2]:
            sandbox.lose_file(image)
    for _ in range(2):
        ended = run(config=store, folder=tmp_path)
        assert ended.code == 0
        count = sum(record["file_source"] == how for record in ended.records())
        assert count == 2 if how == "zoom" else count > 10
        assert ended.err.count(f"{count} pictures were saved as") == 1
        assert ended.err.count("file_source") == 1
    if how == "cdn":
        ended = run(config=store | DAV, folder=tmp_path)
        assert {record["file_source"] for record in ended.records()} == {"original"}
        assert "file_source" not in ended.err


# ---------------------------------------------------------------- columns


def test_columns_that_a_restore_needs(
    sandbox: SandboxServer, store: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    catalog = catalog_of(store, "product_images")
    for stream in catalog["streams"]:
        for each in stream["metadata"]:
            if each["breadcrumb"] and each["breadcrumb"][-1] in {"description", "file_sha256", "tiny_url"}:
                each["metadata"]["selected"] = False
    sync(store, catalog=catalog)
    (line,) = (each.getMessage() for each in caplog.records if "A restore needs columns" in each.getMessage())
    assert "of product_images that are left out: description, file_sha256. Select them" in line


def test_columns_that_a_stream_map_takes_away(
    sandbox: SandboxServer, store: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    sync(store | {"stream_maps": {"product_images": {"sort_order": "__NULL__"}}, "file_store": ""})
    (line,) = (each.getMessage() for each in caplog.records if "A restore needs columns" in each.getMessage())
    assert "left out: sort_order. " in line


# ---------------------------------------------------------------- what is saved is looked at again


def test_nothing_is_looked_at_again_unless_it_is_asked_for(sandbox: SandboxServer, store: dict[str, Any]) -> None:
    sync(store)
    sandbox.clear_requests()
    for recheck in (None, "0%"):
        sync(store | {"recheck_files": recheck})
        assert downloads(sandbox) == []


def test_what_has_not_changed(
    sandbox: SandboxServer, store: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = sync(store)
    sandbox.clear_requests()
    files = sorted((tmp_path / "files").rglob("*"))
    assert sync(store | {"recheck_files": "100%"}).records() == first.records()
    assert len(downloads(sandbox)) == 24
    assert sorted((tmp_path / "files").rglob("*")) == files
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]


def test_in_time_everything_is_looked_at(sandbox: SandboxServer, store: dict[str, Any]) -> None:
    sync(store)
    sandbox.clear_requests()
    sync(store | {"recheck_files": "25%"})
    assert 0 < len(downloads(sandbox)) < 24
    for _ in range(60):
        sync(store | {"recheck_files": "25%"})
    assert len(set(downloads(sandbox))) == 24


@pytest.mark.parametrize("how", ["lost", "changed"])
def test_what_is_gone_or_changed_is_named(
    sandbox: SandboxServer, store: dict[str, Any], tmp_path: Path, how: str
) -> None:
    first = {record["id"]: record for record in sync(store).records()}
    image = sandbox.dump()["images"][4]
    if how == "lost":
        sandbox.lose_file(image["id"])
        line, count = "the store has no such file any more (HTTP 404).", "1 picture that was saved before is gone"
    else:
        sandbox.set_image(image["id"], content=jpeg(), image_file=image["image_file"])
        line, count = "the store has another picture under the same path.", "1 picture has changed under the old path"
    ended = run(config=store | {"recheck_files": "100%"}, folder=tmp_path)
    assert ended.code == 0
    assert f"image {image['id']} ('{image['image_file']}'): {line}" in ended.err
    assert count in ended.err
    records = {record["id"]: record for record in ended.records()}
    changed = [number for number in records if records[number] != first[number]]
    assert changed == ([] if how == "lost" else [image["id"]])
    files = open_files(store["file_store"])
    assert files.size(image["sha256"]) == image["size"], "what was saved before stays"
    if how == "changed":
        assert records[image["id"]]["file_size"] == len(jpeg())
        saved = files.refs(STORE_HASH).get(image["image_file"])
        assert saved is not None
        assert (saved.size, saved.generation) == (len(jpeg()), 1)
        # Later runs know the new file, also where it comes to change once more, and back.
        assert sync(store).records() == list(records.values())
        for content in (jpeg(colour="blue"), jpeg()):
            sandbox.set_image(image["id"], content=content, image_file=image["image_file"])
            again = {record["id"]: record for record in sync(store | {"recheck_files": "100%"}).records()}
            assert again[image["id"]]["file_size"] == len(content)
            assert sync(store).records() == list(again.values())
        assert again[image["id"]]["file_sha256"] == records[image["id"]]["file_sha256"]


@pytest.mark.parametrize("more", [{}, DAV])
def test_what_a_cdn_alters_since_has_not_changed(
    sandbox: SandboxServer,
    store: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
    more: dict[str, str],
    tmp_path: Path,
) -> None:
    first = sync(store)
    files = sorted((tmp_path / "files").rglob("*"))
    sandbox.set_flags(cdn="altered")
    assert sync(store | more | {"recheck_files": "100%"}).records() == first.records()
    assert sorted((tmp_path / "files").rglob("*")) == files
    counts = [each.getMessage() for each in caplog.records if "now altered by a CDN" in each.getMessage()]
    assert len(counts) == (0 if more else 1)


@pytest.mark.parametrize("text", ["5", "x%", "101%", "-1%", "", "1e1%", "\u0665%"])
def test_a_share_is_a_percentage(text: str) -> None:
    with pytest.raises(SettingsError, match=r"recheck_files is .*: give a percentage such as 5%"):
        TapSettings.from_config({"recheck_files": text})


@pytest.mark.parametrize(("text", "share"), [("5%", 0.05), ("0%", 0), ("0.0%", 0), ("100%", 1), ("0.5%", 0.005)])
def test_shares(text: str, share: float) -> None:
    assert TapSettings.from_config({"recheck_files": text}).recheck_share == pytest.approx(share)
