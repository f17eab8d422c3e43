"""Valid input, changed at random: bytes, and the values of the JSON in them."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

__all__ = ["ODD", "changed", "mutated", "places"]

ODD: list[Any] = [
    None, True, False, 0, -1, 1.5, 2**63, 2**64 - 1, 2**80, -(2**63), 1e308, "", "x" * 5000, "\0", "🧦", "NaN", [], {},
    [[]], {"": {}}, [1], "product_images", "id", "RAW-PRODUCT_IMAGES", "ID", "2026-99-99", ["id"], {"type": "integer"},
    {"properties": 5}, {"properties": {"id": 5}}, {"properties": {}}, "\x1b[31m", "'\"{}", "\\N", "1e99", " 12 ",
    "0001-01-01T00:00:00", "9999-12-31T23:59:59-23:59", "Mon, 01 Jan 0001 00:00:00 -2359", "²", "\u202e", "%s",
    "a/../b", "/**/", "<!---->", "http://[", [{}], {"id": 1},
]  # fmt: skip
"""Values that take the place of others."""

INSERTED = [
    b"\0", b"\n", b"\r\n", b" ", b'"', b"[" * 150, b'{"a":' * 130, b"NaN", b"1e999", b"9" * 400, b"9" * 5000, b"-",
    b"\\ud800", b"\xff", b"\xc3\x28", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"/**/", b"<!---->", b"=", b",", b":", b"%",
    b"a" * 3000, b"://", b"[" * 20_000, b'{"a":' * 20_000,
]  # fmt: skip
_RARE = 0.01  # of what is put in again thousands of times
_REPEATED = 65_536  # bytes


def mutated(samples: Sequence[bytes], dice: random.Random) -> bytes:
    """Return one of `samples` with one or more changes; the JSON in it, if any, stays JSON half the time."""
    data = dice.choice(samples)
    if dice.random() < 0.5 and (changed_json := _changed_json(data, dice)) is not None:
        if dice.random() < 0.8:
            return changed_json
        data = changed_json
    content = bytearray(data)
    for _ in range(dice.choice([1, 1, 3, 20])):
        if content:
            _change_bytes(content, dice)
    return bytes(content)


def _change_bytes(content: bytearray, dice: random.Random) -> None:
    place, length = dice.randrange(len(content)), dice.randrange(1, 30)
    match dice.randrange(6):
        case 0:
            content[place] = dice.randrange(256)
        case 1:
            del content[place : place + length]
        case 2:
            content[place:place] = dice.choice(INSERTED)
        case 3:
            content[place:place] = content[place : place + length]
        case 4 if dice.random() < _RARE:
            piece = content[place : place + dice.choice([1, 2, 4, 8, length])]
            content[place:place] = piece * (_REPEATED // len(piece))
        case 4:
            content[place] ^= 1 << dice.randrange(8)
        case _:
            del content[place + 1 :]


def _changed_json(data: bytes, dice: random.Random) -> bytes | None:
    """Change values of one line of JSON, or of the JSON behind header fields."""
    head, blank, body = data.rpartition(b"\r\n\r\n")
    lines = [body] if blank else body.splitlines(keepends=True)
    at = dice.randrange(len(lines) or 1)
    try:
        document = json.loads(lines[at])
    except (ValueError, IndexError):
        return None
    lines[at] = json.dumps((changed([document], dice) or [None])[0]).encode() + (b"" if blank else b"\n")
    return head + blank + b"".join(lines)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value in a document."""
    if path:
        yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(inner, (*path, key))


def changed(document: Any, dice: random.Random, names: Sequence[str] = ("", "ID", "\ufeffid")) -> Any:
    """Return a document with values of other types, without some, and with names of fields out of `names`."""
    document = copy.deepcopy(document)
    for _ in range(dice.choice([1, 1, 2, 3])):
        if not (found := list(places(document))):
            break
        *path, key = dice.choice(found)
        place: Any = document
        for step in path:
            place = place[step]
        if isinstance(place, dict) and dice.random() < 0.3:
            place[dice.choice([*names, str(key).upper()])] = copy.deepcopy(
                dice.choice([place.get(key), dice.choice(ODD)])
            )
        if isinstance(place, list) and place and dice.random() < 0.2:
            place.append(copy.deepcopy(dice.choice(place)))
        if dice.random() < 0.2:
            with suppress(KeyError, IndexError):
                del place[key]
        else:
            place[key] = copy.deepcopy(dice.choice(ODD))
    return document
