"""What the command line is given besides settings and a catalog: the state of an earlier run."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import IO, Any

from bc_images.config import json_object
from bc_images.errors import SettingsError

__all__ = ["check_state", "read_state", "read_text"]

logger = logging.getLogger(__name__)


def read_text(opened: IO[str], what: str) -> str:
    """Return what a file of the command line holds; `what` is the option that names it.

    Raises:
        SettingsError: it cannot be read.
    """
    try:
        return opened.read()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{what} cannot be read: {error}.") from error


def read_state(text: str) -> dict[str, Any]:
    """Return what ``--state`` holds: one object, or what a loader printed, a state a line, the last of which counts.

    Raises:
        SettingsError: it is damaged.
    """
    lines = text.strip().splitlines()
    if not lines:  # a loader that died before its first STATE
        logger.warning("--state is empty: the run begins without a state.")
        return {}
    try:
        return json_object(text, "--state")  # it may be spread over lines
    except SettingsError:
        if len(lines) == 1:
            raise
        return json_object(lines[-1], "--state, in its last line,")


def check_state(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the state of an earlier run, out of what may be wrapped around it, after a look at its shape.

    Raises:
        SettingsError: it is damaged.
    """
    if given.get("type") == "STATE":  # the whole message
        given = _unwrapped(given, "value")
    elif "singer_state" in given:  # as `meltano state get` prints it
        given = _unwrapped(given, "singer_state")
    if given and "bookmarks" not in given:
        logger.warning("The state holds no bookmarks, so it says nothing: the run begins without one.")
    bookmarks = given.get("bookmarks", {})
    if not isinstance(bookmarks, dict) or not all(isinstance(each, dict) for each in bookmarks.values()):
        raise SettingsError("The state is damaged: its bookmarks are no objects. Give that of an earlier run, or none.")
    return dict(given)


def _unwrapped(given: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    state = given.get(name)
    if not isinstance(state, dict):
        raise SettingsError(f"The state is damaged: its {name} is no object. Give that of an earlier run, or none.")
    return state
