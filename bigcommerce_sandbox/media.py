"""Pictures: which ones the store accepts, the names it stores them under, and the renditions it serves."""

from __future__ import annotations

import random
import re
import warnings
from io import BytesIO
from typing import Any, Final

from PIL import Image

MEDIA_TYPES: Final = {
    "bmp": "image/bmp",
    "gif": "image/gif",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "png": "image/png",
    "wbmp": "image/vnd.wap.wbmp",
    "webp": "image/webp",
    "xbm": "image/x-xbitmap",
}
"""The accepted types (products_catalog.v3.yml, createProductImage) by file extension."""

READABLE: Final = ("BMP", "GIF", "JPEG", "PNG", "WEBP", "XBM")
MAX_GIF_FRAMES: Final = 150
MAX_GIF_SIDE: Final = 5120
MAX_PIXELS: Final = 100_000_000
RENDITION_MAX: Final = 1280
SIZES: Final = {"zoom": "1280.1280", "standard": "560.850", "thumbnail": "330.500", "tiny": "66.100"}


class NotAPicture(ValueError):
    """The bytes are not a picture that the store accepts."""


def _wbmp_number(content: bytes, at: int) -> tuple[int, int]:
    value = 0
    for step in range(4):
        if at + step >= len(content):
            break
        byte = content[at + step]
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            return value, at + step + 1
    raise NotAPicture("a broken WBMP header")


def _wbmp(content: bytes) -> Image.Image:
    """Read a WBMP of type 0 (black and white, no compression), which Pillow cannot."""
    if content[:2] != b"\0\0":
        raise NotAPicture("not a WBMP")
    width, at = _wbmp_number(content, 2)
    height, at = _wbmp_number(content, at)
    if not width or not height or len(content) - at != (width + 7) // 8 * height:
        raise NotAPicture("a WBMP of another length than its size tells")
    return Image.frombytes("1", (width, height), content[at:])


def opened(content: bytes) -> Image.Image:
    """Decode a picture of an accepted type completely; raises `NotAPicture`."""
    if content[:2] == b"\0\0":
        return _wbmp(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture = Image.open(BytesIO(content), formats=READABLE)
            if picture.width * picture.height <= MAX_PIXELS:
                picture.load()
                return picture
    except Exception as error:  # a decoder that is fed with garbage may raise anything
        raise NotAPicture(str(error)) from error
    raise NotAPicture("too many pixels")


def inspect(content: bytes) -> str:
    """The file extension of the bytes' own type; raises `NotAPicture` for what the store refuses."""
    picture = opened(content)
    kind = (picture.format or "WBMP").lower()
    if kind == "gif":
        frames = getattr(picture, "n_frames", 1)
        if frames > MAX_GIF_FRAMES or max(picture.size) > MAX_GIF_SIDE:
            raise NotAPicture(f"a GIF of {frames} frames and {picture.width}x{picture.height} pixels is too large")
    return "jpg" if kind == "jpeg" else kind


def recompress(content: bytes) -> bytes:
    """What a store that recompresses uploads would keep: the same picture in other bytes."""
    return _encode(opened(content), b"recompressed", quality=70)[0]


def polish(content: bytes, quality: int) -> tuple[bytes, str]:
    """What a CDN that re-encodes pictures makes of one: (bytes, media type).

    BMP, WBMP and XBM stay as they are, and so does a GIF that is packed as well already.
    """
    picture = opened(content)
    kind = picture.format or ""
    if kind not in ("JPEG", "PNG", "GIF", "WEBP"):
        return content, MEDIA_TYPES[(kind or "WBMP").lower()]
    out = BytesIO()
    if kind == "JPEG":
        picture.save(out, kind, quality=quality, progressive=True)
    elif kind == "GIF":
        picture.save(out, kind, save_all=True, comment=b"")
    else:
        kind = "WEBP"
        picture.save(out, kind, quality=quality, method=0)
    return out.getvalue(), MEDIA_TYPES[kind.lower()]


def stored_name(name: str, kind: str, seed: int, serial: int) -> str:
    """``c/ddd/slug__NNNNN.ext`` for an uploaded file name; a suffix that is there already stays, so they stack."""
    stem, _, ext = name.rpartition(".")
    same_kind = MEDIA_TYPES.get(ext.lower()) == MEDIA_TYPES[kind]
    if not same_kind:
        stem, ext = (stem, kind) if ext.lower() in MEDIA_TYPES else (name, kind)
    slug = re.sub(r"[^A-Za-z0-9_.-]+", "-", stem).strip("-.")[:200] or "image"
    dice = random.Random(f"{seed}:{serial}")
    letter = chr(97 + dice.randrange(26))
    return f"{letter}/{dice.randrange(1000):03d}/{slug}__{dice.randrange(100_000):05d}.{ext}"


def rendition(content: bytes, width: int, height: int) -> tuple[bytes, str]:
    """The picture fitted into ``width`` x ``height``, never enlarged; (bytes, media type), never the original bytes.

    BMP, WBMP and XBM become JPEG, whatever the address ends with (assumed).
    """
    picture = opened(content)
    picture.thumbnail((min(width, RENDITION_MAX), min(height, RENDITION_MAX)))
    return _encode(picture, f"rendition {width}x{height}".encode(), quality=80)


def _encode(picture: Image.Image, note: bytes, quality: int) -> tuple[bytes, str]:
    out = BytesIO()
    options: dict[str, Any] = {}
    kind = picture.format or ""
    if kind == "PNG":
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        info.add_text("Comment", note.decode())
        options = {"pnginfo": info}
    elif kind == "GIF":
        options = {"comment": note}
    elif kind == "WEBP":
        options = {"quality": quality, "xmp": note}
    else:
        kind = "JPEG"
        picture = picture.convert("RGB")
        options = {"quality": quality, "comment": note}
    picture.save(out, kind, **options)
    return out.getvalue(), MEDIA_TYPES[kind.lower()]
