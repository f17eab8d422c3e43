"""Makes files and their names survive a crash: fsync of the content and of the folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, Any

__all__ = ["fsync_dir", "fsync_file", "rename"]


def fsync_dir(folder: Path) -> None:
    """Make the names in a folder durable.

    Raises:
        OSError: the folder cannot be opened or synced.
    """
    if os.name == "nt":  # has no such call, and does not need it
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_file(file: IO[Any]) -> None:
    """Make what was written to an open file durable.

    Raises:
        OSError: there is no space for it.
    """
    file.flush()
    os.fsync(file.fileno())


def rename(temporary: Path, path: Path) -> None:
    """Give a durable file its final name, atomically and durably; one that has the name is replaced.

    Raises:
        OSError: something stands there that cannot be replaced, as a directory.
    """
    temporary.replace(path)
    fsync_dir(path.parent)
