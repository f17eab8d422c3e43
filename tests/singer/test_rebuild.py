"""Refs that are gone: what the archives beside the pictures say is not downloaded again."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

from bigcommerce_sandbox import STORE_HASH, SandboxServer
from tests.support.commands import CommandResult, run
from tests.support.tap_backup import image_records

IMAGES = 15
FACTS = ("file_sha256", "file_size", "file_type", "file_source")


def back_up(config: Path, *, archive: bool = True) -> CommandResult:
    done = run("tap-bc-images", "--config", config)
    assert done.code == 0, done.err
    if archive:
        settings = config.with_name("archive.json")
        settings.write_text(json.dumps({"file_store": str(config.parent / "files"), "name": "night"}))
        assert run("target-singer-archive", "--config", settings, stdin=done.out).code == 0
    return done


def refs(config: Path) -> set[str]:
    folder = config.parent / "files" / "refs"
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def downloads(sandbox: SandboxServer) -> int:
    return sum(request["path"].startswith("/product_images/") for request in sandbox.requests())


def warnings(done: CommandResult) -> list[str]:
    return [line for line in done.err.splitlines() if " refs" in line]


def test_they_are_rebuilt_from_the_newest_archive(config: Path, sandbox: SandboxServer) -> None:
    first = back_up(config)
    before = refs(config)
    shutil.rmtree(config.parent / "files" / "refs")
    sandbox.clear_requests()
    again = run("tap-bc-images", "--config", config)
    assert again.code == 0, again.err
    assert downloads(sandbox) == 0
    assert image_records(again) == image_records(first)
    assert len(before) == IMAGES
    assert refs(config) == before
    (warning,) = warnings(again)
    assert "archives/night/" in warning
    assert f": {IMAGES};" in warning
    assert warnings(run("tap-bc-images", "--config", config)) == []


def test_a_picture_that_is_gone_too_is_downloaded(config: Path, sandbox: SandboxServer) -> None:
    lost = image_records(back_up(config))[0]["file_sha256"]
    shutil.rmtree(config.parent / "files" / "refs")
    (config.parent / "files" / "sha256" / lost[:2] / lost).unlink()
    sandbox.clear_requests()
    again = run("tap-bc-images", "--config", config)
    assert again.code == 0
    assert downloads(sandbox) == sum(record["file_sha256"] == lost for record in image_records(again))
    assert (config.parent / "files" / "sha256" / lost[:2] / lost).is_file()


def test_without_an_archive_it_is_said_once(config: Path, sandbox: SandboxServer) -> None:
    back_up(config, archive=False)
    shutil.rmtree(config.parent / "files" / "refs")
    sandbox.clear_requests()
    again = run("tap-bc-images", "--config", config)
    assert again.code == 0
    assert downloads(sandbox) == IMAGES
    (warning,) = warnings(again)
    assert "downloaded again" in warning


def test_a_damaged_archive_counts_as_far_as_it_goes(config: Path, sandbox: SandboxServer) -> None:
    back_up(config)
    shutil.rmtree(config.parent / "files" / "refs")
    (archive,) = (config.parent / "files" / "archives" / "night").glob("*.singer.gz")
    whole = gzip.decompress(archive.read_bytes()).splitlines(keepends=True)
    last = max(number for number, line in enumerate(whole) if b"product_images" in line and b'"RECORD"' in line)
    archive.write_bytes(gzip.compress(b"".join(whole[:last]) + b"{"))
    sandbox.clear_requests()
    again = run("tap-bc-images", "--config", config)
    assert again.code == 0, again.err
    assert downloads(sandbox) == 1
    assert archive.name in again.err


def test_the_first_backup_of_another_store_says_nothing(config: Path, sandbox: SandboxServer) -> None:
    back_up(config)
    other = config.parent / "other.json"
    other.write_text(json.dumps({**json.loads(config.read_bytes()), "store_hash": STORE_HASH}))
    (config.parent / "files" / "refs" / STORE_HASH).rename(config.parent / "files" / "refs" / "another")
    for archive in (config.parent / "files" / "archives").rglob("*.gz"):
        text = gzip.decompress(archive.read_bytes()).replace(f'"{STORE_HASH}"'.encode(), b'"another"')
        archive.write_bytes(gzip.compress(text))
    sandbox.clear_requests()
    done = run("tap-bc-images", "--config", other)
    assert done.code == 0, done.err
    assert warnings(done) == []
    assert downloads(sandbox) == IMAGES


def test_a_restore_from_a_warehouse_finds_the_pictures_without_refs(config: Path, sandbox: SandboxServer) -> None:
    """Records that were loaded without the columns of the file find it by the path; the file store stays as it is."""
    backup = back_up(config).out
    shutil.rmtree(config.parent / "files" / "refs")
    lines = []
    for message in map(json.loads, backup.splitlines()):
        if message["type"] == "RECORD":
            message["record"] = {name: value for name, value in message["record"].items() if name not in FACTS}
        lines.append(json.dumps(message).encode() + b"\n")
    for image in sandbox.dump()["images"]:
        sandbox.delete_image(image["id"])
    target = config.parent / "target.json"
    target.write_text(json.dumps({**json.loads(config.read_bytes()), "state_dir": str(config.parent / "state")}))
    done = run("target-bc-images", "--config", target, stdin=b"".join(lines))
    assert done.code == 0, done.err
    assert len(sandbox.dump()["images"]) == IMAGES
    assert refs(config) == set()
