"""Creates files and folders that only their owner may read.

Modes are set, not left to the umask, which may be wider or narrower. What exists already is left as it is.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

__all__ = ["create_private", "make_private_folder", "write_private"]

_FILE, _FOLDER = 0o600, 0o700
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)  # the latter on Windows alone


def make_private_folder(folder: Path) -> None:
    """Make a folder, and those above it that are missing.

    Raises:
        OSError: it cannot be made, or something else is there.
    """
    if folder.is_dir():
        return
    if folder.parent != folder:
        make_private_folder(folder.parent)
    try:
        folder.mkdir(_FOLDER)
    except FileExistsError:
        if not folder.is_dir():
            raise
    else:
        folder.chmod(_FOLDER)


def create_private(path: Path) -> BinaryIO:
    """Create a file that must not exist yet, and open it for writing.

    Raises:
        OSError: it cannot be created.
    """
    descriptor = os.open(path, _NEW, _FILE)
    with suppress(OSError):  # a file system without modes
        path.chmod(_FILE)
    return os.fdopen(descriptor, "wb")


def write_private(path: Path, content: bytes) -> None:
    """Write a file, whether it exists or not; one of ours that others could read is closed to them.

    Raises:
        OSError: it cannot be written.
    """
    descriptor = os.open(path, (_NEW | os.O_TRUNC) & ~os.O_EXCL, _FILE)
    with os.fdopen(descriptor, "wb") as file:
        with suppress(OSError):
            path.chmod(_FILE)
        file.write(content)
