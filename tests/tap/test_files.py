"""The tap with ``file_store`` set: records carry the digest of a file that is there."""

from __future__ import annotations

import hashlib
import io
import signal
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bc_images.files.backends.base import Entry
from bc_images.files.backends.local import LocalBackend
from bigcommerce_sandbox import SandboxServer
from tap_bc_images.tap import TapBCImages
from tests.support.exit_checks import check, running, stopped
from tests.support.tap import catalog_of, run, settings, stored, sync

ORIGINALS = "GET /product_images/"


@pytest.fixture
def store(sandbox: SandboxServer, tmp_path: Path) -> dict[str, Any]:
    """Settings for a store of 24 images, with a folder for their files."""
    sandbox.reset(products=8, images=3)
    return settings(sandbox.url, file_store=str(tmp_path / "files"))


def downloads(sandbox: SandboxServer) -> int:
    return sum(1 for each in sandbox.requests() if each["path"].startswith("/product_images/"))


def test_every_record_names_a_file_that_is_there(
    sandbox: SandboxServer, store: dict[str, Any], tmp_path: Path, version: str
) -> None:
    expected = {image["id"]: (image["sha256"], image["size"]) for image in sandbox.dump()["images"]}
    output = sync(store | {"api_version": version})
    assert output.ids() == stored(sandbox)
    for record in output.records():
        assert (record["file_sha256"], record["file_size"]) == expected[record["id"]]
        assert record["file_source"] == "original"
        assert record["file_type"].startswith("image/")
        digest = record["file_sha256"]
        (path,) = (tmp_path / "files" / "sha256").rglob(f"{digest}*")
        assert hashlib.sha256(path.read_bytes()).hexdigest() == digest
    assert len(output.of("ACTIVATE_VERSION")) == 1


def test_what_is_saved_is_not_fetched_again(sandbox: SandboxServer, store: dict[str, Any]) -> None:
    first = sync(store)
    assert downloads(sandbox) == 24
    assert sync(store).records() == first.records()
    assert downloads(sandbox) == 24
    sandbox.add_image(101, b"GIF89a" + bytes(60), "new.gif")
    sync(store)
    assert downloads(sandbox) == 25


def test_the_scan_begins_while_the_file_store_is_listed(
    sandbox: SandboxServer, store: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A listing of millions takes minutes; only a look whether it can be listed at all comes before."""
    sync(store)
    sandbox.clear_requests()
    listing, waited = LocalBackend.listing, []

    def late(folder: LocalBackend, prefix: str) -> Iterator[Entry]:
        until = time.monotonic() + 10
        while time.monotonic() < until and not any("/products" in each["path"] for each in sandbox.requests()):
            time.sleep(0.01)
        waited.append(time.monotonic() < until)
        yield from listing(folder, prefix)

    monkeypatch.setattr(LocalBackend, "listing", late)
    with redirect_stdout(io.TextIOWrapper(io.BytesIO())):
        TapBCImages.invoke(config=cast(Any, SimpleNamespace(config=store)))
    assert waited == [True]
    assert downloads(sandbox) == 0


def test_incremental_fetches_what_changed(sandbox: SandboxServer, store: dict[str, Any]) -> None:
    changed = stored(sandbox)[5]
    sandbox.set_image(changed, date_modified="2025-01-01T00:00:00Z")
    config = store | {"start_date": "2025-01-01"}
    output = sync(config, catalog=catalog_of(config, "product_images", replication_method="INCREMENTAL"))
    assert changed in output.ids()
    assert len({record["product_id"] for record in output.records()}) == 1  # the product in which it changed
    assert downloads(sandbox) == len(output.records()) < len(stored(sandbox))


def test_incremental_asks_again_for_a_picture_that_could_not_be_had(
    sandbox: SandboxServer, store: dict[str, Any], tmp_path: Path
) -> None:
    for image in stored(sandbox):
        sandbox.set_image(image, date_modified="2024-01-01T00:00:00+00:00")
    catalog = catalog_of(store, "product_images", replication_method="INCREMENTAL")
    state = sync(store, catalog=catalog).states[-1]
    changed, later = stored(sandbox)[5], stored(sandbox)[9]
    sandbox.set_image(changed, content=b"GIF89a" + bytes(60), date_modified="2025-01-01T00:00:00+00:00")
    sandbox.set_image(later, date_modified="2025-02-01T00:00:00+00:00")

    sandbox.faults("5", ORIGINALS)
    failed = sync(store, catalog=catalog, state=state)
    assert [record["file_sha256"] is None for record in failed.records() if record["id"] in {changed, later}] == [
        True,
        False,
    ]
    assert failed.states[-1] == state
    again = sync(store, catalog=catalog, state=failed.states[-1])
    (record,) = [record for record in again.records() if record["id"] == changed]
    assert record["file_sha256"]
    assert again.states[-1] != state


def test_a_picture_that_cannot_be_had(sandbox: SandboxServer, store: dict[str, Any], tmp_path: Path) -> None:
    """Exit code 1; the sync itself is complete, so the loader may drop what the store no longer has."""
    sandbox.faults("hh", ORIGINALS)
    ended = run(config=store, folder=tmp_path)
    check(ended, 1, "2 pictures could not be downloaded", "Run again")
    output = ended
    assert output.ids() == stored(sandbox)
    assert [record["file_sha256"] for record in output.records()].count(None) == 2
    assert len(output.of("ACTIVATE_VERSION")) == 1
    assert output.states[-1] == {"bookmarks": {"product_images": {}}}
    assert sum("goes out without a file" in line for line in ended.err.splitlines()) == 2

    sandbox.clear_requests()
    again = run(config=store, folder=tmp_path)
    check(again, 0)
    assert downloads(sandbox) == 2
    assert None not in [record["file_sha256"] for record in again.records()]


def test_state_waits_for_the_files(sandbox: SandboxServer, store: dict[str, Any]) -> None:
    """A record that is still without its file holds back the STATE behind it, and all records after it."""
    sandbox.reset(products=260, images=1)
    sandbox.faults("z" * 3, ORIGINALS)
    output = sync(store)
    before: list[int] = []
    for message in output.messages:
        if message["type"] == "RECORD":
            assert message["record"]["file_sha256"]
            before.append(message["record"]["product_id"])
        elif message["type"] == "STATE" and message["value"]["bookmarks"]["product_images"]:
            assert before[-1] == message["value"]["bookmarks"]["product_images"]["full_table"]["last_product_id"]
    assert output.ids() == stored(sandbox)


def test_test_fetches_hardly_any(sandbox: SandboxServer, store: dict[str, Any]) -> None:
    tap = TapBCImages(config=store)
    tap.run_connection_test()
    tap.close()
    assert downloads(sandbox) <= 2


@pytest.mark.parametrize(("files", "code"), [("nosuch://bucket", 2), ("{tmp}/a-file", 2), ("{tmp}/loop", 3)])
def test_a_file_store_that_cannot_be_used(
    sandbox: SandboxServer, store: dict[str, Any], tmp_path: Path, files: str, code: int
) -> None:
    (tmp_path / "a-file").write_text("", encoding="utf-8")
    (tmp_path / "loop").symlink_to("loop")
    ended = run(config=store | {"file_store": files.format(tmp=tmp_path)}, folder=tmp_path)
    check(ended, code, "nosuch" if "://" in files else files.rpartition("/")[2])
    assert ended.out == ""
    assert not sandbox.requests()


def test_stopped_while_a_picture_is_fetched(sandbox: SandboxServer, store: dict[str, Any], tmp_path: Path) -> None:
    sandbox.faults("p" * 24, ORIGINALS)
    with running(store, tmp_path, lambda: downloads(sandbox) > 0) as process:
        stopped(process, signal.SIGTERM)
    sandbox.faults("")
    assert len(sync(store).records()) == 24
