"""Back up, wipe the store, restore, back up again: every byte is as it was."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bc_images.bigcommerce import open_store
from bc_images.bigcommerce.mapping import Record
from bc_images.files import open_files
from bc_images.files.download import Downloader
from bc_images.files.upload import Uploader
from bc_images.settings import Settings
from bigcommerce_sandbox import DAV_PASSWORD, DAV_USERNAME, STORE_HASH, TOKEN, SandboxServer
from tests.support.commands import CommandResult, run
from tests.support.file_host import Host
from tests.support.pictures import KINDS, picture, png

MAX = 8 * 1024 * 1024
ROOT = Path(__file__).parents[2]

PICTURES = {f"{kind}.{kind}": picture(kind) for kind in KINDS} | {
    "one-less.png": png(MAX - 1),
    "limit.png": png(MAX),
    "wrong.gif": picture("jpeg", 1),
    "no-extension": picture("png", 2),
    "größe und mehr.png": picture("png", 3),
    "图片.webp": picture("webp", 4),
    "l" * 190 + ".bmp": picture("bmp", 5),
    "twice.png": picture("png", 6),
    "twice.jpg": picture("png", 6),
}


def back_up(settings: Settings, place: str) -> tuple[list[Record], list[str]]:
    store = open_store(settings)
    with Downloader(settings, open_files(place)) as downloader:
        records = list(downloader.fill(image for product in store.scan() for image in product.images))
    store.close()
    return records, downloader.failures


def restore(settings: Settings, place: str, records: list[Record]) -> None:
    store = open_store(settings)
    uploader = Uploader(settings, files=open_files(place), webdav_username=DAV_USERNAME, webdav_password=DAV_PASSWORD)
    for record in records:
        uploader.check(record)
        with uploader.open_source(record) as source:
            fields = {name: record[name] for name in ("is_thumbnail", "sort_order")}
            store.create(record["product_id"], source, {**fields, "description": record["description"] or ""})


@pytest.mark.parametrize(("version", "place"), [("v3", "folder"), ("v2", "folder"), ("v3", "s3")], indirect=["place"])
def test_every_byte_comes_back(version: str, place: str) -> None:
    with SandboxServer(products=1, images=0, flags={"lingering_originals": "off"}) as sandbox:
        (product,) = sandbox.dump()["products"]
        for name, content in PICTURES.items():
            sandbox.add_image(product["id"], content, name)
        settings = Settings.from_config(
            {"store_hash": STORE_HASH, "access_token": TOKEN, "api_url": sandbox.url, "store_url": sandbox.url}
            | {"api_version": version, "max_retries": 1}
        )
        before, failures = back_up(settings, place)
        assert failures == []
        wanted = {image["id"]: image["sha256"] for image in sandbox.dump()["images"]}
        assert {record["id"]: record["file_sha256"] for record in before} == wanted
        for record in before:
            sandbox.delete_image(record["id"])
        assert sandbox.dump()["images"] == []
        restore(settings, place, before)
        after, failures = back_up(settings, place)
        assert failures == []
        assert [record["file_sha256"] for record in after] == [record["file_sha256"] for record in before]
        assert not {record["id"] for record in after} & {record["id"] for record in before}


@pytest.mark.parametrize("version", ["v3", "v2"])
def test_the_commands_bring_every_byte_back(version: str, tmp_path: Path) -> None:
    """What cannot travel, an empty file and one of more than 8 MB, is named; nothing else suffers from it."""
    hopeless = {"empty.png": b"", "too-long.png": png(MAX + 1)}
    config, files = tmp_path / "config.json", tmp_path / "files"
    with SandboxServer(products=1, images=0) as sandbox:
        (product,) = sandbox.dump()["products"]
        for name, content in (PICTURES | hopeless).items():
            sandbox.add_image(product["id"], content, name)
        shared: dict[str, Any] = {
            "store_hash": STORE_HASH,
            "access_token": TOKEN,
            "api_url": sandbox.url,
            "store_url": sandbox.url,
        }
        shared |= {"api_version": version, "file_store": str(files), "max_retries": 0}

        def back_up() -> tuple[CommandResult, dict[int, str | None]]:
            config.write_text(json.dumps(shared))
            done = run("tap-bc-images", "--config", config)
            messages = map(json.loads, done.out.splitlines())
            records = [each["record"] for each in messages if each["type"] == "RECORD"]
            return done, {record["sort_order"]: record["file_sha256"] for record in records}

        first, digests = back_up()
        assert first.code == 1
        assert "empty" in first.err
        wanted = {image["sort_order"]: image["sha256"] for image in sandbox.dump()["images"]}
        empty = next(order for order, digest in wanted.items() if digest == hashlib.sha256().hexdigest())
        assert digests == {**wanted, empty: None}
        backup = tmp_path / "backup.singer"
        backup.write_text(first.out)
        checked = run("bc-images", "check", "--file-store", files, backup)
        assert checked.code == 1
        assert [line[:1] for line in checked.out.splitlines()[:-2]] == ["-", "x"]

        for image in sandbox.dump()["images"]:
            sandbox.delete_image(image["id"])
        dav = {"webdav_username": DAV_USERNAME, "webdav_password": DAV_PASSWORD}
        config.write_text(json.dumps(shared | dav | {"state_dir": str(tmp_path / "state")}))
        restored = run("target-bc-images", "--config", config, stdin=first.out)
        assert restored.code == 1, restored.err
        assert "2 records were rejected or failed" in restored.err

        second, again = back_up()
        assert second.code == 0, second.err
        too_long = hashlib.sha256(hopeless["too-long.png"]).hexdigest()
        assert again == {order: digest for order, digest in digests.items() if digest not in {None, too_long}}
        assert run("bc-images", "check", "--file-store", files, backup).out == checked.out


@pytest.mark.parametrize("mounts", [False, True])
def test_a_file_store_that_is_not_there_ends_the_restore(mounts: bool, tmp_path: Path) -> None:
    """One line and exit code 3, and not one record that is rejected for a picture that may well be safe."""
    with SandboxServer(products=3, images=2) as sandbox:
        config, files, report = tmp_path / "config.json", tmp_path / "files", tmp_path / "report.jsonl"
        shared = {"store_hash": STORE_HASH, "access_token": TOKEN, "api_url": sandbox.url, "store_url": sandbox.url}
        config.write_text(json.dumps(shared | {"file_store": str(files)}))
        backup = run("tap-bc-images", "--config", config).out
        for image in sandbox.dump()["images"]:
            sandbox.delete_image(image["id"])
        files.rename(tmp_path / "moved")
        if mounts:
            files.mkdir()
        more = {"file_store": str(files), "report": str(report), "state_dir": str(tmp_path / "state")}
        config.write_text(json.dumps(shared | more))
        done = run("target-bc-images", "--config", config, stdin=backup)
        assert done.code == 3
        assert f"No file store found at {files}." in done.err.splitlines()[-1]
        *rows, summary = map(json.loads, report.read_bytes().splitlines())
        assert summary["rejected"] == summary["failed"] == 0
        assert not {row["status"] for row in rows} & {"rejected", "failed", "done"}
        assert sandbox.dump()["images"] == []


def test_the_token_never_goes_to_the_originals(tmp_path: Path) -> None:
    with SandboxServer(products=3, images=2) as sandbox:
        settings = Settings.from_config(
            {"store_hash": STORE_HASH, "access_token": TOKEN, "api_url": sandbox.url, "store_url": sandbox.url}
        )
        back_up(settings, str(tmp_path))
        originals = [request for request in sandbox.requests() if request["path"].startswith("/product_images/")]
        assert len(originals) == 6
        assert not any(request["token"] for request in originals)


def test_what_cannot_be_had_is_listed(tmp_path: Path) -> None:
    with SandboxServer(products=1, images=0) as sandbox:
        (product,) = sandbox.dump()["products"]
        for number, content in enumerate((b"", b"<html>", picture("png"), png(MAX + 1))):
            sandbox.add_image(product["id"], content, f"{number}.png")
        settings = Settings.from_config(
            {"store_hash": STORE_HASH, "access_token": TOKEN, "api_url": sandbox.url, "store_url": sandbox.url}
        )
        records, failures = back_up(settings, str(tmp_path))
        assert [record["file_size"] for record in records] == [None, None, len(picture("png")), MAX + 1]
        assert len(failures) == 2


def test_memory_does_not_grow_with_the_file(host: Host, tmp_path: Path) -> None:
    size = 120_000_000
    piece = picture("gif") + bytes(1_000_000 - len(picture("gif")))

    def large(handler: Any) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(size))
        handler.end_headers()
        for _ in range(size // len(piece)):
            handler.wfile.write(piece)

    host.on("/product_images/small.gif", large)
    script = (
        "import resource, sys\n"
        "from bc_images.files import open_files\n"
        "from bc_images.files.download import Downloader\n"
        "from tests.support.file_stores import record_of, settings_for\n"
        "files = open_files(sys.argv[2])\n"
        "files.add([b'GIF89a' + bytes(100)])\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "with Downloader(settings_for(sys.argv[1]), files) as downloader:\n"
        "    (record,) = downloader.fill([record_of('small.gif')])\n"
        "files.inspect(record['file_sha256'])\n"
        "print(record['file_size'], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    command = [sys.executable, "-c", script, host.url, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    stored, grown = map(int, done.stdout.split())
    assert stored == size
    assert grown < 30_000  # kilobytes
