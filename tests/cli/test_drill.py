"""``bc-images drill`` proves what can be restored, and nothing else."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from bc_images.cli.drill.command import DISPUTED
from bc_images.cli.drill.proof import MAX_LINES, ExpectedImages, Proof
from bigcommerce_sandbox import STORE_HASH, TOKEN, SandboxServer
from bigcommerce_sandbox.flags import FLAGS
from tests.support.commands import BIN, CommandResult, run

Message = dict[str, Any]


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """A file store with the pictures of a store of 4 products, and the messages of its snapshot."""
    folder = tmp_path_factory.mktemp("history")
    with SandboxServer(products=3, images=3) as sandbox:
        sandbox.add_product(sku="EMPTY", name="A product without images")
        config = folder / "config.json"
        address = {"api_url": sandbox.url, "store_url": sandbox.url, "file_store": str(folder / "files")}
        config.write_text(json.dumps({"store_hash": STORE_HASH, "access_token": TOKEN, **address}))
        catalog = folder / "catalog.json"
        catalog.write_text(run("tap-bc-images", "--config", config, "--discover").out)
        selected = json.loads(catalog.read_text())
        for stream in selected["streams"]:
            for entry in stream["metadata"]:
                if entry["breadcrumb"] == []:
                    entry["metadata"]["selected"] = True
        catalog.write_text(json.dumps(selected))
        scanned = run("tap-bc-images", "--config", config, "--catalog", catalog)
        assert scanned.code == 0, scanned.err
    return folder / "files", scanned.out.encode()


@pytest.fixture
def backup(history: tuple[Path, bytes], tmp_path: Path) -> Callable[..., Path]:
    """Return what makes a file store with that snapshot, as a function changes its messages."""
    source, lines = history

    def make(change: Callable[[list[Message]], object] = lambda messages: None) -> Path:
        files = tmp_path / "files"
        subprocess.run(["cp", "-r", str(source), str(files)], check=True)
        messages = [orjson.loads(line) for line in lines.splitlines()]
        change(messages)
        archive = files / "archives" / "store" / "20250131T020000Z.singer.gz"
        archive.parent.mkdir(parents=True)
        archive.write_bytes(gzip.compress(b"".join(orjson.dumps(message) + b"\n" for message in messages)))
        return files

    return make


def images(messages: list[Message]) -> list[Message]:
    return [m["record"] for m in messages if m["type"] == "RECORD" and m["stream"] == "product_images"]


def drill(files: Path, *arguments: str) -> CommandResult:
    config = files.with_name("bc-images.json")
    config.write_text(json.dumps({"file_store": str(files)}))
    return run("bc-images", "drill", "--config", config, *arguments)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_sound_snapshot_is_proved_and_left_as_it_is(backup: Callable[..., Path]) -> None:
    files = backup()
    before = tree(files / "sha256")
    result = drill(files, "--api", "both", "--json")
    assert result.code == 0, result.err
    verdict = json.loads(result.out)
    assert verdict["proved"] is True
    manifest = json.loads((files / "archives/store/20250131T020000Z.manifest.json").read_text())
    assert (manifest["last_drill"]["proved"], manifest["last_drill"]["is_sample"]) == (True, False)
    assert [(r["api_version"], bool(r["flags"])) for r in verdict["runs"]] == [
        ("v3", False),
        ("v3", True),
        ("v2", False),
        ("v2", True),
    ]
    for one in verdict["runs"]:
        assert (one["exact_products"], one["products"], one["exact_pictures"], one["pictures"]) == (4, 4, 9, 9)
    assert tree(files / "sha256") == before
    assert not (files / "locks").exists()


def test_the_last_line_says_what_was_proved(backup: Callable[..., Path]) -> None:
    result = drill(backup(), "20250131T020000Z.singer.gz")
    assert (result.code, result.lines[-1]) == (0, "proved: 4 of 4 products, 9 of 9 pictures")
    assert all(len(line) <= 80 for line in result.lines)


def test_a_missing_picture_is_named(backup: Callable[..., Path]) -> None:
    digests: list[str] = []

    def remember(messages: list[Message]) -> None:
        digests.extend(image["file_sha256"] for image in images(messages) if not image["is_thumbnail"])

    files = backup(remember)
    next((files / "sha256").rglob(digests[0])).unlink()
    result = drill(files)
    assert result.code == 1
    assert f"picture {digests[0][:12]}" in result.out
    assert "3 of 4 products, 8 of 9 pictures" in result.last_line
    assert "proved:" not in result.out


def test_a_corrupt_picture_is_not_proved(backup: Callable[..., Path]) -> None:
    files = backup()
    paths = sorted(path for path in (files / "sha256").rglob("*") if path.is_file())
    paths[0].write_bytes(paths[1].read_bytes())
    assert drill(files).code == 1


def test_an_image_without_a_file_is_not_proved(backup: Callable[..., Path]) -> None:
    def without_file(messages: list[Message]) -> None:
        images(messages)[0].update(file_sha256=None, file_size=None, file_source=None)

    result = drill(backup(without_file))
    assert result.code == 1
    assert "no picture in the backup" in result.out


def test_an_invalid_record_costs_itself(backup: Callable[..., Path]) -> None:
    result = drill(backup(lambda messages: images(messages)[0].update(product_id="x", sort_order={})))
    assert result.code == 1
    assert "! a record is not valid" in result.out
    assert "8 of 9 pictures" in result.last_line


def test_a_gallery_without_thumbnail_is_no_difference(backup: Callable[..., Path]) -> None:
    def without_thumbnail(messages: list[Message]) -> None:
        for image in images(messages):
            image["is_thumbnail"] = False

    assert drill(backup(without_thumbnail)).code == 0


def test_a_sample_restores_so_many_products(backup: Callable[..., Path]) -> None:
    verdict = json.loads(drill(backup(), "--sample", "2", "--json").out)  # with the product without images, or not
    assert verdict["proved"] is True
    assert {one["products"] for one in verdict["runs"]} == {2}


def test_settings_of_the_target_do_not_count(backup: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TARGET_BC_IMAGES_DRY_RUN", "true")
    monkeypatch.setenv("TARGET_BC_IMAGES_API_URL", "http://127.0.0.1:9")
    assert drill(backup()).code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["20250131T020001Z.singer.gz"], 3, "no archive"),
        (["--at", "2020-01-01"], 3, "o complete archive found"),
        (["--sample", "0%"], 2, "neither a number"),
    ],
)
def test_what_is_not_there(backup: Callable[..., Path], arguments: list[str], code: int, message: str) -> None:
    result = drill(backup(), *arguments)
    assert (result.code, message in result.last_line) == (code, True), result.err


def test_a_snapshot_of_nothing_proves_nothing(backup: Callable[..., Path]) -> None:
    def empty(messages: list[Message]) -> None:
        messages[:] = [message for message in messages if message["type"] != "RECORD"]

    result = drill(backup(empty))
    assert (result.code, "contains no products" in result.last_line) == (3, True)


def sandboxes_of(parent: int) -> list[int]:
    listed = subprocess.run(["pgrep", "-P", str(parent)], capture_output=True, text=True, check=False)
    return [int(pid) for pid in listed.stdout.split()]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 143)])
def test_the_store_ends_with_the_drill(
    backup: Callable[..., Path], number: signal.Signals, code: int, tmp_path: Path
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    process = subprocess.Popen(
        [BIN / "bc-images", "drill", "--api", "both"],
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(temporary), "BC_IMAGES_FILE_STORE": str(backup())},
    )
    deadline = time.monotonic() + 30
    while not (stores := sandboxes_of(process.pid)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert stores
    process.send_signal(number)
    assert process.wait(30) == code
    while any(Path(f"/proc/{pid}").exists() for pid in stores) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(Path(f"/proc/{pid}").exists() for pid in stores)
    if number == signal.SIGTERM:
        assert list(temporary.iterdir()) == []


def test_disputed_answers_are_flags_of_the_sandbox_and_not_its_usual_ones() -> None:
    for name, value in DISPUTED.items():
        assert FLAGS[name].parse(name, value) != FLAGS[name].default


# ---------------------------------------------------------------- the comparison


def record(**fields: Any) -> Message:
    image = {
        "store_hash": "a",
        "id": 1,
        "product_id": 101,
        "sort_order": 0,
        "is_thumbnail": True,
        "description": "front",
        "file_sha256": "ab" * 32,
        **fields,
    }
    return {"type": "RECORD", "stream": "product_images", "record": image}


def restored(**fields: Any) -> Message:
    image: Message = record(**fields)["record"]
    return {**image, "sha256": image["file_sha256"]}


def compare(expected: list[Message], actual: list[Message]) -> Proof:
    known = ExpectedImages(expected)
    proof = known.compare(lambda first, last: [image for image in actual if first <= image["product_id"] <= last])
    known.close()
    return proof


def test_equal_galleries_are_exact() -> None:
    assert compare([record()], [restored(id=77, description="front")]).is_complete
    assert compare([record(description=None)], [restored(description="")]).is_complete
    assert compare([record(), record()], [restored()]).is_complete, "an image twice is one image"


@pytest.mark.parametrize(
    "fields",
    [
        {"sort_order": 1},
        {"is_thumbnail": False},
        {"description": "back"},
        {"file_sha256": "cd" * 32},
        {"product_id": 102},
    ],
)
def test_any_difference_is_one(fields: dict[str, Any]) -> None:
    proof = compare([record(), record(id=2, product_id=102, sort_order=5)], [restored(**fields)])
    assert not proof.is_complete
    assert proof.exact_images == 0


def test_an_unexpected_image_is_a_difference() -> None:
    proof = compare([record()], [restored(), restored(sort_order=1, is_thumbnail=False)])
    assert (proof.exact_products, proof.exact_images, proof.products, proof.images) == (0, 1, 1, 1)
    assert proof.differences[0].startswith("+ product 101, order 1, picture abababababab")


def test_one_of_two_equal_images_missing_is_a_difference() -> None:
    twice = [record(), record(id=2)]
    assert compare(twice, [restored(), restored(id=2)]).is_complete
    assert compare(twice, [restored()]).exact_images == 0


def test_lines_are_few_and_numbers_are_exact() -> None:
    proof = compare([record(id=number, sort_order=number) for number in range(1, 101)], [])
    assert (len(proof.differences), proof.images, proof.exact_images) == (MAX_LINES, 100, 0)
