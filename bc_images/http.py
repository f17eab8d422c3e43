"""The one door to the store's API: session, authentication, time-outs, retries, error mapping, redaction.

What may be repeated is repeated here; what may not (a POST whose fate is unknown) becomes `OutcomeUnknown`.
"""

from __future__ import annotations

import logging
import random
import re
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson
import requests
from requests.adapters import HTTPAdapter

from bc_images.errors import (
    AuthError,
    NotFound,
    OutcomeUnknown,
    RequestRejected,
    Stopped,
    StoreSuspended,
    StoreUnreachable,
    UnexpectedResponse,
)
from bc_images.rate_limit import RateBudget, RateHeaders
from bc_images.settings import Settings

__all__ = ["Client", "backoff", "describe", "redact", "session"]

logger = logging.getLogger(__name__)

RETRY_STATUS = {500, 502, 503, 504}
MAX_BACKOFF = 30.0  # seconds
MAX_RATE_WAITS = 50  # how many windows one request may wait through before the store counts as unreachable


def redact(text: str) -> str:
    """Return `text` without credentials that an address may carry (``user:password@``, query strings)."""
    return re.sub(r"://[^/@\s]+@", "://***@", re.sub(r"(https?://[^\s?'\"]+)\?[^\s'\")]*", r"\1?***", text))


def backoff(attempt: int) -> float:
    """Return the seconds to wait before try `attempt` + 1: doubling from half a second, with full jitter's top half."""
    return float(min(MAX_BACKOFF, 0.5 * 2**attempt) * random.uniform(0.5, 1.0))  # noqa: S311 - no secret


def session(settings: Settings, connections: int) -> requests.Session:
    """Return a session for `connections` threads that sends our user agent and no credentials."""
    made = requests.Session()
    adapter = HTTPAdapter(pool_connections=4, pool_maxsize=connections)
    made.mount("https://", adapter)
    made.mount("http://", adapter)
    made.headers["User-Agent"] = settings.user_agent
    return made


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why one try did not give an answer, and what that means for the next."""

    reason: str
    never_sent: bool = False  # the store has certainly not seen the request
    wait: float | None = None  # seconds the store itself asked for


class Client:
    """Sends requests to ``{api_url}/stores/{store_hash}``; safe to share between threads.

    The token goes to that address only: redirects are never followed.
    """

    def __init__(self, settings: Settings, budget: RateBudget | None = None) -> None:
        self.settings = settings
        self.budget = budget or RateBudget(settings.rate_limit_reserve)
        self.stop = threading.Event()
        self._base = f"{settings.api_url}/stores/{settings.store_hash}"
        self._session = session(settings, settings.concurrency)
        # As an auth callable, not a header: requests would otherwise let a .netrc entry set Authorization.
        self._session.auth = self._authenticate
        self._session.headers["Accept"] = "application/json"

    def _authenticate(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["X-Auth-Token"] = self.settings.access_token
        return request

    def close(self) -> None:
        """Send nothing more, wake every thread that waits, and close the connections."""
        self.stop.set()
        self._session.close()

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """GET `path` and return its JSON; None for 204 (V2 says so for every empty list)."""
        return self.request("GET", path, params=params)

    def request(
        self,
        method: str,
        path: str,
        *,
        repeatable: bool = True,
        params: Mapping[str, Any] | None = None,
        json: Mapping[str, Any] | None = None,
        data: Mapping[str, str] | None = None,
        files: Mapping[str, Any] | None = None,
    ) -> Any:
        """Send one request and return the JSON of its answer, None for an empty one.

        Args:
            method: HTTP method.
            path: below the store, such as ``/v3/catalog/products``.
            repeatable: whether sending it twice leaves the same state as sending it once.
            params: the query.
            json: a JSON body.
            data: the form fields of a multipart body.
            files: the file of a multipart body, as requests takes it; a value may be bytes or an open file.

        Raises:
            RequestRejected: 4xx; `NotFound` for 404.
            OutcomeUnknown: not repeatable, and the store may have carried it out.
            Stopped: any of its kinds; the run cannot go on.
        """
        what = f"{method} {path}"
        failures = 0
        rate_waits = 0
        while True:
            outcome = self._try(method, path, what, params=params, json=json, data=data, files=files)
            if not isinstance(outcome, _Failure):
                return outcome[0]
            if outcome.wait is not None:  # the quota is used up: waiting is no failure
                rate_waits += 1
                self.budget.pause(outcome.wait)
                if rate_waits > MAX_RATE_WAITS:
                    raise StoreUnreachable(f"{what}: {outcome.reason} again and again. Run again later.")
                continue
            if not (repeatable or outcome.never_sent):
                raise OutcomeUnknown(f"{what}: {outcome.reason}. It may or may not have been carried out.")
            if failures >= self.settings.max_retries:
                raise StoreUnreachable(
                    f"{what}: {outcome.reason}, {failures + 1} times. Check the network and api_url, or try later."
                )
            logger.info("%s: %s. Trying again.", what, outcome.reason)
            self._sleep(backoff(failures))
            failures += 1
            for part in (files or {}).values():
                _rewind(part)

    def _sleep(self, seconds: float) -> None:
        if self.stop.wait(seconds):
            raise Stopped("Stopped while waiting to try again.")

    def _try(self, method: str, path: str, what: str, **body: Any) -> tuple[Any] | _Failure:
        """Send once; return the answer's JSON in a tuple, or why there is none."""
        self.budget.acquire(self.stop)
        headers: RateHeaders | None = None
        try:
            if self.stop.is_set():
                raise Stopped("Stopped before the request was sent.")
            response = self._session.request(
                method, self._base + path, timeout=self.settings.request_timeout, allow_redirects=False, **body
            )
            headers = RateHeaders.read(response.headers)
        except requests.exceptions.SSLError as error:
            raise StoreUnreachable(
                f"TLS failed for {self.settings.api_url}: {describe(error)}. "
                "Check the address, the clock and the certificates (REQUESTS_CA_BUNDLE)."
            ) from error
        except (requests.exceptions.ConnectTimeout, requests.exceptions.ProxyError) as error:
            return _Failure(describe(error), never_sent=True)
        except requests.exceptions.RequestException as error:
            return _Failure(describe(error), never_sent="NewConnectionError" in repr(error))
        finally:
            self.budget.release(headers)
        return self._judge(response, what)

    def _judge(self, response: requests.Response, what: str) -> tuple[Any] | _Failure:
        """Turn an answer into JSON, a failure that may be tried again, or the error it stands for."""
        status = response.status_code
        if status in {200, 201, 207}:
            return self._json(response, what)
        if status in {202, 204}:
            return (None,)
        if status == 429:
            return _too_many(response)
        words = _words(response)
        if status in {401, 403}:
            raise AuthError(
                f"{what}: the store refused the token (HTTP {status}{words}). "
                "Check access_token, its scope (store_v2_products) and store_hash."
            )
        # The title is the only sign by which the API tells a suspended store from a passing 503.
        if status == 503 and "suspended" in words.lower():
            raise StoreSuspended(f"{what}: HTTP 503{words}. Ask the store's owner; nothing was retried.")
        if status in RETRY_STATUS:
            return _Failure(f"HTTP {status}{words}")
        if 300 <= status < 400:
            raise UnexpectedResponse(
                f"{what}: the answer is a redirect (HTTP {status}), which is never followed. Check api_url (https?)."
            )
        if status >= 500:
            raise StoreUnreachable(f"{what}: HTTP {status}{words}. Retrying does not help; ask BigCommerce.")
        error = NotFound if status == 404 else RequestRejected
        raise error(f"{what}: HTTP {status}{words}", status)

    def _json(self, response: requests.Response, what: str) -> tuple[Any] | _Failure:
        if not response.content:
            return (None,)
        try:
            return (orjson.loads(response.content),)
        except orjson.JSONDecodeError as error:
            if "json" in response.headers.get("Content-Type", "json"):
                return _Failure("the answer is cut off")
            raise UnexpectedResponse(
                f"{what}: the answer is {response.headers['Content-Type']}, not JSON. "
                "Check api_url: this does not look like the API."
            ) from error


def describe(error: requests.exceptions.RequestException) -> str:
    """Say in a few words why no answer came; never an address with credentials."""
    if isinstance(error, requests.exceptions.Timeout):
        return "no answer in time"
    text = repr(error)
    for sign, words in (
        ("NameResolutionError", "the host name cannot be resolved"),
        ("Connection refused", "the connection was refused"),
        ("Network is unreachable", "the network is unreachable"),
        ("CERTIFICATE_VERIFY_FAILED", "the certificate cannot be verified"),
        ("WRONG_VERSION_NUMBER", "the server does not speak TLS"),
        ("IncompleteRead", "the answer is cut off"),
        ("RemoteDisconnected", "the connection was closed without an answer"),
        ("ConnectionResetError", "the connection was reset"),
    ):
        if sign in text:
            return words
    return redact(f"{type(error).__name__}: {error}")


def _too_many(response: requests.Response) -> _Failure:
    """Read how long a 429 wants us to wait; without any such header it means an overloaded platform."""
    told = RateHeaders.read(response.headers)
    waits = [told.reset] if told else []
    with suppress(KeyError, ValueError):
        waits.append(float(response.headers["X-Retry-After"]))
    return _Failure("HTTP 429, too many requests", never_sent=True, wait=max(waits) if waits else None)


def _words(response: requests.Response) -> str:
    """Return the store's own words about an error, in one short line, or nothing."""
    try:
        body = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        return ""
    if isinstance(body, list) and body:
        body = body[0]
    if not isinstance(body, dict):
        return ""
    details = body.get("details")
    parts = [body.get("title") or body.get("message")]
    parts += [details.get("invalid_reason") or details.get("conflict_reason")] if isinstance(details, dict) else []
    errors = body.get("errors")
    parts += [f"{name}: {why}" for name, why in errors.items()] if isinstance(errors, dict) else []
    text = " ".join(" ".join(str(part) for part in parts if part).split())
    return f": {redact(text)[:500]}" if text else ""


def _rewind(part: Any) -> None:
    """Take an open file of a multipart body back to its start for the next try."""
    opened = part[1] if isinstance(part, tuple) else part
    if hasattr(opened, "seek"):
        opened.seek(0)
