"""Downloads originals in parallel and fills their digests into records, in order."""

from __future__ import annotations

import logging
import random
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self, TypeAlias

from bc_images.bigcommerce.mapping import Record
from bc_images.errors import FileUnavailable
from bc_images.files.findings import Findings, name_of
from bc_images.files.http_download import HttpDownloader, NotFoundError
from bc_images.files.index import FileIndex
from bc_images.files.layout import FileInfo
from bc_images.files.media_type import MAX_UPLOAD
from bc_images.files.originals import Originals
from bc_images.files.store import CorruptFile, FileStore
from bc_images.settings import Settings

__all__ = ["Downloader"]

logger = logging.getLogger(__name__)

WINDOW = 1000  # records that may wait for one slow file before them
LISTED = 100  # failures that are kept in words

_Result: TypeAlias = FileInfo | FileUnavailable


class Downloader:
    """Fills records with their files; for one consumer. Begins to list what there is as soon as it is made.

    No request carries the API token or any other credential.

    Args:
        settings: the shared settings.
        files: the file store.
        verify: re-hash what is saved already too, and download again what is damaged, which heals it.
        read_refs: returns the refs of the store, in a thread; by default those that the file store lists.
        recheck: the share (0 to 1) of what is saved already that is compared with the store, chosen at random.

    Attributes:
        findings: what needs a second look although the records have their files.
        files: records filled with a file so far.
        downloaded: files downloaded by this run.
        bytes: bytes of these.
        failed: records whose file cannot be downloaded.
        failures: the first `LISTED` of them, a line each.
    """

    def __init__(
        self,
        settings: Settings,
        files: FileStore,
        *,
        verify: bool = False,
        recheck: float = 0.0,
        read_refs: Callable[[], FileIndex] | None = None,
    ) -> None:
        self._settings = settings
        self._store = files
        self._verify = verify
        self._recheck = recheck
        self._http = HttpDownloader(settings)
        self._originals = Originals(settings, self._http)
        # Twice the connections: while one half waits for the disk to be sure, the other half keeps the network busy.
        self._executor = ThreadPoolExecutor(2 * settings.concurrency, "files")
        self._listing = self._executor.submit(read_refs or (lambda: files.refs(settings.store_hash)))
        self._lock = threading.Lock()
        self.files = 0
        self.downloaded = 0
        self.bytes = 0
        self.failed = 0
        self.failures: list[str] = []
        self.findings = Findings()

    def fill(self, records: Iterable[Record]) -> Iterator[Record]:
        """Yield the same records in the same order with ``file_*`` set: durable, or null where it cannot be downloaded.

        Raises:
            FileStoreError: the file store cannot be used.
            StoreUnreachable: the store's host does not answer at all.
        """
        waiting: deque[tuple[Record, FileInfo | Future[_Result]]] = deque()
        most = 4 * self._settings.concurrency  # downloads begun and not yet passed on
        pending = 0
        try:
            for record in records:
                refs = self._listing.result()
                saved = refs.get(record["image_file"])
                if saved is not None and self._is_final(saved):
                    waiting.append((record, saved))
                else:
                    waiting.append((record, self._executor.submit(self._save, refs, record, saved)))
                    pending += 1
                while waiting:
                    first, result = waiting[0]
                    if isinstance(result, Future):
                        if not result.done() and pending < most and len(waiting) < WINDOW:
                            break
                        pending -= 1
                    waiting.popleft()
                    yield self._filled(first, result)
            while waiting:
                yield self._filled(*waiting.popleft())
        finally:
            for _, result in waiting:
                if isinstance(result, Future):
                    result.cancel()

    def close(self) -> None:
        """Begin no further download, cut off those under way, and wait for their threads."""
        self._http.close()
        self._executor.shutdown(cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _filled(self, record: Record, result: FileInfo | Future[_Result]) -> Record:
        if isinstance(result, Future):
            outcome = result.result()
            if isinstance(outcome, FileUnavailable):
                self._fail(record, outcome)
                record.update(file_sha256=None, file_size=None, file_type=None, file_source=None)
                return record
            result = outcome
        self.files += 1
        if result.source != "original" or result.defect or result.size > MAX_UPLOAD:
            self.findings.take_in(record, result)
        record.update(
            file_sha256=result.sha256, file_size=result.size, file_type=result.type, file_source=result.source
        )
        return record

    def _fail(self, record: Record, error: FileUnavailable) -> None:
        line = f"{name_of(record)}: {error}."
        logger.warning("%s The record goes out without a file.", line)
        self.failed += 1
        if len(self.failures) < LISTED:
            self.failures.append(line)

    def _is_final(self, saved: FileInfo) -> bool:
        """Whether nothing is asked for a record of which a file is saved."""
        looks_again = self._recheck > 0 and random.random() < self._recheck  # noqa: S311 - nothing secret
        if self._verify or saved.source == "zoom" or looks_again:
            return False
        return saved.source == "original" or not self._originals.has_webdav

    def _save(self, refs: FileIndex, record: Record, saved: FileInfo | None) -> _Result:
        """Download a record's picture, in a thread of the pool.

        `saved` is what a ref knows: where that is no original, the original is asked for once more.
        """
        image_file = record["image_file"]
        fallback = saved if saved is not None and self._is_sound(saved) else None
        if fallback is not None and fallback.source == "original":
            return fallback if self._verify else self._look_again(refs, record, fallback)
        try:
            try:
                stored, source = self._originals.read(image_file, self._store.add, strict=fallback is not None)
            except NotFoundError:
                if fallback is not None or not record.get("zoom_url"):
                    raise
                stored, source = self._originals.download(record["zoom_url"], self._store.add), "zoom"
        except FileUnavailable as error:
            return fallback or error
        return self._keep(refs, image_file, stored, source, fallback.generation if fallback is not None else 0)

    def _keep(self, refs: FileIndex, image_file: str, stored: FileInfo, source: str, generation: int) -> FileInfo:
        saved = stored._replace(source=source, generation=generation)
        refs.put(image_file, saved)
        with self._lock:
            self.downloaded += 1
            self.bytes += saved.size
        return saved

    def _look_again(self, refs: FileIndex, record: Record, saved: FileInfo) -> FileInfo:
        """Find out whether the store still serves what was saved; keep what it serves instead, and both."""
        image_file = record["image_file"]
        look = self._originals.look(image_file, saved.sha256)
        if look.state == "gone":
            self.findings.add("gone", record, "the store has no such file any more (HTTP 404)")
        elif look.state == "altered":
            self.findings.add("altered", record, "a CDN alters what was saved as it was")
        elif look.state in {"unreadable", "damaged"}:
            logger.warning("%s: the saved picture could not be compared: %s.", name_of(record), look.reason)
        elif look.sha256 != saved.sha256:
            try:
                stored, source = self._originals.read(image_file, self._store.add, strict=True)
            except FileUnavailable as error:
                logger.warning("%s: the changed picture could not be saved: %s.", name_of(record), error)
                return saved
            if stored.sha256 != saved.sha256:
                self.findings.add("changed", record, "the store has another picture under the same path")
                return self._keep(refs, image_file, stored, source, saved.generation + 1)
        return saved

    def _is_sound(self, saved: FileInfo) -> bool:
        if not self._verify:
            return True
        try:
            self._store.inspect(saved.sha256)
        except (CorruptFile, FileUnavailable) as error:
            logger.warning("%s", error)
            return False
        return True
