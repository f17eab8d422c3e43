"""Picture bytes: kept by content, downloaded from the store, uploaded to it. ``docs/files.md`` describes the layout."""

from __future__ import annotations

from bc_images.files.index import FileIndex
from bc_images.files.layout import FileInfo
from bc_images.files.store import FileStore, open_files

__all__ = ["FileIndex", "FileInfo", "FileStore", "open_files"]
