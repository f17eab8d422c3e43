"""Chooses how a picture is sent to the store: multipart, WebDAV, or a URL that the store fetches."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from io import BytesIO
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from bc_images.bigcommerce import FileSource, ImageSource, UrlSource, WebDavSource, capabilities
from bc_images.bigcommerce.mapping import Record, file_name
from bc_images.errors import FileUnavailable, RequestRejected, SettingsError
from bc_images.files.http_download import HttpDownloader
from bc_images.files.inspection import Inspection, refusal
from bc_images.files.layout import object_key
from bc_images.files.media_type import EXTENSIONS, HEAD, MAX_UPLOAD, sniff
from bc_images.files.store import CorruptFile, FileStore
from bc_images.files.url_policy import UrlPolicy, original_url
from bc_images.files.webdav import UploadLog, WebDAV
from bc_images.redaction import redact
from bc_images.settings import Settings

__all__ = ["Uploader"]

logger = logging.getLogger(__name__)

MAX_URL = 255  # characters (V3 spec, image_url)
SIGNED_FOR = 3600  # seconds that a signed address works
_MAX_INSPECTED = 10_000  # digests of sound pictures that are kept in memory
_ANY_DIGEST = "0" * 64  # the address of every picture is as long


class Uploader:
    """Gives each record its way into the store; safe to share between threads.

    ``auto`` takes the first of: multipart (V3), WebDAV (with a user and password), the public address of the file
    store (with `file_store_public_url`), an address signed by the file store. A record without a digest, or a run
    without a file store, is restored from the address that the record carries.

    Args:
        settings: the target's.
        files: the file store, or None.
        upload_method: ``auto``, ``multipart``, ``webdav`` or ``url``.
        file_store_public_url: public address of the file store's top, or empty.
        webdav_username: user of the store's WebDAV, or empty.
        webdav_password: its password, or empty.

    Raises:
        SettingsError: the way asked for cannot work with the other settings.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        files: FileStore | None,
        upload_method: str = "auto",
        file_store_public_url: str | None = "",
        webdav_username: str | None = "",
        webdav_password: str | None = "",
    ) -> None:
        self._settings = settings
        self._accepts_bytes = capabilities(settings.api_version).accepts_image_bytes
        self._files = files
        self._url_policy = UrlPolicy(settings)
        self._file_store_public_url = _public_address(file_store_public_url or "", self._url_policy)
        has_user = bool(webdav_username and webdav_password)
        self._inspected: set[str] = set()  # digests of pictures that were inspected, and are sound
        self._webdav = WebDAV(settings, webdav_username or "", webdav_password or "") if has_user else None
        if upload_method == "multipart" and not self._accepts_bytes:
            raise SettingsError(
                "upload_method multipart needs api_version v3: V2 takes no picture bytes. Use webdav or url."
            )
        if upload_method == "webdav" and self._webdav is None:
            raise SettingsError("upload_method webdav needs webdav_username and webdav_password.")
        self._method = self._choose_method(upload_method)
        if files is not None:
            self._log_method(files, upload_method)
        self._probing = threading.Lock()
        self._http: HttpDownloader | None = None  # to ask whether old addresses still have their pictures

    def _choose_method(self, upload_method: str) -> str:
        """Return the first way that `upload_method` allows, as `method_for` names it."""
        if upload_method in {"multipart", "webdav"}:
            return upload_method
        if upload_method == "auto" and self._accepts_bytes:
            return "multipart"
        if upload_method == "auto" and self._webdav is not None:
            return "webdav"
        return "url" if self._file_store_public_url else "signed"

    def _log_method(self, files: FileStore, upload_method: str) -> None:
        """Say how saved pictures will go back, or that they cannot: before thousands of records are rejected for it.

        Only a warning, for a restore may have nothing to write but fields.

        Raises:
            SettingsError: `upload_method` asks for an address, and there never is one.
        """
        if self._method == "signed":
            signed = files.sign(_ANY_DIGEST, SIGNED_FOR)
            if signed is None and upload_method == "url":
                raise SettingsError(
                    "upload_method url needs file_store_public_url: this file store cannot sign addresses."
                )
            if signed is None or len(signed) > MAX_URL:
                logger.warning(
                    "Saved pictures cannot be uploaded with these settings: %s. %s. Records with one are rejected.",
                    "this file store cannot sign addresses" if signed is None else _too_long(signed),
                    self._advice(),
                )
                return
        logger.info("Saved pictures are uploaded by %s.", self._method)

    def _advice(self) -> str:
        """Say what to set where no address of a picture can be had."""
        if self._accepts_bytes:
            return "Set file_store_public_url, or upload_method to auto"
        ways = "set webdav_username and webdav_password, or file_store_public_url, or use api_version v3"
        return f"V2 takes no bytes: {ways}"

    def close(self) -> None:
        """Wake every thread that waits and close the connections."""
        if self._webdav is not None:
            self._webdav.close()
        with self._probing:
            if self._http is not None:
                self._http.close()

    def method_for(self, record: Record) -> str:
        """Return how a record's picture will travel.

        ``multipart``, ``webdav``, ``url`` (the file store's public address), ``signed`` (an address signed by it) or
        ``address`` (one that the record carries).
        """
        return self._method if self._has_bytes(record) else "address"

    def check(self, record: Record, *, contact: bool = False) -> None:
        """Find out, without any request to the store's API, whether a record's picture can be sent; re-hashes it.

        Args:
            record: the record.
            contact: where there are no bytes, ask the old addresses whether the picture is still there.

        Raises:
            FileUnavailable: there are no sound bytes, and no usable address that still has the picture.
            RequestRejected: the store would refuse the picture.
        """
        if self._has_bytes(record):
            self._picture(record)
        method = self.method_for(record)
        if method in {"url", "signed"}:
            self._url(record)
        elif method == "address" and all(contact and self._is_gone(url) for url in self._record_urls(record)):
            raise FileUnavailable(f"{self.missing_bytes_reason(record)}, and its old address answers that it is gone")

    def _is_gone(self, url: str) -> bool:
        with self._probing:
            self._http = self._http or HttpDownloader(self._settings)
        return self._http.is_gone(url)

    def missing_bytes_reason(self, record: Record) -> str:
        """Say why there are no bytes of a record that travels by its old address, and what to set if that helps."""
        if record.get("file_sha256"):
            return (
                "the saved picture cannot be sent, since file_store is not set (set it to the file store of the backup)"
            )
        return "the backup has no picture of this image"

    def attempts(self, record: Record, upload_log: UploadLog) -> list[AbstractContextManager[ImageSource]]:
        """Return what to try, one after the other while the store refuses it: mostly `open_source` alone.

        A picture of which there are only links may still be served by one address and no more by the other.

        Args:
            record: the record.
            upload_log: remembers what lies in the import folder of WebDAV meanwhile.

        Raises:
            FileUnavailable: the record carries no usable address.
        """
        if self.method_for(record) == "address":
            return [nullcontext(UrlSource(url)) for url in self._record_urls(record)]
        return [self.open_source(record, upload_log)]

    def remove_uploads(self, names: Iterable[str], upload_log: UploadLog) -> None:
        """Take away what an earlier run has left in the import folder of WebDAV."""
        if self._webdav is not None:
            for name in names:
                self._webdav.remove(name, self._settings.max_retries, upload_log)

    @contextmanager
    def open_source(self, record: Record, upload_log: UploadLog | None = None) -> Iterator[ImageSource]:
        """Yield what ``StoreClient.create`` and ``replace`` take; what was put somewhere for it is removed afterwards.

        The bytes are re-hashed before they are sent anywhere.

        Raises:
            FileUnavailable, RequestRejected: as `check`.
            FatalError: WebDAV cannot be used.
        """
        method = self.method_for(record)
        if method == "address":
            yield UrlSource(self._url(record))
            return
        content, media_type = self._picture(record)
        if method == "multipart":
            yield FileSource(_sent_name(record, media_type), lambda: BytesIO(content))
        elif method == "webdav" and self._webdav is not None:
            with self._webdav.temporary_upload(_ascii(_sent_name(record, media_type)), content, upload_log) as name:
                yield WebDavSource(name)
        else:
            yield UrlSource(self._url(record))

    def _has_bytes(self, record: Record) -> bool:
        return self._files is not None and bool(record.get("file_sha256"))

    def _picture(self, record: Record) -> tuple[bytes, str]:
        """Return a record's bytes and media type, after every check that can be made here."""
        digest = record["file_sha256"]
        if self._files is None or not isinstance(digest, str):
            raise FileUnavailable(f"file_sha256 {digest!r} is not a SHA-256 in hex")
        size = self._files.size(digest)
        if size is not None and size > MAX_UPLOAD:  # before it is read: it may be huge
            raise RequestRejected(f"the picture has {size:,} bytes; the store takes {MAX_UPLOAD:,} at most")
        try:
            content = self._files.read(digest)
        except CorruptFile as error:  # one bad file is no reason not to restore the others
            raise FileUnavailable(str(error)) from error
        media_type = sniff(content[:HEAD], len(content))
        if media_type is None:
            raise RequestRejected(
                "the file is not a picture of a type that the store takes (BMP, GIF, JPEG, PNG, WBMP, XBM, WEBP)"
            )
        if digest in self._inspected:
            return content, media_type
        inspection = Inspection()
        inspection.feed(content)
        defect = inspection.defect(media_type)
        if defect is not None and defect != "truncated":  # that these are refused is documented
            raise RequestRejected(f"the store would refuse the picture: {refusal(len(content), defect)}")
        if len(self._inspected) >= _MAX_INSPECTED:
            self._inspected.clear()
        self._inspected.add(digest)
        return content, media_type

    def _url(self, record: Record) -> str:
        """Return the address from which the store shall fetch a record's picture.

        Raises:
            FileUnavailable: there is none that can be used.
        """
        method = self.method_for(record)
        if method == "url":
            return _short(f"{self._file_store_public_url}/{object_key(record['file_sha256'])}")
        if method == "signed":
            signed = self._files.sign(record["file_sha256"], SIGNED_FOR) if self._files else None
            if signed is None:
                raise FileUnavailable(f"this file store cannot sign addresses. {self._advice()}")
            if not self._url_policy.is_reachable_by_store(signed):
                host = urlsplit(signed).hostname
                raise FileUnavailable(f"the file store signs for {host}, a private address. {self._advice()}")
            return _short(signed)
        return self._record_urls(record)[0]

    def _record_urls(self, record: Record) -> list[str]:
        """Return the usable addresses that a record carries: of the rendition first, which alone the API promises.

        Then the original's, which every store serves on its own domain.

        Raises:
            FileUnavailable: there is none, or the first one must not be used.
        """
        if not record.get("zoom_url"):
            return [_short(self._url_policy.check(self._original(record)))]
        usable = [_short(self._url_policy.check(str(record["zoom_url"])))]
        with suppress(FileUnavailable):  # the first one is there
            usable.append(_short(self._url_policy.check(self._original(record))))
        return usable

    def _original(self, record: Record) -> str:
        store_hash = record.get("store_hash") or self._settings.store_hash
        if store_hash == self._settings.store_hash:
            return original_url(self._settings.store_url, record["image_file"])
        if not re.fullmatch(r"[A-Za-z0-9_-]+", store_hash):
            raise FileUnavailable("the record has neither a file nor zoom_url, and its store_hash is none")
        return original_url(Settings.default("store_url").replace("{store_hash}", store_hash), record["image_file"])


def _public_address(url: str, url_policy: UrlPolicy) -> str:
    """Check the setting ``file_store_public_url``; return it without a slash at its end.

    Raises:
        SettingsError: it is no public http(s) address.
    """
    if not url:
        return url
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address or not url.isprintable() or " " in url or parts.query or parts.fragment or "@" in parts.netloc:
        raise SettingsError(
            "file_store_public_url is no public http(s) address: give something like https://files.example.com."
        )
    if not url_policy.is_reachable_by_store(url):
        raise SettingsError(
            f"file_store_public_url leads to {parts.hostname}, a private address from which the store cannot fetch: "
            "give one like https://files.example.com."
        )
    return url.rstrip("/")


def _short(url: str) -> str:
    if len(url) > MAX_URL:
        raise FileUnavailable(f"{_too_long(url)}: {redact(url)[:80]}…")
    return url


def _too_long(url: str) -> str:
    return f"the address has {len(url)} characters and the store takes {MAX_URL}"


def _sent_name(record: Record, media_type: str) -> str:
    """Return the file name to send: the one it first came under, made safe, with an extension that fits the bytes."""
    path = PurePosixPath(file_name(record["image_file"]))
    base = path.stem if re.fullmatch(r"\.[A-Za-z0-9]{1,5}", path.suffix) else path.name
    fitting = EXTENSIONS[media_type]
    extension = path.suffix if path.suffix.lower() in fitting else fitting[0]
    return (re.sub(r"[^\w.-]+", "-", base).strip("-.")[:230] or "image") + extension


def _ascii(name: str) -> str:
    """Return a name for WebDAV, where it becomes a path and then an address: no character that needs encoding."""
    path = PurePosixPath(name)
    return (re.sub(r"[^A-Za-z0-9_.-]+", "-", path.stem).strip("-.") or "image") + path.suffix
