"""The backend for buckets and every other file system of fsspec.

An object store takes an object whole or not at all. Elsewhere it is put under a temporary name and then moved.
"""

from __future__ import annotations

import base64
import hashlib
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from bc_images.concurrency import ordered_map
from bc_images.errors import FileStoreError, FileUnavailable
from bc_images.files.backends.base import CHUNK, Entry
from bc_images.files.filesystem import EXTRAS, display_name, open_filesystem, schemes_of
from bc_images.files.layout import OBJECTS, REFS
from bc_images.files.storage_errors import storage_error
from bc_images.regular_files import FileProblem, NotRegularFile
from bc_images.tempfiles import disk_full

__all__ = ["FsspecBackend"]

_PUT_IS_ATOMIC = frozenset(EXTRAS)
_PIECE = 16 * CHUNK  # bytes asked for at a time: nearly every picture comes in one request
_LISTERS = 8  # folders listed at once, where the library can


class FsspecBackend:
    """The `Backend` of an fsspec URL.

    Args:
        url: the URL.
        writable: whether anything is to be written.

    Raises:
        SettingsError: the URL is not valid, its library is not installed, or no backup can be kept there.
        FileStoreError: the server does not answer or refuses the login.
    """

    has_other_types = True
    """Whether something else than files and folders can be there, as a FIFO: what is read is then looked at first."""

    def __init__(self, url: str, *, writable: bool = False) -> None:
        self._fs, path = open_filesystem(url, writable=writable)
        self._url = url
        self._scheme = schemes_of(url)[-1]
        if hasattr(self._fs, "dircache"):
            # Remembered listings would grow with the store, and hide what others have written meanwhile.
            self._fs.dircache.use_listings_cache = False
        self._root = path.rstrip("/")
        self.display_name = display_name(url, self._root)
        self._atomic = self._scheme in _PUT_IS_ATOMIC
        if self._atomic:
            self.has_other_types = False
        # A library that is not asynchronous inside does not promise to bear several threads.
        self._lock: AbstractContextManager[Any] = nullcontext() if self._fs.async_impl else threading.RLock()
        self._etag_is_md5 = True  # until an object proves that here it is not, as where the bucket encrypts

    @contextmanager
    def begin(self, *, private: bool = False) -> Iterator[_FsspecUpload]:  # noqa: ARG002 - objects have no modes
        """Begin an object: collected in a temporary file on this machine, so that memory does not grow with it."""
        try:
            opened = tempfile.NamedTemporaryFile(prefix="bc-images-", delete=False)  # noqa: SIM115 - closed below
        except OSError as error:
            raise _disk_full(error) from error
        try:
            yield _FsspecUpload(self, opened)
        finally:
            with suppress(OSError):  # closing writes what is left, for which there may be no room
                opened.close()
            with suppress(OSError):
                Path(opened.name).unlink()

    def touch(self, key: str) -> None:
        """Put an empty object."""
        with self._wrap_errors("write to"), self._lock:
            self._make_parent(key)
            self._fs.pipe_file(self._path(key), b"")

    def chunks(self, key: str) -> Iterator[bytes]:
        """Yield an object's bytes."""
        if self.has_other_types:  # to open a FIFO there would wait for ever
            info = self._info(key)
            if (problem := _problem(info)) is not None:
                raise NotRegularFile(problem, key)
            if info["size"] == 0:
                return
        at = 0
        while True:
            try:
                with self._wrap_errors("read", absence=True), self._lock:
                    piece: bytes = self._fs.cat_file(self._path(key), start=at, end=at + _PIECE)
            except FileStoreError:
                if self.size(key) == 0:  # of nothing, no part can be asked for
                    return
                raise
            yield piece
            at += len(piece)
            if len(piece) < _PIECE or at >= (self.size(key) or 0):
                return

    def size(self, key: str) -> int | None:
        """Return an object's length."""
        try:
            size = self._info(key)["size"]
        except FileNotFoundError:
            return None
        return int(size)

    def listing(self, prefix: str) -> Iterator[Entry]:
        """List the folder's own folders one by one, side by side: a single list would grow with the store."""
        top = self._top(prefix)
        yield from self._objects(top)
        folders = [entry["name"] for entry in top if entry["type"] == "directory"]
        with ThreadPoolExecutor(_LISTERS, "list") as executor:
            for entries in ordered_map(executor, self._find, folders, _LISTERS):
                yield from self._objects(entries)

    def irregular(self, prefix: str) -> Iterator[tuple[str, FileProblem]]:  # noqa: ARG002 - of the protocol
        """The listing tells all of it."""
        return iter(())

    def keys(self, prefix: str) -> Iterator[str]:
        """A listing tells lengths anyway."""
        return (entry.key for entry in self.listing(prefix))

    def folders(self, prefix: str) -> list[str]:
        """List one level of an address."""
        return [self._key(entry["name"]) for entry in self._top(prefix) if entry["type"] == "directory"]

    def stale_temporaries(self) -> Iterator[str]:
        """Whatever is under ``tmp/``: nobody tells how old it is."""
        return (entry.key for entry in self.listing("tmp"))

    def remove(self, key: str) -> None:
        """Remove an object."""
        with suppress(FileNotFoundError), self._wrap_errors("remove from", absence=True), self._lock:
            self._fs.rm_file(self._path(key))

    def modified(self, key: str) -> float | None:
        """Return when an object was written, where the library tells."""
        modified = None
        try:
            with self._wrap_errors("look into", absence=True), self._lock, suppress(NotImplementedError):
                modified = self._fs.modified(self._path(key))
        except FileNotFoundError:
            return None
        return float(modified.timestamp()) if isinstance(modified, datetime) and modified.tzinfo else None

    def sign(self, key: str, seconds: int) -> str | None:
        """Ask the library for a signed address."""
        with self._wrap_errors("sign an address of"), self._lock:
            try:
                return str(self._fs.sign(self._path(key), expiration=seconds))
            except (NotImplementedError, AttributeError, ValueError):  # cannot, or has no key to sign with
                return None

    def exists(self) -> bool:
        """Whether there is anything below one of its two folders."""
        return any(self._top(folder) for folder in (OBJECTS, REFS))

    def put(self, local: str, key: str, size: int, md5: bytes) -> None:
        """Send a local file and look whether it arrived whole."""
        with self._wrap_errors("write to"):
            with self._lock:
                if self._atomic:
                    self._fs.put_file(local, self._path(key))
                else:
                    self._put_and_move(local, key, md5)
            info = self._info(key)
            if (kept := info["size"]) != size:
                raise FileStoreError(
                    f"{self.display_name} kept {kept} of {size} bytes of {key}. Run again; check the disk."
                )
            if self._etag_is_md5 and _md5(info) not in {None, md5}:
                if self._md5_of(key) != md5:
                    raise FileStoreError(
                        f"{self.display_name} returned other bytes than were written to {key}. "
                        "Run bc-images check, then run again."
                    )
                self._etag_is_md5 = False

    def _put_and_move(self, local: str, key: str, md5: bytes) -> None:
        temporary = f"tmp/{Path(local).name}"
        self._make_parent(temporary)
        self._make_parent(key)
        self._fs.put_file(local, self._path(temporary))
        if self._fs.exists(self._path(key)):  # some file systems do not move over what is there
            problem = _problem(self._info(key)) if self.has_other_types else None
            if problem is FileProblem.DIRECTORY:
                self._fs.rm_file(self._path(temporary))
                raise FileUnavailable(f"{key} in the file store {problem}: remove it")
            if problem is None and self._md5_of(key) == md5:
                self._fs.rm_file(self._path(temporary))
                return
            self._fs.rm_file(self._path(key))
        self._fs.mv(self._path(temporary), self._path(key))

    def _make_parent(self, key: str) -> None:
        if not self._atomic:  # an object store has no folders
            self._fs.makedirs(self._path(key).rpartition("/")[0], exist_ok=True)

    def _md5_of(self, key: str) -> bytes:
        digest = hashlib.md5(usedforsecurity=False)
        for piece in self.chunks(key):
            digest.update(piece)
        return digest.digest()

    def _info(self, key: str) -> dict[str, Any]:
        with self._wrap_errors("look into", absence=True), self._lock:
            info: dict[str, Any] = self._fs.info(self._path(key))
            return info

    def _top(self, prefix: str) -> list[dict[str, Any]]:
        try:
            with self._wrap_errors("list", absence=True), self._lock:
                return list(self._fs.ls(self._path(prefix), detail=True))
        except FileNotFoundError:
            return []

    def _find(self, folder: str) -> list[dict[str, Any]]:
        with self._wrap_errors("list"), self._lock:
            return list(self._fs.find(folder, detail=True).values())

    def _objects(self, entries: list[dict[str, Any]]) -> Iterator[Entry]:
        for entry in entries:
            if entry["type"] != "directory":
                yield Entry(self._key(entry["name"]), entry["size"], _problem(entry))

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}" if self._root else key

    def _key(self, path: str) -> str:
        return path.removeprefix(self._root).lstrip("/")

    @contextmanager
    def _wrap_errors(self, operation: str, *, absence: bool = False) -> Iterator[None]:
        """Every library has errors of its own; to the run they mean that the file store cannot be used.

        Except that, with `absence`, something that is not there may be all right: that error comes through.

        Args:
            operation: what is tried, such as ``list``.
            absence: whether `FileNotFoundError` comes through.
        """
        try:
            yield
        except (FileStoreError, FileUnavailable, NotRegularFile):
            raise
        except NotImplementedError as error:
            message = f"Cannot {operation} the file store {self.display_name}: its library does not support that."
            raise FileStoreError(f"{message} Set file_store to another folder or URL.") from error
        except Exception as error:
            if absence and isinstance(error, FileNotFoundError):
                raise
            raise storage_error(error, operation, self.display_name, self._scheme, self._url) from error


class _FsspecUpload:
    """A temporary file on this machine on its way into the bucket."""

    def __init__(self, bucket: FsspecBackend, opened: IO[bytes]) -> None:
        self._bucket = bucket
        self._opened = opened
        self._md5 = hashlib.md5(usedforsecurity=False)

    def write(self, chunk: bytes) -> None:
        """Append bytes."""
        self._md5.update(chunk)
        try:
            self._opened.write(chunk)
        except OSError as error:
            raise _disk_full(error) from error

    def commit(self, key: str, size: int) -> None:
        """Send the file."""
        try:
            self._opened.close()
            collected = Path(self._opened.name).stat().st_size
        except OSError as error:
            raise _disk_full(error) from error
        if collected != size:
            raise FileStoreError(f"{self._opened.name} kept {collected} of {size} bytes. Check this machine's disk.")
        self._bucket.put(self._opened.name, key, size, self._md5.digest())


def _problem(info: dict[str, Any]) -> FileProblem | None:
    """Return what a library describes, if it is no file that can be read."""
    if info["type"] == "file":
        return None
    kinds = {"directory": FileProblem.DIRECTORY, "link": FileProblem.BROKEN_LINK}
    return kinds.get(info["type"], FileProblem.SPECIAL)


def _disk_full(error: OSError) -> FileStoreError:
    return FileStoreError(disk_full("a picture to upload", error))


def _md5(info: dict[str, Any]) -> bytes | None:
    """Return the MD5 that an object store tells of an object, or None where it tells none."""
    etag = str(info.get("ETag") or "").strip('"')
    with suppress(ValueError):
        if len(etag) == 32:  # longer and with a dash: made of several parts
            return bytes.fromhex(etag)
        if md5_hash := info.get("md5Hash"):
            return base64.b64decode(md5_hash)
    return None
