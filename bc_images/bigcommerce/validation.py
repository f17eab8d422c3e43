"""Checks on responses that both API versions share."""

from __future__ import annotations

import logging
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import itemgetter
from typing import Any

from bc_images.bigcommerce.mapping import (
    InvalidImage,
    InvalidImageError,
    Record,
    check_is_object,
    truncated_repr,
    unexpected_response,
)
from bc_images.errors import OutcomeUnknown, RequestRejected, UnexpectedResponse

__all__ = [
    "Notices",
    "check_ascending",
    "expect_count",
    "expect_int",
    "expect_list",
    "expect_objects",
    "ids_with_sku",
    "incomplete_listing",
    "queryable_skus",
    "same_sku",
    "sku_variants",
    "sorted_by_id",
    "unknown_outcome",
]

logger = logging.getLogger(__name__)


def expect_objects(answer: object, subject: str) -> list[dict[str, Any]]:
    """Return `answer` as the list of objects it must be.

    Raises:
        UnexpectedResponse: it is anything else, as all functions here raise.
    """
    items = expect_list(answer, subject)
    for item in items:
        if type(item) is not dict:
            raise unexpected_response(subject, f"holds {truncated_repr(item)}, not objects")
    return items


def expect_list(answer: object, subject: str) -> list[Any]:
    """Return `answer` as the list it must be, of whatever."""
    if not isinstance(answer, list):
        raise unexpected_response(subject, f"is {truncated_repr(answer)}, not a list of objects")
    return answer


def expect_int(item: Mapping[str, Any], name: str, subject: str) -> int:
    """Return the field `name` of `item`, an integer of at least 0."""
    value = item.get(name)
    if type(value) is not int or value < 0:
        raise unexpected_response(subject, f"{name} is {truncated_repr(value)}, not an integer of at least 0")
    return value


def expect_count(answer: object, subject: str) -> int:
    """Return the number in ``{"count": n}``."""
    if not isinstance(answer, dict):
        raise unexpected_response(subject, f"is {truncated_repr(answer)}, not an object with a count")
    return expect_int(answer, "count", subject)


def check_ascending(ids: Iterable[int], after: int, before: int | None, subject: str) -> None:
    """Make sure that a page is in id order and within its bounds.

    Out of order, a walk by id could skip items or never end; beyond its bounds, two walks could meet the same item.
    """
    for item_id in ids:
        if item_id <= after:
            raise unexpected_response(subject, f"id {item_id} came after {after}, not in id order")
        after = item_id
    if before is not None and after >= before:
        raise unexpected_response(subject, f"id {after} is not below {before}, as requested")


def sorted_by_id(
    rows: Iterable[Any], product_id: int, record_of: Callable[[Mapping[str, Any]], Record]
) -> tuple[list[Record], list[InvalidImage]]:
    """Return the images of one product in id order, each there once, and those that cannot be records."""
    records: list[Record] = []
    invalid: list[InvalidImage] = []
    for row in rows:
        try:
            check_is_object(row, product_id)
            records.append(record_of(row))
        except InvalidImageError as error:
            invalid.append(error.image)
    records.sort(key=itemgetter("id"))
    before = 0
    for record in records:
        if record["id"] == before:
            raise unexpected_response(f"product {product_id}, image {before}", "is listed twice")
        before = record["id"]
    if invalid:
        known = [image.id for image in invalid if image.id is not None]
        twice = [number for number, times in Counter([*known, *map(itemgetter("id"), records)]).items() if times > 1]
        if twice:
            raise unexpected_response(f"product {product_id}, image {twice[0]}", "is listed twice")
    return records, invalid


class Notices:
    """Warns of values of the store that are read as null: each once, the first `MOST` by name."""

    MOST = 20

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._lock = threading.Lock()

    def __call__(self, text: str) -> None:
        """Warn of one value; `text` names product, image and field."""
        with self._lock:
            if text in self._seen or len(self._seen) > self.MOST:
                return
            self._seen.add(text)
            is_last = len(self._seen) > self.MOST
        if is_last:
            logger.warning("More values of the store are invalid and read as null; they are not listed.")
        else:
            logger.warning("%s. It is read as null: correct it in the store.", text)

    def optional_text(self, item: Mapping[str, Any], name: str) -> str | None:
        """Return the text field `name` of a product; None where it is null or absent, or, with a warning, no text."""
        value = item.get(name)
        if value is None or type(value) is str:
            return value
        self(f"product {item['id']}: {name} is {truncated_repr(value)}, not text or null")
        return None

    def optional_date(
        self, item: Mapping[str, Any], name: str, read: Callable[[object, Mapping[str, Any], str], str | None]
    ) -> str | None:
        """Return the date field `name` of a product as `read` reads it; None, with a warning, where it is no date."""
        try:
            return read(item.get(name), item, name)
        except UnexpectedResponse:
            self(f"product {item['id']}: {name} is {truncated_repr(item.get(name))}, not a date")
            return None


def ids_with_sku(rows: Iterable[Mapping[str, Any]], sku: str, invalid: dict[int, str]) -> Iterator[int]:
    """Yield the ids of the products among `rows`, the answer for `sku`, that carry it to the letter or may do so.

    The store may not mind the case of letters. Those whose SKU is no text are noted in `invalid`.
    """
    for row in rows:
        value = row.get("sku")
        if value == sku:
            yield row["id"]
        elif value is not None and not isinstance(value, str):
            invalid[row["id"]] = f"sku is {truncated_repr(value)}, not text"
            yield row["id"]


MAX_SKU = 255  # characters (V3 spec, sku)


def queryable_skus(skus: Iterable[str]) -> list[str]:
    """Return the SKUs that can be asked for, each once, sorted.

    An empty filter would match every product; half a surrogate pair is no text that an address can carry; and no
    product can have one that is too long.
    """
    return sorted({sku for sku in skus if sku and len(sku) <= MAX_SKU and not re.search("[\ud800-\udfff]", sku)})


def sku_variants(sku: str) -> list[str]:
    """Return SKUs that differ from this one in case or whitespace."""
    trimmed = sku.strip()
    spellings = [trimmed, f"{trimmed} ", f" {trimmed}", " ".join(sku.split()), "".join(sku.split())]
    return queryable_skus({variant for text in spellings for variant in (text, text.upper(), text.lower())} - {sku})


def same_sku(one: str, other: str) -> bool:
    """Whether two SKUs differ in case and whitespace at most."""
    return "".join(one.split()).casefold() == "".join(other.split()).casefold()


def unknown_outcome(request: str, problem: str) -> OutcomeUnknown:
    """Return the error for a write that the store calls a success, with a body that is not the image."""
    return OutcomeUnknown(f"{request}: {problem}. It may or may not have been carried out.", is_answered=True)


def incomplete_listing(error: RequestRejected) -> UnexpectedResponse:
    """Return the error for a list request that was rejected: it concerns the whole scan, not one record."""
    return UnexpectedResponse(f"{error}. The scan cannot be complete: check api_url, store_hash and api_version.")
