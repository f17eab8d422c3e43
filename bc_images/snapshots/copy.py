"""Copies snapshots with their pictures into another file store: only what is missing there, each picture verified.

Pictures come first, then the snapshot that names them: stopped at any moment, a copy leaves whole snapshots, and the
next one goes on from there.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from typing import Any

from bc_images.concurrency import ordered_map, worker_pool
from bc_images.errors import FileUnavailable, InvalidInput
from bc_images.files import FileStore
from bc_images.files.layout import DIGEST, OBJECTS, REFS, parse_ref
from bc_images.files.store import CorruptFile
from bc_images.snapshots.compare import image_records
from bc_images.snapshots.manifest import Manifest
from bc_images.snapshots.store import Snapshot, SnapshotStore
from bc_images.tempfiles import disk_errors, temporary_database

__all__ = ["CopyCounts", "Pictures", "copy_refs", "copy_snapshot"]

THREADS = 8


@dataclass(slots=True)
class CopyCounts:
    """What a copy has done so far.

    Attributes:
        snapshots: copied.
        known_snapshots: that were there.
        pictures: copied.
        bytes: of these.
        problems: why something was not copied, a line each.
    """

    snapshots: int = 0
    known_snapshots: int = 0
    pictures: int = 0
    bytes: int = 0
    problems: list[str] = field(default_factory=list)


class Pictures:
    """The digests of the pictures in a file store, on disk; close it in the end.

    Raises:
        FileStoreError: the file store cannot be listed.
        FatalError: the temporary folder cannot be written to; also from the methods.
    """

    def __init__(self, files: FileStore) -> None:
        self._db = temporary_database()
        with _disk_errors():
            self._db.executescript("CREATE TABLE pictures (sha256 TEXT PRIMARY KEY) WITHOUT ROWID; BEGIN;")
            names = (entry.key.rpartition("/")[2] for entry in files.backend.listing(OBJECTS) if entry.problem is None)
            rows = ((name,) for name in names if DIGEST.fullmatch(name))
            self._db.executemany("INSERT OR IGNORE INTO pictures VALUES (?)", rows)

    def __contains__(self, digest: str) -> bool:
        return self._db.execute("SELECT 1 FROM pictures WHERE sha256 = ?", (digest,)).fetchone() is not None

    def add(self, digest: str) -> None:
        """Note one more."""
        with _disk_errors():
            self._db.execute("INSERT OR IGNORE INTO pictures VALUES (?)", (digest,))

    def close(self) -> None:
        """Delete the temporary file."""
        self._db.close()


def copy_snapshot(
    source: FileStore, destination: FileStore, name: str, snapshot: Snapshot, there: Pictures, counts: CopyCounts
) -> None:
    """Copy one snapshot and the pictures that it names; what cannot be copied is in `counts.problems`.

    A snapshot of which a picture is missing or corrupt is not copied: it would not be whole. Its other pictures are.
    Pictures of a snapshot that is there already are looked for as well, so that a copy heals what was lost.

    Args:
        source: where it is.
        destination: where it is to be.
        name: of the history that it belongs to.
        snapshot: its file name.
        there: the pictures of the destination.
        counts: is added to.

    Raises:
        FileStoreError: one of the file stores cannot be used.
    """
    from_store, to_store = SnapshotStore(source, name), SnapshotStore(destination, name)
    try:
        manifest = from_store.manifest(snapshot)
        if is_there := destination.backend.size(to_store.key(snapshot)) is not None:
            other = to_store.manifest(snapshot)
            if other.id != manifest.id:
                counts.problems.append(
                    f"{name}/{snapshot}: {to_store.display_name} has another snapshot of this name, which stays."
                )
                return
        if not _copy_pictures(source, destination, from_store, snapshot, there, counts):
            return
        if is_there:
            counts.known_snapshots += 1
            return
        _copy_archive(from_store, to_store, manifest)
    except InvalidInput as error:
        counts.problems.append(f"{name}/{snapshot}: {error}")
        return
    counts.snapshots += 1


def _copy_pictures(
    source: FileStore,
    destination: FileStore,
    snapshots: SnapshotStore,
    snapshot: Snapshot,
    there: Pictures,
    counts: CopyCounts,
) -> bool:
    """Copy the pictures that a snapshot names; return whether all of them are there."""
    is_whole = True

    def copy(digest: str) -> tuple[str, int, str | None]:
        try:
            return digest, destination.add(source.verified_chunks(digest)).size, None
        except (FileUnavailable, CorruptFile) as error:
            return digest, 0, str(error)

    messages = (message for _, _, message in snapshots.messages(snapshot))
    with worker_pool(THREADS, "copy") as executor:
        for digest, size, problem in ordered_map(executor, copy, _missing(messages, there), 2 * THREADS):
            if problem is None:
                there.add(digest)
                counts.pictures += 1
                counts.bytes += size
            else:
                is_whole = False
                counts.problems.append(f"{snapshots.name}/{snapshot}: {problem}")
    return is_whole


def _missing(messages: Iterator[dict[str, Any]], there: Pictures) -> Iterator[str]:
    """Yield each digest once that the records name and the destination has not."""
    under_way: dict[str, None] = {}  # those that `there` may not know yet, the oldest first
    for record in image_records(messages):
        digest = record.get("file_sha256")
        if not isinstance(digest, str) or not DIGEST.fullmatch(digest) or digest in under_way or digest in there:
            continue
        under_way[digest] = None
        if len(under_way) > 10_000:
            del under_way[next(iter(under_way))]
        yield digest


def _copy_archive(source: SnapshotStore, destination: SnapshotStore, manifest: Manifest) -> None:
    """Copy the bytes of a snapshot as they are, then its manifest; nothing remains of one that is not what it was.

    Raises:
        InvalidInput: it is corrupt.
    """
    snapshot = Snapshot(manifest.file)
    content = hashlib.sha256()
    size = 0
    with destination.backend.begin(private=True) as upload:

        def written() -> Iterator[bytes]:
            nonlocal size
            for chunk in source.backend.chunks(source.key(snapshot)):
                upload.write(chunk)
                size += len(chunk)
                yield chunk

        for block in source.decompressed(snapshot, written()):
            content.update(block)
        if content.hexdigest() != manifest.id:
            raise InvalidInput(f"The archive {snapshot} has changed while it was copied. Run bc-images copy again.")
        upload.commit(destination.key(snapshot), size)
    destination.write_manifest(manifest)


def copy_refs(source: FileStore, destination: FileStore, there: Pictures) -> None:
    """Copy the refs of pictures that the destination has, so that a backup there downloads nothing twice.

    Raises:
        FileStoreError: one of the file stores cannot be used.
    """
    for folder in source.backend.folders(REFS):
        with closing(temporary_database()) as database, _disk_errors():
            database.executescript("CREATE TABLE refs (key TEXT PRIMARY KEY) WITHOUT ROWID; BEGIN;")
            known = ((key,) for key in destination.backend.keys(folder))
            database.executemany("INSERT OR IGNORE INTO refs VALUES (?)", known)
            for key in source.backend.keys(folder):
                ref = parse_ref(key)
                if ref is None or ref[2].sha256 not in there:
                    continue
                if database.execute("SELECT 1 FROM refs WHERE key = ?", (key,)).fetchone() is None:
                    destination.backend.touch(key)


def _disk_errors() -> AbstractContextManager[None]:
    return disk_errors("the list of pictures", sqlite3.OperationalError)
