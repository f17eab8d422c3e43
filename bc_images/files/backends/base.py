"""The protocol of a storage backend.

A key is a relative path with ``/`` between its parts, made by us alone: it never holds ``..`` or an empty part.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from bc_images.regular_files import FileProblem

__all__ = ["CHUNK", "Backend", "Entry", "Upload"]

CHUNK = 1024 * 1024  # bytes read at a time


class Entry(NamedTuple):
    """A name in a listing.

    Attributes:
        key: the name.
        size: bytes; None where the listing does not say, as over HTTP.
        problem: what it is, if it is no object that can be read.
    """

    key: str
    size: int | None
    problem: FileProblem | None = None


class Upload(Protocol):
    """An object being written under a temporary name; leaving its context without `commit` discards it."""

    def write(self, chunk: bytes) -> None:
        """Append bytes.

        Raises:
            FileStoreError: nothing can be written.
        """

    def commit(self, key: str, size: int) -> None:
        """Make the object durable under its final name, after comparing its length with `size`.

        Another object of that name is replaced: names say contents, so it holds the same bytes.

        Args:
            key: the final name.
            size: bytes written.

        Raises:
            FileUnavailable: something else stands in its place that cannot be replaced, as a directory.
            FileStoreError: it could not be stored whole.
        """


class Backend(Protocol):
    """Objects by key. Safe to share between threads; every failure but absence is `FileStoreError`."""

    display_name: str
    """How messages call the place; no credentials."""

    def begin(self, *, private: bool = False) -> AbstractContextManager[Upload]:
        """Begin an object; a private one, where files have modes, is for its owner alone."""

    def touch(self, key: str) -> None:
        """Write an empty object, whose name says everything. It need not survive a crash."""

    def chunks(self, key: str) -> Iterator[bytes]:
        """Yield an object's bytes.

        Raises:
            FileNotFoundError: there is no such object.
            OSError: this one object cannot be read.
        """

    def size(self, key: str) -> int | None:
        """Return an object's length in bytes, or None where there is none.

        Of something that is no object it is any number.
        """

    def listing(self, prefix: str) -> Iterator[Entry]:
        """Yield every object below the folder `prefix`, in bulk and in no order."""

    def irregular(self, prefix: str) -> Iterator[tuple[str, FileProblem]]:
        """Yield key and problem of what is no regular file below the folder `prefix`, directories among it.

        Nothing where only objects can be, or where `listing` tells all of it.
        """

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield the key of every object below the folder `prefix`: `listing` where lengths cost extra."""

    def folders(self, prefix: str) -> list[str]:
        """Return the keys of the folders directly in the folder `prefix`."""

    def stale_temporaries(self) -> Iterator[str]:
        """Yield the temporary names that a crash left behind, more than a day ago."""

    def remove(self, key: str) -> None:
        """Remove an object; one that does not exist is no error."""

    def modified(self, key: str) -> float | None:
        """Return when an object was written, in unix seconds by the clock of the place; None where it does not say."""

    def sign(self, key: str, seconds: int) -> str | None:
        """Return an address at which anybody can fetch the object for so long; None where the place cannot."""

    def exists(self) -> bool:
        """Whether a file store is here: it has pictures or refs. An empty mount point is none."""
