"""Reading a list by page number without losing an item when the list changes between two pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bc_images.errors import StoreUnreachable
from bc_images.store import PAGE

__all__ = ["read_pages"]

_TRIES = 10


def read_pages(read_page: Callable[[int], list[dict[str, Any]]], what: str) -> list[dict[str, Any]]:
    """Return all items of a list whose `read_page` takes a page number from 1.

    A deletion between two pages moves the later items up and hides one of them. A list of one page cannot be
    hit; a longer one is read until two readings agree.

    Raises:
        StoreUnreachable: the list never stood still.
    """
    items = _read_once(read_page)
    if len(items) <= PAGE:
        return items
    for _ in range(_TRIES):
        again = _read_once(read_page)
        if [item.get("id") for item in again] == [item.get("id") for item in items]:
            return again
        items = again
    raise StoreUnreachable(f"{what}: the list changed during each of {_TRIES} readings. Run again later.")


def _read_once(read_page: Callable[[int], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    number = 1
    while True:
        page = read_page(number)
        items += page
        if len(page) < PAGE:
            return items
        number += 1
