"""The settings of the tap alone: their definition, their checks, and their values as one object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from bc_images.errors import SettingsError

__all__ = ["PROPERTIES", "Options", "utc"]

PROPERTIES: dict[str, dict[str, Any]] = {
    "start_date": {
        "type": "string",
        "format": "date-time",
        "title": "Start date",
        "description": "INCREMENTAL only: emit the images of products changed at or after this time, themselves or "
        "in an image, where the state knows no later one.",
    },
    "product_id_min": {
        "type": "integer",
        "minimum": 1,
        "title": "First product",
        "description": "Read products from this id on: one shard of the store. A shard never sends ACTIVATE_VERSION.",
    },
    "product_id_max": {
        "type": "integer",
        "minimum": 1,
        "title": "Last product",
        "description": "Read products up to this id: one shard of the store. A shard never sends ACTIVATE_VERSION.",
    },
    "activate_version": {
        "type": "boolean",
        "default": True,
        "title": "Activate version",
        "description": "Send ACTIVATE_VERSION after a complete FULL_TABLE sweep, so that the loader drops what the "
        "store no longer has. Switch it off where several stores load into one table.",
    },
}


@dataclass(frozen=True, slots=True)
class Options:
    """The tap's own settings, checked. `start_date` is RFC 3339 in UTC."""

    start_date: str | None = None
    product_id_min: int | None = None
    product_id_max: int | None = None
    activate_version: bool = True

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Take the tap's settings out of its configuration, already valid by its JSON Schema.

        Raises:
            SettingsError: a date that is none, or a shard that holds nothing.
        """
        values = {name: config[name] for name in PROPERTIES if config.get(name) is not None}
        if "start_date" in values:
            values["start_date"] = utc(values["start_date"], "start_date")
        options = cls(**values)
        if options.product_id_max is not None and options.product_id_max < options.first:
            raise SettingsError(
                f"product_id_max ({options.product_id_max}) is below product_id_min ({options.first}): "
                "such a shard holds no product."
            )
        return options

    @property
    def first(self) -> int:
        """The lowest product id to read."""
        return self.product_id_min or 1

    @property
    def is_shard(self) -> bool:
        """Whether only a part of the store is read."""
        return self.product_id_min is not None or self.product_id_max is not None


def utc(text: object, what: str) -> str:
    """Return a date or time in UTC, ending in ``+00:00``, so that such times compare as text.

    Raises:
        SettingsError: it is no date; `what` says where it stood.
    """
    wrong = SettingsError(f"{what} is {text!r}, no date: give one such as 2025-01-31T00:00:00Z.")
    if not isinstance(text, str):
        raise wrong
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
    except (ValueError, OverflowError) as error:  # in UTC it may lie before the year 1 or after 9999
        raise wrong from error
