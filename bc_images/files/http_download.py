"""Downloads one picture over HTTP: streamed, length-checked, resumed by Range. No token, no cookies."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Generator, Iterator
from datetime import timedelta
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from typing import NamedTuple
from urllib.parse import urljoin

import requests
import urllib3
from requests.auth import AuthBase

from bc_images.bigcommerce.exchange import Exchange, Exchanges
from bc_images.bigcommerce.retry import RetryPolicy, capped_retry_after
from bc_images.bigcommerce.session import session
from bc_images.bigcommerce.transport_errors import classify, describe
from bc_images.errors import BcImagesError, FatalError, FileUnavailable, StoreUnreachable
from bc_images.files.url_policy import Origin, PublicOnlyAdapter, UrlPolicy, origin_of
from bc_images.redaction import redact
from bc_images.settings import Settings

__all__ = ["HttpDownloader", "NotFoundError", "RetryBudget", "TransientError"]

logger = logging.getLogger(__name__)

MAX_BYTES = 512 * 1024 * 1024  # more than a store can hold: its WebDAV takes no larger file ("File Access (WebDAV)")
MAX_REDIRECTS = 5
MAX_UNRESPONSIVE = 32  # files in a row to which an origin may not respond at all
_REDIRECTS = {301, 302, 303, 307, 308}


class NotFoundError(FileUnavailable):
    """The host says that there is no such file (404, 410)."""


class TransientError(BcImagesError):
    """A transfer failed in a way that another try may mend.

    Attributes:
        unresponsive_origin: the origin that did not respond at all, or None.
        retry_after: seconds that the host asked for.
        never_connected: whether there was no connection, now or earlier in this run.
    """

    def __init__(
        self,
        message: str,
        *,
        unresponsive_origin: Origin | None = None,
        retry_after: float = 0.0,
        never_connected: bool = False,
    ) -> None:
        super().__init__(message)
        self.unresponsive_origin = unresponsive_origin
        self.retry_after = retry_after
        self.never_connected = never_connected


class RetryBudget:
    """How often one file may fail before it counts as unavailable."""

    def __init__(self, policy: RetryPolicy) -> None:
        self.policy = policy
        self.failed = 0

    def consume(self, failure: TransientError) -> None:
        """Count a failure.

        Raises:
            FileUnavailable: it was one too many.
        """
        self.failed += 1
        if self.policy.is_exhausted(self.failed - 1, never_connected=failure.never_connected):
            times = f", {self.failed} times" if self.policy.max_retries else ""
            raise FileUnavailable(f"{failure}{times}") from failure


class HttpDownloader:
    """Fetches files with at most ``concurrency`` connections at once; safe to share between threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._url_policy = UrlPolicy(settings)
        self._trusted_session = _with_environment(
            _without_credentials(session(settings, settings.concurrency)), settings.store_url
        )
        self._untrusted_session = _without_credentials(session(settings, settings.concurrency))
        for scheme in ("http://", "https://"):
            adapter = PublicOnlyAdapter(pool_connections=4, pool_maxsize=settings.concurrency)
            self._untrusted_session.mount(scheme, adapter)
        self._exchanges = Exchanges(settings.request_timeout)
        self._slots = threading.Semaphore(settings.concurrency)
        self._stop = threading.Event()
        self._unresponsive: dict[Origin, int] = {}  # files in a row that were left without any answer there
        self._answered: set[Origin] = set()  # where something has answered in this run
        self._lock = threading.Lock()
        # It would show a traceback for every answer with a head that is not well-formed; we judge these ourselves.
        logging.getLogger("urllib3.connection").setLevel(logging.ERROR)

    def close(self) -> None:
        """Wake every thread that waits and close the connections, those in use after a short grace."""
        self._stop.set()
        self._exchanges.cancel()
        self._trusted_session.close()
        self._untrusted_session.close()

    def pause(self, failure: TransientError, budget: RetryBudget, url: str) -> None:
        """Wait before the file at `url` is begun anew.

        Raises:
            FileUnavailable: it failed too often.
            StoreUnreachable: so did many before it, and the store's own host has answered to none.
            FatalError: `close` was called.
        """
        try:
            budget.consume(failure)
        except FileUnavailable:
            if failure.unresponsive_origin is not None:
                self._count_unresponsive(failure.unresponsive_origin, failure)
            raise
        seconds = budget.policy.delay(budget.failed - 1, failure.retry_after)
        logger.info("%s: %s. Trying again in %.1f s.", redact(url), failure, seconds)
        if self._stop.wait(seconds):
            raise FatalError("Stopped while waiting to retry a picture.")

    def fetch(
        self,
        url: str,
        budget: RetryBudget,
        *,
        examine: Callable[[requests.Response], None] | None = None,
        auth: AuthBase | None = None,
    ) -> Generator[bytes]:
        """Yield the bytes at `url`: all of them, or an error comes.

        Args:
            url: their address.
            budget: how often it may fail.
            examine: is given the answer before its first byte, and may refuse it by an error.
            auth: shown to the host of `url` alone; redirects are not followed then.

        Raises:
            FileUnavailable: they cannot be downloaded; `NotFoundError` where they do not exist.
            TransientError: only a new start can help, after `pause`.
        """
        with self._slots:
            exchange = self._open(url, {}, auth)
            try:
                first = exchange.response
                if examine is not None:
                    examine(first)
                total = _length(first)
                received = 0
                while True:
                    try:
                        for chunk in self._read(exchange):
                            received += len(chunk)
                            if received > MAX_BYTES:
                                raise FileUnavailable(f"it has more than {MAX_BYTES // 1024**2} MB")
                            yield chunk
                        _check_complete(received, total)
                    except TransientError as failure:
                        validator = _Validator.of(first)
                        if validator is None or not 0 < received < (total or MAX_BYTES):
                            raise
                        budget.consume(failure)
                        exchange.close()
                        exchange = self._open(url, {"Range": f"bytes={received}-", "If-Range": validator.value}, auth)
                        total = _check_continuation(exchange.response, first, validator, received, total)
                    else:
                        return
            finally:
                exchange.close()

    def is_gone(self, url: str) -> bool:
        """Whether the host says that there is no file at `url`; false where it says anything else, or nothing."""
        with self._slots:
            try:
                self._open(url, {}, None).close()
            except NotFoundError:
                return True
            except (FileUnavailable, TransientError):
                pass
        return False

    def _open(self, url: str, headers: dict[str, str], auth: AuthBase | None) -> Exchange:
        """Send a GET, follow redirects, and return an exchange whose response carries a file."""
        for _ in range(MAX_REDIRECTS + 1):
            url = self._url_policy.check_and_resolve(url)
            exchange = self._send(url, headers, auth)
            response = exchange.response
            location = response.headers.get("Location")
            if response.status_code not in _REDIRECTS or location is None:
                try:
                    _check_status(response, is_part_wanted="Range" in headers)
                except BcImagesError:
                    exchange.discard()
                    exchange.close()
                    raise
                return exchange
            exchange.discard()
            exchange.close()
            if auth is not None:
                raise FileUnavailable(f"HTTP {response.status_code}")
            try:
                url = urljoin(url, location)
            except ValueError as error:
                raise FileUnavailable("redirected to an invalid URL") from error
        raise FileUnavailable(f"more than {MAX_REDIRECTS} redirects")

    def _send(self, url: str, headers: dict[str, str], auth: AuthBase | None) -> Exchange:
        origin = origin_of(url)
        is_trusted = origin in self._url_policy.trusted
        if self._unresponsive.get(origin, 0) >= MAX_UNRESPONSIVE and not is_trusted:
            raise FileUnavailable(f"{origin[0]} did not respond before; not requested again")
        if self._stop.is_set():
            raise FatalError("Stopped before a picture was requested.")
        http_session = self._trusted_session if is_trusted else self._untrusted_session
        timeout = self._settings.request_timeout
        exchange = Exchange(self._exchanges)
        try:
            exchange.send(
                lambda: http_session.get(
                    url, headers=headers, auth=auth, stream=True, allow_redirects=False, timeout=timeout
                )
            )
        except BaseException as error:
            exchange.close()
            if isinstance(error, requests.exceptions.InvalidURL):
                raise FileUnavailable(f"invalid URL: {describe(error)}") from error
            if isinstance(error, requests.exceptions.RequestException):
                never_connected = origin not in self._answered and classify(error).never_sent
                raise TransientError(
                    describe(error), unresponsive_origin=origin, never_connected=never_connected
                ) from error
            if isinstance(error, ValueError):  # requests reads Location even where it is not to follow it
                raise FileUnavailable("invalid response") from error
            raise
        with self._lock:
            self._unresponsive.pop(origin, None)
            self._answered.add(origin)
        return exchange

    def _count_unresponsive(self, origin: Origin, failure: TransientError) -> None:
        """Count a file that a host has left without any answer: to ask for all the others too would take for ever.

        Raises:
            StoreUnreachable: there are too many of them, and the host is the store's own.
        """
        with self._lock:
            self._unresponsive[origin] = self._unresponsive.get(origin, 0) + 1
            given_up = self._unresponsive[origin] >= MAX_UNRESPONSIVE
        if given_up and origin in self._url_policy.trusted:
            raise StoreUnreachable(
                f"No response from {origin[0]} to {MAX_UNRESPONSIVE} pictures in a row: {failure}. "
                "What is saved is kept. Check store_url and the network, then run again."
            ) from failure

    def _read(self, exchange: Exchange) -> Iterator[bytes]:
        """Yield what comes as it comes."""
        try:
            for chunk in exchange.read():
                yield chunk
                if self._stop.is_set():
                    raise FatalError("Stopped while a picture was being downloaded.")
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            if self._stop.is_set():
                raise FatalError("Stopped while a picture was being downloaded.") from error
            raise TransientError(describe(error)) from error


def _without_credentials(http_session: requests.Session) -> requests.Session:
    """Take from a session everything that could tell a host who we are."""
    # A callable, because requests would else look for the host in .netrc and send what it finds there.
    http_session.auth = lambda request: request
    http_session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    # The bytes as they are stored; and no Accept header that would let a CDN convert the picture.
    http_session.headers["Accept-Encoding"] = "identity"
    http_session.headers["Cache-Control"] = "no-transform"
    return http_session


def _with_environment(http_session: requests.Session, url: str) -> requests.Session:
    """Read proxies and certificates from the environment now: requests would do so for every single file."""
    environment = http_session.merge_environment_settings(url, {}, None, None, None)
    for name in ("proxies", "verify", "cert"):
        setattr(http_session, name, environment[name])
    http_session.trust_env = False
    return http_session


def _check_status(response: requests.Response, *, is_part_wanted: bool) -> None:
    status = response.status_code
    if status in {404, 410}:
        raise NotFoundError(f"HTTP {status}")
    if RetryPolicy().is_retryable(status):
        wait, note = capped_retry_after(response.headers)
        raise TransientError(f"HTTP {status}{note}", retry_after=wait)
    if status == 416 and is_part_wanted:
        raise TransientError("HTTP 416: the file is another one now")
    if status not in {200, 203} and not (status == 206 and is_part_wanted):
        raise FileUnavailable(f"HTTP {status}")
    if (encoding := response.headers.get("Content-Encoding", "identity").lower()) != "identity":
        # We asked for the bytes as they are. Packed ones may be cut off where only unpacking to the end could tell.
        raise FileUnavailable(f"unexpected Content-Encoding: {encoding[:20]}")
    if "html" in response.headers.get("Content-Type", ""):
        raise FileUnavailable("the response is a web page, not a picture")


def _length(response: requests.Response) -> int | None:
    """Return how many bytes there will be; None where they come in chunks, the last of which tells.

    Raises:
        FileUnavailable: nothing tells, so that a cut-off would pass for the end.
    """
    if response.headers.get("Transfer-Encoding", "").lower() == "chunked":
        return None
    length = response.headers.get("Content-Length", "")
    if not re.fullmatch(r"[0-9]{1,15}", length):
        raise FileUnavailable("the response has no Content-Length, so that truncation could not be detected")
    return int(length)


class _Validator(NamedTuple):
    """What tells that two responses are of the very same bytes: a strong validator of HTTP, a header and its value."""

    name: str
    value: str

    @classmethod
    def of(cls, response: requests.Response) -> _Validator | None:
        """Return that of a response whose rest can be asked for, or None (RFC 9110, 8.8.2.2, 8.8.3 and 13.1.5)."""
        headers = response.headers
        if headers.get("Accept-Ranges", "").lower() == "none":
            return None
        if etag := headers.get("ETag", "").strip():  # a weak one rules out the date as well
            return cls("ETag", etag) if re.fullmatch(r'"[^"\s]+"', etag) else None
        try:
            modified = parsedate_to_datetime(headers["Last-Modified"])
            # Within the same second, or by another clock, a file may have changed without a new date.
            is_strong = parsedate_to_datetime(headers["Date"]) - modified >= timedelta(seconds=60)
        except (KeyError, ValueError, TypeError, OverflowError):
            return None
        return cls("Last-Modified", headers["Last-Modified"]) if is_strong else None


def _check_complete(received: int, total: int | None) -> None:
    if total not in {None, received}:
        raise TransientError(f"truncated response: {received} of {total} bytes received")


def _check_continuation(
    response: requests.Response, first: requests.Response, validator: _Validator, received: int, total: int | None
) -> int:
    """Make sure that a response goes on exactly where the first one broke off, in the same file (RFC 9110, 15.3.7.3).

    Returns the total length, which only a first response in chunks has left open.

    Raises:
        TransientError: it does not, or does not prove it.
    """
    extent = re.fullmatch(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15})", response.headers.get("Content-Range", ""))
    is_same = response.headers.get(validator.name) == validator.value and all(
        response.headers[name] == first.headers[name]
        for name in ("ETag", "Last-Modified")
        if name in response.headers and name in first.headers
    )
    start, end, length = map(int, extent.groups()) if extent else (0, 0, 0)
    is_continuation = start == received and end == length - 1 and total in {None, length}
    if response.status_code != 206 or not is_continuation or not is_same or response.url != first.url:
        raise TransientError("truncated response that cannot be resumed")
    return length
