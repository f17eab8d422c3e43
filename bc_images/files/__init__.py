"""Picture bytes: kept by content, downloaded from the store, uploaded to it. ``docs/files.md`` describes the layout."""

from __future__ import annotations

from bc_images.files.download import Downloader
from bc_images.files.index import FileIndex, Saved
from bc_images.files.store import FileStore, Stored, open_files

__all__ = ["Downloader", "FileIndex", "FileStore", "Saved", "Stored", "open_files"]
