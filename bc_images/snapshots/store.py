"""Writes, lists and reads snapshots and their manifests."""

from __future__ import annotations

import logging
import re
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any, BinaryIO

from bc_images import decompression, jsonl
from bc_images.errors import BcImagesError, FatalError, InvalidInput, SettingsError
from bc_images.files import FileStore
from bc_images.files.backends.base import Upload
from bc_images.snapshots.manifest import SHORT, TIME, Manifest, Tally, parse_manifest

__all__ = [
    "FOLDER",
    "Snapshot",
    "SnapshotStore",
    "Writer",
    "discarded_snapshots",
    "open_snapshot",
    "snapshot_stores",
]

logger = logging.getLogger(__name__)

FOLDER = "archives"
TRASH = "trash"
COMPLETE = ".singer.gz"
INCOMPLETE = ".incomplete.singer.gz"
MANIFEST = ".manifest.json"
LATEST = "latest"
_GZIP = 31  # zlib's word for: with the header and the checksum of gzip
_LEVEL = 4  # JSON shrinks to a tenth by it; more takes twice the time for little
_BLOCK = 1 << 16
_MAX_MANIFEST = 1 << 20  # bytes
_NAME = re.compile(r"[A-Za-z0-9_-]+")


class Snapshot(str):
    """The file name of a snapshot, such as ``20250131T020000Z.singer.gz``; sorts by time."""

    __slots__ = ()

    @property
    def is_complete(self) -> bool:
        """Whether the syncs in it were complete."""
        return not self.endswith(INCOMPLETE)

    @property
    def manifest_name(self) -> str:
        """The file name of its manifest."""
        return self.removesuffix(COMPLETE) + MANIFEST


class SnapshotStore:
    """The snapshots of one name in a file store.

    Args:
        files: the file store.
        name: a word for what is backed up, such as the store's hash: letters, digits, ``-`` and ``_``.

    Raises:
        SettingsError: the name is none.
    """

    def __init__(self, files: FileStore, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise SettingsError(f"name is {name!r}: it may hold letters, digits, '-' and '_' only.")
        self.backend = files.backend
        self.name = name
        self._folder = f"{FOLDER}/{name}"
        self.display_name = f"{files.display_name}/{self._folder}"

    def list(self) -> list[Snapshot]:
        """Return all snapshots, the oldest first."""
        snapshots = []
        for entry in self.backend.listing(self._folder):
            name = Snapshot(entry.key.removeprefix(f"{self._folder}/"))
            if not name.endswith(COMPLETE) or "/" in name:
                continue
            if entry.problem is not None:
                logger.warning("%s in %s %s: it is passed over.", name, self.display_name, entry.problem)
            else:
                snapshots.append(name)
        return sorted(snapshots)

    def newest(self, at: str | None = None) -> Snapshot:
        """Return the newest complete archive; `at`, a date or a time, means the newest that is not later.

        Raises:
            SettingsError: `at` is neither.
            FatalError: there is no such archive.
        """
        end = _end(at) if at else None
        complete = [name for name in self.list() if name.is_complete and (end is None or name[: len(end)] < end)]
        if not complete:
            when = f" that is not later than {at}" if at else ""
            raise FatalError(
                f"No complete archive found{when} in {self.display_name}: make one with target-singer-archive."
            )
        return complete[-1]

    def resolve(self, word: str) -> Snapshot:
        """Return the snapshot that a user means: ``latest``, the beginning of an id, or a file name.

        Raises:
            SettingsError: it is none of these, or the ids of several snapshots begin so.
            InvalidInput: no id begins so.
            FatalError: `latest` of no complete snapshot.
        """
        if word == LATEST:
            return self.newest()
        if word.endswith(COMPLETE) and "/" not in word:
            return Snapshot(word)
        if not re.fullmatch(r"[0-9a-f]{1,64}", word):
            raise SettingsError(
                f"{word!r} is not a snapshot: give an id, {LATEST}, or a file name such as 20250131T020000Z{COMPLETE}. "
                "bc-images snapshots lists them."
            )
        matches: dict[str, Snapshot] = {}
        for snapshot in self.list():
            try:
                manifest = self.manifest(snapshot)
            except InvalidInput as error:
                logger.warning("%s", error)
                continue
            if manifest.id.startswith(word):
                matches[manifest.id] = snapshot  # of snapshots with the same content, the newest
        if not matches:
            raise InvalidInput(
                f"There is no snapshot with the id {word} in {self.display_name}: bc-images snapshots lists them."
            )
        if len(matches) > 1:
            length = max(SHORT, len(word) + 4)
            candidates = ", ".join(f"{identifier[:length]} ({snapshot})" for identifier, snapshot in matches.items())
            raise SettingsError(f"{word} begins the ids of {len(matches)} snapshots: {candidates}. Give more digits.")
        return next(iter(matches.values()))

    def manifest(self, snapshot: Snapshot) -> Manifest:
        """Return the manifest of a snapshot; one that is missing or damaged is made anew by reading the snapshot.

        Raises:
            InvalidInput: the snapshot is not there, or damaged.
            FileStoreError: the file store cannot be used.
        """
        key = f"{self._folder}/{snapshot.manifest_name}"
        try:
            content = self._read_manifest(key)
            return parse_manifest(content, snapshot, self.backend.size(self.key(snapshot)))
        except FileNotFoundError:
            pass
        except OSError as error:
            logger.warning("The manifest %s cannot be read (%s): it is made anew.", key, error.strerror or error)
        except ValueError as error:
            logger.warning("The manifest %s %s: it is made anew.", key, error)
        manifest = self._reread(snapshot)
        try:
            self.write_manifest(manifest)
        except BcImagesError as error:  # as in a file store that is read-only
            logger.debug("The manifest %s was not written: %s", key, error)
        return manifest

    def _read_manifest(self, key: str) -> bytes:
        content = b""
        for chunk in self.backend.chunks(key):
            content += chunk
            if len(content) > _MAX_MANIFEST:
                raise ValueError("is too large")
        return content

    def _reread(self, snapshot: Snapshot) -> Manifest:
        with closing(Tally()) as tally:
            size = 0

            def compressed() -> Iterator[bytes]:
                nonlocal size
                for chunk in self.backend.chunks(self.key(snapshot)):
                    size += len(chunk)
                    yield chunk

            def content() -> Iterator[bytes]:
                for chunk in self.decompressed(snapshot, compressed()):
                    tally.update(chunk)
                    yield chunk

            file = decompression.as_file(content())
            for _, _, message in jsonl.messages(file, f"the archive {snapshot}", "take another archive."):
                tally.add(message)
            return tally.manifest(snapshot, size, is_complete=snapshot.is_complete)

    def write_manifest(self, manifest: Manifest) -> None:
        """Write a manifest, in place of an earlier one.

        Raises:
            FileStoreError: the file store cannot be written.
        """
        content = manifest.as_json()
        with self.backend.begin(private=True) as upload:
            upload.write(content)
            upload.commit(f"{self._folder}/{Snapshot(manifest.file).manifest_name}", len(content))

    def note(self, snapshot: Snapshot, **values: Any) -> Manifest:
        """Note facts of a snapshot in its manifest, such as ``new_pictures``, ``last_check`` and ``last_drill``.

        Raises:
            InvalidInput: the snapshot is not there, or damaged.
            FileStoreError: the file store cannot be written.
        """
        manifest = replace(self.manifest(snapshot), **values)
        self.write_manifest(manifest)
        return manifest

    def discard(self, snapshot: Snapshot, moment: datetime) -> None:
        """Move a snapshot and its manifest to ``trash/<name>/<moment>/``.

        It is removed from the list only when it is durable there; a kill in between leaves it on the list.

        Raises:
            FileStoreError: the file store cannot be written.
        """
        folder = f"{TRASH}/{self.name}/{moment.astimezone(UTC).strftime(TIME)}"
        for name in (snapshot, snapshot.manifest_name):
            try:
                self._move(self.key(name), f"{folder}/{name}")
            except FileNotFoundError:  # a manifest that nobody has made yet
                continue

    def _move(self, key: str, to: str) -> None:
        with self.backend.begin(private=True) as upload:
            size = 0
            for chunk in self.backend.chunks(key):
                upload.write(chunk)
                size += len(chunk)
            upload.commit(to, size)
        self.backend.remove(key)

    def messages(self, archive: str) -> Iterator[tuple[int, bytes, dict[str, Any]]]:
        """Yield number, text and content of every message of an archive.

        Raises:
            InvalidInput: it is not there, or damaged.
            FileStoreError: the file store cannot be used.
        """
        return jsonl.messages(self.open(archive), f"the archive {archive}", "take another archive.")

    def open(self, archive: str) -> BinaryIO:
        """Return an archive as a file.

        Raises:
            InvalidInput: it is not there, or damaged.
            FileStoreError: the file store cannot be used.
        """
        if "/" in archive or not archive.endswith(COMPLETE):
            raise SettingsError(f"archive is {archive!r}: give the name of one, such as 20250131T020000Z{COMPLETE}.")
        return decompression.as_file(self.decompressed(archive, self.backend.chunks(self.key(archive))))

    def key(self, snapshot: str) -> str:
        """Return the key of a snapshot in the file store."""
        return f"{self._folder}/{snapshot}"

    def decompressed(self, archive: str, compressed: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the content of an archive.

        Raises:
            InvalidInput: it is not there, or damaged.
        """
        try:
            yield from decompression.inflated(compressed)
        except FileNotFoundError as error:
            raise InvalidInput(f"There is no archive {archive} in {self.display_name}.") from error
        except OSError as error:
            raise InvalidInput(f"The archive {archive} cannot be read: {error.strerror or error}.") from error
        except (zlib.error, EOFError) as error:
            raise InvalidInput(f"The archive {archive} is corrupt ({error}): take another one.") from error

    @contextmanager
    def create(self, began: datetime) -> Iterator[Writer]:
        """Begin an archive of what is so at the time `began`; without `Writer.commit` nothing of it remains."""
        with closing(Tally()) as tally, self.backend.begin(private=True) as upload:
            yield Writer(self, upload, began, tally)

    def unused_name(self, began: datetime, ending: str) -> tuple[Snapshot, str]:
        """Return a name that is not taken, and its key: two runs may begin in the same second."""
        while True:
            name = Snapshot(began.astimezone(UTC).strftime(TIME) + ending)
            key = self.key(name)
            if self.backend.size(key) is None:
                return name, key
            began += timedelta(seconds=1)


class Writer:
    """A snapshot being written."""

    def __init__(self, snapshots: SnapshotStore, upload: Upload, began: datetime, tally: Tally) -> None:
        self._snapshots = snapshots
        self._tally = tally
        self._staging = upload
        self._began = began
        self._gzip = zlib.compressobj(_LEVEL, wbits=_GZIP)
        self._waiting: list[bytes] = []
        self._waits = 0
        self._size = 0

    def write(self, line: bytes, message: dict[str, Any]) -> None:
        """Append one line, with its line break; `message` is its content."""
        self._tally.add(message)
        self._waiting.append(line)
        self._waits += len(line)
        if self._waits >= _BLOCK:
            self._put(self._compressed())
            self._waiting.clear()
            self._waits = 0

    def commit(self, *, is_complete: bool) -> Snapshot:
        """Make the snapshot durable, then its manifest; return its name."""
        self._put(self._compressed() + self._gzip.flush())
        name, key = self._snapshots.unused_name(self._began, COMPLETE if is_complete else INCOMPLETE)
        self._staging.commit(key, self._size)
        try:
            made_by = version("bc-images")
            manifest = self._tally.manifest(name, self._size, is_complete=is_complete, tool_version=made_by)
            self._snapshots.write_manifest(manifest)
        except BcImagesError as error:  # the snapshot is durable, and a missing manifest is made on demand
            logger.warning("The manifest of %s was not written: %s", name, error)
        return name

    def _compressed(self) -> bytes:
        content = b"".join(self._waiting)
        self._tally.update(content)
        return self._gzip.compress(content)

    def _put(self, block: bytes) -> None:
        if block:
            self._staging.write(block)
            self._size += len(block)


def snapshot_stores(files: FileStore) -> list[SnapshotStore]:
    """Return the snapshots of every name in a file store.

    Raises:
        FileStoreError: the file store cannot be listed.
    """
    names = sorted(folder.rpartition("/")[2] for folder in files.backend.folders(FOLDER))
    return [SnapshotStore(files, name) for name in names if _NAME.fullmatch(name)]


def discarded_snapshots(files: FileStore) -> Iterator[tuple[str, Iterator[tuple[int, bytes, dict[str, Any]]]]]:
    """Yield the key and the messages of every snapshot in ``trash/``: its pictures are still there.

    Raises:
        FileStoreError: the file store cannot be listed.
    """
    for entry in files.backend.listing(TRASH):
        folder, name, _, file = (*entry.key.split("/"), "", "", "")[:4]
        if folder == TRASH and _NAME.fullmatch(name) and file.endswith(COMPLETE):
            content = SnapshotStore(files, name).decompressed(file, files.backend.chunks(entry.key))
            opened = decompression.as_file(content)
            yield entry.key, jsonl.messages(opened, f"the archive {entry.key}", "run bc-images check again.")


def open_snapshot(files: FileStore, name: str, word: str | None = None, at: str | None = None) -> tuple[str, BinaryIO]:
    """Return the snapshot that `word` means, or the newest complete one (not later than `at`), and an open file.

    The first is what messages call it: ``the archive <file name>``.

    Raises:
        BcImagesError: as `SnapshotStore.resolve`, `newest` and `open`.
    """
    snapshots = SnapshotStore(files, name)
    snapshot = snapshots.resolve(word) if word else snapshots.newest(at)
    return f"the archive {snapshot}", snapshots.open(snapshot)


def _end(at: str) -> str:
    """Return what a name must be below: a day counts to its end."""
    try:
        moment = datetime.fromisoformat(at)
    except ValueError as error:
        raise SettingsError(f"at is {at!r}, no date: give one such as 2025-01-31 or 2025-01-31T06:00:00Z.") from error
    moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    is_day = len(at) == len("2025-01-31")
    return (moment + (timedelta(days=1) if is_day else timedelta(seconds=1))).strftime(TIME)
