"""The seeded stock: deterministic products and images, and pictures that are drawn when first asked for."""

from __future__ import annotations

import hashlib
import struct
import zlib
from functools import lru_cache
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Iterator

EPOCH: Final = 1_600_000_000  # 2020-09-13: seeded dates lie in the past, dates of later writes do not
EXTENSIONS: Final = ("jpg", "png", "jpg", "gif", "jpg", "webp", "jpg", "jpg", "bmp", "jpeg")
LARGE_EVERY: Final = 40  # one picture in so many is larger than a rendition may be
_FORMATS: Final = {"jpg": "JPEG", "jpeg": "JPEG", "png": "PNG", "gif": "GIF", "webp": "WEBP", "bmp": "BMP"}

NEW_PRODUCT: Final[dict[str, str]] = {"sku": "", "name": "New product"}


def product_id(index: int) -> int:
    """Id of the product at this position: ascending, with a gap after every ten."""
    return 101 + index + index // 10 * 3


def image_id(index: int) -> int:
    """Id of the image at this position: ascending store-wide, with a gap after every fifty."""
    return 11 + index + index // 50 * 7


def _name(index: int) -> str:
    if index % 9 == 4:
        return f"[Sample] Größe & Maß {index} “日本” 🧦"
    return f"[Sample] Product {index}"


def products(count: int) -> Iterator[tuple[Any, ...]]:
    """Rows of the table products, in id order."""
    for i in range(count):
        created = EPOCH + i * 60
        yield (
            product_id(i),
            "" if i % 17 == 16 else f"SKU-{i:06d}",
            _name(i),
            created,
            created + i % 24 * 3600,
        )


_DESCRIPTIONS: Final = (
    "",
    None,
    "Größer \u2013 日本 🧦 “quoted” <b>&amp;</b>",
    "front",
    "line one\nline two",
)


def _path(number: int, seed: int, slug: str, ext: str) -> str:
    """A stored name that looks random and is different for each of more than a million images."""
    folder = f"{chr(97 + (number * 7 + seed) % 26)}/{(number * 131 + seed * 17) % 1000:03d}"
    return f"{folder}/{slug}__{(number * 48271 + seed * 7919) % 100000:05d}.{ext}"


def images(count: int, per_product: int, seed: int, without: int) -> Iterator[tuple[Any, ...]]:
    """Rows of the table images, in id order; every ``without``-th product has none (0: all have some)."""
    position = 0
    for i in range(count):
        if without and i % without == without - 1:
            continue
        owner = product_id(i)
        created = EPOCH + i * 60 + 30
        same_stem = i % 4 == 3
        same_order = i % 5 == 2
        spread = 10 if i % 7 == 5 else 1
        thumbnail = per_product - 1 if i % 6 == 1 else 0
        for j in range(per_product):
            number = image_id(position)
            position += 1
            ext = EXTENSIONS[number % 10]
            slug = "main-image" if same_stem else f"product-{i}-view-{j}"
            yield (
                number,
                owner,
                _path(number, seed, slug, ext),
                int(j == thumbnail),
                0 if same_order else j * spread,
                _DESCRIPTIONS[number % 5],
                created + j,
                created + j + number % 5 * 86400,
                number,
                None,
                None,
            )


# ---------------------------------------------------------------- pictures


def _draw(seed: int, number: int, ext: str) -> bytes:
    cells = hashlib.shake_128(f"picture {seed} {number}".encode()).digest(8 * 8 * 3)
    smooth = ext in ("jpg", "jpeg", "webp")
    size = (48 + number * 7 % 80, 48 + number * 11 % 80)
    if number % LARGE_EVERY == 7:
        size = (1600, 1200)
    picture = Image.frombytes("RGB", (8, 8), cells)
    picture = picture.resize(size, Image.Resampling.BICUBIC if smooth else Image.Resampling.NEAREST)
    if ext == "gif":
        picture = picture.quantize(64)
    out = BytesIO()
    if smooth:
        picture.save(out, _FORMATS[ext], quality=82, **({"method": 0} if ext == "webp" else {}))
    else:
        picture.save(out, _FORMATS[ext])
    return out.getvalue()


def _filler(seed: int, number: int, length: int) -> bytes:
    return hashlib.shake_128(f"filler {seed} {number}".encode()).digest(length)


def _jpeg_comments(filler: bytes) -> bytes:
    """Comment segments of exactly ``len(filler)`` bytes in all; at least 4."""
    out = bytearray()
    rest = len(filler)
    while rest:
        piece = min(rest, 65537)
        if 0 < rest - piece < 4:  # what remains must hold a segment of its own
            piece -= 4
        out += b"\xff\xfe" + struct.pack(">H", piece - 2) + filler[: piece - 4]
        rest -= piece
    return bytes(out)


def pad(content: bytes, ext: str, size: int, seed: int, number: int) -> bytes:
    """Grow a picture to exactly ``size`` bytes, in a part of its format that decoders skip."""
    room = size - len(content)
    if room < 16:
        raise ValueError(f"picture {number} has {len(content)} bytes already; it cannot be padded to {size}")
    filler = _filler(seed, number, room)
    if ext in ("jpg", "jpeg"):
        return content[:2] + _jpeg_comments(filler) + content[2:]
    if ext == "png":
        chunk = b"biLL" + filler[12:]
        end = len(content) - 12  # IEND is the last chunk and has no data
        frame = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        return content[:end] + frame + content[end:]
    if ext == "webp":
        if room % 2:  # RIFF chunks have an even length; the odd byte goes after the file
            return pad(content, ext, size - 1, seed, number) + b"\0"
        body = content[8:] + b"FILL" + struct.pack("<I", room - 8) + filler[8:]
        return b"RIFF" + struct.pack("<I", len(body)) + body
    return content + filler  # GIF after its trailer, BMP after its pixels


@lru_cache(maxsize=128)
def picture(seed: int, number: int, ext: str, size: int) -> bytes:
    """The picture of seeded image ``number``, the same at every call; ``size`` bytes unless that is 0."""
    content = _draw(seed, number, ext)
    if not size:
        return content
    if len(content) > size - 16:  # a large one, or noise that does not compress: draw it small
        small = Image.frombytes("RGB", (8, 8), content[-192:])
        out = BytesIO()
        small.save(out, _FORMATS[ext])
        content = out.getvalue()
    return pad(content, ext, size, seed, number)
