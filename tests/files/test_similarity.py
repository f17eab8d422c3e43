"""What looks the same, and what does not."""

from __future__ import annotations

from functools import cache
from io import BytesIO
from itertools import combinations

import pytest
from PIL import Image

from bc_images.files import similarity
from bc_images.files.similarity import Appearance, appearance, looks_same
from bigcommerce_sandbox import media, seed
from tests.support.target import picture

SEEDED = [seed.picture(0, number, seed.EXTENSIONS[number % 10], 0) for number in range(11, 91)]


def encoded(content: bytes, kind: str, quality: int) -> bytes:
    out = BytesIO()
    Image.open(BytesIO(content)).convert("RGB").save(out, kind, quality=quality)
    return out.getvalue()


@cache
def appearance_of(content: bytes) -> Appearance | None:
    """The appearance, computed once for all pairs that a picture is in."""
    return appearance(content)


def same(one: bytes, other: bytes) -> bool:
    first, second = appearance_of(one), appearance_of(other)
    assert first is not None
    assert second is not None
    return looks_same(first, second)


@pytest.mark.parametrize("quality", [20, 50, 80])
@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_a_picture_stays_itself_however_it_is_encoded(kind: str, quality: int) -> None:
    assert all(same(content, encoded(content, kind, quality)) for content in SEEDED)


def test_a_picture_stays_itself_when_the_store_encodes_it_anew() -> None:
    assert all(same(content, media.recompress(content)) for content in SEEDED)


def test_no_two_pictures_look_the_same() -> None:
    assert not any(same(one, other) for one, other in combinations(SEEDED, 2))


def test_pictures_of_one_colour_differ_by_it() -> None:
    assert not any(same(picture(one), picture(other)) for one, other in combinations(range(40), 2))
    assert same(picture(3), picture(3, "JPEG"))


def test_another_size_is_another_picture() -> None:
    out = BytesIO()
    Image.open(BytesIO(SEEDED[0])).convert("RGB").resize((200, 200)).save(out, "PNG")
    assert not same(SEEDED[0], out.getvalue())


def test_hostile_bytes_look_like_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert appearance(b"") is None
    assert appearance(b"GIF89a" + b"\xff" * 100) is None
    assert appearance(SEEDED[0][:200]) is None
    monkeypatch.setattr(similarity, "MAX_PIXELS", 40)
    assert appearance(picture(1)) is None
