"""Interprets WebDAV responses (RFC 4918) whose status alone is not enough."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from bc_images.redaction import redact
from bc_images.text import shortened

__all__ = ["LOCKED", "Result", "missing_digest", "result"]

LOCKED = 423
_MULTI_STATUS = 207
_SUCCESS = {"PUT": {200, 201, 204}, "DELETE": {200, 202, 204, 404, 410}}

# The few elements that matter, read without an XML parser: what a server sends need not be well-formed or harmless.
_RESPONSE = re.compile(rb"<(?:\w+:)?response\b.*?(?:</(?:\w+:)?response\s*>|\Z)", re.DOTALL)
_STATUS = re.compile(rb"<(?:\w+:)?status\b[^>]*>\s*HTTP/[0-9.]+\s+([1-5][0-9]{2})\b")
_SCHEME = re.compile(r"(?:^|,)\s*([A-Za-z][A-Za-z0-9-]*)(?=\s+[\w-]+=|\s*(?:,|$))")
_HREF = re.compile(rb"<(?:\w+:)?href\b[^>]*>\s*([^<\s]{1,500})")


class Result(NamedTuple):
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


def result(method: str, status: int, headers: Mapping[str, str], body: bytes) -> Result:
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
        return Result(status, is_success=False, text=f"HTTP 200, {text}", is_foreign=True)
    text = f"HTTP {status}" + (", the file or its folder is locked" if status == LOCKED else "")
    return Result(status, is_success, text, is_foreign=200 <= status < 300 and not is_success)


def missing_digest(headers: Mapping[str, str]) -> str | None:
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


def _multi_status(method: str, body: bytes) -> Result:
    """Read a 207: it is a success only if every status in it is one."""
    seen = 0
    for response in _RESPONSE.findall(body):
        href = _HREF.search(response)
        name = redact(href[1].decode("utf-8", "replace")) if href else "an unnamed file"
        for digits in _STATUS.findall(response):
            seen += 1
            status = int(digits)
            if status not in _SUCCESS[method]:
                locked = ", locked" if status == LOCKED else ""
                return Result(status, is_success=False, text=f"HTTP 207 with {status}{locked} for {name}")
    if not seen:
        return Result(_MULTI_STATUS, is_success=False, text="HTTP 207 without any status", is_foreign=True)
    return Result(_MULTI_STATUS, is_success=True, text="HTTP 207")
