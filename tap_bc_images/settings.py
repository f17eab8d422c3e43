"""Settings of the tap."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from bc_images.bigcommerce.mapping import truncated_repr
from bc_images.errors import SettingsError
from bc_images.settings import Sample, setting

__all__ = ["PROPERTIES", "TapSettings", "to_utc"]

PROPERTIES: dict[str, dict[str, Any]] = {
    "start_date": setting(
        "Start date",
        "INCREMENTAL only: emit the images of products changed at or after this time, themselves or "
        "in an image, where the state knows no later one.",
        format="date-time",
    ),
    "product_id_min": setting(
        "First product",
        "Read products from this id on: one shard of the store. A shard never sends ACTIVATE_VERSION.",
        "integer",
        minimum=1,
    ),
    "product_id_max": setting(
        "Last product",
        "Read products up to this id: one shard of the store. A shard never sends ACTIVATE_VERSION.",
        "integer",
        minimum=1,
    ),
    "activate_version": setting(
        "Activate version",
        "Send ACTIVATE_VERSION after a complete FULL_TABLE sync, so that the loader drops what the "
        "store no longer has. Switch it off where several stores load into one table.",
        "boolean",
        default=True,
    ),
    "recheck_files": setting(
        "Recheck files",
        "With file_store: the share of the pictures saved before that is compared with the store again, "
        "chosen at random in every run, such as 5%. Default: none.",
    ),
}


@dataclass(frozen=True, slots=True)
class TapSettings:
    """The tap's own settings, checked. `start_date` is RFC 3339 in UTC."""

    start_date: str | None = None
    product_id_min: int | None = None
    product_id_max: int | None = None
    activate_version: bool = True
    recheck_files: str = "0%"

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Take the tap's settings out of its configuration, already valid by its JSON Schema.

        Raises:
            SettingsError: a date or a percentage is not valid, or a shard contains no product id.
        """
        values = {name: config[name] for name in PROPERTIES if config.get(name) is not None}
        if "start_date" in values:
            values["start_date"] = to_utc(values["start_date"], "start_date")
        if "recheck_files" in values:
            _share("recheck_files", values["recheck_files"])
        options = cls(**values)
        if options.product_id_max is not None and options.product_id_max < options.first:
            raise SettingsError(
                f"product_id_max ({options.product_id_max}) is below product_id_min ({options.first}): "
                "such a shard contains no product."
            )
        return options

    @property
    def first(self) -> int:
        """The lowest product id to read."""
        return self.product_id_min or 1

    @property
    def recheck_share(self) -> float:
        """The share (0 to 1) of what is saved already that is compared with the store."""
        return _share("recheck_files", self.recheck_files)

    @property
    def sends_activate_version(self) -> bool:
        """Whether a complete full sync says which rows there are: not where it is one shard of several."""
        return self.activate_version and not self.is_shard

    @property
    def is_shard(self) -> bool:
        """Whether only a part of the store is read."""
        return self.product_id_min is not None or self.product_id_max is not None


def _share(name: str, text: str) -> float:
    """Read a percentage, none at all included."""
    if re.fullmatch(r"0{1,3}(\.0{1,6})?%", text):
        return 0.0
    try:
        share = Sample.parse(text).share
    except ValueError:
        share = None
    if share is None:
        raise SettingsError(f"{name} is {text!r}: give a percentage such as 5%.")
    return share


def to_utc(text: object, name: str) -> str:
    """Return a date or time in UTC, ending in ``+00:00``, so that such times compare as text.

    Raises:
        SettingsError: it is not a date; `name` is the field it comes from.
    """
    invalid = SettingsError(
        f"{name} is {truncated_repr(text)}, which is not a date: give one such as 2025-01-31T00:00:00Z."
    )
    if not isinstance(text, str):
        raise invalid
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
    except (ValueError, OverflowError) as error:  # in UTC it may lie before the year 1 or after 9999
        raise invalid from error
