"""The backend for a local folder: write to a temporary name, fsync, rename."""

from __future__ import annotations

import errno
import logging
import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bc_images.durable import fsync_dir
from bc_images.errors import FileStoreError, FileUnavailable, SettingsError
from bc_images.files.backends.base import CHUNK, Entry
from bc_images.files.layout import OBJECTS, REFS, TEMPORARY
from bc_images.private_files import make_private_folder
from bc_images.regular_files import FileProblem, file_problem, open_regular

__all__ = ["LocalBackend"]

logger = logging.getLogger(__name__)

_DAY = 86_400  # seconds
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)  # the latter on Windows alone


class LocalBackend:
    """The `Backend` of a local path; the folder is made when it is first written to.

    Raises:
        SettingsError: the path is that of a file, or leads through one.
    """

    def __init__(self, root: Path) -> None:
        if _is_file(root):
            raise SettingsError(f"file_store: {root} is not a folder. Give a folder or an fsspec URL.")
        self.root = root
        self.display_name = str(root)
        self._durable: set[Path] = set()  # folders whose own names are known to be on the disk
        self._prefix = len(str(root / "x")) - 1

    @contextmanager
    def begin(self, *, private: bool = False) -> Iterator[_LocalUpload]:
        """Begin an object in ``tmp/``, which is on the same file system as its final place."""
        path = self.root / TEMPORARY / secrets.token_hex(16)
        with self.wrap_errors():
            # Not the tempfile module: it would make pictures readable by their owner alone, whatever the umask says.
            descriptor = self._create(path, 0o600 if private else 0o666)
            if private:
                path.chmod(0o600)
        upload = _LocalUpload(self, descriptor, path, private=private)
        try:
            yield upload
        finally:
            upload.discard()

    def touch(self, key: str) -> None:
        """Create an empty file; not fsynced, since losing it costs a download and nothing else."""
        path = f"{self.display_name}/{key}"
        with self.wrap_errors():
            try:
                try:
                    os.close(os.open(path, _NEW, 0o666))
                except FileNotFoundError:
                    Path(path).parent.mkdir(parents=True, exist_ok=True)
                    os.close(os.open(path, _NEW, 0o666))
            except (FileExistsError, NotADirectoryError):
                self._warn_of_obstacle(key)

    def chunks(self, key: str) -> Iterator[bytes]:
        """Yield a file's bytes."""
        with open_regular(self.root / key) as opened:
            while chunk := opened.read(CHUNK):
                yield chunk

    def size(self, key: str) -> int | None:
        """Return a file's length."""
        with self.wrap_errors():
            try:
                return (self.root / key).stat().st_size
            except FileNotFoundError:
                return None
            except OSError as error:
                if error.errno == errno.ELOOP:
                    return 0
                raise

    def listing(self, prefix: str) -> Iterator[Entry]:
        """Walk the folder; one that is not there is empty."""
        with self.wrap_errors():
            for entry in _walk(self.root / prefix):
                yield _entry(self._key(entry.path), entry)

    def irregular(self, prefix: str) -> Iterator[tuple[str, FileProblem]]:
        """Walk the folder and look at the types alone."""
        with self.wrap_errors():
            for entry in _walk(self.root / prefix, with_folders=True):
                if not entry.is_file(follow_symlinks=False):
                    problem = file_problem(entry.path)
                    if problem not in {None, FileProblem.BROKEN_LINK}:
                        yield self._key(entry.path), problem

    def keys(self, prefix: str) -> Iterator[str]:
        """Walk the folder without looking at the files."""
        with self.wrap_errors():
            for entry in _walk(self.root / prefix):
                yield self._key(entry.path)

    def folders(self, prefix: str) -> list[str]:
        """List one folder; one that is not there is empty."""
        with self.wrap_errors():
            try:
                return [f"{prefix}/{entry.name}" for entry in (self.root / prefix).iterdir() if entry.is_dir()]
            except FileNotFoundError:
                return []

    def stale_temporaries(self) -> Iterator[str]:
        """Yield files in ``tmp/`` that are older than a day."""
        with self.wrap_errors(), suppress(FileNotFoundError), os.scandir(self.root / TEMPORARY) as entries:
            for entry in entries:
                if time.time() - entry.stat(follow_symlinks=False).st_mtime > _DAY:
                    yield f"{TEMPORARY}/{entry.name}"

    def remove(self, key: str) -> None:
        """Remove a file."""
        with self.wrap_errors():
            (self.root / key).unlink(missing_ok=True)

    def modified(self, key: str) -> float | None:
        """Return a file's time of modification."""
        with self.wrap_errors():
            try:
                return (self.root / key).stat().st_mtime
            except FileNotFoundError:
                return None

    def sign(self, key: str, seconds: int) -> None:
        """No address leads into a folder."""

    def exists(self) -> bool:
        """Whether one of its two folders is there."""
        with self.wrap_errors():
            return any((self.root / folder).is_dir() for folder in (OBJECTS, REFS))

    def make(self, folder: Path, *, private: bool = False) -> None:
        """Create a folder with its parents, each name durable in the one above.

        One that exists may have been made by another run a moment ago, so inside the file store its name is synced
        too; above it, only what we make.
        """
        if folder in self._durable:
            return
        inside = folder != self.root and self.root in folder.parents
        if inside or not folder.is_dir():
            self.make(folder.parent, private=private and inside)
            if private and inside:
                make_private_folder(folder)
            else:
                folder.mkdir(exist_ok=True)
            fsync_dir(folder.parent)
        self._durable.add(folder)

    def _warn_of_obstacle(self, key: str) -> None:
        """Say that a ref was not written where something else than a file stands in its way."""
        path = self.root / key
        if path.is_file():
            return
        if (obstacle := _obstacle(path)) is not None:
            logger.warning(
                "%s in the file store %s. Remove it: until then a picture is downloaded again in every run.",
                self._key(str(obstacle)),
                file_problem(obstacle) or "is a file, not a directory",
            )

    def remove_obstacle(self, target: Path) -> None:
        """Make sure that a file can take the place `target`: an empty directory there is removed.

        Raises:
            FileUnavailable: something else stands there, or in the place of a directory above it.
        """
        with suppress(OSError):
            target.rmdir()
        if (obstacle := _obstacle(target)) is not None:
            problem = file_problem(obstacle) or "is a file, not a directory"
            raise FileUnavailable(f"{self._key(str(obstacle))} in the file store {problem}: remove it")

    def _create(self, path: Path, mode: int) -> int:
        """Create and open a file that must not exist yet, and its folder where that is missing."""
        try:
            return os.open(path, _NEW, mode)
        except FileNotFoundError:
            self.make(path.parent)
            return os.open(path, _NEW, mode)

    def _key(self, path: str) -> str:
        key = path[self._prefix :]
        return key if os.sep == "/" else key.replace(os.sep, "/")

    @contextmanager
    def wrap_errors(self) -> Iterator[None]:
        """Say in one line what an error of the operating system means for the file store."""
        try:
            yield
        except OSError as error:
            raise FileStoreError(self._explain(error)) from error

    def _explain(self, error: OSError) -> str:
        """Say in one line why the folder cannot be used and what to do."""
        place = f"The file store {self.display_name}"
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            return f"{place} is full ({error.strerror}). What is stored is kept. Free some space, then run again."
        if error.errno == errno.EROFS:
            return f"{place} is read-only: nothing was written. Mount it writable, or set file_store to another folder."
        if error.errno in {errno.EACCES, errno.EPERM}:
            return (
                f"Permission denied: file store {self.display_name} ({error.strerror}: {error.filename}). "
                "Give this user permission to it, then run again."
            )
        if error.errno in {errno.ENOTDIR, errno.EEXIST}:
            return f"{place} is not a folder ({error.strerror}: {error.filename}). Set file_store to a folder."
        return f"{place} failed: {error.strerror or error}. Check the disk, then run again."


class _LocalUpload:
    """A temporary file on its way to its final name."""

    def __init__(self, folder: LocalBackend, descriptor: int, path: Path, *, private: bool) -> None:
        self._folder = folder
        self._private = private
        self._descriptor: int | None = descriptor
        self._path: Path | None = path

    def write(self, chunk: bytes) -> None:
        """Append bytes; a disk may take only a part of them at a time."""
        view = memoryview(chunk)
        with self._folder.wrap_errors():
            while view:
                view = view[os.write(self._open(), view) :]

    def commit(self, key: str, size: int) -> None:
        """Make the bytes durable, then the name."""
        target = self._folder.root / key
        with self._folder.wrap_errors():
            os.fsync(self._open())
            if (written := os.fstat(self._open()).st_size) != size:
                raise FileStoreError(
                    f"The file store {self._folder.display_name} kept {written} of {size} bytes. Check the disk."
                )
            os.close(self._open())
            self._descriptor = None
            if self._path is not None:
                try:
                    self._folder.make(target.parent, private=self._private)
                    self._path.replace(target)
                except (FileExistsError, IsADirectoryError, NotADirectoryError):
                    self._folder.remove_obstacle(target)
                    self._path.replace(target)
                self._path = None
            fsync_dir(target.parent)

    def discard(self) -> None:
        """Remove what was not committed. What cannot be removed harms nobody: `check` names it."""
        if self._descriptor is not None:
            with suppress(OSError):
                os.close(self._descriptor)
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink()

    def _open(self) -> int:
        if self._descriptor is None:
            raise ValueError("the file is closed")
        return self._descriptor


def _is_file(path: Path) -> bool:
    try:
        return not stat.S_ISDIR(path.stat().st_mode)
    except NotADirectoryError:
        return True
    except OSError:  # it is made when it is needed; whatever else is wrong with it is said then
        return False


def _entry(key: str, entry: os.DirEntry[str]) -> Entry:
    if entry.is_file(follow_symlinks=False):
        try:
            return Entry(key, entry.stat(follow_symlinks=False).st_size)
        except FileNotFoundError:  # it went away meanwhile
            return Entry(key, None, FileProblem.GONE)
    if (problem := file_problem(entry.path)) is not None:
        return Entry(key, None, problem)
    return Entry(key, entry.stat().st_size)  # a link to a file


def _obstacle(path: Path) -> Path | None:
    """Return what keeps a file from a place: something there, or in the place of a directory above it."""
    if path.is_dir():
        return path
    above = next((folder for folder in path.parents if os.path.lexists(folder)), None)
    return above if above is not None and not above.is_dir() else None


def _walk(root: Path, *, with_folders: bool = False) -> Iterator[os.DirEntry[str]]:
    """Yield everything below a folder but folders, unless these too are asked for; one that is not there is empty."""
    folders = [str(root)]
    while folders:
        try:
            entries = os.scandir(folders.pop())
        except FileNotFoundError:
            continue
        with entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                if with_folders or not entry.is_dir(follow_symlinks=False):
                    yield entry
