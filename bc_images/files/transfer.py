"""One picture over HTTP: streamed, its length checked, taken up again where it broke off. No token, no cookies."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from http.cookiejar import DefaultCookiePolicy
from urllib.parse import urljoin

import requests
import urllib3
from requests.auth import AuthBase

from bc_images.errors import BcImagesError, FileUnavailable, Stopped, StoreUnreachable
from bc_images.files.addresses import Addresses, Place, PublicOnly, place_of
from bc_images.http import backoff, describe, session
from bc_images.http import failure as classified
from bc_images.http.reachability import RETRIES
from bc_images.redaction import redact
from bc_images.settings import Settings

__all__ = ["Gone", "Interrupted", "Transfers", "Tries"]

logger = logging.getLogger(__name__)

CHUNK = 256 * 1024  # bytes read at a time
MAX_BYTES = 512 * 1024 * 1024  # more than a store can hold: its WebDAV takes no larger file ("File Access (WebDAV)")
MAX_REDIRECTS = 5
PATIENCE = 32  # files in a row that a host may leave without any answer
MAX_WAIT = 60.0  # seconds that a Retry-After may ask for
SLOWEST = 1024  # bytes a second below which, over a whole request_timeout, a transfer counts as stuck
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


class Tries:
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


class Transfers:
    """Fetches files with at most ``concurrency`` connections at once; safe to share between threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._addresses = Addresses(settings)
        self._own = _settled(_anonymous(session(settings, settings.concurrency)), settings.store_url)
        self._strangers = _anonymous(session(settings, settings.concurrency))
        for scheme in ("http://", "https://"):
            adapter = PublicOnly(pool_connections=4, pool_maxsize=settings.concurrency)
            self._strangers.mount(scheme, adapter)
        self._places = threading.Semaphore(settings.concurrency)
        self._stop = threading.Event()
        self._unanswered: dict[Place, int] = {}  # files in a row that were left without any answer there
        self._answered: set[Place] = set()  # where something has answered in this run
        self._lock = threading.Lock()
        # It would show a traceback for every answer with a head that is not well-formed; we judge these ourselves.
        logging.getLogger("urllib3.connection").setLevel(logging.ERROR)

    def close(self) -> None:
        """Wake every thread that waits and close the connections."""
        self._stop.set()
        self._own.close()
        self._strangers.close()

    def pause(self, failure: Interrupted, tries: Tries, url: str) -> None:
        """Wait before the file at `url` is begun anew.

        Raises:
            FileUnavailable: it failed too often.
            StoreUnreachable: so did many before it, and the store's own host has answered to none.
            Stopped: `close` was called.
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
            raise Stopped("Stopped while waiting to try a picture again.")

    def fetch(
        self,
        url: str,
        tries: Tries,
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
            answer = self._open(url, {}, auth)
            try:
                if examine is not None:
                    examine(answer)
                total = _length(answer)
                got = 0
                while True:
                    try:
                        for chunk in self._read(answer):
                            got += len(chunk)
                            if got > MAX_BYTES:
                                raise FileUnavailable(f"it has more than {MAX_BYTES // 1024**2} MB")
                            yield chunk
                        _expect_all(got, total)
                    except Interrupted as failure:
                        if not got or (condition := _resumable(answer)) is None:
                            raise
                        tries.spend(failure)
                        following = self._open(url, {"Range": f"bytes={got}-", "If-Range": condition}, auth)
                        answer.close()
                        answer = following
                        total = _rest(answer, got, total)
                    else:
                        return
            finally:
                answer.close()

    def _open(self, url: str, headers: dict[str, str], auth: AuthBase | None) -> requests.Response:
        """Send a GET, follow redirects, and return an answer that carries a file."""
        for _ in range(MAX_REDIRECTS + 1):
            url = self._addresses.judge_before_contact(url)
            answer = self._send(url, headers, auth)
            place = answer.headers.get("Location")
            if answer.status_code not in _REDIRECTS or place is None:
                try:
                    _judge(answer, is_part_wanted="Range" in headers)
                except BcImagesError:
                    _drain(answer)
                    raise
                return answer
            _drain(answer)
            if auth is not None:
                raise FileUnavailable(f"HTTP {answer.status_code}")
            try:
                url = urljoin(url, place)
            except ValueError as error:
                raise FileUnavailable("it is redirected to what is no address") from error
        raise FileUnavailable(f"it is redirected more than {MAX_REDIRECTS} times")

    def _send(self, url: str, headers: dict[str, str], auth: AuthBase | None) -> requests.Response:
        place = place_of(url)
        is_own = place in self._addresses.own
        if self._unanswered.get(place, 0) >= PATIENCE and not is_own:
            raise FileUnavailable(f"{place[0]} did not answer before and was not asked again")
        if self._stop.is_set():
            raise Stopped("Stopped before a picture was asked for.")
        chosen = self._own if is_own else self._strangers
        try:
            answer = chosen.get(
                url,
                headers=headers,
                auth=auth,
                stream=True,
                allow_redirects=False,
                timeout=self._settings.request_timeout,
            )
        except requests.exceptions.InvalidURL as error:
            raise FileUnavailable(f"its address cannot be used: {describe(error)}") from error
        except requests.exceptions.RequestException as error:
            never_connected = place not in self._answered and classified(error).never_sent
            raise Interrupted(describe(error), silent=place, never_connected=never_connected) from error
        except ValueError as error:  # requests reads Location even where it is not to follow it
            raise FileUnavailable("the host's answer cannot be read") from error
        with self._lock:
            self._unanswered.pop(place, None)
            self._answered.add(place)
        return answer

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

    def _read(self, answer: requests.Response) -> Iterator[bytes]:
        """Yield what comes as it comes, so that a host that only drips is noticed."""
        began = time.monotonic()
        got = 0
        while True:
            try:
                chunk = answer.raw.read1(CHUNK, decode_content=False)
            except (urllib3.exceptions.HTTPError, OSError) as error:
                timeout = isinstance(error, urllib3.exceptions.TimeoutError)
                kind = requests.exceptions.Timeout if timeout else requests.exceptions.ConnectionError
                raise Interrupted(describe(kind(error))) from error
            if not chunk:
                return
            yield chunk
            got += len(chunk)
            seconds = time.monotonic() - began
            if seconds > self._settings.request_timeout and got < SLOWEST * seconds:
                raise Interrupted(f"the answer comes too slowly: {got} bytes in {seconds:.0f} seconds")
            if self._stop.is_set():
                raise Stopped("Stopped while a picture was under way.")


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
        told = answer.headers.get("Retry-After", "")
        wait = float(told) if re.fullmatch(r"[0-9]{1,9}", told) else 0.0  # a date is not worth reading
        raise Interrupted(f"HTTP {status}", wait=min(MAX_WAIT, wait))
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


def _resumable(answer: requests.Response) -> str | None:
    """Return the validator by which the rest of the same file can be asked for, or None."""
    if answer.headers.get("Accept-Ranges", "").lower() == "none":
        return None
    etag = answer.headers.get("ETag", "")
    return etag if etag.startswith('"') else answer.headers.get("Last-Modified")


def _expect_all(got: int, total: int | None) -> None:
    if total is not None and got != total:
        raise Interrupted(f"the answer is cut off: {got} of {total} bytes came")


def _rest(answer: requests.Response, got: int, total: int | None) -> int:
    """Make sure that an answer goes on exactly where the last one broke off; return the length of the whole.

    Raises:
        Interrupted: it does not.
    """
    told = re.fullmatch(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15})", answer.headers.get("Content-Range", ""))
    start, end, whole = map(int, told.groups()) if told else (0, 0, 0)
    fits = answer.status_code == 206 and start == got and end == whole - 1 and total in {None, whole}
    if not fits:
        raise Interrupted("the answer is cut off and cannot be continued")
    return whole


def _drain(answer: requests.Response) -> None:
    """Read a short body that nobody wants, so that its connection can be used again."""
    with suppress(urllib3.exceptions.HTTPError, OSError):  # the connection is closed either way
        answer.raw.read(64 * 1024)
    answer.close()
