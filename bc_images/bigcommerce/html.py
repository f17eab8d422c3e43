"""Recognises HTML in place of JSON: the answer of a firewall or a proxy in front of the store."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import unescape

import requests

from bc_images.bigcommerce.mapping import truncated_repr
from bc_images.errors import BcImagesError, RequestRejected, StoreUnreachable

__all__ = ["blocked", "html_page"]

_HEAD = 4096  # bytes in which a page says that it is one
# Atomic, as a comment ends at its first "-->": else a page of comments alone would take exponential time.
_HTML = re.compile(rb"\s*+(?><!--.*?-->\s*)*+<(?:!doctype\s+html|html|head|body|title)\b", re.IGNORECASE | re.DOTALL)
_TITLE = re.compile(rb"<title[^>]*>([^<]{1,200})", re.IGNORECASE)


def html_page(headers: Mapping[str, str], content: bytes) -> str | None:
    """Return what to call an answer that is a page of HTML, with its title; None if it is none."""
    head = content[:_HEAD]
    if "html" not in headers.get("Content-Type", "").lower() and not _HTML.match(head):
        return None
    title = _TITLE.search(head)
    if title is None:
        return "a page of HTML"
    text = " ".join(unescape(title[1].decode(errors="replace")).split())
    return f"a page of HTML titled {truncated_repr(text)}"


def blocked(response: requests.Response, page: str, request_name: str) -> BcImagesError:
    """Return the error for a refusal that is not the API's, whose refusals are JSON.

    A write may be blocked for a text in it, so that it costs its own record alone.
    """
    status = response.status_code
    reason = f"{request_name}: a firewall or proxy in front of the store blocked the request (HTTP {status}, {page})"
    if response.request.method != "GET":
        return RequestRejected(f"{reason}: ask whoever runs it to let it through", status)
    return StoreUnreachable(
        f"{reason}; the token was not checked. Check api_url and HTTPS_PROXY, and ask whoever runs the firewall to "
        "let this address through."
    )
