"""Reads JSON lines from files, archives and standard input, with bounds.

One reader for all of them, so that they take the same and refuse the same. Memory is bounded by one line, however much
a compressed file inflates to: a line is at most `MAX_LINE` bytes long, and holds at most `MAX_VALUES` values.
"""

from __future__ import annotations

import io
import logging
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import orjson

from bc_images.decompression import BOM, opened, sentence_start
from bc_images.errors import InvalidInput
from bc_images.json_repair import parsed_leniently

__all__ = [
    "MAX_DEPTH",
    "MAX_LINE",
    "UNDO",
    "InvalidLineError",
    "is_deep",
    "lines",
    "messages",
    "parse",
    "shortened",
]

logger = logging.getLogger(__name__)

MAX_LINE = 64 * 2**20  # bytes, after decompression
MAX_VALUES = 1_000_000  # of a line: each takes up to 100 bytes of memory
MAX_DEPTH = 100  # levels of lists and objects in what is handed on to libraries that recurse
UNDO = "undo"
"""The key of a file's first message that tells: it may end in the middle of a line, where a run was killed."""

_LARGE = 1 << 20  # bytes: a shorter line can neither be too long nor hold too many values
_UNDO_NAME = re.compile(r"undo-.*\.singer")


class InvalidLineError(ValueError):
    """A line is no JSON object; `str()` of it says why, to go on after ``Line 5 of FILE``."""


class TruncatedLineError(InvalidLineError):
    """The last line has no end."""


def messages(
    source: Any, name: str, advice: str, on_truncated: Callable[[], None] = lambda: None
) -> Iterator[tuple[int, bytes, dict[str, Any]]]:
    """Yield number, text and content of every line that is not blank.

    Args:
        source: a binary or text file, or the lines themselves.
        name: what it is called in an error, such as ``the input``.
        advice: what follows in an error: what was not done, and what to do.
        on_truncated: called where an undo file ends in the middle of a line.

    Raises:
        InvalidInput: it cannot be read, or a line is no JSON object. An undo file may end in the middle
            of a line: then there is a warning.
    """
    is_undo = _has_undo_name(source)
    try:
        for number, line in enumerate(_opened(source, name, advice, MAX_LINE), 1):
            try:
                message = orjson.loads(line) if len(line) < _LARGE else parse(line, f"Line {number} of {name}")
            except ValueError:
                if not line.strip():
                    continue
                try:
                    message = parse(line, f"Line {number} of {name}")
                except TruncatedLineError as error:
                    if not is_undo:
                        raise _invalid(number, name, error, advice) from error
                    logger.warning("Line %d of %s %s: everything before it counts.", number, name, error)
                    on_truncated()
                    return
                except InvalidLineError as error:
                    raise _invalid(number, name, error, advice) from error
            if type(message) is not dict:
                raise _invalid(number, name, "is not a Singer message", advice)
            if number == 1 and message.get(UNDO) is True:
                is_undo = True
            yield number, line, message
    except _READ_ERRORS as error:
        raise _unreadable(name, error, advice) from error


def lines(source: Any, name: str, advice: str, *, max_line: int = MAX_LINE) -> Iterator[tuple[int, bytes]]:
    """Yield number and text of every line, decompressed, with its line break.

    Args:
        source: a binary or text file, or the lines themselves.
        name: what it is called in an error, such as ``the input``.
        advice: what follows in an error: what was not done, and what to do.
        max_line: the most bytes that a line may have.

    Raises:
        InvalidInput: it cannot be read, a line is too long, or it is text in another encoding than UTF-8.
    """
    try:
        for number, line in enumerate(_opened(source, name, advice, max_line), 1):
            if len(line) > max_line:
                raise _invalid(number, name, f"is longer than {max_line // 2**20} MiB", advice)
            yield number, line
    except _READ_ERRORS as error:
        raise _unreadable(name, error, advice) from error


_READ_ERRORS = (OSError, EOFError, zlib.error)


def _unreadable(name: str, error: Exception, advice: str) -> InvalidInput:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else error
    return InvalidInput(f"{sentence_start(name)} cannot be read ({reason}): {advice}")


def _invalid(number: int, name: str, reason: object, advice: str) -> InvalidInput:
    return InvalidInput(f"Line {number} of {name} {reason}: {advice}")


def parse(line: bytes, where: str = "A line of the input") -> Any:
    """Return the content of a line.

    What orjson refuses, and what need not cost more than a value of one record, is read: half of a surrogate pair is
    U+FFFD, with a warning that begins with `where`; NaN, which Python and pandas write for a missing value, is null;
    in a RECORD a number beyond all measure is infinity, which fits no column.

    Raises:
        InvalidLineError: there is none.
    """
    if len(line) > MAX_LINE:
        raise InvalidLineError(f"is longer than {MAX_LINE // 2**20} MiB")
    if len(line) >= _LARGE and line.count(b",") + line.count(b"[") + line.count(b"{") > MAX_VALUES:
        raise InvalidLineError(f"holds more than {MAX_VALUES:,} values")
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raised = error
    if line.startswith(BOM):  # also in the middle, where files were put one behind the other
        return parse(line[len(BOM) :], where)
    if is_deep(line):
        raise InvalidLineError("is nested too deeply") from raised
    try:
        document, places = parsed_leniently(line)
    except (ValueError, RecursionError) as error:
        if line[-1:] != b"\n":
            raise TruncatedLineError("is truncated") from raised
        raise InvalidLineError(
            "is not UTF-8" if isinstance(error, UnicodeDecodeError) else "is not valid JSON"
        ) from raised
    for place in places:
        logger.warning("%s: %s: a broken character, read as U+FFFD.", where, place)
    return document


def is_deep(content: Any) -> bool:
    """Whether JSON, parsed or as a line, is nested in more than `MAX_DEPTH` levels."""
    if isinstance(content, bytes):
        if content.count(b"[") + content.count(b"{") <= MAX_DEPTH:
            return False
        depth = 0
        for bracket in re.finditer(rb'"(?:[^"\\]|\\.)*+"|([\[{])|[\]}]', content):
            if bracket.group() in {b"]", b"}"}:
                depth -= 1
            elif bracket.group(1):
                depth += 1
                if depth > MAX_DEPTH:
                    return True
        return False
    level = [content]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for value in level
            if isinstance(value, dict | list)
            for child in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return False
    return any(isinstance(value, dict | list) for value in level)


def _opened(source: Any, name: str, advice: str, max_line: int) -> Iterable[bytes]:
    """Return the lines; those of a binary file have at most `max_line` + 1 bytes."""
    if isinstance(source, io.TextIOBase) or not hasattr(source, "read"):
        return (line.encode() if isinstance(line, str) else line for line in source)
    reader = opened(source, name, advice)
    first = reader.readline(max_line + 1).removeprefix(BOM)
    return chain([first] if first else [], iter(partial(reader.readline, max_line + 1), b""))


def _has_undo_name(source: Any) -> bool:
    """Whether a file is one that a restore writes to be taken back; standard input tells where the system knows."""
    name = getattr(source, "name", None)
    with suppress(OSError, AttributeError, ValueError):
        if not isinstance(name, str) or name == "<stdin>":
            name = str(Path(f"/proc/self/fd/{source.fileno()}").readlink())
    return isinstance(name, str) and _UNDO_NAME.fullmatch(Path(name).name) is not None


def shortened(value: object, most: int = 80) -> str:
    """Return a value from outside as it may stand in a message: on one line, and not a page of it."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = " ".join(str(value).split())
    return text if len(text) <= most else f"{text[: most - 3]}..."
