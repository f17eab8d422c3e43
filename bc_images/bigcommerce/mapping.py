"""Converts images of V2 and V3 to records (``schemas/product_images.json``), and compares records. Pure.

A row with a missing or wrongly typed field is an `InvalidImageError`: that image alone is skipped. A date or a
rendition's URL of the wrong type becomes null, since nothing is restored from it, and a notice names it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Annotated, Any, NamedTuple, TypeAlias

from msgspec import Meta, ValidationError, convert

from bc_images.errors import UnexpectedResponse
from bc_images.json_repair import MAX_TEXT
from bc_images.redaction import redact
from bc_images.schema import load, writable_fields

__all__ = [
    "EMPTY_RECORD",
    "InvalidImage",
    "InvalidImageError",
    "Notice",
    "Record",
    "check_is_object",
    "comparable_stem",
    "diff",
    "field_types",
    "file_name",
    "record_from",
    "sent_value",
    "sources",
    "truncated_repr",
    "unexpected_response",
    "utc_from_iso",
    "utc_from_rfc2822",
    "writable_values",
]

Record: TypeAlias = dict[str, Any]
"""A record of the stream ``product_images``; keys as in the schema."""


Notice: TypeAlias = Callable[[str], None]
"""Called with one line for each value that is read as null: product, image, field, and what is wrong with it."""


class InvalidImage(NamedTuple):
    """An image of the store that does not fit the record's schema."""

    product_id: int
    id: int | None
    image_file: str | None
    problem: str  # such as "sort_order is None, not a 32-bit integer"

    @property
    def text(self) -> str:
        """Name the image and what is wrong with it."""
        image = "image without an id" if self.id is None else f"image {self.id}"
        return f"product {self.product_id}, {image}: {self.problem}"


class InvalidImageError(UnexpectedResponse):
    """A row of the store that does not fit the record's schema."""

    def __init__(self, image: InvalidImage) -> None:
        super().__init__(str(unexpected_response(image.text.rpartition(": ")[0], image.problem)))
        self.image = image


def sources(stream: str, api_version: str) -> dict[str, str]:
    """Return the API's name (``v2`` or ``v3``) of each field of a stream that comes from it, in the schema's order."""
    names = {name: dict(_SOURCE.findall(field["x-source"])) for name, field in load(stream)["properties"].items()}
    return {name: versions[api_version] for name, versions in names.items() if api_version in versions}


def field_types(stream: str) -> dict[str, Any]:
    """Return the type of each field of a stream, with the schema's bounds, as msgspec takes it."""
    types: dict[str, Any] = {}
    for name, field in load(stream)["properties"].items():
        kind = field["type"] if isinstance(field["type"], str) else field["type"][0]
        types[name] = _MSGSPEC_TYPES[kind](field)
        if kind != field["type"]:
            types[name] |= None
    return types


_SOURCE = re.compile(r"(v[23]) (\w+)")
_INT64 = 2**63
_MSGSPEC_TYPES: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "boolean": lambda _: bool,
    "integer": lambda field: Annotated[int, Meta(ge=field.get("minimum", 0), le=field.get("maximum", _INT64 - 1))],
    "string": lambda field: Annotated[str, Meta(min_length=field.get("minLength"), max_length=MAX_TEXT)],
}
_STREAM = "product_images"
_TYPES = field_types(_STREAM)
_SOURCES = {api_version: sources(_STREAM, api_version) for api_version in ("v2", "v3")}
_NEEDED = [name for name in load(_STREAM)["required"] if name != "product_id"]
_EXPECTED = {
    "id": "a positive integer",
    "image_file": "a path",
    "is_thumbnail": "true or false",
    "sort_order": "a 32-bit integer",
}

EMPTY_RECORD: Record = dict.fromkeys(_TYPES)
"""All fields of a record, in the schema's order, each null."""


def record_from(
    api_version: str,
    image: Mapping[str, Any],
    store_hash: str,
    product_id: int,
    sku: str | None,
    notice: Notice = lambda _: None,
) -> Record:
    """Turn an image of ``v2`` (V2 images) or ``v3`` (V3 spec, productImage) into a record; dates become UTC.

    Raises:
        InvalidImageError: a field is missing or of a wrong type.
        UnexpectedResponse: the image belongs to another product, or an id is of a wrong type.
    """
    taken = _SOURCES[api_version]
    record = EMPTY_RECORD | {name: image.get(source) for name, source in taken.items()}
    record |= {"store_hash": store_hash, "product_id": product_id, "product_sku": sku}
    for name in _NEEDED:
        if name not in image:
            raise _invalid(image, product_id, f"{name} is missing")
    for name in (*_NEEDED, "description"):
        if not _fits(record, name):
            expected = _EXPECTED.get(name, "text or null")
            raise _invalid(image, product_id, f"{name} is {truncated_repr(record[name])}, not {expected}")
    if image.get("product_id", product_id) != product_id:
        raise _invalid(image, product_id, f"product_id is {truncated_repr(image['product_id'])}")
    for name in taken:
        if name in READ_DATE:
            try:
                record[name] = READ_DATE[name](record[name], record, name)
            except UnexpectedResponse:
                notice(f"{_subject(record)}: {name} is {truncated_repr(record[name])}, not a date")
                record[name] = None
        elif not _fits(record, name):
            notice(f"{_subject(record)}: {name} is {truncated_repr(record[name])}, not text or null")
            record[name] = None
    return record


def _fits(record: Record, name: str) -> bool:
    try:
        convert(record[name], _TYPES[name])
    except ValidationError:
        return False
    return True


def check_is_object(image: object, product_id: int) -> None:
    """Make sure that a row of a list of images is an object.

    Raises:
        InvalidImageError: it is not.
    """
    if type(image) is not dict:
        raise InvalidImageError(InvalidImage(product_id, None, None, f"it is {truncated_repr(image)}, not an object"))


def _invalid(image: Mapping[str, Any], product_id: int, problem: str) -> UnexpectedResponse:
    """Return the error for a row that does not fit the record's schema.

    Where an id has another type or is another product's, the response as a whole is unexpected.
    """
    image_id, owner, image_file = image.get("id"), image.get("product_id"), image.get("image_file")
    subject = f"product {product_id}, image {truncated_repr(image_id)}"
    for name, value in (("id", image_id), ("product_id", owner)):
        if value is not None and type(value) is not int:
            return unexpected_response(
                f"product {product_id}, image {truncated_repr(image_id)}",
                f"{name} is {truncated_repr(value)}, not an integer",
            )
    if owner is not None and owner != product_id:
        return unexpected_response(subject, f"product_id is {owner}")
    positive_id = image_id if image_id is not None and image_id > 0 else None
    path = image_file if type(image_file) is str and image_file else None
    return InvalidImageError(InvalidImage(product_id, positive_id, path, problem))


def _subject(item: Mapping[str, Any]) -> str:
    image = f"product {item['product_id']}, image" if "product_id" in item else "product"
    return f"{image} {truncated_repr(item['id'])}"


def unexpected_response(where: str, problem: str) -> UnexpectedResponse:
    """Return the error for a response that does not follow the API."""
    return UnexpectedResponse(f"Unexpected API response: {where}: {problem}.")


_MAX_REDACTED = 10_000  # characters of a value that are searched for secrets before 80 of them are shown


def truncated_repr(value: object) -> str:
    """Return the repr of a value for a message: at most 80 characters on one line, without secrets."""
    try:
        text = repr(value[:_MAX_REDACTED] if isinstance(value, str) else value)[:_MAX_REDACTED]
    except RecursionError:
        text = "a value that is nested too deeply"
    text = redact(text)  # before it is cut to what is shown: half a secret is not found any more
    return text if len(text) <= 80 else f"{text[:77]}..."


def utc_from_rfc2822(text: object, item: Mapping[str, Any], field: str) -> str | None:
    """Turn ``Mon, 24 Sep 2012 01:14:30 +0000`` into ``2012-09-24T01:14:30+00:00``; nothing (null, "") into None.

    `item` is a product, or an image with its ``product_id``: what the error names, with `field`.

    Raises:
        UnexpectedResponse: it is no such date.
    """
    if text is None or text == "":
        return None
    try:
        if isinstance(text, str) and _HAS_YEAR(text):
            return _utc(parsedate_to_datetime(text))
    except (ValueError, OverflowError):
        pass  # said below
    raise unexpected_response(_subject(item), f"{field} is {truncated_repr(text)}, not a date")


def utc_from_iso(text: object, item: Mapping[str, Any], field: str) -> str | None:
    """Turn an ISO 8601 time into one in UTC that ends in ``+00:00``, so that times compare as text.

    `item` and what is raised are those of `utc_from_rfc2822`.
    """
    if text is None or text == "":
        return None
    if isinstance(text, str):
        if _IS_UTC(text):
            return text
        try:
            return _utc(datetime.fromisoformat(text))
        except (ValueError, OverflowError):
            pass  # said below
    raise unexpected_response(_subject(item), f"{field} is {truncated_repr(text)}, not a date")


_HAS_YEAR = re.compile(r"\s[1-9]\d{3}\s", re.ASCII).search  # Python reads -0001 and 0000 as 2000
# What the store sends as a rule is right as it stands, up to the 28th of a month: to read it takes far longer.
_IS_UTC = re.compile(
    r"(?!0000)\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d\+00:00", re.ASCII
).fullmatch

READ_DATE: Mapping[str, Callable[[object, Mapping[str, Any], str], str | None]] = {
    "date_created": utc_from_rfc2822,
    "date_modified": utc_from_iso,
}
"""How each date of an image is read: V2 tells the first, V3 the second."""


def _utc(moment: datetime) -> str:
    """Return a time in UTC; one without a zone is meant so."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment.isoformat()


# A stored name is `<slug>__<5 digits>.<ext>`; importing it again stacks a suffix; a rendition's name adds
# `.<unix time>.<width>.<height>` (V3 spec and V2 images, examples).
_STORE_SUFFIX = re.compile(r"(?:__\d{5}|\.\d{9,11}\.\d{1,5}\.\d{1,5})$", re.ASCII)
_EXTENSION = re.compile(r"\.[A-Za-z0-9]{1,5}$")


def file_name(image_file: str) -> str:
    """Return the name under which the file was first uploaded: without folder and the store's suffixes."""
    name = image_file.split("?", 1)[0].rstrip("/").rpartition("/")[2]
    extension = _EXTENSION.search(name)
    base = name[: extension.start()] if extension else name
    while (suffix := _STORE_SUFFIX.search(base)) and suffix.start():  # nothing but a suffix: that is the name
        base = base[: suffix.start()]
    if not base.strip("."):
        base = "image"  # a hostile path: never a name that means a folder
    return base + (extension.group() if extension else "")


def comparable_stem(image_file: str) -> str:
    """Return a file's name for comparison: without case, extension and the suffixes that the store adds."""
    name = unicodedata.normalize("NFKC", _EXTENSION.sub("", file_name(image_file)))
    return "-".join(re.findall(r"[^\W_]+", name.casefold()))


@cache
def _is_text(name: str) -> bool:
    return "string" in load("product_images")["properties"].get(name, {}).get("type", ())


def sent_value(name: str, value: Any) -> Any:
    """Return a writable field's value as it is sent: a text that is null as the empty one, which means the same.

    V2 refuses null, and a multipart form has none.
    """
    return "" if value is None and _is_text(name) else value


def writable_values(record: Mapping[str, Any]) -> Record:
    """Return all writable fields of a record as a create sends them."""
    return {name: sent_value(name, record.get(name)) for name in writable_fields()}


def diff(desired: Mapping[str, Any], existing: Mapping[str, Any]) -> Record:
    """Return the writable fields of `desired` that differ in `existing`, as an update sends them; empty when equal.

    A field that is absent in `desired` is not compared.
    """
    differing: Record = {}
    for name in writable_fields():
        if name in desired and desired[name] != existing.get(name):
            value = sent_value(name, desired[name])
            if value != sent_value(name, existing.get(name)):
                differing[name] = value
    return differing
