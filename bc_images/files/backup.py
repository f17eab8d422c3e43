"""Opens a backup file: Singer messages, plain or gzip."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from bc_images.errors import InvalidInput
from bc_images.regular_files import open_input

__all__ = ["ADVICE", "opened_backup"]

ADVICE = "check the file, or give another backup."
"""What to do about a backup that cannot be read: what follows in the error."""


@contextmanager
def opened_backup(path: Path) -> Iterator[BinaryIO]:
    """Open a backup, which may be a pipe; what reads it sees by itself whether it is gzip.

    Raises:
        InvalidInput: it cannot be read, also while the context lasts.
    """
    try:
        with open_input(path) as file:
            yield file
    except OSError as error:
        raise InvalidInput(f"The backup {path} cannot be read ({error.strerror or error}): {ADVICE}") from error
