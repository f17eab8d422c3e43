"""Errors for responses that are not the JSON that was asked for: a page of a firewall, a refusal, a redirect."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import unescape

import requests

from bc_images.bigcommerce.api_errors import ApiError
from bc_images.bigcommerce.mapping import truncated_repr
from bc_images.errors import (
    AuthError,
    BcImagesError,
    NotFound,
    OutcomeUnknown,
    RequestRejected,
    StoreSuspended,
    StoreUnreachable,
    UnexpectedResponse,
)
from bc_images.json_repair import MAX_TEXT, too_long
from bc_images.redaction import redact

__all__ = ["blocked", "html_page", "nested_too_deeply", "refusal", "require_short_texts", "unusable"]

_HEAD = 4096  # bytes in which a page says that it is one
# Atomic, as a comment ends at its first "-->": else a page of comments alone would take exponential time.
_HTML = re.compile(rb"\s*+(?><!--.*?-->\s*)*+<(?:!doctype\s+html|html|head|body|title)\b", re.IGNORECASE | re.DOTALL)
_TITLE = re.compile(rb"<title[^>]*>([^<]{1,200})", re.IGNORECASE)


def require_short_texts(document: object, request_name: str) -> None:
    """Refuse a JSON document with a text that no store of this kind holds.

    Raises:
        UnexpectedResponse: names its place.
    """
    try:
        place = too_long(document)
    except RecursionError as error:
        raise nested_too_deeply(request_name) from error
    if place is not None:
        raise UnexpectedResponse(
            f"{request_name}: {redact(place)[-200:]} has more than {MAX_TEXT:,} characters. "
            "Nothing was taken from this response. Shorten the text in the store."
        )


def unusable(request: requests.PreparedRequest, reason: str) -> BcImagesError:
    """Return the error for a success whose body cannot be read."""
    if request.method == "GET":
        return UnexpectedResponse(reason)
    return OutcomeUnknown(f"{reason} It may or may not have been carried out.", is_answered=True)


def nested_too_deeply(request_name: str) -> UnexpectedResponse:
    """Return the error for a JSON document that cannot be read for its depth."""
    return UnexpectedResponse(
        f"{request_name}: the response is nested too deeply. Check api_url: this does not look like the API."
    )


def refusal(status: int, message: str, request_name: str, api_error: ApiError) -> BcImagesError:
    """Return the error that a final answer stands for; `message` is its status and the store's text."""
    if status in {401, 403}:
        return AuthError(
            f"{request_name}: the store refused the token ({message}). "
            "Check access_token, its scope (store_v2_products) and store_hash."
        )
    if status == 503:
        return StoreSuspended(f"{request_name}: {message}. It was not retried. Ask the store's owner.")
    if status == 404:
        return NotFound(f"{request_name}: {message}", status)
    if 400 <= status < 500:
        return RequestRejected(
            f"{request_name}: {message}", status, fields=api_error.fields, max_length=api_error.max_length
        )
    if status >= 500:
        return StoreUnreachable(f"{request_name}: {message}. Retrying does not help; ask BigCommerce.")
    if status >= 300:
        return UnexpectedResponse(
            f"{request_name}: the response is a redirect (HTTP {status}), which is never followed. "
            "Check api_url (https?)."
        )
    return UnexpectedResponse(f"{request_name}: {message} is not a status of the API. Check api_url.")


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
