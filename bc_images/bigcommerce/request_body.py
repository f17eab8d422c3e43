"""How fields and pictures are put into a request."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from typing import Any

__all__ = ["form", "media_type", "sendable"]


def sendable(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return writable fields as JSON may carry them: a description that is null is the empty one.

    V2 refuses nulls, and a form has none; to the store both mean the same.
    """
    return {name: "" if value is None else value for name, value in fields.items()}


def form(fields: Mapping[str, Any]) -> dict[str, str]:
    """Return writable fields as the texts of a multipart form."""
    words = {True: "true", False: "false"}
    return {name: words[value] if isinstance(value, bool) else str(value) for name, value in sendable(fields).items()}


def media_type(name: str) -> str:
    """Return the media type of a picture by its file name."""
    return mimetypes.guess_type(name)[0] or "application/octet-stream"
