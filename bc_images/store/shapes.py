"""Checks on what the store answers, shared by both versions: never guess, name what does not fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bc_images.errors import UnexpectedResponse

__all__ = ["ascending", "count", "integer", "objects", "optional_text"]


def objects(answer: object, what: str) -> list[dict[str, Any]]:
    """Return `answer` as the list of objects it must be.

    Raises:
        UnexpectedResponse: it is anything else.
    """
    if not isinstance(answer, list) or not all(isinstance(item, dict) for item in answer):
        raise UnexpectedResponse(f"{what}: a list of objects was expected. The answer does not fit the API.")
    return answer


def integer(item: Mapping[str, Any], name: str, what: str) -> int:
    """Return the integer field `name` of `item`."""
    value = item.get(name)
    if type(value) is not int:
        raise UnexpectedResponse(f"{what}: the field {name} is {value!r}, not int. The answer does not fit the API.")
    return value


def optional_text(item: Mapping[str, Any], name: str, what: str) -> str | None:
    """Return the text field `name` of `item`, or None where it is null or absent."""
    value = item.get(name)
    if value is not None and type(value) is not str:
        raise UnexpectedResponse(f"{what}: the field {name} is {value!r}, not str. The answer does not fit the API.")
    return value


def count(answer: object, what: str) -> int:
    """Return the number in ``{"count": n}``."""
    if not isinstance(answer, Mapping):
        raise UnexpectedResponse(f"{what}: an object with a count was expected. The answer does not fit the API.")
    return integer(answer, "count", what)


def ascending(ids: Iterable[int], after: int, what: str) -> None:
    """Make sure that a page is in id order and beyond `after`: else a walk by id could skip items or never end."""
    for item_id in ids:
        if item_id <= after:
            raise UnexpectedResponse(
                f"{what}: id {item_id} came after {after}: not in id order. The answer does not fit the API."
            )
        after = item_id
