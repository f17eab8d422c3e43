"""JSON that is whole, but holds characters that are none: what is left of a cut emoji, or bytes that are no UTF-8.

Neither can be written to a file or sent back, so orjson refuses the whole document; and one such description must not
make a store impossible to back up. Each is read as U+FFFD, the sign for a character that was lost, and told.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

__all__ = ["MAX_TEXT", "mended", "too_long"]

MAX_TEXT = 4 * 1024**2  # characters of one text; with all of them escaped, a line of Singer still stays below 64 MiB

_LOST = re.compile("[\ud800-\udfff]+")
_SIGN = "\N{REPLACEMENT CHARACTER}"


def mended(content: bytes) -> tuple[Any, list[str]]:
    """Return the JSON in `content` with each lost character as U+FFFD, and the places of these characters.

    A place is told by the fields and ids on the way to it, such as ``data, id 77, images, id 3, description``.

    Raises:
        ValueError: it is no whole JSON document.
        RecursionError: it is nested too deeply.
    """
    places: list[str] = []
    document = json.loads(content.decode("utf-8", "surrogateescape"))  # a stray byte becomes half a character, too
    whole = _whole(document, "", places)
    # Once more by the strict parser: numbers are what they are in any other answer, and NaN stays refused.
    return orjson.loads(json.dumps(whole)), places


def too_long(value: Any, place: str = "") -> str | None:
    """Return the place of the first text in a JSON document with more than `MAX_TEXT` characters, told as by `mended`.

    Raises:
        RecursionError: it is nested too deeply.
    """
    if isinstance(value, str):
        return place if len(value) > MAX_TEXT else None
    if isinstance(value, list):
        return next((long for item in value if (long := too_long(item, place))), None)
    if isinstance(value, dict):
        if isinstance(value.get("id"), int):
            place = _join(place, f"id {value['id']}")
        if any(len(name) > MAX_TEXT for name in value):
            return _join(place, "the name of a field")
        return next((long for name, item in value.items() if (long := too_long(item, _join(place, name)))), None)
    return None


def _whole(value: Any, place: str, places: list[str]) -> Any:
    if isinstance(value, str):
        text = _LOST.sub(_SIGN, value)
        if text != value:
            places.append(place)
        return text
    if isinstance(value, list):
        return [_whole(item, place, places) for item in value]
    if isinstance(value, dict):
        if isinstance(value.get("id"), int):
            place = _join(place, f"id {value['id']}")
        return {_LOST.sub(_SIGN, name): _whole(item, _join(place, name), places) for name, item in value.items()}
    return value


def _join(place: str, name: str) -> str:
    return f"{place}, {name}" if place else name
