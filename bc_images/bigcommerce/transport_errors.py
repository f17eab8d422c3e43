"""What a failed try means: in words without secrets, and for the next try.

requests and urllib3 wrap causes in causes, and put addresses, headers and proxy passwords into their texts. So the
types of the whole chain are looked at, and no text of theirs is ever passed on.
"""

from __future__ import annotations

import errno
import http.client
import os
import re
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TypeAlias

import requests
import urllib3

from bc_images.bigcommerce.exchange import DeadlineExceeded
from bc_images.bigcommerce.rate_limit import LONGEST_WAIT, seconds_in
from bc_images.bigcommerce.session import UnusableChallenge

__all__ = [
    "TRANSPORT_ERRORS",
    "Failure",
    "capped_wait",
    "describe",
    "failure",
    "hopeless",
    "retry_after",
    "too_many",
]

TRANSPORT_ERRORS = (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError)
"""Everything that requests may raise for one try; OSError and ValueError are what it lets through unwrapped."""

_Kinds: TypeAlias = tuple[type[BaseException], ...]

_NEVER_SENT: _Kinds = (
    requests.exceptions.ConnectTimeout,
    urllib3.exceptions.ConnectTimeoutError,
    urllib3.exceptions.NewConnectionError,
    # urllib3 says so only while the proxy has not been reached
    urllib3.exceptions.ProxyError,
    ssl.SSLCertVerificationError,
)

_HOPELESS: _Kinds = (
    ssl.SSLCertVerificationError,
    requests.exceptions.InvalidHeader,
    requests.exceptions.InvalidJSONError,
    requests.exceptions.InvalidURL,  # with InvalidProxyURL
    requests.exceptions.InvalidSchema,  # also for a SOCKS proxy without its library
    requests.exceptions.MissingSchema,
    requests.exceptions.URLRequired,
    urllib3.exceptions.LocationValueError,
    urllib3.exceptions.URLSchemeUnknown,
)

_WORDS: tuple[tuple[_Kinds, str], ...] = (
    ((requests.exceptions.InvalidProxyURL,), "the proxy's address cannot be used: check HTTPS_PROXY and HTTP_PROXY"),
    ((UnusableChallenge,), "its digest challenge is incomplete, or of an algorithm that is not supported"),
    ((requests.exceptions.InvalidSchema,), "the address, or that of the proxy, is of a kind that is not supported"),
    ((requests.exceptions.InvalidURL, urllib3.exceptions.LocationValueError), "the address cannot be used"),
    ((ssl.SSLCertVerificationError,), "the certificate cannot be verified"),
    ((urllib3.exceptions.NameResolutionError, socket.gaierror), "the host name cannot be resolved"),
    ((ConnectionRefusedError,), "connection refused"),
    ((http.client.RemoteDisconnected,), "the connection was closed without an answer"),
    ((ConnectionError,), "the connection was reset"),
    ((http.client.IncompleteRead,), "the answer is cut off"),
    ((requests.exceptions.ContentDecodingError, urllib3.exceptions.DecodeError), "the answer cannot be decompressed"),
    ((http.client.LineTooLong,), "a header line of the response is longer than 65,536 bytes"),
)

_TIMEOUTS: _Kinds = (requests.exceptions.Timeout, urllib3.exceptions.TimeoutError, TimeoutError)

_NOT_TLS = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "HTTPS_PROXY_REQUEST", "RECORD_LAYER_FAILURE"}
"""What OpenSSL calls an answer that is plain text."""

_NO_CERTIFICATES = {"NO_CERTIFICATE_OR_CRL_FOUND"}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one try did not give an answer, and what that means for the next."""

    reason: str
    never_sent: bool = False  # the store has certainly not carried the request out
    wait: float | None = None  # seconds until the quota is renewed: no failure
    delay: float = 0.0  # seconds at least before the next try, because the server asked for them
    overloaded: bool = False  # not this request alone: nobody should send for a while
    is_success: bool = False  # a write was answered with a success that cannot be read
    dropped: bool = False  # the connection ended: perhaps one that was kept alive for too long


def describe(error: BaseException) -> str:
    """Say in a few words why no answer came: never an address, a header or any other text of the libraries."""
    chain = list(_chain(error))
    prefix = "the proxy: " if any(isinstance(link, urllib3.exceptions.ProxyError) for link in chain) else ""
    if (text := _own_words(chain)) is not None:
        return prefix + text
    for link in reversed(chain):
        if isinstance(link, ssl.SSLError):
            return prefix + _tls(link)
        if isinstance(link, OSError) and link.errno is not None and link.errno in errno.errorcode:
            return prefix + os.strerror(link.errno).lower()
    # Last, for urllib3 counts whatever goes wrong while connecting among its time-outs.
    if any(isinstance(link, _TIMEOUTS) for link in chain):
        return prefix + "no answer in time"
    return prefix + type(chain[-1]).__name__


def _own_words(chain: list[BaseException]) -> str | None:
    """Return what is known of an error by its type."""
    for link in chain:
        if isinstance(link, DeadlineExceeded):  # what it was made from is only how the connection was ended
            return str(link)
    for kinds, text in _WORDS:
        if any(isinstance(link, kinds) for link in chain):
            return text
    for link in chain:
        if isinstance(link, http.client.HTTPException):  # the plain one is raised for nothing else
            is_plain = type(link) is http.client.HTTPException
            return "the response has more than 100 header fields" if is_plain else "the answer is no HTTP"
    return None


def _tls(error: ssl.SSLError) -> str:
    reason = _reason(error)
    if reason in _NO_CERTIFICATES:
        return "the file of certificates holds none"
    return "the server does not speak TLS" if reason in _NOT_TLS else f"TLS failed ({reason or 'no reason given'})"


def _reason(error: ssl.SSLError) -> str:
    """Return OpenSSL's name for what went wrong; an error that Python made itself has none."""
    reason = getattr(error, "reason", None)
    return reason if isinstance(reason, str) else ""


def failure(error: BaseException) -> Failure:
    """Return what an error that is not `hopeless` means for the next try."""
    chain = list(_chain(error))
    return Failure(
        describe(error),
        never_sent=any(isinstance(link, _NEVER_SENT) for link in chain),
        dropped=any(isinstance(link, ConnectionResetError | BrokenPipeError) for link in chain)
        and not any(isinstance(link, DeadlineExceeded) for link in chain),
    )


def hopeless(error: BaseException) -> bool:
    """Whether another try would fail in the same way."""
    chain = list(_chain(error))
    if not isinstance(error, requests.exceptions.RequestException | urllib3.exceptions.HTTPError):
        return True  # a file that cannot be read (REQUESTS_CA_BUNDLE), a value that cannot be encoded
    final = _NOT_TLS | _NO_CERTIFICATES
    return any(
        isinstance(link, _HOPELESS) or (isinstance(link, ssl.SSLError) and _reason(link) in final) for link in chain
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and everything it was made from, outermost first."""
    waiting, seen = [error], set()
    while waiting:
        link = waiting.pop(0)
        if id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        inner = [link.__cause__, getattr(link, "reason", None), *link.args]
        waiting += [cause for cause in inner if isinstance(cause, BaseException)]


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that the headers of a response ask to wait, or None."""
    waits = [_until(headers.get(name, ""), headers.get("Date", "")) for name in ("X-Retry-After", "Retry-After")]
    return max((seconds for seconds in waits if seconds is not None), default=None)


def capped_wait(headers: Mapping[str, str]) -> tuple[float, str]:
    """Return the seconds to wait before another try, 0 where none are asked for, and a note where it asks for more."""
    asked = retry_after(headers) or 0.0
    return min(asked, LONGEST_WAIT), f" (it asks for a wait of {asked:,.0f} s)" if asked > LONGEST_WAIT else ""


def too_many(response: requests.Response) -> Failure:
    """Read how long a 429 wants us to wait; without any such header it means an overloaded platform."""
    headers = response.headers
    told = [seconds_in(headers, "X-Rate-Limit-Time-Reset-Ms"), retry_after(headers)]
    waits = [seconds for seconds in told if seconds is not None]
    return Failure("HTTP 429, too many requests", never_sent=True, wait=max(waits, default=None), overloaded=not waits)


def _until(text: str, now: str) -> float | None:
    """Return the seconds that a Retry-After tells: a number, or a date, by the store's clock if `now` is one too."""
    if re.fullmatch(r"\s*[0-9]+(\.[0-9]*)?\s*", text, re.ASCII):
        return float(text)
    try:
        then = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    try:
        return max(0.0, (then - parsedate_to_datetime(now)).total_seconds())
    except (ValueError, TypeError, OverflowError):  # no date, or only one of the two in a time zone
        with suppress(ValueError, OverflowError, OSError):  # a year that no clock of this machine can show
            return max(0.0, then.timestamp() - time.time())
        return None
