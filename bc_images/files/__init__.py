"""Picture bytes: kept by content, downloaded from the store, uploaded to it. ``docs/files.md`` describes the layout."""

from __future__ import annotations

from bc_images.files.download import Downloader
from bc_images.files.file_store import FileStore, Stored, open_files
from bc_images.files.refs import Refs, Saved

__all__ = ["Downloader", "FileStore", "Refs", "Saved", "Stored", "open_files"]
