"""What the command line is given besides settings: a catalog, and the state of an earlier run."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import IO, Any

from singer_sdk.singerlib import Catalog

from bc_images.errors import SettingsError
from tap_bc_images.streams import ProductImagesStream, ProductsStream
from tap_bc_images.sweep_stream import KEY

__all__ = ["check_state", "read_catalog", "read_text"]

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


def read_catalog(given: Mapping[str, Any]) -> Catalog:
    """Read a catalog; what its metadata says of the replication method counts.

    ``--discover`` writes the default method beside the metadata, where the SDK would let it win over the user's.

    Raises:
        SettingsError: it is damaged.
    """
    try:
        catalog = Catalog.from_dict(dict(given))
        for stream in given["streams"]:
            entry = catalog[stream["tap_stream_id"]]
            # Without a key a loader would append what it should replace.
            entry.key_properties = entry.key_properties or KEY
            for each in stream.get("metadata", []):
                if not each["breadcrumb"]:
                    chosen = each["metadata"].get("replication-method")
                    chosen = chosen or each["metadata"].get("forced-replication-method")
                    entry.replication_method = chosen or entry.replication_method
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise SettingsError(
            f"The catalog is damaged: {type(error).__name__} {error}. Make a new one with --discover."
        ) from error
    unknown = set(catalog) - {ProductImagesStream.name, ProductsStream.name}
    if unknown:
        logger.warning("The catalog names streams that do not exist: %s.", ", ".join(sorted(unknown)))
    return catalog


def check_state(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the state of an earlier run, after a look at its shape.

    Raises:
        SettingsError: it is damaged.
    """
    bookmarks = given.get("bookmarks", {})
    if not isinstance(bookmarks, dict) or not all(isinstance(each, dict) for each in bookmarks.values()):
        raise SettingsError("The state is damaged: its bookmarks are no objects. Give that of an earlier run, or none.")
    return dict(given)
