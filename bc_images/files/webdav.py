"""Uploads files to the store by WebDAV (support page "File Access (WebDAV)").

It has credentials of its own, a user's e-mail address and a long password; the API token is never sent to it.
"""

from __future__ import annotations

import logging
import re
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import NamedTuple, Protocol
from urllib.parse import quote

import requests
import urllib3

from bc_images.bigcommerce.exchange import Exchange, Exchanges
from bc_images.bigcommerce.retry import Reachability, RetryPolicy, TransientFailure, capped_retry_after
from bc_images.bigcommerce.session import DigestAuth, session
from bc_images.bigcommerce.transport_errors import classify, is_permanent
from bc_images.errors import AuthError, FatalError, FileUnavailable, SettingsError, StoreUnreachable, UnexpectedResponse
from bc_images.redaction import redact
from bc_images.settings import Settings
from bc_images.text import shortened

__all__ = ["UploadLog", "WebDAV"]

logger = logging.getLogger(__name__)

_ABOUT_THE_FILE = {400, 403, 413, 414, 415, 422}  # its name, its length or its type; any other file may still do
_LONGEST = 200  # characters of a name before its suffixes: the stored path has 255 at most

# How responses are read whose status alone is not enough (RFC 4918).
_LOCKED = 423
_MULTI_STATUS = 207
_SUCCESS = {"PUT": {200, 201, 204}, "DELETE": {200, 202, 204, 404, 410}}

# The few elements that matter, read without an XML parser: what a server sends need not be well-formed or harmless.
_RESPONSE = re.compile(rb"<(?:\w+:)?response\b.*?(?:</(?:\w+:)?response\s*>|\Z)", re.DOTALL)
_STATUS = re.compile(rb"<(?:\w+:)?status\b[^>]*>\s*HTTP/[0-9.]+\s+([1-5][0-9]{2})\b")
_SCHEME = re.compile(r"(?:^|,)\s*([A-Za-z][A-Za-z0-9-]*)(?=\s+[\w-]+=|\s*(?:,|$))")
_HREF = re.compile(rb"<(?:\w+:)?href\b[^>]*>\s*([^<\s]{1,500})")


class UploadLog(Protocol):
    """Remembers, durably, which files may lie in the import folder: a run that is killed leaves them there."""

    def started(self, name: str) -> None:
        """A file of this name is about to be put there."""

    def removed(self, name: str) -> None:
        """It is there no more."""


class _NeverSent(StoreUnreachable):
    """There is no trusted connection, so that nothing has arrived."""


class WebDAV:
    """Puts files into ``product_images/import`` and takes them away again; safe to share between threads.

    Raises:
        SettingsError: the user or the password cannot be sent.
    """

    def __init__(self, settings: Settings, username: str, password: str) -> None:
        if not re.fullmatch(r"[\x20-\x7e]+", username + password):
            raise SettingsError("webdav_username or webdav_password holds a line break or is not ASCII.")
        self._settings = settings
        self._folder = f"{settings.store_url}/dav/product_images/import"
        self._session = session(settings, settings.concurrency)
        self._exchanges = Exchanges(settings.request_timeout)
        self._auth = DigestAuth(username, password)
        self._stop = threading.Event()
        self._reachability = Reachability(self._folder, "store_url")
        self._has_taken = False  # a file of this run, so that user and password are good

    def close(self) -> None:
        """Wake every thread that waits and close the connections, those in use after a short grace."""
        self._stop.set()
        self._exchanges.cancel()
        self._session.close()

    @contextmanager
    def temporary_upload(self, name: str, content: bytes, upload_log: UploadLog | None = None) -> Iterator[str]:
        """Keep a file in the import folder for as long as the context lasts; yields the name it has there.

        Raises:
            FileUnavailable: the store does not take this file.
            AuthError: it does not take the user or the password.
            UnexpectedResponse: it takes no file at all.
            StoreUnreachable: it does not answer.
        """
        unique = _unique(name)
        retries = self._settings.max_retries
        if upload_log is not None:
            upload_log.started(unique)
        try:
            self._send("PUT", unique, content, retries)
        except (AuthError, UnexpectedResponse, _NeverSent):
            raise
        except FatalError:
            self.remove(unique, 0, upload_log)  # it may have arrived although no answer came
            raise
        try:
            yield unique
        finally:
            self.remove(unique, retries, upload_log)

    def remove(self, name: str, retries: int, upload_log: UploadLog | None) -> None:
        """Take a file away; what cannot be removed is litter, and no reason to call a finished upload a failure."""
        try:
            self._send("DELETE", name, None, retries)
        except (FileUnavailable, FatalError) as error:
            logger.warning("%s stays in the import folder of WebDAV: %s", name, error)
            return
        if upload_log is not None:
            upload_log.removed(name)

    def _send(self, method: str, name: str, content: bytes | None, max_retries: int) -> None:
        retry = RetryPolicy(max_retries)
        failures, is_locked = 0, False
        began = time.monotonic()
        while True:
            try:
                response, body = self._exchange(method, name, content)
            except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
                outcome = classify(error)
                if isinstance(error, requests.exceptions.RequestException) and is_permanent(error):
                    raise _NeverSent(f"WebDAV at {self._folder}: {outcome.reason}. Check store_url.") from error
            else:
                self._reachability.has_answered = True
                answer = _result(method, response.status_code, response.headers, body)
                if answer.is_success:
                    self._has_taken = True
                    return
                min_delay, note = capped_retry_after(response.headers)
                outcome = TransientFailure(f"{answer.text}{note}", min_delay=min_delay)
                if answer.is_foreign or not retry.is_retryable(answer.status):
                    raise self._refusal(method, answer, response)
                is_locked = answer.status == _LOCKED
            never_connected = self._reachability.never_connected(outcome)
            if retry.is_exhausted(failures, never_connected=never_connected, seconds=time.monotonic() - began):
                if never_connected:
                    raise StoreUnreachable(self._reachability.message(outcome.reason))
                where = f"WebDAV at {self._folder}"
                advice = "Wait for its release, then run again" if is_locked else "Check store_url, or try later"
                raise StoreUnreachable(f"{where}: {outcome.reason} (tries: {failures + 1}). {advice}.")
            pause = retry.delay(failures, outcome.min_delay)
            logger.info("%s %s/%s: %s. Trying again in %.1f s.", method, self._folder, name, outcome.reason, pause)
            if self._stop.wait(pause):
                raise FatalError("Stopped while waiting to try WebDAV again.")
            failures += 1

    def _exchange(self, method: str, name: str, content: bytes | None) -> tuple[requests.Response, bytes]:
        """Send one request; return the response and the beginning of its body."""
        with Exchange(self._exchanges, is_write=True) as exchange:
            response = exchange.send(
                lambda: self._session.request(
                    method,
                    f"{self._folder}/{quote(name)}",
                    data=content,
                    auth=self._auth,
                    timeout=self._settings.request_timeout,
                    allow_redirects=False,
                    stream=True,
                )
            )
            return response, exchange.discard()

    def _refusal(self, method: str, answer: _Result, response: requests.Response) -> FileUnavailable | FatalError:
        """Return the error that a refusal means: to this file, or to every one that would come after it."""
        status = answer.status
        if answer.is_foreign:
            return UnexpectedResponse(
                f"WebDAV at {self._folder}: unexpected response to {method} ({answer.text}). The file does not "
                "count as stored. Check store_url: a proxy, a firewall or a login page may answer in its place."
            )
        if status == 401 and (schemes := _missing_digest(response.headers)):
            return AuthError(
                f"WebDAV at {self._folder}: the server offers {schemes}, digest is needed. The password was not sent. "
                "Check store_url, or switch digest authentication on."
            )
        if status == 401 or (status == 403 and not self._has_taken):
            return AuthError(
                f"WebDAV refused the user or the password (HTTP {status}). Check webdav_username and webdav_password, "
                "and that WebDAV is switched on for this user."
            )
        if status in _ABOUT_THE_FILE:
            return FileUnavailable(f"WebDAV does not take the file ({method}: {answer.text})")
        if status == 507:
            return UnexpectedResponse(
                f"WebDAV storage is full ({answer.text}). Free some space in the store's File Access, then run again."
            )
        return UnexpectedResponse(
            f"WebDAV takes no files at {self._folder} ({method}: {answer.text}). Check store_url, and that it leads to "
            "the store itself and not to a redirect."
        )


def _unique(name: str) -> str:
    """Return a name nobody else uses, from which the store and we still read the same stem.

    The suffixes look like those that the store itself adds (``__`` and five digits), and are stripped as they are.
    """
    path = PurePosixPath(name)
    suffixes = "".join(f"__{secrets.randbelow(100_000):05d}" for _ in range(3))
    return f"{path.stem[:_LONGEST]}{suffixes}{path.suffix}"


class _Result(NamedTuple):
    """What a response comes to.

    Attributes:
        status: the HTTP status that counts: of a multi-status, that of the first failure in it.
        is_success: whether the file was stored, or removed.
        text: the status for a message, with what else was wrong.
        is_foreign: whether it is no response of a WebDAV server at all.
    """

    status: int
    is_success: bool
    text: str
    is_foreign: bool = False


def _result(method: str, status: int, headers: Mapping[str, str], body: bytes) -> _Result:
    """Return what a response to PUT or DELETE comes to.

    Args:
        method: of the request.
        status: of the response.
        headers: of the response.
        body: its beginning.
    """
    if status == _MULTI_STATUS:
        return _multi_status(method, body)
    is_success = status in _SUCCESS[method]
    if is_success and status == 200 and _has_page(method, headers, body):
        kind = headers.get("Content-Type", "no Content-Type").partition(";")[0]
        text = f"a page ({redact(kind)[:60]}) in place of a confirmation"
        return _Result(status, is_success=False, text=f"HTTP 200, {text}", is_foreign=True)
    text = f"HTTP {status}" + (", the file or its folder is locked" if status == _LOCKED else "")
    return _Result(status, is_success, text, is_foreign=200 <= status < 300 and not is_success)


def _missing_digest(headers: Mapping[str, str]) -> str | None:
    """Return what a refusal (401) offers in place of digest; None where digest is offered, or nothing."""
    offered = _SCHEME.findall(headers.get("WWW-Authenticate", ""))
    schemes = list(dict.fromkeys(name.capitalize() for name in offered))
    return None if not schemes or "Digest" in schemes else shortened(" and ".join(schemes), 80)


def _has_page(method: str, headers: Mapping[str, str], body: bytes) -> bool:
    """Whether a 200 has a body where none belongs: a login page or a firewall answers so, whatever is sent.

    A 201 may describe what was created, as that of Apache does, and a 200 to DELETE what was removed.
    """
    if method == "PUT":
        return bool(body.strip())
    return "html" in headers.get("Content-Type", "").lower() and bool(body.strip())


def _multi_status(method: str, body: bytes) -> _Result:
    """Read a 207: it is a success only if every status in it is one."""
    seen = 0
    for response in _RESPONSE.findall(body):
        href = _HREF.search(response)
        name = redact(href[1].decode("utf-8", "replace")) if href else "an unnamed file"
        for digits in _STATUS.findall(response):
            seen += 1
            status = int(digits)
            if status not in _SUCCESS[method]:
                locked = ", locked" if status == _LOCKED else ""
                return _Result(status, is_success=False, text=f"HTTP 207 with {status}{locked} for {name}")
    if not seen:
        return _Result(_MULTI_STATUS, is_success=False, text="HTTP 207 without any status", is_foreign=True)
    return _Result(_MULTI_STATUS, is_success=True, text="HTTP 207")
