"""Errors for responses that are not the JSON that was asked for."""

from __future__ import annotations

import requests

from bc_images.bigcommerce.api_errors import ApiError
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

__all__ = ["nested_too_deeply", "refusal", "require_short_texts", "unusable"]


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
