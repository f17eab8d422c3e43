"""JSON that is whole, but holds characters that are none: what is left of a cut emoji, or bytes that are no UTF-8.

Neither can be written to a file or sent back, so orjson refuses the whole document; and one such description must not
make a store impossible to back up. Each is read as U+FFFD, the sign for a character that was lost, and told.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

__all__ = ["mended"]

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
