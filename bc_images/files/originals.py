"""Reads an original: from its URL, past the CDN's cache, or by WebDAV."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeVar
from urllib.parse import quote

from requests import Response
from requests.auth import AuthBase

from bc_images.bigcommerce.retry import RetryPolicy
from bc_images.bigcommerce.session import DigestAuth
from bc_images.errors import FileUnavailable
from bc_images.files.alteration import Altered, conversion, is_cached, transformation
from bc_images.files.http_download import HttpDownloader, NotFoundError, RetryBudget, TransientError
from bc_images.files.media_type import HEAD, MAX_UPLOAD, sniff
from bc_images.files.store import NotAPictureError, PictureBytes
from bc_images.files.url_policy import original_url
from bc_images.settings import Settings

__all__ = ["Look", "Originals"]

logger = logging.getLogger(__name__)

_T = TypeVar("_T")
MIN_COMPARISONS = 8  # pictures out of a cache that are compared with what is past it, before the cache is relied on
MAX_REFUSALS = 3  # files in a row that WebDAV may not serve before it is not asked any more


class _CachedResponse(Exception):
    """An answer comes out of a cache of which nobody knows whether it holds what the store serves."""


@dataclass(slots=True)
class _Cache:
    """What is known of the cache between us and the store."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    compared: int = 0
    alters: bool = False

    @property
    def is_judged(self) -> bool:
        """Whether enough pictures were compared."""
        return self.alters or self.compared >= MIN_COMPARISONS


class Look(NamedTuple):
    """What is at the address of an original now.

    ``read``: a picture with this digest. ``altered``: only what a CDN has made of it. ``gone``: nothing (404, 410).
    ``damaged``: what is no picture. ``unreadable``: the store did not say.
    """

    state: Literal["read", "altered", "gone", "damaged", "unreadable"]
    sha256: str | None = None
    reason: str = ""


class Originals:
    """Reads originals for one run; safe to share between threads.

    Args:
        settings: the shared settings.
        http: fetches the files.
    """

    def __init__(self, settings: Settings, http: HttpDownloader) -> None:
        self._settings = settings
        self._http = http
        user, password = settings.webdav_username, settings.webdav_password
        self._auth = DigestAuth(user, password) if user and password else None
        self._cache = _Cache()
        self._refused = 0  # files in a row that WebDAV did not serve
        self._lock = threading.Lock()

    @property
    def has_webdav(self) -> bool:
        """Whether there is a way round a CDN that alters every answer."""
        return self._auth is not None and self._refused < MAX_REFUSALS

    def read(
        self, image_file: str, consume: Callable[[Iterable[bytes]], _T], *, strict: bool = False
    ) -> tuple[_T, str]:
        """Return what `consume` makes of the bytes of an original, and their source: ``original`` or ``cdn``.

        Args:
            image_file: the path of the original.
            consume: takes in the bytes; begins anew where a transfer has failed, or a CDN has altered them.
            strict: never take what a CDN has altered.

        Raises:
            Altered: with `strict`, there is nothing else.
            NotFoundError: the store says that there is no such file.
            FileUnavailable: it cannot be read.
        """
        url = original_url(self._settings.store_url, image_file)
        try:
            return self._by_address(url, image_file, consume), "original"
        except Altered as error:
            logger.debug("%s: %s", url, error)
            try:
                return self.read_past_cache(image_file, consume), "original"
            except FileUnavailable as failure:
                logger.debug("%s: %s", url, failure)
            if strict:
                raise
        return self._consume(url, consume), "cdn"

    def _by_address(self, url: str, image_file: str, consume: Callable[[Iterable[bytes]], _T]) -> _T:
        if not self._cache.alters:
            try:
                return self._consume(url, consume, image_file, out_of_cache=self._cache.is_judged)
            except _CachedResponse:
                self._compare_cache(url, image_file)
        if self._cache.alters:
            raise Altered("a CDN alters pictures without saying so")
        return self._consume(url, consume, image_file)

    def _compare_cache(self, url: str, image_file: str) -> None:
        """Find out whether the cache holds what is past it: a CDN need not say that it alters pictures."""
        with self._cache.lock:
            if not self._cache.is_judged:
                with suppress(FileUnavailable):  # who reads the picture will hear of it
                    cached = self._consume(url, digest_of)
                    past_it = self._by_webdav if self.has_webdav else self.read_past_cache
                    if cached != past_it(image_file, digest_of):
                        logger.warning("A CDN alters pictures without saying so: they are read past its cache.")
                        self._cache.alters = True
                self._cache.compared += 1

    def read_past_cache(self, image_file: str, consume: Callable[[Iterable[bytes]], _T]) -> _T:
        """Return what `consume` makes of an original that comes out of no cache, and is not altered.

        Raises:
            FileUnavailable: there is none.
        """
        url = original_url(self._settings.store_url, image_file)
        if self._cache.alters and self.has_webdav:  # it may alter what it has not cached, too
            with suppress(FileUnavailable):
                return self._by_webdav(image_file, consume)
        try:  # a query that nobody has asked before is in no cache
            return self._consume(f"{url}?no-cache={secrets.token_hex(8)}", consume, image_file)
        except FileUnavailable:
            if not self.has_webdav:
                raise
        return self._by_webdav(image_file, consume)

    def look(self, image_file: str, expected: str | None = None) -> Look:
        """Find out what is at the address of an original now; nothing is kept.

        Args:
            image_file: its path.
            expected: the digest that it should have. Where it has another one, it is read once more past all caches,
                since a CDN need not say that it alters pictures.
        """
        try:
            digest, source = self.read(image_file, digest_of)
            if source == "cdn":
                return Look("altered")
            if expected in {None, digest}:
                return Look("read", digest)
            again = self.read_past_cache(image_file, digest_of)
            return Look("read", again) if again in {digest, expected} else Look("altered")
        except NotFoundError:
            return Look("gone")
        except Altered:
            return Look("altered")
        except NotAPictureError as error:
            return Look("damaged", reason=str(error))
        except FileUnavailable as error:
            return Look("unreadable", reason=str(error))

    def content(self, image_file: str) -> bytes:
        """Return an original of at most `MAX_UPLOAD` bytes, or what a CDN has made of it.

        Raises:
            FileUnavailable: it cannot be read, or is larger.
        """

        def join(chunks: Iterable[bytes]) -> bytes:
            content = bytearray()
            for chunk in chunks:
                content += chunk
                if len(content) > MAX_UPLOAD:
                    raise FileUnavailable(f"it has more than {MAX_UPLOAD:,} bytes")
            return bytes(content)

        return self.read(image_file, join)[0]

    def download(self, url: str, consume: Callable[[Iterable[bytes]], _T]) -> _T:
        """Return what `consume` makes of the bytes at any address, whoever has made them.

        Raises:
            FileUnavailable: they cannot be read; `NotFoundError` where there are none.
        """
        return self._consume(url, consume)

    def _by_webdav(self, image_file: str, consume: Callable[[Iterable[bytes]], _T]) -> _T:
        """Read an original as it lies in the store's folder: no CDN serves WebDAV."""
        url = f"{self._settings.store_url}/dav/product_images/{quote(image_file, errors='surrogatepass')}"
        try:
            content = self._consume(url, consume, auth=self._auth)
        except FileUnavailable as error:
            with self._lock:
                self._refused += 1
                given_up = self._refused == MAX_REFUSALS
            if given_up:
                logger.warning("WebDAV serves no originals (%s): it is not used any more in this run.", error)
            raise
        self._refused = 0
        return content

    def _consume(
        self,
        url: str,
        consume: Callable[[Iterable[bytes]], _T],
        image_file: str | None = None,
        auth: AuthBase | None = None,
        *,
        out_of_cache: bool = True,
    ) -> _T:
        """Read an address to its end; with `image_file`, only if what comes is the original of this path.

        Raises:
            _CachedResponse: without `out_of_cache`, it comes out of a cache.
        """
        budget = RetryBudget(RetryPolicy(self._settings.max_retries))
        while True:
            heads: list[Response] = []

            def examine(answer: Response, heads: list[Response] = heads) -> None:
                heads.append(answer)
                if image_file is not None and (how := transformation(answer.status_code, answer.headers)):
                    raise Altered(f"a CDN has altered it ({how})")
                if not out_of_cache and is_cached(answer.headers):
                    raise _CachedResponse

            try:
                with closing(self._http.fetch(url, budget, examine=examine, auth=auth)) as chunks:
                    return consume(chunks if image_file is None else _unconverted(chunks, heads, image_file))
            except TransientError as failure:
                self._http.pause(failure, budget, url)


def digest_of(chunks: Iterable[bytes]) -> str:
    """Return the SHA-256 of bytes, in hex.

    Raises:
        NotAPictureError: they are none.
    """
    content = PictureBytes()
    for chunk in chunks:
        content.feed(chunk)
    return content.picture().sha256


def _unconverted(chunks: Iterator[bytes], heads: list[Response], image_file: str) -> Iterator[bytes]:
    """Pass on the bytes of a picture unless their type shows that a CDN has converted it.

    Raises:
        Altered: it does; before the first byte is passed on.
    """
    head = b""
    for chunk in chunks:
        head += chunk
        if len(head) >= HEAD:
            break
    if heads and (how := conversion(sniff(head[:HEAD], len(head)), heads[0].headers, image_file)):
        raise Altered(f"a CDN has altered it ({how})")
    if head:
        yield head
    yield from chunks
