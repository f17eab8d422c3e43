"""A file system of fsspec that is no object store: it has folders, moves what it has, and keeps it on the disk."""

from __future__ import annotations

import fsspec
from fsspec.implementations.local import LocalFileSystem

__all__ = ["Elsewhere"]


class Elsewhere(LocalFileSystem):  # type: ignore[misc]  # fsspec is not typed
    """What stands after ``elsewhere://`` is a path on this machine; nothing else knows that it is local."""

    protocol = "elsewhere"
    cachable = False
    local_file = False

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.partition("://")[2] or path))


fsspec.register_implementation("elsewhere", Elsewhere, clobber=True)
