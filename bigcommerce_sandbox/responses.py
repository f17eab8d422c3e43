"""What goes over the wire: replies, refusals, and the format that a V2 request asks for."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import orjson

from bigcommerce_sandbox.constants import STATUS_PAGE

if TYPE_CHECKING:
    from collections.abc import Mapping

Header = tuple[bytes, bytes]

JSON: Final = b"application/json"
TEXT: Final = b"text/plain; charset=utf-8"
HTML: Final = b"text/html; charset=utf-8"


@dataclass(slots=True)
class Reply:
    """One complete answer: status, body bytes, and headers besides Content-Length."""

    status: int
    body: bytes = b""
    headers: list[Header] = field(default_factory=list)

    @property
    def all_headers(self) -> list[Header]:
        """The headers with Content-Length, which a 204 must not have."""
        if self.status == 204:
            return self.headers
        return [*self.headers, (b"content-length", b"%d" % len(self.body))]


def reply(status: int, body: bytes = b"", media: bytes = JSON, *extra: Header) -> Reply:
    """A reply with a body of the given media type."""
    return Reply(status, body, [(b"content-type", media), *extra])


def json_reply(data: object, status: int = 200, *extra: Header) -> Reply:
    """A JSON reply."""
    return reply(status, orjson.dumps(data), JSON, *extra)


NO_CONTENT: Final = Reply(204)


@dataclass(eq=False)
class ApiError(Exception):
    """A request that the store refuses.

    ``details`` goes into a V2 error as ``details`` and into a V3 error as ``errors``; ``extra`` adds or replaces
    members of a V3 error; ``plain`` replaces the body by text.
    """

    status: int
    message: str
    details: Mapping[str, object] | None = None
    headers: tuple[Header, ...] = ()
    extra: Mapping[str, object] | None = None
    plain: bool = False

    def with_field_errors(self, form: str) -> ApiError:
        """The same refusal, where it is about a field, as the flag ``field_errors`` has it."""
        if form == "named" or self.status not in {400, 422} or not self.details:
            return self
        if form == "unnamed":
            return replace(self, message="The request could not be processed.", details=None)
        nested = {name: {"0": [{"message": reason}]} for name, reason in self.details.items()}
        return replace(self, details=nested)

    def as_v2(self, shape: str) -> Reply:
        """An array of errors (as in product-images.v2.yml) or, for a 404 in the other seen shape, one object."""
        if self.status == 404 and shape == "object":
            body: object = {"status": 404, "title": "Not found", "type": STATUS_PAGE, "errors": {}}
            return json_reply(body, 404, *self.headers)
        error: dict[str, object] = {"status": self.status, "message": self.message}
        if self.details:
            error["details"] = dict(self.details)
        return json_reply([error], self.status, *self.headers)

    def as_v3(self) -> Reply:
        """One object with status, title and type (products_catalog.v3.yml, errorResponse_422)."""
        if self.plain:
            return reply(self.status, self.message.encode(), HTML, *self.headers)
        body: dict[str, object] = {"status": self.status, "title": self.message, "type": STATUS_PAGE}
        if self.details is not None:
            body["errors"] = dict(self.details)
        body.update(self.extra or {})
        return json_reply(body, self.status, *self.headers)


def not_emulated(subject: str) -> ApiError:
    """The 501 of a request that the real store serves and the sandbox does not."""
    return ApiError(501, f"{subject} is not emulated by the sandbox; see docs/sandbox.md.")


# ---------------------------------------------------------------- V2 negotiation (v2-conventions-2017.md)


def _accepted(accept: str) -> list[tuple[str, float]]:
    ranges = []
    for part in accept.split(","):
        media, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    quality = float(parameter[2:])
                except ValueError:
                    quality = 0.0
        if media and quality > 0:
            ranges.append((media, quality))
    return ranges


MEDIA_FORMATS: Final = {"application/json": "json", "application/xml": "xml", "text/xml": "xml"}


def negotiate(accept: str | None, extension: str) -> str | None:
    """``json``, ``xml``, or None for 406.

    In this order: a high-priority Accept, the extension of the address, an Accept of lower priority; without any
    of them XML, as the conventions say. A wildcard names no format, so it is treated like no Accept (assumed).
    """
    if accept == "application/json":
        return "json"
    ranges = _accepted(accept) if accept else []
    for media, quality in ranges:
        if quality >= 1 and media in MEDIA_FORMATS:
            return MEDIA_FORMATS[media]
    if extension:
        return extension
    for media, _ in sorted(ranges, key=lambda item: -item[1]):
        if media in MEDIA_FORMATS:
            return MEDIA_FORMATS[media]
    if not accept or any(media in ("*/*", "application/*") for media, _ in ranges):
        return "xml"
    return None
