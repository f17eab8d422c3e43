"""Detects whether a CDN has altered a file: response headers, and a second answer that differs. Pure.

Sources: RFC 9110, 15.3.4 (203) and RFC 7234, 5.5.6 (Warning 214); Cloudflare, "Cf-Polished statuses" and "Image
Resizing"; Fastly, "Fastly-IO-Info"; Akamai's Image & Video Manager names itself in Server.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath

from bc_images.errors import FileUnavailable
from bc_images.files.media_type import EXTENSIONS

__all__ = ["Altered", "conversion", "is_cached", "transformation"]

_TYPE_OF = {extension: media_type for media_type, names in EXTENSIONS.items() for extension in names}


class Altered(FileUnavailable):
    """What came is no original: a CDN has re-encoded it."""


def transformation(status: int, headers: Mapping[str, str]) -> str | None:
    """Return what an answer's head says of a transformation of its body, or None where it says nothing.

    Args:
        status: of the answer.
        headers: of the answer; the look-up ignores case.
    """
    if status == 203:
        return "HTTP 203"
    if re.match(r"\s*214\b", headers.get("Warning", "")):
        return "Warning: 214"
    polished = headers.get("Cf-Polished", "")
    facts = dict(re.findall(r"\b(\w+)=([^,;\s]+)", polished))
    length = headers.get("Content-Length")
    if facts.keys() & {"origFmt", "qual", "degrade"} or facts.get("origSize", length) != length:
        return f"Cf-Polished: {polished[:80]}"
    if "internal=ok" in headers.get("Cf-Resized", ""):
        return "Cf-Resized"
    if "Fastly-IO-Info" in headers:
        return "Fastly-IO-Info"
    if "image manager" in headers.get("Server", "").lower():
        return "Akamai Image Manager"
    return None


def is_cached(headers: Mapping[str, str]) -> bool:
    """Whether an answer says that it comes out of a cache that others use, too (RFC 9111, Age; RFC 9211, Cache-Status).

    Args:
        headers: of the answer; the look-up ignores case.
    """
    return bool(
        re.fullmatch(r"0*[1-9][0-9]*", headers.get("Age", "").strip())
        or re.search(r";\s*hit\b", headers.get("Cache-Status", ""))
        or headers.get("CF-Cache-Status", "").upper() in {"HIT", "STALE", "UPDATING", "REVALIDATED"}
        or "hit" in headers.get("X-Cache", "").lower()
    )


def conversion(media_type: str | None, headers: Mapping[str, str], image_file: str) -> str | None:
    """Return how the type of what came contradicts the name of the file, or None.

    A store keeps a file that was merely given a wrong extension, too; but it tells the type by the extension then,
    where a CDN that converts tells the new one.

    Args:
        media_type: of the bytes, by `sniff`.
        headers: of the answer; the look-up ignores case.
        image_file: the path of the original.
    """
    expected = _TYPE_OF.get(PurePosixPath(image_file).suffix.lower())
    announced = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if media_type is None or expected in {None, media_type} or announced != media_type:
        return None
    return f"{media_type} under the name of {expected}"
