"""Checks on what the store answers, shared by both versions: never guess, name what does not fit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from operator import itemgetter
from typing import Any

from bc_images.errors import OutcomeUnknown, RequestRejected, UnexpectedResponse
from bc_images.images import Record, misfit, short

__all__ = [
    "ascending",
    "by_id",
    "count",
    "integer",
    "objects",
    "optional_text",
    "same_sku",
    "searchable",
    "sku_variants",
    "unknown_outcome",
    "unreadable",
]


def objects(answer: object, what: str) -> list[dict[str, Any]]:
    """Return `answer` as the list of objects it must be.

    Raises:
        UnexpectedResponse: it is anything else, as all functions here raise.
    """
    if not isinstance(answer, list):
        raise misfit(what, f"is {short(answer)}, not a list of objects")
    for item in answer:
        if type(item) is not dict:
            raise misfit(what, f"holds {short(item)}, not objects")
    return answer


def integer(item: Mapping[str, Any], name: str, what: str) -> int:
    """Return the field `name` of `item`, a whole number from 0."""
    value = item.get(name)
    if type(value) is not int or value < 0:
        raise misfit(what, f"{name} is {short(value)}, not a whole number from 0")
    return value


def optional_text(item: Mapping[str, Any], name: str, what: str) -> str | None:
    """Return the text field `name` of `item`, or None where it is null or absent."""
    value = item.get(name)
    if value is not None and type(value) is not str:
        raise misfit(what, f"{name} is {short(value)}, not text or null")
    return value


def count(answer: object, what: str) -> int:
    """Return the number in ``{"count": n}``."""
    if not isinstance(answer, dict):
        raise misfit(what, f"is {short(answer)}, not an object with a count")
    return integer(answer, "count", what)


def ascending(ids: Iterable[int], after: int, before: int | None, what: str) -> None:
    """Make sure that a page is in id order and within its bounds.

    Out of order, a walk by id could skip items or never end; beyond its bounds, two walks could meet the same item.
    """
    for item_id in ids:
        if item_id <= after:
            raise misfit(what, f"id {item_id} came after {after}, not in id order")
        after = item_id
    if before is not None and after >= before:
        raise misfit(what, f"id {after} came although less than {before} was asked for")


def by_id(records: list[Record], product_id: int) -> list[Record]:
    """Return the images of one product in id order, each there once."""
    records.sort(key=itemgetter("id"))
    before = 0
    for record in records:
        if record["id"] == before:
            raise misfit(f"product {product_id}, image {before}", "is listed twice")
        before = record["id"]
    return records


MAX_SKU = 255  # characters (specs/products_catalog.v3.yml, sku)


def searchable(skus: Iterable[str]) -> list[str]:
    """Return the SKUs that can be asked for, each once, sorted.

    An empty filter would match every product; half a surrogate pair is no text that an address can carry; and no
    product can have one that is too long.
    """
    return sorted({sku for sku in skus if sku and len(sku) <= MAX_SKU and not re.search("[\ud800-\udfff]", sku)})


def sku_variants(sku: str) -> list[str]:
    """Return what a SKU may be where case or blanks differ."""
    trimmed = sku.strip()
    found = [trimmed, f"{trimmed} ", f" {trimmed}", " ".join(sku.split()), "".join(sku.split())]
    return searchable({each for text in found for each in (text, text.upper(), text.lower())} - {sku})


def same_sku(one: str, other: str) -> bool:
    """Whether two SKUs differ in case and blanks at most."""
    return "".join(one.split()).casefold() == "".join(other.split()).casefold()


def unknown_outcome(request: str, problem: str) -> OutcomeUnknown:
    """Return the error for a write that the store calls a success, with a body that is not the image."""
    return OutcomeUnknown(f"{request}: {problem}. It may or may not have been carried out.", is_answered=True)


def unreadable(error: RequestRejected) -> UnexpectedResponse:
    """Return what a refused list means: not that one record is wrong, but that the walk cannot be complete."""
    return UnexpectedResponse(f"{error}. Nothing is complete without it: check api_url, store_hash and api_version.")
