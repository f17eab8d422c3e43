"""Detects the media type of a picture from its bytes.

The seven types are those that BigCommerce takes (V3 spec, createProductImage).
"""

from __future__ import annotations

import re

__all__ = ["EXTENSIONS", "HEAD", "MAX_UPLOAD", "sniff"]

MAX_UPLOAD = 8 * 1024 * 1024  # bytes that the store takes per picture (V3 spec)

HEAD = 4096  # bytes from the start that `sniff` looks at

EXTENSIONS: dict[str, tuple[str, ...]] = {
    "image/jpeg": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "image/png": (".png",),
    "image/gif": (".gif",),
    "image/webp": (".webp",),
    "image/bmp": (".bmp", ".dib"),
    "image/vnd.wap.wbmp": (".wbmp",),
    "image/x-xbitmap": (".xbm",),
}
"""Media type -> file-name extensions that fit it, the usual one first."""

_MAGIC = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)
_DIB_HEADERS = {12, 16, 40, 52, 56, 64, 108, 124}  # sizes of the header versions that follow "BM" + 12 bytes
# Atomic, as a comment ends at its first "*/": else a file of comments alone would take exponential time.
_XBM = re.compile(rb"(?>\s+|/\*.*?\*/)*+#define[ \t]+\w*width[ \t]+\d+\s+#define[ \t]+\w*height[ \t]+\d+\s", re.DOTALL)


def sniff(head: bytes, size: int) -> str | None:
    """Return the media type of a picture, or None where it is none of the known types.

    Args:
        head: its first `HEAD` bytes, or all where it is shorter.
        size: bytes of the whole.
    """
    for magic, media_type in _MAGIC:
        if head.startswith(magic):
            return media_type
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _DIB_HEADERS:
        return "image/bmp"
    if _XBM.match(head):
        return "image/x-xbitmap"
    return "image/vnd.wap.wbmp" if _is_wbmp(head, size) else None


def _is_wbmp(head: bytes, size: int) -> bool:
    """WBMP has no magic but two zero bytes, so its dimensions must explain its size exactly."""
    if head[:2] != b"\0\0":
        return False
    width, at = _number(head, 2)
    height, at = _number(head, at)
    return bool(width and height) and size == at + (width + 7) // 8 * height


def _number(head: bytes, at: int) -> tuple[int, int]:
    """Read a multi-byte integer (7 bits a byte, the high bit says that more follow); return it and what is next."""
    value = 0
    for byte in head[at : at + 4]:
        value, at = value << 7 | byte & 0x7F, at + 1
        if byte < 0x80:
            return value, at
    return 0, at
