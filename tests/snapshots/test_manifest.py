"""Manifests: what they say, that a missing one is made on demand, and that a damaged one is never trusted."""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bc_images.errors import FatalError, FileStoreError, InvalidInput, SettingsError
from bc_images.files import open_files
from bc_images.singer.archive.loader import keep
from bc_images.snapshots import Manifest, Snapshot, SnapshotStore, open_snapshot, snapshot_stores
from tests.support.commands import run

DIGESTS = [hashlib.sha256(bytes([number])).hexdigest() for number in range(3)]
SCHEMA = {"type": "SCHEMA", "stream": "product_images", "schema": {"properties": {"id": {}}}, "key_properties": ["id"]}
DONE = {"type": "ACTIVATE_VERSION", "stream": "product_images", "version": 1}


def image(number: int, product: int, digest: str | None, size: int = 100) -> dict[str, Any]:
    record = {"store_hash": "abc", "id": number, "product_id": product, "file_sha256": digest, "file_size": size}
    return {"type": "RECORD", "stream": "product_images", "record": record}


def text(*messages: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(message).encode() + b"\n" for message in messages)


IMAGES = [image(1, 7, DIGESTS[0]), image(2, 7, DIGESTS[1], 50), image(3, 8, DIGESTS[0]), image(4, 8, None)]
WHOLE = text(SCHEMA, *IMAGES, DONE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "files" / "archives" / "store"


@pytest.fixture
def store(tmp_path: Path) -> SnapshotStore:
    return SnapshotStore(open_files(str(tmp_path / "files"), writable=True), "store")


def kept(tmp_path: Path, content: bytes = WHOLE) -> Snapshot:
    settings = {"file_store": str(tmp_path / "files"), "name": "store", "require_complete": True}
    return keep(content.splitlines(keepends=True), settings, shows_progress=False).archive


def put(folder: Path, day: str, content: bytes = WHOLE) -> Snapshot:
    """Write a snapshot as another program would, without a manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{day}T020000Z.singer.gz").write_bytes(gzip.compress(content))
    return Snapshot(f"{day}T020000Z.singer.gz")


def test_what_the_loader_says(tmp_path: Path, folder: Path, store: SnapshotStore) -> None:
    snapshot = kept(tmp_path)
    path = folder / snapshot.manifest_name
    assert path.stat().st_mode & 0o777 == 0o600
    manifest = store.manifest(snapshot)
    assert manifest.id == hashlib.sha256(WHOLE).hexdigest()
    assert manifest.time == datetime.strptime(snapshot[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).isoformat()
    assert (manifest.store_hashes, manifest.products, manifest.images, manifest.records) == (["abc"], 2, 4, 4)
    assert (manifest.pictures, manifest.picture_bytes) == (2, 150), "distinct pictures"
    assert manifest.is_complete
    assert manifest.file_size == (folder / snapshot).stat().st_size
    assert manifest.tool_version


def test_one_that_is_missing_is_made_by_reading_the_snapshot(
    tmp_path: Path, folder: Path, store: SnapshotStore
) -> None:
    snapshot = kept(tmp_path)
    written = store.manifest(snapshot)
    (folder / snapshot.manifest_name).unlink()
    again = store.manifest(snapshot)
    assert again.tool_version is None, "nobody knows any more"
    assert again == Manifest(**{**_values(written), "tool_version": None})
    assert (folder / snapshot.manifest_name).exists()


def _values(manifest: Manifest) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(manifest.as_json())
    return {name: value for name, value in values.items() if name not in {"format", "digest"}}


def _changed(content: bytes) -> bytes:
    return content.replace(b'"images": 4', b'"images": 5')


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-20],
        lambda _: b"",
        lambda _: b"[]",
        lambda _: b'{"format": 1}',
        lambda _: b"\xff" * 100,
        lambda _: b" " * (2 << 20),
        _changed,
    ],
    ids=["truncated", "empty", "list", "foreign", "not text", "too large", "changed"],
)
def test_a_damaged_one_is_made_anew_with_a_warning(
    tmp_path: Path, folder: Path, store: SnapshotStore, damage: Any, caplog: pytest.LogCaptureFixture
) -> None:
    snapshot = kept(tmp_path)
    path = folder / snapshot.manifest_name
    path.write_bytes(damage(path.read_bytes()))
    with caplog.at_level(logging.WARNING):
        assert store.manifest(snapshot).images == 4
    assert "made anew" in caplog.text
    caplog.clear()
    assert store.manifest(snapshot).images == 4
    assert not caplog.text, "it is sound now"


def test_that_of_another_snapshot_is_not_taken(folder: Path, store: SnapshotStore) -> None:
    first, second = put(folder, "20250110"), put(folder, "20250111", text(SCHEMA, DONE))
    store.manifest(first)
    (folder / first.manifest_name).rename(folder / second.manifest_name)
    assert store.manifest(second).images == 0


def test_a_manifest_that_cannot_be_written_costs_no_snapshot(
    tmp_path: Path,
    folder: Path,
    store: SnapshotStore,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(_: SnapshotStore, __: Manifest) -> None:
        raise FileStoreError("full")

    with monkeypatch.context() as patched:
        patched.setattr(SnapshotStore, "write_manifest", fail)
        snapshot = kept(tmp_path)
        assert "was not written: full" in caplog.text
        assert store.manifest(snapshot).images == 4, "read only"
    assert not (folder / snapshot.manifest_name).exists()
    assert store.manifest(snapshot).images == 4


def test_notes_stay(folder: Path, store: SnapshotStore) -> None:
    snapshot = put(folder, "20250110")
    store.note(snapshot, new_pictures=3)
    store.note(snapshot, last_drill={"proved": True})
    manifest = store.manifest(snapshot)
    assert (manifest.new_pictures, manifest.last_drill) == (3, {"proved": True})


def test_a_corrupt_snapshot_has_none(folder: Path, store: SnapshotStore) -> None:
    snapshot = put(folder, "20250110")
    path = folder / snapshot
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InvalidInput, match="corrupt"):
        store.manifest(snapshot)
    assert not (folder / snapshot.manifest_name).exists()


def test_what_a_word_means(folder: Path, store: SnapshotStore) -> None:
    first, second = put(folder, "20250110"), put(folder, "20250111", text(SCHEMA, DONE))
    assert store.resolve("latest") == second
    assert store.resolve(first) == first
    for snapshot in (first, second):
        identifier = store.manifest(snapshot).id
        assert store.resolve(identifier[:8]) == store.resolve(identifier) == snapshot
    with pytest.raises(InvalidInput, match="no snapshot with the id"):
        store.resolve("0" * 64)
    for word in ("../x.singer.gz", "yesterday", ""):
        with pytest.raises(SettingsError, match="is not a snapshot"):
            store.resolve(word)


def test_an_ambiguous_id_names_the_candidates(folder: Path, store: SnapshotStore) -> None:
    snapshots = [put(folder, f"202501{day:02}", text(SCHEMA, *IMAGES[:1], *[DONE] * day)) for day in range(1, 18)]
    by_digit: dict[str, list[Snapshot]] = {}
    for snapshot in snapshots:  # of 17 ids two begin with the same of 16 digits
        by_digit.setdefault(store.manifest(snapshot).id[0], []).append(snapshot)
    digit, candidates = next((digit, names) for digit, names in by_digit.items() if len(names) > 1)
    with pytest.raises(SettingsError) as raised:
        store.resolve(digit)
    assert all(name in str(raised.value) for name in candidates)


def test_of_the_same_content_the_newest_is_meant(folder: Path, store: SnapshotStore) -> None:
    put(folder, "20250110")
    newest = put(folder, "20250111")
    assert store.resolve(store.manifest(newest).id[:8]) == newest


def test_names_and_times(tmp_path: Path, folder: Path, store: SnapshotStore) -> None:
    first = put(folder, "20250110")
    put(folder, "20250112")
    put(folder.with_name("other"), "20250111")
    files = open_files(str(tmp_path / "files"))
    assert [snapshots.name for snapshots in snapshot_stores(files)] == ["other", "store"]
    title, file = open_snapshot(files, "store", at="2025-01-11")
    assert title == f"the archive {first}"
    assert file.read() == WHOLE
    with pytest.raises(FatalError, match="o complete archive found"):
        open_snapshot(files, "nobody")
    assert store.list() == sorted(store.list())


def test_the_extractor_takes_ids(tmp_path: Path, folder: Path, store: SnapshotStore) -> None:
    first = put(folder, "20250110")
    put(folder, "20250111", text(SCHEMA, DONE))
    config = tmp_path / "config.json"
    for word, lines in ((store.manifest(first).id[:8], 6), ("latest", 2)):
        config.write_text(json.dumps({"file_store": str(tmp_path / "files"), "archive": word}))
        done = run("tap-singer-archive", "--config", config)
        assert (done.code, len(done.out.splitlines())) == (0, lines), done.err
