"""One image, in the shapes of V2 and V3, and as our record (``schemas/product_images.json``). Pure functions.

Nothing is guessed. A row that cannot be a record is an `InvalidImageError`, which costs that image alone. A date or a
rendition's address of the wrong type becomes null, since nothing is restored from it, and a notice names it.
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
    "diff",
    "file_name",
    "from_v2",
    "from_v3",
    "misfit",
    "sent_value",
    "short",
    "stem",
    "utc_from_iso",
    "utc_from_rfc2822",
    "writable_values",
]

Record: TypeAlias = dict[str, Any]
"""A record of the stream ``product_images``; keys as in the schema."""


Notice: TypeAlias = Callable[[str], None]
"""Is given one line about each value that is read as null: product, image, field, and what is wrong with it."""


class InvalidImage(NamedTuple):
    """An image of the store that cannot be a record, as far as it is known."""

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
    """A row of the store that cannot be a record."""

    def __init__(self, image: InvalidImage) -> None:
        super().__init__(str(misfit(image.text.rpartition(": ")[0], image.problem)))
        self.image = image


def _no_notice(_: str) -> None:
    pass


def from_v2(
    image: Mapping[str, Any], store_hash: str, product_id: int, sku: str | None, notice: Notice = _no_notice
) -> Record:
    """Turn a V2 image (specs/v2-product-images.mdx) into a record; dates become RFC 3339 in UTC.

    Raises:
        InvalidImageError: it cannot be a record: a field is missing or of a wrong type.
        UnexpectedResponse: the answer is not about images of this product, or its ids are of a wrong type.
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
        notice(_no_date(record, "date_created", get("date_created")))
    return record


def from_v3(
    image: Mapping[str, Any], store_hash: str, product_id: int, sku: str | None, notice: Notice = _no_notice
) -> Record:
    """Turn a V3 image (specs/products_catalog.v3.yml, productImage) into a record.

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
        notice(_no_date(record, "date_modified", get("date_modified")))
    return record


def check_is_object(image: object, product_id: int) -> None:
    """Make sure that a row of a list of images is an object.

    Raises:
        InvalidImageError: it is not.
    """
    if type(image) is not dict:
        raise InvalidImageError(InvalidImage(product_id, None, None, f"it is {short(image)}, not an object"))


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
    return _without_invalid_addresses(record, image, notice)


_RESTORED: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("id", lambda value: type(value) is int and value > 0, "a positive integer"),
    ("image_file", lambda value: type(value) is str and value != "", "a path"),
    ("is_thumbnail", lambda value: type(value) is bool, "true or false"),
    ("sort_order", lambda value: type(value) is int and -_INT32 <= value < _INT32, "a 32-bit integer"),
    ("description", lambda value: type(value) in _TEXT, "text or null"),
)
_ADDRESSES = ("zoom_url", "standard_url", "thumbnail_url", "tiny_url")


def _without_invalid_addresses(record: Record, image: Mapping[str, Any], notice: Notice) -> Record:
    """Return the record with null for each address that is none, if that is all that is wrong with it."""
    product_id = record["product_id"]
    for name, is_valid, wanted in _RESTORED:
        if not is_valid(record[name]):
            raise _invalid(image, product_id, f"{name} is {short(record[name])}, not {wanted}")
    if image.get("product_id", product_id) != product_id:
        raise _invalid(image, product_id, f"product_id is {short(image['product_id'])}")
    for name in _ADDRESSES:
        if type(record[name]) not in _TEXT:
            notice(f"{_subject(record)}: {name} is {short(record[name])}, not text or null")
            record[name] = None
    return record


def _invalid(image: Mapping[str, Any], product_id: int, problem: str) -> UnexpectedResponse:
    """Return the error for a row that cannot be a record.

    Where ids are of another type, or of another product, it is the whole answer that does not fit.
    """
    image_id, owner, image_file = image.get("id"), image.get("product_id"), image.get("image_file")
    for name, value in (("id", image_id), ("product_id", owner)):
        if value is not None and type(value) is not int:
            return misfit(f"product {product_id}, image {short(image_id)}", f"{name} is {short(value)}, not an integer")
    if owner is not None and owner != product_id:
        return misfit(f"product {product_id}, image {short(image_id)}", f"product_id is {owner}")
    known_id = image_id if image_id is not None and image_id > 0 else None
    path = image_file if type(image_file) is str and image_file else None
    return InvalidImageError(InvalidImage(product_id, known_id, path, problem))


def _no_date(record: Record, name: str, value: object) -> str:
    return f"{_subject(record)}: {name} is {short(value)}, no date"


def _subject(item: Mapping[str, Any]) -> str:
    image = f"product {item['product_id']}, image" if "product_id" in item else "product"
    return f"{image} {short(item['id'])}"


def misfit(where: str, what: str) -> UnexpectedResponse:
    """Return the error for an answer that is not what the API promises."""
    return UnexpectedResponse(f"The store's answer does not fit the API: {where}: {what}. Nothing was guessed.")


_READ = 10_000  # characters of a value that are looked at for what 80 of them show


def short(value: object) -> str:
    """Return a value of the store's as it may stand in a message: on one line, not a page of it, and no secret."""
    try:
        text = repr(value[:_READ] if isinstance(value, str) else value)[:_READ]
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
    raise misfit(_subject(item), f"{field} is {short(text)}, no date")


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
    raise misfit(_subject(item), f"{field} is {short(text)}, no date")


_HAS_YEAR = re.compile(r"\s[1-9]\d{3}\s", re.ASCII).search  # Python reads -0001 and 0000 as 2000
_CANONICAL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", re.ASCII).fullmatch


def _utc(moment: datetime) -> str:
    """Return a time in UTC; one without a zone is meant so."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment.isoformat()


# A stored name is `<slug>__<5 digits>.<ext>`; importing it again stacks a suffix; a rendition's name adds
# `.<unix time>.<width>.<height>` (specs/products_catalog.v3.yml, specs/v2-product-images.mdx, examples).
_ADDED = re.compile(r"(?:__\d{5}|\.\d{9,11}\.\d{1,5}\.\d{1,5})$", re.ASCII)
_EXTENSION = re.compile(r"\.[A-Za-z0-9]{1,5}$")


def file_name(image_file: str) -> str:
    """Return the name the file was first sent under: the last part of its path without what the store added."""
    name = image_file.split("?", 1)[0].rstrip("/").rpartition("/")[2]
    extension = _EXTENSION.search(name)
    base = name[: extension.start()] if extension else name
    while (added := _ADDED.search(base)) and added.start():  # nothing but a suffix: that is the name
        base = base[: added.start()]
    if not base.strip("."):
        base = "image"  # a hostile path: never a name that means a folder
    return base + (extension.group() if extension else "")


def stem(image_file: str) -> str:
    """Return what stays of a file's name however often it is imported: for comparing, not for showing."""
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
