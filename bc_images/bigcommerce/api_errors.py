"""Reads the body of a refusal: the store's message, and the fields that it names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

from bc_images.redaction import redact
from bc_images.schema import writable_fields

__all__ = ["ApiError", "read_error"]

PICTURE_FIELDS = ("image_file", "image_url")

_LONGEST = 500  # characters of an error's text
_MAX_DEPTH = 10  # of nested objects and lists
_WRAPPERS = {"message", "title", "detail", "details", "reason", "errors"}
"""Keys around a reason that say nothing of the field."""
_MAX_LENGTH = re.compile(
    r"(?:longer than|at most|max(?:imum)?|limit|up to|exceeds?)\D{0,16}(\d{1,6})"
    r"|(\d{1,6}) (?:characters|chars|letters)",
    re.IGNORECASE,
)


class ApiError(NamedTuple):
    """A refusal.

    `text` is one line without secrets and without a full stop at its end; `fields` are the fields of the request that
    it names, `max_length` is how many characters it says that a text may have.
    """

    text: str
    fields: frozenset[str] = frozenset()
    max_length: int | None = None


def read_error(content: bytes) -> ApiError:
    """Read the body of an error, V2's list or V3's object; an empty text where it is neither.

    V3: ``{"title": ..., "errors": {field: reason}}`` (V3 spec, errorResponse_422). V2:
    ``[{"message": ..., "details": {"invalid_reason": ...}}]`` (V2 spec). Reasons may be nested.
    """
    try:
        body = orjson.loads(content)
    except orjson.JSONDecodeError:
        return ApiError("")
    parts: list[str] = []
    fields: set[str] = set()
    for error in body if isinstance(body, list) else [body]:
        if isinstance(error, dict):
            parts += _texts(error)
            for path, _ in _leaves(error.get("errors")):
                fields |= _named(" ".join(path))
    text = " ".join(parts)
    text = redact(" ".join("".join(sign if sign.isprintable() else " " for sign in text).split()))
    length = _MAX_LENGTH.search(text)
    return ApiError(
        text[:_LONGEST].rstrip("."), frozenset(fields or _named(text)), int(length[1] or length[2]) if length else None
    )


def _texts(error: dict[str, Any]) -> Iterator[str]:
    titles = [text for _, text in _leaves(error.get("title") or error.get("message"))]
    yield from titles
    details = error.get("details")
    if isinstance(details, dict):
        yield from (text for _, text in _leaves(details.get("invalid_reason") or details.get("conflict_reason")))
    for path, text in _leaves(error.get("errors")):
        name = ".".join(path)
        if text not in titles:  # which it is where a single field is wrong
            yield f"{name}: {text}" if name else text


def _leaves(value: object, path: tuple[str, ...] = (), depth: int = 0) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield every text inside nested objects and lists, with the names that lead to it."""
    if depth > _MAX_DEPTH:
        return
    if isinstance(value, dict):
        for name, inner in value.items():
            is_wrapper = name.isdecimal() or name.lower() in _WRAPPERS
            yield from _leaves(inner, path if is_wrapper else (*path, name), depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, path, depth + 1)
    elif value is not None and value != "":
        yield path, str(value)


def _named(text: str) -> set[str]:
    """Return the fields of an image that a text names, in any spelling: ``sort_order``, ``Sort order``."""
    without_files = re.sub(r"https?://\S+|(?<!\S)\S+\.[A-Za-z0-9]{1,5}(?=\W|$)", " ", text)
    plain = re.sub(r"[\W_]+", " ", without_files).lower()
    return {name for name in (*writable_fields(), *PICTURE_FIELDS) if f" {name.replace('_', ' ')} " in f" {plain} "}
