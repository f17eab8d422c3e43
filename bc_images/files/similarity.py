"""Compares two pictures by appearance: same size and near-equal perceptual hash.

This is weaker than a digest. It is used to avoid duplicates, never to call two files equal. Pictures are hostile
input: only the formats that the store takes are decoded, and nothing larger than `MAX_PIXELS`.
"""

from __future__ import annotations

import warnings
from io import BytesIO
from typing import NamedTuple

__all__ = ["MAX_PIXELS", "Appearance", "appearance", "looks_same"]

MAX_PIXELS = 50_000_000
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "WEBP", "XBM")
_MAX_HASH_DISTANCE = 10  # of 64 bits
_MAX_COLOUR_DISTANCE = 18  # of 255, the mean over all cells: formats store colours more coarsely than brightness
_PLAIN = 8  # of 255: a picture whose cells differ by less has one colour


class Appearance(NamedTuple):
    """What a picture looks like: its size in pixels, a 64-bit difference hash, and its colours as 8 x 8 cells (RGB)."""

    width: int
    height: int
    dhash: int
    colours: bytes


def appearance(content: bytes) -> Appearance | None:
    """Return what a picture looks like, or None where it cannot be decoded or is too large."""
    from PIL import Image  # here, since only a restore in doubt needs it

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(BytesIO(content), formats=_FORMATS)
            width, height = image.size
            if width * height > MAX_PIXELS:
                return None
            image.draft("RGB", (256, 256))  # a JPEG is decoded at a fraction of its size
            rgba = image.convert("RGBA")
            flat = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
            grey = flat.convert("L").resize((9, 8), Image.Resampling.BOX).tobytes()
            colours = flat.resize((8, 8), Image.Resampling.BOX).tobytes()
    except Exception:  # noqa: BLE001 - a decoder that is given garbage may raise anything
        return None
    bits = (grey[9 * row + column] > grey[9 * row + column + 1] for row in range(8) for column in range(8))
    return Appearance(width, height, sum(bit << place for place, bit in enumerate(bits)), colours)


def looks_same(one: Appearance, other: Appearance) -> bool:
    """Whether two pictures have the same width and height, near-equal hashes, and near-equal colours."""
    if (one.width, one.height) != (other.width, other.height):
        return False
    distances = [abs(a - b) for a, b in zip(one.colours, other.colours, strict=True)]
    mean = sum(distances) / len(distances)
    if _is_plain(one) and _is_plain(other):  # neighbours differ by noise alone: the hash says nothing
        return mean < _PLAIN
    return mean <= _MAX_COLOUR_DISTANCE and (one.dhash ^ other.dhash).bit_count() <= _MAX_HASH_DISTANCE


def _is_plain(picture: Appearance) -> bool:
    return all(max(picture.colours[start::3]) - min(picture.colours[start::3]) < _PLAIN for start in range(3))
