"""Repairs JSON with invalid characters: lone surrogates, and bytes that are not UTF-8.

Neither can be written to a file or sent back, so orjson refuses the whole document; and one such description must not
make a store impossible to back up, or a backup impossible to restore. Each is read as U+FFFD, REPLACEMENT CHARACTER.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

import orjson

__all__ = ["MAX_TEXT", "parsed_leniently", "repair", "too_long", "without_surrogates"]

MAX_TEXT = 4 * 1024**2  # characters of one text; with all of them escaped, a line of Singer still stays below 64 MiB

_SURROGATES = re.compile("[\ud800-\udfff]+")
_LONGEST_INTEGER = 20  # characters of one within 64 bits
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def repair(content: bytes) -> tuple[Any, list[str]]:
    """Return the JSON in `content` with each broken character as U+FFFD, and their places (`without_surrogates`).

    Raises:
        ValueError: it is no whole JSON document.
        RecursionError: it is nested too deeply.
    """
    document, places = without_surrogates(json.loads(content.decode("utf-8", "surrogateescape")))
    # Once more by the strict parser: numbers are what they are in any other answer, and NaN stays refused.
    return orjson.loads(json.dumps(document)), places


def without_surrogates(document: Any) -> tuple[Any, list[str]]:
    """Return a parsed document with each lone surrogate as U+FFFD, and the places of these characters.

    A place is the fields and ids on the way to it, such as ``data, id 77, images, id 3, description``.

    Raises:
        RecursionError: it is nested too deeply.
    """
    places: list[str] = []
    return _replaced(document, "", places), places


def parsed_leniently(line: bytes) -> tuple[Any, list[str]]:
    """Return a line of Singer that orjson refuses, and the places of its broken characters (`without_surrogates`).

    NaN, which Python and pandas write for a missing value, is null. In a RECORD a number beyond all measure, such as
    ``1e999``, is infinity, which fits no column: it costs that record, or nothing where the column is not used.

    Raises:
        UnicodeDecodeError: it is not UTF-8. No repair: a file in another encoding would lose every letter beyond ASCII.
        ValueError: it is no JSON.
        RecursionError: it is nested too deeply.
    """
    is_infinite = False

    def number(text: str) -> float | None:
        nonlocal is_infinite
        value = float(text)
        is_infinite |= math.isinf(value)
        return None if math.isnan(value) else value

    def integer(text: str) -> float | int | None:
        exact = int(text) if len(text) <= _LONGEST_INTEGER else None
        return exact if exact is not None and -(2**63) <= exact < 2**64 else number(text)  # as orjson does

    text = line.decode("utf-8", "surrogatepass")  # some databases keep a pair as two characters of three bytes
    document = json.loads(text, parse_constant=number, parse_float=number, parse_int=integer)
    if is_infinite and not (isinstance(document, dict) and document.get("type") == "RECORD"):
        raise ValueError("infinity")
    return without_surrogates(document)


def too_long(value: Any, place: str = "") -> str | None:
    """Return the place (`without_surrogates`) of the first text in a JSON document with over `MAX_TEXT` characters.

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


def _replaced(value: Any, place: str, places: list[str]) -> Any:
    if isinstance(value, str):
        text = _SURROGATES.sub(_REPLACEMENT, value)
        if text != value:
            places.append(place)
        return text
    if isinstance(value, list):
        return [_replaced(item, place, places) for item in value]
    if isinstance(value, dict):
        if isinstance(value.get("id"), int):
            place = _join(place, f"id {value['id']}")
        return {
            _SURROGATES.sub(_REPLACEMENT, name): _replaced(item, _join(place, name), places)
            for name, item in value.items()
        }
    return value


def _join(place: str, name: str) -> str:
    return f"{place}, {name}" if place else name
