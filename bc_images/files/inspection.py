"""Inspects a picture while its bytes stream by: size, truncation, GIF limits.

Only the structure is read (markers, chunks, blocks), no pixel is decoded. The limits are documented
(V3 spec, createProductImage; support page "Platform Limits"); that the store refuses a truncated
picture is assumed.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import Literal, TypeAlias

from bc_images.files.media_type import HEAD, MAX_UPLOAD, sniff

__all__ = ["DEFECTS", "MAX_GIF_FRAMES", "MAX_GIF_SIDE", "Defect", "Inspection", "refusal"]

MAX_GIF_FRAMES = 150
MAX_GIF_SIDE = 5120  # pixels, width and height

Defect: TypeAlias = Literal["truncated", "frames", "dimensions"]
DEFECTS: dict[str, str] = {
    "truncated": "it is truncated",
    "frames": f"it is a GIF of more than {MAX_GIF_FRAMES} frames",
    "dimensions": f"it is a GIF of more than {MAX_GIF_SIDE} x {MAX_GIF_SIDE} pixels",
}
"""Defect -> what is wrong, in words."""

_HEAD = 32  # bytes that tell the type
_TAIL = 64
_MARKER = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]", re.DOTALL)  # of a JPEG; in its data 0xff is followed by 0 or RSTn


def refusal(size: int, defect: str | None) -> str | None:
    """Return why the store would refuse a picture of a known type, or None.

    Args:
        size: its bytes.
        defect: what `Inspection.defect` has said of it.
    """
    if size > MAX_UPLOAD:
        return f"it has {size:,} bytes and the store takes {MAX_UPLOAD:,} at most"
    return DEFECTS.get(defect) if defect else None


class Inspection:
    """Takes in the bytes of one picture, in order; memory does not grow with it."""

    def __init__(self) -> None:
        self._size = 0
        self._head: bytes | None = b""  # until the type is known
        self._tail = b""
        self._parser: _Parser | None = None
        self._ended: Defect | Literal["intact"] | None = None

    def feed(self, chunk: bytes) -> None:
        """Take in the next bytes."""
        self._size += len(chunk)
        self._tail = (self._tail + chunk)[-_TAIL:] if len(chunk) < _TAIL else chunk[-_TAIL:]
        if self._head is not None:
            self._head += chunk
            if len(self._head) >= _HEAD:
                self._begin()
        elif self._size <= MAX_UPLOAD:  # else it is refused for its size, whatever is in it
            self._send(chunk)

    def defect(self, media_type: str) -> Defect | None:
        """Return what is wrong with the picture, all of which was fed; None where nothing is known to be wrong.

        Args:
            media_type: its type, by `sniff`.
        """
        if self._head is not None:
            self._begin()
        if self._size > MAX_UPLOAD:
            return None
        if media_type == "image/x-xbitmap":
            return None if b"}" in self._tail else "truncated"
        if media_type not in _PARSERS:  # a WBMP that is truncated is none, by its length
            return None
        if self._ended is None:
            return "truncated"  # it ends before its structure does
        return None if self._ended == "intact" else self._ended

    def _begin(self) -> None:
        head, self._head = self._head or b"", None
        if (parser := _PARSERS.get(sniff(head[:HEAD], self._size) or "")) is not None:
            self._parser = parser(_Source())
            next(self._parser)
            self._send(head)

    def _send(self, chunk: bytes) -> None:
        if self._parser is not None and chunk:
            try:
                self._parser.send(chunk)
            except StopIteration as end:
                self._parser, self._ended = None, end.value or "intact"


_Parser: TypeAlias = Generator[None, bytes, Defect | None]
"""Receives the bytes chunk by chunk; returns at the picture's end what is wrong with it."""


class _Source:
    """The bytes that have come and are not used yet."""

    def __init__(self) -> None:
        self.data = b""
        self.at = 0

    def take(self, count: int) -> Generator[None, bytes, bytes]:
        """Return the next bytes."""
        while len(self.data) - self.at < count:
            more = yield
            self.data, self.at = self.data[self.at :] + more, 0
        self.at += count
        return self.data[self.at - count : self.at]

    def skip(self, count: int) -> Generator[None, bytes, None]:
        """Pass over the next bytes."""
        while (there := len(self.data) - self.at) < count:
            count -= there
            self.data, self.at = (yield), 0
        self.at += count


def _jpeg(source: _Source) -> _Parser:
    """Walk over the segments up to EOI (ITU T.81, annex B); an embedded thumbnail's EOI lies within a segment."""
    yield from source.skip(2)
    while True:
        while (found := _MARKER.search(source.data, source.at)) is None:  # also over the data behind SOS
            rest = source.data[source.at :]
            padding = len(rest) - len(rest.rstrip(b"\xff"))  # a marker may begin in this chunk and end in the next
            more = yield
            source.data, source.at = rest[len(rest) - padding :] + more, 0
        source.at = found.end()
        marker = found.group()[-1]
        if marker == 0xD9:
            return None
        if marker not in {0x01, 0xD8}:  # these have no length
            length = int.from_bytes((yield from source.take(2)), "big")
            yield from source.skip(max(0, length - 2))


def _png(source: _Source) -> _Parser:
    yield from source.skip(8)
    while True:
        head = yield from source.take(8)
        yield from source.skip(int.from_bytes(head[:4], "big") + 4)
        if head[4:] == b"IEND":
            return None


def _gif(source: _Source) -> _Parser:
    screen = yield from source.take(13)
    width, height = int.from_bytes(screen[6:8], "little"), int.from_bytes(screen[8:10], "little")
    yield from source.skip(_colours(screen[10]))
    frames = 0
    while True:
        (block,) = yield from source.take(1)
        if block == 0x3B:
            break
        if block == 0x2C:
            frames += 1
            frame = yield from source.take(9)
            yield from source.skip(_colours(frame[8]))
        if block in {0x21, 0x2C}:
            yield from source.skip(1)  # the extension's label, or the code size
            while count := (yield from source.take(1))[0]:
                yield from source.skip(count)
    if max(width, height) > MAX_GIF_SIDE:
        return "dimensions"
    return "frames" if frames > MAX_GIF_FRAMES else None


def _colours(flags: int) -> int:
    """Return the bytes of the colour table that the flags of a GIF's screen or frame announce."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _webp(source: _Source) -> _Parser:
    head = yield from source.take(8)
    yield from source.skip(int.from_bytes(head[4:], "little"))
    return None


def _bmp(source: _Source) -> _Parser:
    """Skip as much as the dimensions ask for; where the pixels are packed, what the file says of its own length."""
    head = yield from source.take(26)
    declared, start, header = (int.from_bytes(head[at : at + 4], "little") for at in (2, 10, 14))
    used, compression = 26, 0
    if header in {12, 16}:
        width, height, bits = (int.from_bytes(head[at : at + 2], "little") for at in (18, 20, 24))
        if header == 16:
            width, height = (int.from_bytes(head[at : at + 4], "little") for at in (18, 22))
            bits = int.from_bytes((yield from source.take(4))[2:], "little")
            used += 4
    else:
        width = int.from_bytes(head[18:22], "little")
        height = abs(int.from_bytes(head[22:26], "little", signed=True))
        more = yield from source.take(8)
        bits, compression = int.from_bytes(more[2:4], "little"), int.from_bytes(more[4:8], "little")
        used += 8
    pixels = start + (width * bits + 31) // 32 * 4 * height
    yield from source.skip(max(0, (pixels if compression in {0, 3, 6} else declared) - used))
    return None


_PARSERS = {"image/jpeg": _jpeg, "image/png": _png, "image/gif": _gif, "image/webp": _webp, "image/bmp": _bmp}
