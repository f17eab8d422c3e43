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
from typing import Any, NamedTuple, TypeAlias

from bc_images.errors import UnexpectedResponse
from bc_images.redaction import redact
from bc_images.schema import writable_fields

__all__ = [
    "InvalidImage",
    "InvalidImageError",
    "Notice",
    "Record",
    "check_is_object",
    "comparable_stem",
    "diff",
    "file_name",
    "from_v2",
    "from_v3",
    "sent_value",
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


def _no_notice(_: str) -> None:
    pass


def from_v2(
    image: Mapping[str, Any], store_hash: str, product_id: int, sku: str | None, notice: Notice = _no_notice
) -> Record:
    """Turn a V2 image (V2 images) into a record; dates become RFC 3339 in UTC.

    Raises:
        InvalidImageError: a field is missing or of a wrong type.
        UnexpectedResponse: the image belongs to another product, or an id is of a wrong type.
    """
    get = image.get
    record = _record(
        image,
        store_hash,
        product_id,
        sku,
        get("zoom_url"),
        get("standard_url"),
        get("thumbnail_url"),
        get("tiny_url"),
        notice,
    )
    try:
        record["date_created"] = utc_from_rfc2822(get("date_created"), record, "date_created")
    except UnexpectedResponse:
        notice(_invalid_date(record, "date_created", get("date_created")))
    return record


def from_v3(
    image: Mapping[str, Any], store_hash: str, product_id: int, sku: str | None, notice: Notice = _no_notice
) -> Record:
    """Turn a V3 image (V3 spec, productImage) into a record.

    It raises what `from_v2` raises.
    """
    get = image.get
    record = _record(
        image,
        store_hash,
        product_id,
        sku,
        get("url_zoom"),
        get("url_standard"),
        get("url_thumbnail"),
        get("url_tiny"),
        notice,
    )
    try:
        record["date_modified"] = utc_from_iso(get("date_modified"), record, "date_modified")
    except UnexpectedResponse:
        notice(_invalid_date(record, "date_modified", get("date_modified")))
    return record


def check_is_object(image: object, product_id: int) -> None:
    """Make sure that a row of a list of images is an object.

    Raises:
        InvalidImageError: it is not.
    """
    if type(image) is not dict:
        raise InvalidImageError(InvalidImage(product_id, None, None, f"it is {truncated_repr(image)}, not an object"))


_TEXT = frozenset({str, type(None)})
_INT32 = 2**31


def _record(
    image: Mapping[str, Any],
    store_hash: str,
    product_id: int,
    sku: str | None,
    zoom_url: object,
    standard_url: object,
    thumbnail_url: object,
    tiny_url: object,
    notice: Notice,
) -> Record:
    try:
        image_id, image_file = image["id"], image["image_file"]
        is_thumbnail, sort_order = image["is_thumbnail"], image["sort_order"]
    except KeyError as error:
        raise _invalid(image, product_id, f"{error.args[0]} is missing") from None
    description = image.get("description")
    record: Record = {
        "store_hash": store_hash,
        "id": image_id,
        "product_id": product_id,
        "product_sku": sku,
        "image_file": image_file,
        "is_thumbnail": is_thumbnail,
        "sort_order": sort_order,
        "description": description,
        "zoom_url": zoom_url,
        "standard_url": standard_url,
        "thumbnail_url": thumbnail_url,
        "tiny_url": tiny_url,
        "date_created": None,
        "date_modified": None,
        "file_sha256": None,
        "file_size": None,
        "file_type": None,
        "file_source": None,
    }
    # One expression over local names: this runs for every image of the store.
    if (
        type(image_id) is int
        and image_id > 0
        and type(image_file) is str
        and image_file
        and type(is_thumbnail) is bool
        and type(sort_order) is int
        and -_INT32 <= sort_order < _INT32
        and type(description) in _TEXT
        and type(zoom_url) in _TEXT
        and type(standard_url) in _TEXT
        and type(thumbnail_url) in _TEXT
        and type(tiny_url) in _TEXT
        and image.get("product_id", product_id) == product_id
    ):
        return record
    return _with_valid_urls(record, image, notice)


_FIELD_CHECKS: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("id", lambda value: type(value) is int and value > 0, "a positive integer"),
    ("image_file", lambda value: type(value) is str and value != "", "a path"),
    ("is_thumbnail", lambda value: type(value) is bool, "true or false"),
    ("sort_order", lambda value: type(value) is int and -_INT32 <= value < _INT32, "a 32-bit integer"),
    ("description", lambda value: type(value) in _TEXT, "text or null"),
)
_URL_FIELDS = ("zoom_url", "standard_url", "thumbnail_url", "tiny_url")


def _with_valid_urls(record: Record, image: Mapping[str, Any], notice: Notice) -> Record:
    """Return the record with null for each URL of a wrong type; any other wrong type raises `InvalidImageError`."""
    product_id = record["product_id"]
    for name, is_valid, expected in _FIELD_CHECKS:
        if not is_valid(record[name]):
            raise _invalid(image, product_id, f"{name} is {truncated_repr(record[name])}, not {expected}")
    if image.get("product_id", product_id) != product_id:
        raise _invalid(image, product_id, f"product_id is {truncated_repr(image['product_id'])}")
    for name in _URL_FIELDS:
        if type(record[name]) not in _TEXT:
            notice(f"{_subject(record)}: {name} is {truncated_repr(record[name])}, not text or null")
            record[name] = None
    return record


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


def _invalid_date(record: Record, name: str, value: object) -> str:
    return f"{_subject(record)}: {name} is {truncated_repr(value)}, not a date"


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
    try:
        if isinstance(text, str):
            moment = datetime.fromisoformat(text)
            # What the store sends as a rule is in this form already; to write it anew takes eight times as long.
            return text if _CANONICAL(text) else _utc(moment)
    except (ValueError, OverflowError):
        pass  # said below
    raise unexpected_response(_subject(item), f"{field} is {truncated_repr(text)}, not a date")


_HAS_YEAR = re.compile(r"\s[1-9]\d{3}\s", re.ASCII).search  # Python reads -0001 and 0000 as 2000
_CANONICAL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", re.ASCII).fullmatch


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


def sent_value(value: Any) -> Any:
    """Return a writable field's value as it is sent: null as the empty string, which means the same to the store.

    V2 refuses null, and a multipart form has none.
    """
    return "" if value is None else value


def writable_values(record: Mapping[str, Any]) -> Record:
    """Return all writable fields of a record as a create sends them."""
    return {name: sent_value(record.get(name)) for name in writable_fields()}


def diff(desired: Mapping[str, Any], existing: Mapping[str, Any]) -> Record:
    """Return the writable fields of `desired` that differ in `existing`, as an update sends them; empty when equal.

    A field that is absent in `desired` is not compared.
    """
    return {
        name: sent_value(desired[name])
        for name in writable_fields()
        if name in desired and sent_value(desired[name]) != sent_value(existing.get(name))
    }
