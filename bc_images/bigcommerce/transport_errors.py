"""Classifies errors of the HTTP libraries: a message without secrets, and whether to send again.

requests and urllib3 wrap causes in causes, and put addresses, headers and proxy passwords into their texts. So the
types of the whole chain are looked at, and no text of theirs is ever passed on.
"""

from __future__ import annotations

import errno
import http.client
import os
import socket
import ssl
from typing import TypeAlias

import requests
import urllib3

from bc_images.bigcommerce.exchange import DeadlineExceeded
from bc_images.bigcommerce.retry import TransientFailure
from bc_images.bigcommerce.session import UnusableChallenge
from bc_images.errors import error_chain

__all__ = ["TRANSPORT_ERRORS", "classify", "describe", "is_permanent"]

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

_PERMANENT: _Kinds = (
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

_TEXTS: tuple[tuple[_Kinds, str], ...] = (
    ((requests.exceptions.InvalidProxyURL,), "the proxy's address cannot be used: check HTTPS_PROXY and HTTP_PROXY"),
    ((UnusableChallenge,), "its digest challenge is incomplete, or of an algorithm that is not supported"),
    ((requests.exceptions.InvalidSchema,), "the address, or that of the proxy, is of a kind that is not supported"),
    ((requests.exceptions.InvalidURL, urllib3.exceptions.LocationValueError), "the address cannot be used"),
    ((ssl.SSLCertVerificationError,), "the certificate cannot be verified"),
    ((urllib3.exceptions.NameResolutionError, socket.gaierror), "the host name cannot be resolved"),
    ((ConnectionRefusedError,), "connection refused"),
    ((http.client.RemoteDisconnected,), "connection closed without a response"),
    ((ConnectionError,), "connection reset"),
    ((http.client.IncompleteRead,), "truncated response"),
    ((requests.exceptions.ContentDecodingError, urllib3.exceptions.DecodeError), "the response cannot be decompressed"),
    ((http.client.LineTooLong,), "a header line of the response is longer than 65,536 bytes"),
)

_TIMEOUTS: _Kinds = (requests.exceptions.Timeout, urllib3.exceptions.TimeoutError, TimeoutError)

_NOT_TLS = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "HTTPS_PROXY_REQUEST", "RECORD_LAYER_FAILURE"}
"""What OpenSSL calls an answer that is plain text."""

_NO_CERTIFICATES = {"NO_CERTIFICATE_OR_CRL_FOUND"}


def describe(error: BaseException) -> str:
    """Say in a few words why there is no response, without any text of the libraries: it may hold secrets."""
    chain = list(error_chain(error))
    prefix = "the proxy: " if any(isinstance(link, urllib3.exceptions.ProxyError) for link in chain) else ""
    if (text := _known_text(chain)) is not None:
        return prefix + text
    for link in reversed(chain):
        if isinstance(link, ssl.SSLError):
            reason = _reason(link)
            if reason in _NO_CERTIFICATES:
                return prefix + "the file of certificates contains none"
            not_tls = "the server does not speak TLS"
            return prefix + (not_tls if reason in _NOT_TLS else f"TLS failed ({reason or 'no reason given'})")
        if isinstance(link, OSError) and link.errno is not None and link.errno in errno.errorcode:
            return prefix + os.strerror(link.errno).lower()
    # Last, for urllib3 counts whatever goes wrong while connecting among its time-outs.
    if any(isinstance(link, _TIMEOUTS) for link in chain):
        return prefix + "timed out"
    return prefix + type(chain[-1]).__name__


def _known_text(chain: list[BaseException]) -> str | None:
    """Return what is known of an error by its type."""
    for link in chain:
        if isinstance(link, DeadlineExceeded):  # what it was made from is only how the connection was ended
            return str(link)
    for kinds, text in _TEXTS:
        if any(isinstance(link, kinds) for link in chain):
            return text
    for link in chain:
        if isinstance(link, http.client.HTTPException):  # the plain one is raised for nothing else
            is_plain = type(link) is http.client.HTTPException
            return "the response has more than 100 header fields" if is_plain else "the response is not HTTP"
    return None


def _reason(error: ssl.SSLError) -> str:
    """Return OpenSSL's name for what went wrong; an error that Python made itself has none."""
    reason = getattr(error, "reason", None)
    return reason if isinstance(reason, str) else ""


def classify(error: BaseException) -> TransientFailure:
    """Return what an error that is not `is_permanent` means for the next try."""
    chain = list(error_chain(error))
    return TransientFailure(
        describe(error),
        never_sent=any(isinstance(link, _NEVER_SENT) for link in chain),
        connection_reset=any(isinstance(link, ConnectionResetError | BrokenPipeError) for link in chain)
        and not any(isinstance(link, DeadlineExceeded) for link in chain),
    )


def is_permanent(error: BaseException) -> bool:
    """Whether another try would fail in the same way."""
    chain = list(error_chain(error))
    if not isinstance(error, requests.exceptions.RequestException | urllib3.exceptions.HTTPError):
        return True  # a file that cannot be read (REQUESTS_CA_BUNDLE), a value that cannot be encoded
    final = _NOT_TLS | _NO_CERTIFICATES
    return any(
        isinstance(link, _PERMANENT) or (isinstance(link, ssl.SSLError) and _reason(link) in final) for link in chain
    )
