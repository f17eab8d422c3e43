"""A backup in a file of its own: Singer messages, plain or gzip."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from bc_images.errors import DamagedInput

__all__ = ["reading"]

_GZIP = b"\x1f\x8b"


@contextmanager
def reading(path: Path) -> Iterator[IO[bytes]]:
    """Open a backup, which may be a pipe; whether it is gzip, its first bytes say and not its name.

    Raises:
        DamagedInput: it cannot be read, also while the context lasts.
    """
    try:
        with path.open("rb") as opened:
            if opened.peek(len(_GZIP))[: len(_GZIP)] == _GZIP:
                with gzip.open(opened) as unpacked:
                    yield cast("IO[bytes]", unpacked)
            else:
                yield opened
    except (OSError, EOFError, zlib.error) as error:  # the three that gzip has for damage
        raise DamagedInput(f"The backup {path} cannot be read: {error}. Give a whole Singer file.") from error
