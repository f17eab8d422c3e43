"""Opens an input file: gzip or plain, UTF-8 only, recognised by its first bytes."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import IO, Any, BinaryIO

from bc_images.errors import InvalidInput

__all__ = ["BOM", "as_file", "inflated", "opened", "sentence_start"]

BOM = b"\xef\xbb\xbf"

_BLOCK = 1 << 16
_GZIP = b"\x1f\x8b"
_OTHER_KINDS = (
    (b"\xff\xfe\0\0", "UTF-32"),
    (b"\0\0\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
    (b"{\0\0\0", "UTF-32"),
    (b"\0\0\0{", "UTF-32"),
    (b"{\0", "UTF-16"),
    (b"\0{", "UTF-16"),
)
_OTHER_COMPRESSIONS = ((b"\x28\xb5\x2f\xfd", "zstd"), (b"\xfd7zX", "xz"), (b"BZh", "bzip2"), (b"PK\x03\x04", "zip"))
_LONGEST_START = 4


def opened(source: IO[bytes], name: str, advice: str) -> BinaryIO:
    """Return the decompressed bytes of a file.

    Args:
        source: a binary file.
        name: what it is called in an error, such as ``the input``.
        advice: what follows in an error: what was not done, and what to do.

    Raises:
        InvalidInput: it is compressed by something else than gzip, or in another encoding than UTF-8.
        EOFError, zlib.error: also while reading: it is truncated, or damaged.
    """
    return as_file(_decompressed(_decompressed(_chunks(source), name, advice), name, advice))  # some compress twice


def _chunks(source: IO[bytes]) -> Iterator[bytes]:
    read = getattr(source, "read1", source.read)  # what is there: a tap may be slow
    while chunk := read(_BLOCK):
        yield chunk


def _decompressed(chunks: Iterator[bytes], name: str, advice: str) -> Iterator[bytes]:
    """Look at the first bytes, and not at a name, for what kind of file it is."""
    head = b""
    while len(head) < _LONGEST_START and (chunk := next(chunks, None)) is not None:
        head += chunk
    for start, encoding in _OTHER_KINDS:
        if head.startswith(start):
            raise InvalidInput(f"{sentence_start(name)} is {encoding} and not UTF-8: {advice} Save it as UTF-8.")
    for start, compression in _OTHER_COMPRESSIONS:
        if head.startswith(start):
            raise InvalidInput(
                f"{sentence_start(name)} is compressed with {compression}, which is not read: {advice} "
                "Decompress it, or use gzip."
            )
    every = chain([head], chunks)
    return inflated(every) if head.startswith(_GZIP) else every


def inflated(chunks: Iterable[bytes], *, is_gzip: bool = True) -> Iterator[bytes]:
    """Yield what gzip, of one or more members, or deflate holds, in blocks of at most 64 KiB.

    Raises:
        EOFError, zlib.error: it is truncated, or damaged.
    """
    member = None
    for chunk in chunks:
        data = chunk
        while True:
            if member is None:
                # NUL is what gzip itself lets pass between members, and behind the last one.
                data = data.lstrip(b"\0") if is_gzip else data
                if not data:
                    break
                member = zlib.decompressobj(_window(data[0], is_gzip=is_gzip))
            block = member.decompress(data, _BLOCK)
            if block:
                yield block
            data = member.unconsumed_tail
            if member.eof and not is_gzip:
                return
            if member.eof:
                data, member = member.unused_data, None
            elif not data and len(block) < _BLOCK:
                break
    if member is not None:
        raise EOFError("its end is missing")


def _window(first: int, *, is_gzip: bool) -> int:
    """Return what zlib calls wbits; some servers send "deflate" without the header that the standard demands."""
    if is_gzip:
        return 16 + zlib.MAX_WBITS
    return zlib.MAX_WBITS if first & 15 == 8 else -zlib.MAX_WBITS


def as_file(chunks: Iterator[bytes]) -> BinaryIO:
    """Return what reads chunks, one behind the other, as a file."""
    return io.BufferedReader(_Raw(chunks), _BLOCK)


class _Raw(io.RawIOBase):
    """Chunks as a file."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest and (chunk := next(self._chunks, None)) is not None:
            self._rest = memoryview(chunk)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def sentence_start(name: str) -> str:
    """Return what begins a sentence; a path stays as it is."""
    return f"The {name.removeprefix('the ')}" if name.startswith("the ") else name
