"""One image, in the shapes of V2 and V3, and as our record (``schemas/product_images.json``). Pure functions.

Nothing is guessed: a field of the wrong type is an `UnexpectedResponse` that names the product and the field.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import PurePosixPath
from typing import Any, TypeAlias

from bc_images.errors import UnexpectedResponse

__all__ = ["Record", "changes", "file_name", "from_v2", "from_v3", "stem", "utc_from_iso", "utc_from_rfc2822"]

Record: TypeAlias = dict[str, Any]
"""A record of the stream ``product_images``; keys as in the schema."""


def from_v2(image: Mapping[str, Any], store_hash: str, product_id: int, sku: str | None) -> Record:
    """Turn a V2 image (specs/v2-product-images.mdx) into a record; dates become RFC 3339 in UTC.

    Raises:
        UnexpectedResponse: a field is missing or of a wrong type.
    """
    created = image.get("date_created")
    record = _record(image, store_hash, product_id, sku)
    record["zoom_url"] = image.get("zoom_url")
    record["standard_url"] = image.get("standard_url")
    record["thumbnail_url"] = image.get("thumbnail_url")
    record["tiny_url"] = image.get("tiny_url")
    record["date_created"] = utc_from_rfc2822(created, record, "date_created") if created else None
    return record


def from_v3(image: Mapping[str, Any], store_hash: str, product_id: int, sku: str | None) -> Record:
    """Turn a V3 image (specs/products_catalog.v3.yml, productImage) into a record.

    Raises:
        UnexpectedResponse: a field is missing or of a wrong type.
    """
    modified = image.get("date_modified")
    record = _record(image, store_hash, product_id, sku)
    record["zoom_url"] = image.get("url_zoom")
    record["standard_url"] = image.get("url_standard")
    record["thumbnail_url"] = image.get("url_thumbnail")
    record["tiny_url"] = image.get("url_tiny")
    record["date_modified"] = utc_from_iso(modified, record, "date_modified") if modified else None
    return record


def _record(image: Mapping[str, Any], store_hash: str, product_id: int, sku: str | None) -> Record:
    try:
        record: Record = {
            "store_hash": store_hash,
            "id": image["id"],
            "product_id": product_id,
            "product_sku": sku,
            "image_file": image["image_file"],
            "is_thumbnail": image["is_thumbnail"],
            "sort_order": image["sort_order"],
            "description": image.get("description"),
            "zoom_url": None,
            "standard_url": None,
            "thumbnail_url": None,
            "tiny_url": None,
            "date_created": None,
            "date_modified": None,
            "file_sha256": None,
            "file_size": None,
            "file_type": None,
            "file_source": None,
        }
    except (KeyError, TypeError) as error:
        raise _misfit(product_id, image, str(error).strip("'"), "is missing") from error
    # One expression for the normal case: this runs for every image of the store.
    if not (
        type(record["id"]) is int
        and record["id"] > 0
        and image.get("product_id", product_id) == product_id
        and type(record["image_file"]) is str
        and record["image_file"]
        and type(record["is_thumbnail"]) is bool
        and type(record["sort_order"]) is int
        and (record["description"] is None or type(record["description"]) is str)
    ):
        raise _first_misfit(record, image, product_id)
    return record


def _first_misfit(record: Record, image: Mapping[str, Any], product_id: int) -> UnexpectedResponse:
    wanted = {"id": int, "image_file": str, "is_thumbnail": bool, "sort_order": int}
    for name, kind in wanted.items():
        if type(record[name]) is not kind or record[name] == "":
            return _misfit(product_id, image, name, f"is {record[name]!r}, not {kind.__name__}")
    if image.get("product_id", product_id) != product_id:
        return _misfit(product_id, image, "product_id", f"is {image['product_id']!r}")
    if record["id"] <= 0:
        return _misfit(product_id, image, "id", f"is {record['id']!r}, not positive")
    return _misfit(product_id, image, "description", f"is {record['description']!r}, not str or null")


def _misfit(product_id: int, image: object, name: str, what: str) -> UnexpectedResponse:
    image_id = image.get("id") if isinstance(image, Mapping) else None
    return UnexpectedResponse(
        f"Product {product_id}, image {image_id}: the field {name} {what}. "
        "The answer does not fit the API; nothing was guessed. Report it if it stays so."
    )


def utc_from_rfc2822(text: object, record: Mapping[str, Any], field: str) -> str:
    """Turn ``Mon, 24 Sep 2012 01:14:30 +0000`` into ``2012-09-24T01:14:30+00:00``."""
    try:
        return parsedate_to_datetime(str(text)).astimezone(UTC).isoformat()
    except ValueError as error:
        raise _misfit(record.get("product_id", record.get("id", 0)), record, field, f"is {text!r}, no date") from error


def utc_from_iso(text: object, record: Mapping[str, Any], field: str) -> str:
    """Turn any ISO 8601 time into one in UTC that ends in ``+00:00``, so that times compare as text."""
    if type(text) is str and len(text) == 25 and text.endswith("+00:00"):
        return text
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError as error:
        raise _misfit(record.get("product_id", record.get("id", 0)), record, field, f"is {text!r}, no date") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).isoformat()


# A stored name is `<slug>__<5 digits>.<ext>`; importing it again stacks a suffix; a rendition's name adds
# `.<unix time>.<width>.<height>` (specs/products_catalog.v3.yml, specs/v2-product-images.mdx, examples).
_ADDED = re.compile(r"(?:__\d{5}|\.\d{9,11}\.\d{1,5}\.\d{1,5})$")
_EXTENSION = re.compile(r"\.[A-Za-z0-9]{1,5}$")


def file_name(image_file: str) -> str:
    """Return the name the file was first sent under: its last part without what the store added."""
    name = PurePosixPath(image_file.split("?", 1)[0]).name
    extension = _EXTENSION.search(name)
    base = name[: extension.start()] if extension else name
    while added := _ADDED.search(base):
        if not added.start():  # nothing but a suffix: that is the name
            break
        base = base[: added.start()]
    return base + (extension.group() if extension else "")


def stem(image_file: str) -> str:
    """Return what stays of a file's name however often it is imported: for comparing, not for showing."""
    name = _EXTENSION.sub("", file_name(image_file))
    return "-".join(re.findall(r"\w+", name.casefold().replace("_", "-")))


def changes(wanted: Mapping[str, Any], live: Mapping[str, Any]) -> Record:
    """Return the writable fields of `wanted` that `live` has not, as they are to be sent; empty when equal.

    A null and an empty description mean the same.
    """
    differing: Record = {}
    if wanted["is_thumbnail"] != live["is_thumbnail"]:
        differing["is_thumbnail"] = wanted["is_thumbnail"]
    if wanted["sort_order"] != live["sort_order"]:
        differing["sort_order"] = wanted["sort_order"]
    if (wanted.get("description") or "") != (live.get("description") or ""):
        differing["description"] = wanted.get("description") or ""
    return differing
