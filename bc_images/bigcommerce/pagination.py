"""Reads a list by page number without losing an item when the list changes between two pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from bc_images.bigcommerce.mapping import unexpected_response
from bc_images.errors import StoreUnreachable

__all__ = ["ReadPage", "read_pages"]

_READINGS = 10

ReadPage: TypeAlias = Callable[[int], tuple[list[Any], bool]]
"""``read_page(number)``, from 1: the items of that page, and whether it is the last."""


def read_pages(read_page: ReadPage, what: str) -> list[Any]:
    """Return all items of a list.

    A deletion between two pages moves the later items up and hides one of them. A list of one page cannot be
    hit; a longer one is read until two readings agree.

    Raises:
        StoreUnreachable: the list never stood still.
        UnexpectedResponse: the store does not turn the page.
    """
    before: list[Any] | None = None
    for _ in range(_READINGS):
        items, pages = _read(read_page, what)
        ids = [item.get("id") if isinstance(item, dict) else item for item in items]
        if pages == 1 or ids == before:
            return items
        before = ids
    raise StoreUnreachable(f"{what}: the list changed during each of {_READINGS} readings. Run again later.")


def _read(read_page: ReadPage, what: str) -> tuple[list[Any], int]:
    """Read the list once; return its items and the number of pages."""
    items, is_last = read_page(1)
    page, number = items, 1
    while not is_last:
        number += 1
        following, is_last = read_page(number)
        if following and following == page:
            raise unexpected_response(what, f"page {number} is the same as page {number - 1}")
        page = following
        items = items + page
    return items, number
