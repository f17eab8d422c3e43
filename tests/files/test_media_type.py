"""The type of a picture is what its bytes say."""

from __future__ import annotations

import random

import pytest

from bc_images.files.media_type import EXTENSIONS, HEAD, sniff
from tests.support.pictures import KINDS, MEDIA_TYPES, picture, png


@pytest.mark.parametrize("kind", KINDS)
def test_every_type_that_the_store_takes_is_known(kind: str) -> None:
    for seed in range(20):
        content = picture(kind, seed)
        assert sniff(content[:HEAD], len(content)) == MEDIA_TYPES[kind]
    assert MEDIA_TYPES[kind] in EXTENSIONS


@pytest.mark.parametrize("comment", [b"", b"/* made by hand */\n", b"\n\n  /* a */ /* b\n * c */\n"])
def test_xbm_with_comments(comment: bytes) -> None:
    content = comment + b"#define it_width 8\n#define it_height 1\nstatic char it_bits[] = { 0x01 };\n"
    assert sniff(content, len(content)) == "image/x-xbitmap"


def test_wide_wbmp() -> None:
    content = b"\0\0\x82\x10\x01" + bytes(34)  # 272 x 1
    assert sniff(content, len(content)) == "image/vnd.wap.wbmp"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0",
        b"\0\0",
        b"\0\0\x08\x08" + bytes(7),  # a WBMP that is one byte short
        b"\0\0\x08\x08" + bytes(9),
        b"\0\0\xff\xff\xff\xff\xff",
        b"\0\0\1\0\1\0\x10\x10" + bytes(100),  # ICO
        b"\0\0\0\x18ftypmp42" + bytes(100),
        b"<!DOCTYPE html><title>no</title>",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"BM",
        b"BMW is no bitmap, whatever its first letters say",
        b"RIFF\0\0\0\0WAVEfmt ",
        b"%PDF-1.7",
        b"#define x_width 8\n",
        b"#define WIDTH 8\nint main() {}",
        b"GIF88a",
        b"II*\0\x08\0\0\0",  # TIFF
    ],
)
def test_what_is_no_picture(content: bytes) -> None:
    assert sniff(content, len(content)) is None


def test_noise_is_hardly_ever_a_picture() -> None:
    dice = random.Random(0)
    assert not [seed for seed in range(2000) if sniff(dice.randbytes(200), 200)]


@pytest.mark.parametrize("size", [1000, 5000, 8 * 1024 * 1024 - 1, 8 * 1024 * 1024, 8 * 1024 * 1024 + 1])
def test_the_pictures_of_the_tests_are_real(size: int) -> None:
    from io import BytesIO

    from PIL import Image

    content = png(size, seed=3)
    assert len(content) == size
    with Image.open(BytesIO(content)) as image:
        image.load()
        assert image.size == (16, 12)
