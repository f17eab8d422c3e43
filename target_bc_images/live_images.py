"""The pictures in the store now: digests where a plan depends on them, and copies for the undo."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from functools import cached_property

from bc_images.bigcommerce.mapping import Record
from bc_images.errors import FileUnavailable, SettingsError
from bc_images.files import FileIndex, FileStore, open_files
from bc_images.files.download import Downloader
from bc_images.files.http_download import HttpDownloader
from bc_images.files.inspection import Inspection
from bc_images.files.media_type import HEAD, MAX_UPLOAD, sniff
from bc_images.files.originals import Look, Originals
from bc_images.files.similarity import Appearance, appearance
from bc_images.files.store import CorruptFile
from bc_images.settings import Settings
from bc_images.singer.archive.rebuild import refs_or_rebuilt

__all__ = ["LiveImages"]

_MOST_APPEARANCES = 10_000  # that are kept in memory


class LiveImages:
    """Looks at live pictures through the file store: what it holds already is not downloaded again.

    Nothing is read, not even the list of what is held, before it is needed.

    Args:
        settings: the shared settings.
        files: the file store; without one, pictures can be compared and not kept.
    """

    def __init__(self, settings: Settings, files: FileStore | None) -> None:
        self._settings = settings
        self._files = files
        self._cleanup = ExitStack()
        self._appearances: dict[str, Appearance | None] = {}  # by digest

    @property
    def has_file_store(self) -> bool:
        """Whether there is a file store."""
        return self._files is not None

    @cached_property
    def _scratch_store(self) -> FileStore:
        """What is only compared: it may not need a file store that can be written, and is gone in the end."""
        folder = self._cleanup.enter_context(tempfile.TemporaryDirectory(prefix="bc-images-"))
        files = open_files(folder)
        self._cleanup.callback(files.close)
        return files

    @cached_property
    def _scratch_downloader(self) -> Downloader:
        return self._cleanup.enter_context(Downloader(self._settings, self._scratch_store))

    def digests(self, images: Iterable[Record]) -> tuple[dict[str, str], set[str]]:
        """Read the originals of images; the file store stays as it is.

        Returns:
            The digests of those that can be read, by ``image_file``, and which of them a CDN has altered.
        """
        refs = self._refs(self._settings.store_hash)
        digests: dict[str, str] = {}
        altered: set[str] = set()
        unknown = []
        for image in images:
            saved = refs.get(image["image_file"])
            if saved is not None and saved.source == "original":
                digests[image["image_file"]] = saved.sha256
            else:
                unknown.append(dict(image))
        for image in self._scratch_downloader.fill(unknown):
            if image["file_source"] in {"original", "cdn"}:
                digests[image["image_file"]] = image["file_sha256"]
                if image["file_source"] == "cdn":
                    altered.add(image["image_file"])
        return digests, altered

    @cached_property
    def _originals(self) -> Originals:
        http = HttpDownloader(self._settings)
        self._cleanup.callback(http.close)
        return Originals(self._settings, http)

    def inspect(self, image_file: str, expected: str | None) -> Look:
        """Read the picture at a path, whatever is known of it; nothing is kept.

        Args:
            image_file: the path.
            expected: the digest that it should have, if it is known.
        """
        return self._originals.look(image_file, expected)

    def content(self, image_file: str) -> tuple[bytes, str | None]:
        """Return the bytes at a path, and what is wrong with them (a key of `DEFECTS`).

        Raises:
            FileUnavailable: they cannot be read, or are more than the store takes.
        """
        content = self._originals.content(image_file)
        inspection = Inspection()
        inspection.feed(content)
        return content, inspection.defect(sniff(content[:HEAD], len(content)) or "")

    def appearance(self, digest: str) -> Appearance | None:
        """Return what a picture looks like that the file store holds or that was looked at; None if nobody knows."""
        if digest not in self._appearances:
            if len(self._appearances) >= _MOST_APPEARANCES:
                self._appearances.clear()
            self._appearances[digest] = self._appearance(digest)
        return self._appearances[digest]

    def _appearance(self, digest: str) -> Appearance | None:
        for files in (self._files, self._scratch_store):
            try:
                size = files.size(digest) if files is not None else None
                if files is not None and size is not None and size <= MAX_UPLOAD:
                    return appearance(files.read(digest))
            except (FileUnavailable, CorruptFile):
                continue
        return None

    def fill_from_index(self, records: Iterable[Record]) -> None:
        """Give records that came without a digest the file that an earlier backup has saved under their path.

        A warehouse is mostly loaded without the pictures, and an image path never changes its content.
        """
        for record in records:
            if self._files is None or record.get("file_sha256"):
                continue
            try:
                saved = self._refs(record["store_hash"]).get(record["image_file"])
            except SettingsError:  # no hash that a store can have: nothing is saved under it
                continue
            if saved is not None:
                record["file_sha256"], record["file_size"] = saved.sha256, saved.size
                record["file_type"], record["file_source"] = saved.type, saved.source

    def _refs(self, store_hash: str) -> FileIndex:
        """Return the refs of a store; where these are gone, as the archives name the pictures; nothing is written."""
        if self._files is None:
            return self._scratch_store.refs(store_hash)
        return refs_or_rebuilt(self._files, store_hash, write=False)

    def back_up(self, images: Iterable[Record]) -> list[Record]:
        """Keep the pictures of images; return the images with ``file_*`` set for those whose picture could be had.

        Each has been read and re-hashed by then: these are the only copies of what is about to be overwritten.
        Without a file store there are none.
        """
        if self._files is None:
            return []
        desired = [dict(image) for image in images]
        for image in desired:
            self._adopt(image["image_file"], self._files)
        with Downloader(self._settings, self._files, verify=True) as keeper:
            return list(keeper.fill(desired))

    def _adopt(self, image_file: str, files: FileStore) -> None:
        """Keep what was downloaded to be compared, so that it is not downloaded twice."""
        store_hash = self._settings.store_hash
        saved = self._scratch_store.refs(store_hash).get(image_file)
        if saved is not None:
            files.add(self._scratch_store.chunks(saved.sha256), saved.size)
            files.refs(store_hash).put(image_file, saved)

    def close(self) -> None:
        """Cut off what is under way."""
        self._cleanup.close()
