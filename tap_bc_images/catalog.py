"""Validates the files of ``--catalog`` and ``--state`` before the SDK reads them."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Mapping
from typing import IO, Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from singer_sdk.singerlib import Catalog, CatalogEntry
from singer_sdk.singerlib.catalog import REPLICATION_INCREMENTAL, Metadata

from bc_images.config import json_object
from bc_images.errors import SettingsError
from bc_images.schema import PRIMARY_KEY, STREAMS
from tap_bc_images.bookmarks import REPLICATION_KEY

__all__ = ["check_state", "read_catalog", "read_state", "read_text"]

_TEXT = {"type": "string", "minLength": 1}
_METADATA = {
    "type": "object",
    "required": ["breadcrumb", "metadata"],
    "properties": {"breadcrumb": {"type": "array", "items": _TEXT}, "metadata": {"type": "object"}},
}
_STREAM = {
    "type": "object",
    "required": ["tap_stream_id"],
    "properties": {
        "tap_stream_id": _TEXT,
        "stream": {"type": ["string", "null"]},
        "schema": {"type": "object"},
        "key_properties": {"type": ["array", "null"], "items": _TEXT},
        "replication_key": {"type": ["string", "null"]},
        "replication_method": {"type": ["string", "null"]},
        "metadata": {"type": ["array", "null"], "items": _METADATA},
    },
}
_CATALOG = Draft202012Validator(
    {"type": "object", "required": ["streams"], "properties": {"streams": {"type": "array", "items": _STREAM}}}
)

logger = logging.getLogger(__name__)


def read_catalog(catalog: Catalog | Mapping[str, Any]) -> Catalog:
    """Read a catalog.

    A ``stream`` that differs from its ``tap_stream_id`` is the name that its messages carry
    (`CatalogStream.stream_maps`); it becomes the entry's ``stream_alias``, since the SDK knows
    only one name of a stream.

    Raises:
        SettingsError: it is not valid, or gives two streams one name.
    """
    content = catalog.to_dict() if isinstance(catalog, Catalog) else dict(catalog)
    try:
        content = json.loads(json.dumps(content))  # a caller in Python may give tuples
    except (TypeError, ValueError) as unreadable:
        raise _invalid(str(unreadable)) from unreadable
    if error := best_match(_CATALOG.iter_errors(content)):
        raise _invalid(f"{error.json_path}: {error.message[:200]}")
    result = Catalog()
    for stream in content["streams"]:
        name = stream["tap_stream_id"]
        entry = _entry(stream)
        if result.get(name, entry) != entry:
            raise SettingsError(f"The catalog has two entries for {name} that differ: leave one.")
        result.add_stream(entry)
    if unknown := sorted({*result} - {*STREAMS}):
        logger.warning("The catalog names streams that do not exist: %s.", ", ".join(unknown))
    names = Counter(result[name].stream_alias for name in STREAMS if name in result)
    for alias, count in names.items():
        if count > 1:
            raise SettingsError(f"The catalog gives two streams the name {alias}: give each a name of its own.")
    return result


def _entry(stream: Mapping[str, Any]) -> CatalogEntry:
    """Return one entry, completed by what the SDK, or a loader, would miss.

    What the metadata says of the replication method counts: ``--discover`` writes the default method beside it, where
    the SDK would let it win over the user's.
    """
    metadata = stream.get("metadata") or []
    try:
        entry = CatalogEntry.from_dict({**stream, "metadata": metadata})
    except (TypeError, AttributeError, ValueError) as error:  # an invalid schema
        raise _invalid(f"{stream['tap_stream_id']}: {error}") from error
    for item in metadata:
        if not item["breadcrumb"]:
            method = item["metadata"].get("replication-method") or item["metadata"].get("forced-replication-method")
            entry.replication_method = method or entry.replication_method
    # Without a key a loader would append what it should replace.
    entry.key_properties = entry.key_properties or PRIMARY_KEY
    bookmarks = (REPLICATION_KEY,) if entry.replication_method == REPLICATION_INCREMENTAL else ()
    for name in (*entry.key_properties, *bookmarks):
        if field := entry.metadata.get(("properties", name)):
            field.inclusion = Metadata.InclusionType.AUTOMATIC  # a SCHEMA that names it must have it
    entry.stream_alias, entry.stream = entry.stream or entry.tap_stream_id, entry.tap_stream_id
    return entry


def _invalid(reason: str) -> SettingsError:
    return SettingsError(f"The catalog is not valid: {reason}. Make a new one with --discover.")


def read_text(file: IO[str], option: str) -> str:
    """Read a file that the command line names by `option`.

    Raises:
        SettingsError: it cannot be read.
    """
    try:
        return file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{option} cannot be read: {error}.") from error


def read_state(text: str) -> dict[str, Any]:
    """Read ``--state``: one object, or the output of a loader, one state a line, of which the last counts.

    Raises:
        SettingsError: it is not valid.
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


def check_state(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the state of an earlier run without what may be wrapped around it, after a check of its shape.

    Raises:
        SettingsError: it is not valid.
    """
    if state.get("type") == "STATE":  # the message
        state = _unwrapped(state, "value")
    elif "singer_state" in state:  # as `meltano state get` prints it
        state = _unwrapped(state, "singer_state")
    if state and "bookmarks" not in state:
        logger.warning("The state contains no bookmarks: the run begins without a state.")
    bookmarks = state.get("bookmarks", {})
    if not isinstance(bookmarks, dict) or not all(isinstance(bookmark, dict) for bookmark in bookmarks.values()):
        raise SettingsError(
            "The state is not valid: its bookmarks are not objects. Give the state of an earlier run, or none."
        )
    return dict(state)


def _unwrapped(state: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    content = state.get(name)
    if not isinstance(content, dict):
        raise SettingsError(
            f"The state is not valid: its {name} must be an object. Give that of an earlier run, or none."
        )
    return content
