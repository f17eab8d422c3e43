"""One picture over HTTP: streamed, its length checked, taken up again where it broke off. No token, no cookies."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from urllib.parse import urljoin

import requests
import urllib3
from requests.auth import AuthBase

from bc_images.bigcommerce.exchange import Exchange, Exchanges
from bc_images.bigcommerce.reachability import RETRIES
from bc_images.bigcommerce.session import backoff, session
from bc_images.bigcommerce.transport_errors import capped_wait, describe
from bc_images.bigcommerce.transport_errors import failure as classified
from bc_images.errors import BcImagesError, FatalError, FileUnavailable, StoreUnreachable
from bc_images.files.url_policy import Place, PublicOnlyAdapter, UrlPolicy, origin_of
from bc_images.redaction import redact
from bc_images.settings import Settings

__all__ = ["Gone", "HttpDownloader", "Interrupted", "RetryBudget"]

logger = logging.getLogger(__name__)

MAX_BYTES = 512 * 1024 * 1024  # more than a store can hold: its WebDAV takes no larger file ("File Access (WebDAV)")
MAX_REDIRECTS = 5
PATIENCE = 32  # files in a row that a host may leave without any answer
_AGAIN = {408, 425, 429, 500, 502, 503, 504}
_REDIRECTS = {301, 302, 303, 307, 308}


class Gone(FileUnavailable):
    """The host says that there is no such file (404, 410)."""


class Interrupted(BcImagesError):
    """A transfer failed in a way that another try may mend.

    Attributes:
        silent: where nobody answered at all, or None.
        wait: seconds that the host asked for.
        never_connected: whether there was no connection, now or earlier in this run.
    """

    def __init__(
        self, message: str, *, silent: Place | None = None, wait: float = 0.0, never_connected: bool = False
    ) -> None:
        super().__init__(message)
        self.silent = silent
        self.wait = wait
        self.never_connected = never_connected


class RetryBudget:
    """How often one file may fail before it counts as unavailable."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.failed = 0

    def spend(self, failure: Interrupted) -> None:
        """Count a failure.

        Raises:
            FileUnavailable: it was one too many.
        """
        self.failed += 1
        if self.failed > (min(self._most, RETRIES) if failure.never_connected else self._most):
            raise FileUnavailable(f"{failure}, {self.failed} times" if self._most else str(failure)) from failure


class HttpDownloader:
    """Fetches files with at most ``concurrency`` connections at once; safe to share between threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._addresses = UrlPolicy(settings)
        self._own = _settled(_anonymous(session(settings, settings.concurrency)), settings.store_url)
        self._strangers = _anonymous(session(settings, settings.concurrency))
        for scheme in ("http://", "https://"):
            adapter = PublicOnlyAdapter(pool_connections=4, pool_maxsize=settings.concurrency)
            self._strangers.mount(scheme, adapter)
        self._exchanges = Exchanges(settings.request_timeout)
        self._places = threading.Semaphore(settings.concurrency)
        self._stop = threading.Event()
        self._unanswered: dict[Place, int] = {}  # files in a row that were left without any answer there
        self._answered: set[Place] = set()  # where something has answered in this run
        self._lock = threading.Lock()
        # It would show a traceback for every answer with a head that is not well-formed; we judge these ourselves.
        logging.getLogger("urllib3.connection").setLevel(logging.ERROR)

    def close(self) -> None:
        """Wake every thread that waits and close the connections, those in use after a short grace."""
        self._stop.set()
        self._exchanges.cancel()
        self._own.close()
        self._strangers.close()

    def pause(self, failure: Interrupted, tries: RetryBudget, url: str) -> None:
        """Wait before the file at `url` is begun anew.

        Raises:
            FileUnavailable: it failed too often.
            StoreUnreachable: so did many before it, and the store's own host has answered to none.
            FatalError: `close` was called.
        """
        try:
            tries.spend(failure)
        except FileUnavailable:
            if failure.silent is not None:
                self._count_silence(failure.silent, failure)
            raise
        seconds = max(failure.wait, backoff(tries.failed - 1))
        logger.info("%s: %s. Trying again in %.1f s.", redact(url), failure, seconds)
        if self._stop.wait(seconds):
            raise FatalError("Stopped while waiting to try a picture again.")

    def fetch(
        self,
        url: str,
        tries: RetryBudget,
        *,
        examine: Callable[[requests.Response], None] | None = None,
        auth: AuthBase | None = None,
    ) -> Generator[bytes]:
        """Yield the bytes at `url`: all of them, or an error comes.

        Args:
            url: their address.
            tries: how often it may fail.
            examine: is given the answer before its first byte, and may refuse it by an error.
            auth: shown to the host of `url` alone; redirects are not followed then.

        Raises:
            FileUnavailable: they cannot be had; `Gone` where they do not exist.
            Interrupted: only a new start can help, after `pause`.
        """
        with self._places:
            exchange = self._open(url, {}, auth)
            try:
                first = exchange.response
                if examine is not None:
                    examine(first)
                total = _length(first)
                got = 0
                while True:
                    try:
                        for chunk in self._read(exchange):
                            got += len(chunk)
                            if got > MAX_BYTES:
                                raise FileUnavailable(f"it has more than {MAX_BYTES // 1024**2} MB")
                            yield chunk
                        _expect_all(got, total)
                    except Interrupted as failure:
                        validator = _Validator.of(first)
                        if validator is None or not 0 < got < (total or MAX_BYTES):
                            raise
                        tries.spend(failure)
                        exchange.close()
                        exchange = self._open(url, {"Range": f"bytes={got}-", "If-Range": validator.value}, auth)
                        total = _require_rest(exchange.response, first, validator, got, total)
                    else:
                        return
            finally:
                exchange.close()

    def is_gone(self, url: str) -> bool:
        """Whether the host says that there is no file at `url`; false where it says anything else, or nothing."""
        with self._places:
            try:
                self._open(url, {}, None).close()
            except Gone:
                return True
            except (FileUnavailable, Interrupted):
                pass
        return False

    def _open(self, url: str, headers: dict[str, str], auth: AuthBase | None) -> Exchange:
        """Send a GET, follow redirects, and return an exchange whose response carries a file."""
        for _ in range(MAX_REDIRECTS + 1):
            url = self._addresses.judge_before_contact(url)
            exchange = self._send(url, headers, auth)
            response = exchange.response
            location = response.headers.get("Location")
            if response.status_code not in _REDIRECTS or location is None:
                try:
                    _judge(response, is_part_wanted="Range" in headers)
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
                raise FileUnavailable("it is redirected to what is no address") from error
        raise FileUnavailable(f"it is redirected more than {MAX_REDIRECTS} times")

    def _send(self, url: str, headers: dict[str, str], auth: AuthBase | None) -> Exchange:
        place = origin_of(url)
        is_own = place in self._addresses.own
        if self._unanswered.get(place, 0) >= PATIENCE and not is_own:
            raise FileUnavailable(f"{place[0]} did not answer before and was not asked again")
        if self._stop.is_set():
            raise FatalError("Stopped before a picture was asked for.")
        session_used = self._own if is_own else self._strangers
        exchange = Exchange(self._exchanges)
        try:
            exchange.send(
                lambda: session_used.get(
                    url,
                    headers=headers,
                    auth=auth,
                    stream=True,
                    allow_redirects=False,
                    timeout=self._settings.request_timeout,
                )
            )
        except BaseException as error:
            exchange.close()
            if isinstance(error, requests.exceptions.InvalidURL):
                raise FileUnavailable(f"its address cannot be used: {describe(error)}") from error
            if isinstance(error, requests.exceptions.RequestException):
                never_connected = place not in self._answered and classified(error).never_sent
                raise Interrupted(describe(error), silent=place, never_connected=never_connected) from error
            if isinstance(error, ValueError):  # requests reads Location even where it is not to follow it
                raise FileUnavailable("the host's answer cannot be read") from error
            raise
        with self._lock:
            self._unanswered.pop(place, None)
            self._answered.add(place)
        return exchange

    def _count_silence(self, place: Place, failure: Interrupted) -> None:
        """Count a file that a host has left without any answer: to ask for all the others too would take for ever.

        Raises:
            StoreUnreachable: there are too many of them, and the host is the store's own.
        """
        with self._lock:
            self._unanswered[place] = self._unanswered.get(place, 0) + 1
            given_up = self._unanswered[place] >= PATIENCE
        if given_up and place in self._addresses.own:
            raise StoreUnreachable(
                f"{place[0]} has left {PATIENCE} pictures in a row without an answer: {failure}. "
                "Check store_url and the network, or try later: what is saved stays saved."
            ) from failure

    def _read(self, exchange: Exchange) -> Iterator[bytes]:
        """Yield what comes as it comes."""
        try:
            for chunk in exchange.read():
                yield chunk
                if self._stop.is_set():
                    raise FatalError("Stopped while a picture was under way.")
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            if self._stop.is_set():
                raise FatalError("Stopped while a picture was under way.") from error
            raise Interrupted(describe(error)) from error


def _anonymous(made: requests.Session) -> requests.Session:
    """Take from a session everything that could tell a host who we are."""
    # A callable, because requests would else look for the host in .netrc and send what it finds there.
    made.auth = lambda request: request
    made.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    # The bytes as they are stored; and no Accept header that would let a CDN convert the picture.
    made.headers["Accept-Encoding"] = "identity"
    made.headers["Cache-Control"] = "no-transform"
    return made


def _settled(made: requests.Session, url: str) -> requests.Session:
    """Read proxies and certificates from the environment now: requests would do so for every single file."""
    found = made.merge_environment_settings(url, {}, None, None, None)
    made.proxies, made.verify, made.cert = found["proxies"], found["verify"], found["cert"]
    made.trust_env = False
    return made


def _judge(answer: requests.Response, *, is_part_wanted: bool) -> None:
    status = answer.status_code
    if status in {404, 410}:
        raise Gone(f"HTTP {status}")
    if status in _AGAIN:
        wait, note = capped_wait(answer.headers)
        raise Interrupted(f"HTTP {status}{note}", wait=wait)
    if status == 416 and is_part_wanted:
        raise Interrupted("HTTP 416: the file is another one now")
    if status not in {200, 203} and not (status == 206 and is_part_wanted):
        raise FileUnavailable(f"HTTP {status}")
    if (encoding := answer.headers.get("Content-Encoding", "identity").lower()) != "identity":
        # We asked for the bytes as they are. Packed ones may be cut off where only unpacking to the end could tell.
        raise FileUnavailable(f"the host sends it packed ({encoding[:20]!r})")
    if "html" in answer.headers.get("Content-Type", ""):
        raise FileUnavailable("the host answers with a web page, not with a picture")


def _length(answer: requests.Response) -> int | None:
    """Return how many bytes there will be; None where they come in chunks, the last of which tells.

    Raises:
        FileUnavailable: nothing tells, so that a cut-off would pass for the end.
    """
    if answer.headers.get("Transfer-Encoding", "").lower() == "chunked":
        return None
    told = answer.headers.get("Content-Length", "")
    if not re.fullmatch(r"[0-9]{1,15}", told):
        raise FileUnavailable("the host does not say how long it is, so that a cut-off could not be noticed")
    return int(told)


@dataclass(frozen=True, slots=True)
class _Validator:
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


def _expect_all(got: int, total: int | None) -> None:
    if total is not None and got != total:
        raise Interrupted(f"the answer is cut off: {got} of {total} bytes came")


def _require_rest(
    response: requests.Response, first: requests.Response, validator: _Validator, got: int, total: int | None
) -> int:
    """Make sure that a response goes on exactly where the first one broke off, in the same file (RFC 9110, 15.3.7.3).

    Returns the length of the whole, which only a first response in chunks has left open.

    Raises:
        Interrupted: it does not, or does not prove it.
    """
    extent = re.fullmatch(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15})", response.headers.get("Content-Range", ""))
    is_same = response.headers.get(validator.name) == validator.value and all(
        response.headers[name] == first.headers[name]
        for name in ("ETag", "Last-Modified")
        if name in response.headers and name in first.headers
    )
    start, end, whole = map(int, extent.groups()) if extent else (0, 0, 0)
    is_rest = start == got and end == whole - 1 and total in {None, whole}
    if response.status_code != 206 or not is_rest or not is_same or response.url != first.url:
        raise Interrupted("the answer is cut off and cannot be continued")
    return whole
