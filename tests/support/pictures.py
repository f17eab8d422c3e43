"""Pictures for the tests: real ones of every type that the store takes."""

from __future__ import annotations

import random
import struct
import zlib
from functools import cache
from io import BytesIO

KINDS = ("jpeg", "png", "gif", "webp", "bmp", "wbmp", "xbm")
MEDIA_TYPES = {
    "jpeg": "image/jpeg",
    "png": "image/png",
    "gif": "image/gif",
    "webp": "image/webp",
    "bmp": "image/bmp",
    "wbmp": "image/vnd.wap.wbmp",
    "xbm": "image/x-xbitmap",
}


@cache
def picture(kind: str, seed: int = 0) -> bytes:
    """A small picture of a type, another one for every seed."""
    from PIL import Image

    dice = random.Random(f"{kind} {seed}")
    if kind == "wbmp":
        return b"\0\0\x10\x08" + dice.randbytes(16)
    image = Image.frombytes("RGB", (16, 12), dice.randbytes(16 * 12 * 3))
    out = BytesIO()
    (image.convert("1") if kind == "xbm" else image).save(out, kind.upper())
    return out.getvalue()


def png(size: int, seed: int = 0) -> bytes:
    """A valid PNG of exactly so many bytes (1000 or more): a small picture and a comment that fills it up."""
    start, end = picture("png", seed)[:-12], picture("png", seed)[-12:]
    room = size - len(start) - len(end) - 12
    note = b"tEXt" + (b"Comment\0" + random.Random(seed).randbytes(1) * room)[:room]
    chunk = struct.pack(">I", room) + note + struct.pack(">I", zlib.crc32(note))
    made = start + chunk + end
    assert len(made) == size, (len(made), size)
    return made
