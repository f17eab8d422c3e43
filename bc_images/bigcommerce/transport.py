"""Sends requests to the store: authentication, time-outs, retries, errors.

A request that is safe to repeat is retried; a POST whose outcome is unknown raises `OutcomeUnknown`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import orjson
import requests

from bc_images.bigcommerce.api_errors import read_error
from bc_images.bigcommerce.body import MAX_BODY, BodyTooLarge, UnexpectedEncoding, read_body
from bc_images.bigcommerce.exchange import Exchange, Exchanges
from bc_images.bigcommerce.mapping import truncated_repr
from bc_images.bigcommerce.rate_limit import RateBudget, RateHeaders
from bc_images.bigcommerce.responses import (
    blocked,
    html_page,
    nested_too_deeply,
    refusal,
    require_short_texts,
    unusable,
)
from bc_images.bigcommerce.retry import Reachability, RetryPolicy, TransientFailure, capped_retry_after, rate_limited
from bc_images.bigcommerce.session import Adapter, session
from bc_images.bigcommerce.store_clock import StoreClock
from bc_images.bigcommerce.transport_errors import TRANSPORT_ERRORS, classify, describe, is_permanent
from bc_images.errors import (
    FatalError,
    OutcomeUnknown,
    RequestRejected,
    SettingsError,
    StoreUnreachable,
    UnexpectedResponse,
)
from bc_images.json_repair import MAX_TEXT, repair
from bc_images.settings import Settings

__all__ = ["Decode", "HttpClient"]

logger = logging.getLogger(__name__)

Decode: TypeAlias = Callable[[bytes], Any]
"""Turns the body of a response into what it holds; raises `orjson.JSONDecodeError` where it is no JSON."""

_Outcome: TypeAlias = tuple[Any] | TransientFailure
"""The JSON of a response, in a tuple, or why there is none."""

_SUCCESS = {200, 201, 207}  # those whose body matters


class HttpClient:
    """Sends requests to ``{api_url}/stores/{store_hash}``; safe to share between threads.

    The token goes to that address only: redirects are never followed. Proxies and REQUESTS_CA_BUNDLE are taken
    from the environment.

    Attributes:
        budget: the rate budget that all requests share.
        retry: how often and after how long a request is sent again.
        stop: set, it ends every wait at once; `close` sets it.
        clock: the store's own.

    Raises:
        SettingsError: the environment names certificates that are not there, or a proxy that cannot be used.
    """

    def __init__(self, settings: Settings, budget: RateBudget | None = None, retry: RetryPolicy | None = None) -> None:
        self.settings = settings
        self.retry = retry or RetryPolicy(settings.max_retries)
        self.budget = budget or RateBudget(settings.rate_limit_reserve, settings.concurrency)
        self.stop = threading.Event()
        self.clock = StoreClock()
        self._base = f"{settings.api_url}/stores/{settings.store_hash}"
        self._session = session(settings, settings.concurrency)
        self._exchanges = Exchanges(settings.request_timeout)
        # As an auth callable, not a header: requests would otherwise let a .netrc entry set Authorization.
        self._session.auth = self._authenticate
        self._session.headers["Accept"] = "application/json"
        # Looked up once: Session.send leaves the environment out, and Session.request asks it every time.
        self._environment = self._session.merge_environment_settings(self._base, {}, True, None, None)
        setting = "api_url, or the proxy (HTTPS_PROXY)," if self._environment["proxies"] else "api_url"
        self._reachability = Reachability(settings.api_url, setting)
        self._check_environment()

    def _check_environment(self) -> None:
        certificates, proxies = self._environment["verify"], self._environment["proxies"]
        if isinstance(certificates, str) and not Path(certificates).exists():
            raise SettingsError(f"REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE names {certificates}, which does not exist.")
        adapter = self._session.get_adapter(self._base)
        request = self._session.prepare_request(requests.Request("GET", self._base))
        try:
            if isinstance(adapter, Adapter):
                adapter.get_connection_with_tls_context(request, certificates, proxies)  # connects to nothing yet
        except (*TRANSPORT_ERRORS, TypeError, AssertionError):  # its text may hold the proxy's password
            raise SettingsError(
                f"The proxy that the environment names for {self.settings.api_url} cannot be used: "
                "check HTTPS_PROXY, HTTP_PROXY and ALL_PROXY."
            ) from None

    def _authenticate(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["X-Auth-Token"] = self.settings.access_token
        return request

    def close(self) -> None:
        """Send nothing more, wake all that wait, and close the connections, those in use after a short grace."""
        self.stop.set()
        self.budget.wake()
        self._exchanges.cancel()
        self._session.close()

    def get(
        self,
        path: str,
        params: Mapping[str, Any] | None = None,
        *,
        max_retries: int | None = None,
        decode: Decode = orjson.loads,
    ) -> Any:
        """GET `path` and return its JSON as `decode` reads it; None for 204 (V2 says so for every empty list)."""
        return self.request("GET", path, params=params, max_retries=max_retries, decode=decode)

    def request(
        self,
        method: str,
        path: str,
        *,
        repeatable: bool = True,
        max_retries: int | None = None,
        params: Mapping[str, Any] | None = None,
        json: Mapping[str, Any] | None = None,
        data: Mapping[str, str] | None = None,
        files: Mapping[str, Any] | None = None,
        decode: Decode = orjson.loads,
    ) -> Any:
        """Send one request and return the JSON of its answer, None for an empty one.

        Args:
            method: HTTP method.
            path: below the store, such as ``/v3/catalog/products``.
            repeatable: whether sending it twice leaves the same state as sending it once.
            max_retries: how often it is sent again after a failure; None: as often as `retry` says.
            params: the query.
            json: a JSON body.
            data: the form fields of a multipart body.
            files: the file of a multipart body, as requests takes it; read once, however often it is sent.
            decode: reads the body of a success; what it refuses as orjson does is repaired, or asked for again.

        Raises:
            RequestRejected: 4xx, or it cannot be sent at all; `NotFound` for 404.
            OutcomeUnknown: not repeatable, and the store may have carried it out; or a write that is answered with a
                success that is no JSON.
            FatalError: any of its kinds; the run cannot go on.
        """
        request_name = f"{method} {path}"
        request = requests.Request(method, self._base + path, params=params, json=json, data=data, files=files)
        prepared = self._prepare(request, request_name)
        retry = self.retry if max_retries is None else replace(self.retry, max_retries=max_retries)
        failures = rate_waits = 0
        was_reset = False
        started = time.monotonic()
        while True:
            outcome = self._send_once(prepared, request_name, decode)
            if not isinstance(outcome, TransientFailure):
                return outcome[0]
            if outcome.connection_reset and repeatable and not was_reset:
                was_reset = True  # a kept-alive connection ends like this: once, it is neither counted nor logged
                continue
            if outcome.retry_after is not None:  # the quota is used up: waiting is no failure
                if rate_waits >= retry.max_rate_waits:
                    raise StoreUnreachable(f"{request_name}: {outcome.reason} again and again. Run again later.")
                # The next window may not have begun on every server of the store: wait longer each time.
                self.budget.pause(outcome.retry_after + (retry.backoff(rate_waits - 1) if rate_waits else 0.0))
                rate_waits += 1
                continue
            is_unreadable = outcome.is_success and failures >= retry.max_unreadable_answers
            if not (repeatable or outcome.never_sent) or is_unreadable:
                raise OutcomeUnknown(
                    f"{request_name}: {outcome.reason}. It may or may not have been carried out.",
                    is_answered=outcome.is_success,
                )
            attempts = failures + 1 + was_reset
            never_connected = self._reachability.never_connected(outcome)
            if retry.is_exhausted(failures, never_connected=never_connected, seconds=time.monotonic() - started):
                raise self._unreachable(request_name, outcome, attempts)
            delay = retry.delay(failures, outcome.min_delay)
            failure = f"{request_name} at {self.settings.api_url}: {outcome.reason}"
            logger.info("%s (try %d). Trying again in %.1f s.", failure, attempts, delay)
            if outcome.no_rate_headers:
                self.budget.pause(delay)
            elif self.stop.wait(delay):
                raise FatalError("Stopped while waiting to try again.")
            failures += 1

    def _unreachable(self, request_name: str, failure: TransientFailure, attempts: int) -> StoreUnreachable:
        if self._reachability.never_connected(failure):
            return StoreUnreachable(self._reachability.message(failure.reason))
        return StoreUnreachable(
            f"{request_name} at {self.settings.api_url}: {failure.reason} (tries: {attempts}). "
            "Check the network and api_url, or try later."
        )

    def _prepare(self, request: requests.Request, request_name: str) -> requests.PreparedRequest:
        try:
            return self._session.prepare_request(request)
        except (requests.exceptions.RequestException, ValueError) as error:
            raise RequestRejected(f"{request_name}: a value cannot be sent ({describe(error)})") from error

    def _send_once(self, request: requests.PreparedRequest, request_name: str, decode: Decode) -> _Outcome:
        """Send a request once."""
        sent = self.budget.acquire(self.stop)
        headers: RateHeaders | None = None
        try:
            if self.stop.is_set():
                raise FatalError("Stopped before the request was sent.")
            with Exchange(self._exchanges, is_write=request.method != "GET") as exchange:
                response = exchange.send(lambda: self._send(request))
                self._reachability.has_answered = True
                headers = RateHeaders.read(response.headers)
                self.clock.update(response.headers.get("Date"))
                # Of an error, the status says enough, and whatever comes at once.
                content = read_body(exchange) if response.status_code in _SUCCESS else exchange.discard()
        except BodyTooLarge as error:
            reason = (
                f"{request_name}: the response has more than {MAX_BODY // 1024**2:,} MiB. Nothing was taken from it. "
                "Check api_url: this does not look like the API."
            )
            raise unusable(request, reason) from error
        except UnexpectedEncoding as error:
            reason = (
                f"{request_name}: unexpected Content-Encoding {truncated_repr(str(error))}: gzip or deflate was asked "
                "for. Check api_url, and a proxy on the way."
            )
            raise unusable(request, reason) from error
        except TRANSPORT_ERRORS as error:
            if is_permanent(error):
                raise StoreUnreachable(
                    f"{request_name}: {describe(error)}. "
                    "Check api_url, proxy, clock and certificates (REQUESTS_CA_BUNDLE)."
                ) from error
            return classify(error)
        finally:
            self.budget.release(sent, headers)
        return self._interpret(response, content, request_name, decode)

    def _send(self, request: requests.PreparedRequest) -> requests.Response:
        return self._session.send(
            request, timeout=self.settings.request_timeout, allow_redirects=False, **self._environment
        )

    def _interpret(self, response: requests.Response, content: bytes, request_name: str, decode: Decode) -> _Outcome:
        """Return what a response means, or raise the error that it stands for."""
        status = response.status_code
        if status in _SUCCESS:
            if response.request.method == "GET":
                return self._json(response, content, request_name, decode)
            return self._json_of_a_write(response, content, request_name)
        if status in {202, 204}:
            return (None,)
        if status == 429:
            return rate_limited(response.headers)
        if status in {401, 403} and (page := html_page(response.headers, content)) is not None:
            raise blocked(response, page, request_name)
        api_error = read_error(content)
        message = api_error.text
        # The title is the only sign by which the API tells a store that is switched off from a passing 503.
        suspended = status == 503 and "suspended" in message.lower()
        message = f"HTTP {status}: {message}" if message else f"HTTP {status}"
        if self.retry.is_retryable(status) and not suspended:
            min_delay, note = capped_retry_after(response.headers)
            return TransientFailure(message + note, min_delay=min_delay)
        raise refusal(status, message, request_name, api_error)

    def _json_of_a_write(self, response: requests.Response, content: bytes, request_name: str) -> _Outcome:
        """Return the JSON that answers a write, None where the body is empty.

        Raises:
            OutcomeUnknown: the store calls it a success, and the body is no JSON at all.
        """
        if not content:
            return (None,)
        try:
            answer = self._json(response, content, request_name)
        except UnexpectedResponse as error:
            raise OutcomeUnknown(f"{error} It may or may not have been carried out.", is_answered=True) from error
        return replace(answer, is_success=True) if isinstance(answer, TransientFailure) else answer

    def _json(
        self, response: requests.Response, content: bytes, request_name: str, decode: Decode = orjson.loads
    ) -> _Outcome:
        is_read = response.request.method == "GET"
        if not content:
            return TransientFailure("empty response")  # a list that is empty says 204 or []
        try:
            answer = decode(content)
        except orjson.JSONDecodeError as error:
            if "json" not in response.headers.get("Content-Type", "json"):
                kind = truncated_repr(response.headers["Content-Type"])
                raise UnexpectedResponse(
                    f"{request_name}: the response is {kind}, not JSON. Check api_url: this does not look like the API."
                ) from error
            try:
                answer, places = repair(content)
            except RecursionError:
                raise nested_too_deeply(request_name) from error
            except ValueError:
                return TransientFailure("truncated or invalid JSON")
            for place in places:
                logger.warning(
                    "%s: %s: a broken character, read as U+FFFD. Correct it in the store.", request_name, place
                )
        if len(content) > MAX_TEXT:
            require_short_texts(answer, request_name)
        if answer is None and is_read:  # not to be taken for a 204
            raise UnexpectedResponse(
                f"{request_name}: the answer is null. Check api_url: this does not look like the API."
            )
        return (answer,)
