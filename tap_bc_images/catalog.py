"""What ``--catalog`` asks for: which streams and fields, how they are replicated, and under which names."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from singer_sdk.singerlib import Catalog, CatalogEntry
from singer_sdk.singerlib.catalog import REPLICATION_INCREMENTAL, Metadata

from bc_images.errors import SettingsError
from tap_bc_images.bookmarks import REPLICATION_KEY
from tap_bc_images.streams import ProductImagesStream, ProductsStream
from tap_bc_images.sync import KEY

__all__ = ["read_catalog"]

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
_OURS = {ProductImagesStream.name, ProductsStream.name}

logger = logging.getLogger(__name__)


def read_catalog(given: Catalog | Mapping[str, Any]) -> Catalog:
    """Read a catalog.

    A ``stream`` that differs from its ``tap_stream_id`` is the name that its messages carry
    (`CatalogStream.stream_maps`); it becomes the entry's ``stream_alias``, since the SDK knows
    only one name of a stream.

    Raises:
        SettingsError: it is damaged, or names two streams alike.
    """
    content = given.to_dict() if isinstance(given, Catalog) else dict(given)
    try:
        content = json.loads(json.dumps(content))  # a caller in Python may give tuples
    except (TypeError, ValueError) as error:
        raise _damaged(str(error)) from error
    if wrong := best_match(_CATALOG.iter_errors(content)):
        raise _damaged(f"{wrong.json_path}: {wrong.message[:200]}")
    catalog = Catalog()
    for stream in content["streams"]:
        name = stream["tap_stream_id"]
        entry = _entry(stream)
        if catalog.get(name, entry) != entry:
            raise SettingsError(f"The catalog has two entries for {name} that differ: leave one.")
        catalog.add_stream(entry)
    if unknown := sorted(set(catalog) - _OURS):
        logger.warning("The catalog names streams that do not exist: %s.", ", ".join(unknown))
    names = Counter(catalog[name].stream_alias for name in _OURS & set(catalog))
    for alias, count in names.items():
        if count > 1:
            raise SettingsError(f"The catalog gives two streams the name {alias}: give each a name of its own.")
    return catalog


def _entry(stream: Mapping[str, Any]) -> CatalogEntry:
    """Return one entry, completed by what the SDK, or a loader, would miss.

    What the metadata says of the replication method counts: ``--discover`` writes the default method beside it, where
    the SDK would let it win over the user's.
    """
    metadata = stream.get("metadata") or []
    try:
        entry = CatalogEntry.from_dict({**stream, "metadata": metadata})
    except (TypeError, AttributeError, ValueError) as error:  # a schema that is none
        raise _damaged(f"{stream['tap_stream_id']}: {error}") from error
    for each in metadata:
        if not each["breadcrumb"]:
            chosen = each["metadata"].get("replication-method")
            chosen = chosen or each["metadata"].get("forced-replication-method")
            entry.replication_method = chosen or entry.replication_method
    # Without a key a loader would append what it should replace.
    entry.key_properties = entry.key_properties or KEY
    bookmarks = (REPLICATION_KEY,) if entry.replication_method == REPLICATION_INCREMENTAL else ()
    for name in (*entry.key_properties, *bookmarks):
        if field := entry.metadata.get(("properties", name)):
            field.inclusion = Metadata.InclusionType.AUTOMATIC  # a SCHEMA that names it must have it
    entry.stream_alias, entry.stream = entry.stream or entry.tap_stream_id, entry.tap_stream_id
    return entry


def _damaged(what: str) -> SettingsError:
    return SettingsError(f"The catalog is damaged: {what}. Make a new one with --discover.")
