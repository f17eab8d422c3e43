"""A read-only file store behind a web server that lists its folders.

Such a listing has no lengths. Names stand in it percent-encoded, and beside links that sort the page or lead elsewhere.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, unquote

from bc_images.files.backends.base import CHUNK
from bc_images.files.backends.fsspec import FsspecBackend

__all__ = ["WebFolder"]


class WebFolder(FsspecBackend):
    """The `Backend` of an http(s) URL.

    Raises:
        SettingsError: it is to be written to.
    """

    has_other_types = False

    def __init__(self, url: str, *, writable: bool = False) -> None:
        super().__init__(url, writable=writable)
        self._fs.simple_links = False  # addresses in the text of a page are no entries of it

    def chunks(self, key: str) -> Iterator[bytes]:
        """Yield a file's bytes as they come: many servers know no ranges, and some no lengths."""
        with self._wrap_errors("read", absence=True), self._fs.open(self._path(key), "rb", block_size=0) as opened:
            while piece := opened.read(CHUNK):
                yield piece

    def _top(self, prefix: str) -> list[dict[str, Any]]:
        try:
            return self._list_page(self._path(prefix))
        except FileNotFoundError:
            return []

    def _find(self, folder: str) -> list[dict[str, Any]]:
        return list(self._walk(folder))

    def _walk(self, folder: str) -> Iterator[dict[str, Any]]:
        """Yield what the pages list below a folder."""
        for entry in self._list_page(folder):
            if entry["type"] == "directory":
                yield from self._walk(entry["name"])
            else:
                yield entry

    def _list_page(self, folder: str) -> list[dict[str, Any]]:
        """Return the entries of one page: the links into the folder."""
        with self._wrap_errors("list", absence=True):
            links = self._fs.ls(f"{folder}/", detail=True)
        top = f"{folder}/"
        entries = {}
        for link in links:
            name = html.unescape(link["name"]).replace("/./", "/")
            below = name.removeprefix(top).rstrip("/")
            if name.startswith(top) and below and not re.search(r"[?#/]|^\.\.?$", below):
                entries[below] = {**link, "name": f"{top}{below}"}
        return list(entries.values())

    def _path(self, key: str) -> str:
        return f"{self._root}/{quote(key, safe='/=')}"

    def _key(self, path: str) -> str:
        return unquote(path.removeprefix(self._root).lstrip("/"))
