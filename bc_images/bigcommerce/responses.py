"""What a response that is no usable answer means: the error that it stands for."""

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


def require_short_texts(answer: object, what: str) -> None:
    """Refuse a JSON document with a text that no store of this kind holds.

    Raises:
        UnexpectedResponse: names its place.
    """
    try:
        place = too_long(answer)
    except RecursionError as error:
        raise nested_too_deeply(what) from error
    if place is not None:
        raise UnexpectedResponse(
            f"{what}: {redact(place)[-200:]} has more than {MAX_TEXT:,} characters. "
            "Nothing was taken from this response. Shorten the text in the store."
        )


def unusable(request: requests.PreparedRequest, reason: str) -> BcImagesError:
    """Return the error for a success whose body cannot be read."""
    if request.method == "GET":
        return UnexpectedResponse(reason)
    return OutcomeUnknown(f"{reason} It may or may not have been carried out.", is_answered=True)


def nested_too_deeply(what: str) -> UnexpectedResponse:
    """Return the error for a JSON document that cannot be read for its depth."""
    return UnexpectedResponse(f"{what}: the answer is nested too deeply to be the API's.")


def refusal(status: int, said: str, what: str, api_error: ApiError) -> BcImagesError:
    """Return the error that a final answer stands for; `said` is its status and the store's words."""
    if status in {401, 403}:
        return AuthError(
            f"{what}: the store refused the token ({said}). "
            "Check access_token, its scope (store_v2_products) and store_hash."
        )
    if status == 503:
        return StoreSuspended(f"{what}: {said}. Ask the store's owner; nothing was retried.")
    if status == 404:
        return NotFound(f"{what}: {said}", status)
    if 400 <= status < 500:
        return RequestRejected(f"{what}: {said}", status, fields=api_error.fields, max_length=api_error.max_length)
    if status >= 500:
        return StoreUnreachable(f"{what}: {said}. Retrying does not help; ask BigCommerce.")
    if status >= 300:
        return UnexpectedResponse(
            f"{what}: the answer is a redirect (HTTP {status}), which is never followed. Check api_url (https?)."
        )
    return UnexpectedResponse(f"{what}: {said} is no answer that the API gives. Check api_url.")
