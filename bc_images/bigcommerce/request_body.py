"""Encodes fields as JSON or as a form."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from typing import Any

from bc_images.bigcommerce.mapping import sent_value

__all__ = ["form_fields", "json_fields", "media_type"]


def json_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return writable fields as the members of a JSON body."""
    return {name: sent_value(value) for name, value in fields.items()}


def form_fields(fields: Mapping[str, Any]) -> dict[str, str]:
    """Return writable fields as the fields of a multipart form."""
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in json_fields(fields).items()
    }


def media_type(name: str) -> str:
    """Return the media type of a picture by its file name."""
    return mimetypes.guess_type(name)[0] or "application/octet-stream"
