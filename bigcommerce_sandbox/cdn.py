"""The CDN in front of the originals: by the flag ``cdn`` it re-encodes pictures, as Cloudflare's Polish does.

Headers and statuses are those of Cloudflare's own documentation ("Cf-Polished statuses", "Polish compression"). What it
does to the pictures of a store is assumed: JPEG and GIF are encoded again, PNG becomes WEBP, BMP, WBMP and XBM are not
touched. ``Cache-Control: no-transform`` in a request changes nothing.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Final

from bigcommerce_sandbox import media

if TYPE_CHECKING:
    from bigcommerce_sandbox.responses import Header

QUALITY: Final = 85


class Cdn:
    """A cache by address and query that may serve other bytes than it was given; safe to share between threads."""

    def __init__(self) -> None:
        self._cached: set[str] = set()
        self._lock = Lock()

    def clear(self) -> None:
        """Forget what was served."""
        with self._lock:
            self._cached.clear()

    def serve(self, mode: str, marks: str, address: str, content: bytes, kind: str) -> tuple[bytes, str, list[Header]]:
        """What a client gets for an original: bytes, media type, further headers.

        ``altered``: re-encoded in every answer. ``altered_later``: the first answer for an address with its query is
        the original, every later one is re-encoded. Without ``marks``, no Cf-Polished says so.
        """
        if mode == "off":
            return content, kind, []
        with self._lock:
            is_hit = address in self._cached
            self._cached.add(address)
        headers: list[Header] = [(b"cf-cache-status", b"HIT" if is_hit else b"MISS")]
        if mode == "altered_later" and not is_hit:
            return content, kind, headers
        try:
            altered, altered_kind = media.polish(content, QUALITY)
        except media.NotAPicture:
            return content, kind, [*headers, (b"cf-polished", b"status=cannot_optimize")]
        if altered == content:
            return content, kind, [*headers, (b"cf-polished", b"status=not_needed")]
        polished = b"qual=%d, origSize=%d" % (QUALITY, len(content))
        if altered_kind != kind:
            polished = b"origFmt=%s, " % kind.rpartition("/")[2].encode() + polished
        return altered, altered_kind, [*headers, *([(b"cf-polished", polished)] if marks == "on" else [])]
