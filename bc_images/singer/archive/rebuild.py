"""Rebuilds missing refs from the archives beside the pictures, without a download."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from bc_images.errors import BcImagesError
from bc_images.files import FileIndex, FileInfo, FileStore
from bc_images.files.media_type import EXTENSIONS
from bc_images.snapshots import snapshot_stores
from bc_images.snapshots.store import FOLDER

__all__ = ["refs_or_rebuilt"]

logger = logging.getLogger(__name__)

_SOURCES = {"original", "cdn", "zoom"}


def refs_or_rebuilt(files: FileStore, store_hash: str, *, write: bool) -> FileIndex:
    """Return the refs of a store; where there is none but pictures are stored, as the newest archives name them.

    Args:
        files: the file store.
        store_hash: the store.
        write: whether the rebuilt refs are written into the file store; else they are known to this run alone.

    Raises:
        FileStoreError: the file store cannot be listed or written.
        FatalError: there is no room for the listing.
    """
    refs = files.refs(store_hash)
    if refs.has_refs or not refs.has_objects:
        return refs
    rebuilt, used = 0, set()
    for label, record in _records(files, store_hash):
        saved = _saved(record)
        image_file = record.get("image_file")
        if saved is None or not isinstance(image_file, str) or not refs.has_object(saved) or refs.get(image_file):
            continue
        (refs.put if write else refs.cache)(image_file, saved)
        rebuilt += 1
        used.add(label)
    refs.has_refs = True  # once
    if rebuilt:
        logger.warning(
            "The refs of the store %s are missing in the file store %s. Rebuilt from %s: %s; these pictures are not "
            "downloaded again.",
            store_hash,
            files.display_name,
            ", ".join(sorted(used)),
            f"{rebuilt:,}",
        )
    elif not files.has_refs():
        logger.warning(
            "The file store %s has pictures and no refs, and no archive names the pictures of the store %s: "
            "they are downloaded again.",
            files.display_name,
            store_hash,
        )
    return refs


def _records(files: FileStore, store_hash: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the image records of a store out of the newest archive of every name, and what each archive is called."""
    for snapshots in snapshot_stores(files):
        names = snapshots.list()
        complete = [name for name in names if name.is_complete]
        if not names:
            continue
        newest = (complete or names)[-1]
        label = f"{FOLDER}/{snapshots.name}/{newest}"
        try:
            for _, _, message in snapshots.messages(newest):
                record = message.get("record")
                is_image = message.get("stream") == "product_images" and isinstance(record, dict)
                if is_image and record is not None and record.get("store_hash") == store_hash:
                    yield label, record
        except BcImagesError as error:  # what was read of it counts
            logger.warning("%s", error)


def _saved(record: dict[str, Any]) -> FileInfo | None:
    """Return what a record says of its file, where that is complete."""
    digest, size, kind, source = (record.get(f"file_{name}") for name in ("sha256", "size", "type", "source"))
    if isinstance(digest, str) and type(size) is int and kind in EXTENSIONS and source in _SOURCES:
        return FileInfo(digest, size, str(kind), str(source))
    return None
