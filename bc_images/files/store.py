"""The file store: pictures by digest (``sha256/ab/<digest>``) and the refs to them."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from bc_images.errors import FileStoreError, FileUnavailable, SettingsError
from bc_images.files.backends.base import Backend
from bc_images.files.backends.local import LocalBackend
from bc_images.files.index import FileIndex
from bc_images.files.inspection import Inspection
from bc_images.files.layout import OBJECTS, REFS, FileInfo, check_store_hash, object_key
from bc_images.files.media_type import HEAD, sniff

__all__ = ["CorruptFile", "FileStore", "NotAPictureError", "PictureBytes", "open_files"]


class CorruptFile(FileStoreError):
    """One stored file does not hold what its name says; the others may well be sound.

    Attributes:
        what: what is wrong with it, in a few words.
    """

    def __init__(self, key: str, what: str) -> None:
        super().__init__(f"{key} in the file store {what}. Run bc-images check; once removed, it is downloaded again.")
        self.what = what


class NotAPictureError(FileUnavailable):
    """What came whole is no picture."""


class PictureBytes:
    """Takes in the bytes of one picture, in order, and says what they are; memory does not grow with it."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self._inspection = Inspection()
        self._head = b""
        self.size = 0

    def feed(self, chunk: bytes) -> None:
        """Take in the next bytes."""
        self._sha256.update(chunk)
        self._inspection.feed(chunk)
        self.size += len(chunk)
        if len(self._head) < HEAD:
            self._head += chunk

    def info(self) -> FileInfo:
        """Return what is known of the bytes; their type is empty where they are no picture."""
        media_type = sniff(self._head[:HEAD], self.size) or ""
        defect = self._inspection.defect(media_type)
        return FileInfo(self._sha256.hexdigest(), self.size, media_type, defect=defect)

    def picture(self) -> FileInfo:
        """Return what is known of a picture.

        Raises:
            NotAPictureError: the bytes are none.
        """
        info = self.info()
        if not info.type:
            raise NotAPictureError("not a picture of a known type" if info.size else "the file is empty")
        return info


def open_files(url: str, *, writable: bool = False) -> FileStore:
    """Return the file store at a folder or fsspec URL, such as ``s3://bucket/prefix``.

    Contacts nobody yet, except where a library connects at once (SFTP, SMB, FTP).

    Args:
        url: the folder or URL.
        writable: whether a backup is to be written: what is read-only is then refused. What does not outlive the
            process, such as ``memory://``, is refused always.

    Raises:
        SettingsError: the URL is not valid, the library for it is not installed, or no backup can be kept there.
        FileStoreError: the server does not answer or refuses the login.
    """
    if not url.strip():
        raise SettingsError("file_store is empty: give a folder or an fsspec URL such as s3://bucket/prefix.")
    if url.startswith(("file:", "local:")):
        parts = urlsplit(url)
        if parts.netloc not in {"", "localhost"} or not parts.path.startswith("/"):
            raise SettingsError("file_store: file: needs an absolute path, as in file:///var/pictures.")
        url = url2pathname(parts.path)
    if re.match(r"[A-Za-z][\w+.-]*(?:://|::)", url):
        # A folder does without fsspec, which takes a while to load.
        if re.match(r"https?://", url, re.IGNORECASE):
            from bc_images.files.web_folder import WebFolder

            return FileStore(WebFolder(url, writable=writable))
        from bc_images.files.backends.fsspec import FsspecBackend

        return FileStore(FsspecBackend(url, writable=writable))
    try:
        return FileStore(LocalBackend(Path(url).expanduser()))
    except (RuntimeError, ValueError) as error:  # ~nobody; a NUL
        raise SettingsError(f"file_store: {error}. Give a folder.") from error


class FileStore:
    """Keeps files by content; safe to share between threads and processes."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.display_name = backend.display_name
        self._lock = threading.Lock()
        self._refs: dict[str, FileIndex] = {}

    def add(self, chunks: Iterable[bytes], expected_size: int | None = None) -> FileInfo:
        """Store a picture; when this returns, it is durable and its length has been verified.

        Args:
            chunks: its bytes, in order; an error that they raise leaves nothing behind.
            expected_size: how many bytes there must be, or None where nobody knows.

        Raises:
            FileUnavailable: there are no bytes, too few or too many, or they are no picture (`NotAPictureError`).
            FileStoreError: the file store cannot be written.
        """
        pieces = iter(chunks)
        first = next(pieces, b"")  # before anything is created: most failures come with the first bytes
        content = PictureBytes()
        with self.backend.begin() as upload:
            for piece in chain((first,), pieces):
                content.feed(piece)
                upload.write(piece)
            size = content.size
            if expected_size is not None and size != expected_size:
                raise FileUnavailable(f"{size} bytes received, not {expected_size}")
            info = content.picture()
            upload.commit(object_key(info.sha256), info.size)
        return info

    def read(self, digest: str) -> bytes:
        """Return a whole file, re-hashed; meant for pictures small enough to be sent.

        Raises:
            FileUnavailable: there is no such file.
            FileStoreError: it holds other bytes (`CorruptFile`), or the file store cannot be used.
        """
        return b"".join(self.verified_chunks(digest))

    def verified_chunks(self, digest: str) -> Iterator[bytes]:
        """Yield a file's bytes, re-hashed on the way: they count only once the last of them has come.

        Raises:
            FileUnavailable: there is no such file.
            FileStoreError: it holds other bytes (`CorruptFile`), or the file store cannot be used.
        """
        sha256 = hashlib.sha256()
        for chunk in self.chunks(digest):
            sha256.update(chunk)
            yield chunk
        if sha256.hexdigest() != digest:
            raise CorruptFile(object_key(digest), _mismatch(sha256.hexdigest()))

    def inspect(self, digest: str) -> FileInfo:
        """Re-hash a file of any length and return what is known of it.

        Raises:
            FileUnavailable: there is no such file.
            FileStoreError: it holds other bytes (`CorruptFile`), or the file store cannot be used.
        """
        content = PictureBytes()
        for chunk in self.chunks(digest):
            content.feed(chunk)
        info = content.info()
        if info.sha256 != digest:
            raise CorruptFile(object_key(digest), _mismatch(info.sha256))
        return info

    def chunks(self, digest: str) -> Iterator[bytes]:
        """Yield a file's bytes, unchecked.

        Raises:
            FileUnavailable: there is no such file, or it is no digest.
            FileStoreError: it cannot be read (`CorruptFile`), or the file store cannot be used.
        """
        key = self._key(digest)
        try:
            yield from self.backend.chunks(key)
        except OSError as error:
            self.must_exist()  # else every single file would be said to be missing
            if isinstance(error, FileNotFoundError):
                raise FileUnavailable(f"{key} is not in the file store {self.display_name}") from error
            raise CorruptFile(key, f"cannot be read: {error.strerror or error}") from error

    def must_exist(self) -> None:
        """Make sure that there is a file store at all, where one is needed.

        Raises:
            FileStoreError: there is none, or it cannot be used.
        """
        if not self.backend.exists():
            raise FileStoreError(
                f"No file store found at {self.display_name}. Check `file_store` and that it is mounted."
            )

    def size(self, digest: str) -> int | None:
        """Return a file's length in bytes, or None where it is not stored.

        Raises:
            FileUnavailable: it is no digest.
        """
        return self.backend.size(self._key(digest))

    def refs(self, store_hash: str) -> FileIndex:
        """Return the refs of a store; the first call lists them, which may take a while.

        Raises:
            FileStoreError: the file store cannot be listed.
        """
        check_store_hash(store_hash)
        with self._lock:
            if store_hash not in self._refs:
                self._refs[store_hash] = FileIndex(self.backend, store_hash)
            return self._refs[store_hash]

    def has_refs(self) -> bool:
        """Whether there is a ref of any store.

        Raises:
            FileStoreError: the file store cannot be listed.
        """
        return bool(self.backend.folders(REFS))

    def probe(self) -> None:
        """Find out, by a request or two, whether the file store can be used; one that is still to be made can.

        Raises:
            FileStoreError: it cannot.
        """
        for top in (OBJECTS, REFS):
            self.backend.folders(top)

    def sign(self, digest: str, seconds: int) -> str | None:
        """Return a signed address of a file, or None where the file store cannot sign."""
        return self.backend.sign(self._key(digest), seconds)

    def close(self) -> None:
        """Let go of the listings."""
        with self._lock:
            for refs in self._refs.values():
                refs.close()
            self._refs.clear()

    def _key(self, digest: str) -> str:
        try:
            return object_key(digest)
        except ValueError as error:
            raise FileUnavailable(str(error)) from error


def _mismatch(digest: str) -> str:
    return f"is corrupt: its bytes have the digest {digest[:12]}…"
