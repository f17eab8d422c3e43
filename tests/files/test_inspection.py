"""What the store would refuse is found in the bytes alone: in real files, and in these cut at every length."""

from __future__ import annotations

import random
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from bc_images.files.inspection import MAX_GIF_FRAMES, MAX_GIF_SIDE, Inspection, refusal
from bc_images.files.media_type import HEAD, MAX_UPLOAD, sniff
from bigcommerce_sandbox import media
from tests.support.pictures import KINDS, picture


def inspected(content: bytes, step: int = 1 << 18) -> str | None:
    """Feed a picture in pieces of a size."""
    media_type = sniff(content[:HEAD], len(content))
    assert media_type is not None
    inspection = Inspection()
    for at in range(0, len(content), step):
        inspection.feed(content[at : at + step])
    return inspection.defect(media_type)


def drawn(kind: str, **options: Any) -> bytes:
    out = BytesIO()
    image = Image.frombytes("RGB", (40, 30), random.Random(kind).randbytes(3600))
    mode = options.pop("mode", None)
    (image.convert(mode) if mode else image).save(out, kind, **options)
    return out.getvalue()


def thumbnail_inside() -> bytes:
    """A JPEG that carries another, whole one in its metadata, as cameras write them."""
    exif = Image.Exif()
    exif[0x010E] = "x"
    return drawn("JPEG", exif=exif.tobytes() + drawn("JPEG", quality=20))


FILES = {
    **{kind: picture(kind) for kind in KINDS},
    "baseline jpeg": drawn("JPEG"),
    "progressive jpeg": drawn("JPEG", progressive=True),
    "grey jpeg with restart markers": drawn("JPEG", mode="L", restart_marker_blocks=1),
    "jpeg with a jpeg inside": thumbnail_inside(),
    "png with palette": drawn("PNG", mode="P"),
    "animated gif": drawn("GIF", save_all=True, append_images=[Image.new("RGB", (40, 30), "red")]),
    "interlaced gif": drawn("GIF", interlace=1),
    "lossless webp": drawn("WEBP", lossless=True),
    "webp with metadata": drawn("WEBP", xmp=b"odd"),
    "animated webp": drawn("WEBP", save_all=True, append_images=[Image.new("RGB", (40, 30), "red")]),
    "animated png": drawn("PNG", save_all=True, append_images=[Image.new("RGB", (40, 30), "red")]),
    "bmp with one bit": drawn("BMP", mode="1"),
    "bmp with palette": drawn("BMP", mode="P"),
    "bmp with transparency": drawn("BMP", mode="RGBA"),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("step", [1, 7, 1 << 18])
def test_whole_pictures(name: str, step: int) -> None:
    assert inspected(FILES[name], step) is None


@pytest.mark.parametrize("name", [name for name in FILES if name != "wbmp"])
def test_cut_at_every_length(name: str) -> None:
    content = FILES[name]
    least = 120 if name == "xbm" else 32
    lengths = [length for length in range(least, len(content)) if sniff(content[:length], length)]
    assert len(lengths) > 40
    for length in lengths:
        if name == "xbm" and b"}" in content[:length]:
            continue
        assert inspected(content[:length]) == "truncated", length


def test_what_follows_the_end_does_no_harm() -> None:
    for name, content in FILES.items():
        if name not in {"wbmp", "xbm"}:
            assert inspected(content + bytes(1000) + b"\xff\xd8\xff" + b"trailer") is None, name


def test_the_old_headers_of_bmp() -> None:
    pixels = bytes(4 * 3)
    core = b"BM" + (26 + 12).to_bytes(4, "little") + bytes(4) + (26).to_bytes(4, "little") + (12).to_bytes(4, "little")
    core += b"\x01\x00\x03\x00\x01\x00\x18\x00"
    assert inspected(core + pixels) is None
    assert inspected(core + pixels[:-1]) == "truncated"


@pytest.mark.parametrize("frames", [MAX_GIF_FRAMES, MAX_GIF_FRAMES + 1])
def test_frames_of_a_gif(frames: int) -> None:
    out = BytesIO()
    dice = random.Random(1)
    images = [Image.new("RGB", (4, 4), (dice.randrange(256), number % 256, 9)) for number in range(frames)]
    images[0].save(out, "GIF", save_all=True, append_images=images[1:])
    content = out.getvalue()
    assert inspected(content) == (None if frames == MAX_GIF_FRAMES else "frames")
    assert accepted(content) is (frames == MAX_GIF_FRAMES)


@pytest.mark.parametrize("size", [(MAX_GIF_SIDE, 1), (MAX_GIF_SIDE + 1, 1), (1, MAX_GIF_SIDE + 1)])
def test_dimensions_of_a_gif(size: tuple[int, int]) -> None:
    out = BytesIO()
    Image.new("1", size).save(out, "GIF")
    is_fine = max(size) <= MAX_GIF_SIDE
    assert inspected(out.getvalue()) == (None if is_fine else "dimensions")
    assert accepted(out.getvalue()) is is_fine


def accepted(content: bytes) -> bool:
    """Whether the sandbox takes a picture."""
    try:
        media.inspect(content)
    except media.NotAPicture:
        return False
    return True


def test_refusals() -> None:
    assert refusal(MAX_UPLOAD, None) is None
    assert refusal(MAX_UPLOAD + 1, None) == "it has 8,388,609 bytes and the store takes 8,388,608 at most"
    assert refusal(1, "truncated") == "it is truncated"


def test_what_is_too_large_is_not_looked_into() -> None:
    inspection = Inspection()
    inspection.feed(FILES["gif"][:40])
    inspection.feed(bytes(MAX_UPLOAD))
    assert inspection.defect("image/gif") is None


@pytest.mark.parametrize("seed", range(200))
def test_nothing_makes_it_fail(seed: int) -> None:
    """Whatever is in a file, there is an answer."""
    dice = random.Random(seed)
    content = bytearray(dice.choice(list(FILES.values())))
    for _ in range(dice.randrange(1, 20)):
        content[dice.randrange(len(content))] = dice.randrange(256)
    inspection = Inspection()
    at = 0
    while at < len(content):
        step = dice.randrange(1, 200)
        inspection.feed(bytes(content[at : at + step]))
        at += step
    for media_type in ("image/jpeg", "image/png", "image/gif", "image/webp", "image/bmp", "image/x-xbitmap"):
        assert inspection.defect(media_type) in {None, "truncated", "frames", "dimensions"}
