"""Bookmarks in the state: progress of a full sync, and the replication key of an incremental one.

Both are of constant size, whatever the size of the store.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

from bc_images.bigcommerce import Product
from bc_images.bigcommerce.mapping import truncated_repr
from bc_images.errors import SettingsError
from tap_bc_images.settings import TapSettings, to_utc

__all__ = ["REPLICATION_KEY", "Bookmark", "FullTableProgress"]

REPLICATION_KEY = "date_modified"
_FULL_TABLE = "full_table"  # the state's key for a full sync that is not complete
_STORE = "store_hash"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FullTableProgress:
    """A full sync of one shard of one store: all its records carry one version, however often it is interrupted.

    `last_product_id` is the last product whose records are all written; 0 before the first.
    """

    store_hash: str
    product_id_min: int | None
    product_id_max: int | None
    version: int
    last_product_id: int = 0

    @classmethod
    def begin(cls, state: dict[str, Any], store_hash: str, options: TapSettings, version: int) -> Self:
        """Resume the full sync in `state`, if it is of this store and shard, or start one with this `version`.

        One that cannot be resumed is taken out of `state`, with a warning: an error would end every scheduled run from
        an update on, or from a copied state.

        Raises:
            SettingsError: the state is not valid.
        """
        new = cls(store_hash, options.product_id_min, options.product_id_max, version)
        content = state.get(_FULL_TABLE)
        if content is None:
            return new
        if not isinstance(content, dict):
            raise _invalid(f"{_FULL_TABLE} is {truncated_repr(content)}")
        if content.keys() != {field.name for field in fields(cls)}:
            logger.warning("The interrupted full sync in the state is of another tap version: this one begins afresh.")
            cls.clear(state)
            return new
        stored = cls(**content)
        if type(stored.version) is not int or type(stored.last_product_id) is not int:
            raise _invalid(f"{_FULL_TABLE} is {truncated_repr(content)}")
        if reason := stored._differs(new):
            logger.warning("The interrupted full sync in the state is ignored: %s. This one begins afresh.", reason)
            cls.clear(state)
            return new
        return stored

    def _differs(self, new: Self) -> str:
        """Return why `new` cannot resume this one, which is from a state; empty: it can."""
        if reason := _other_scope(asdict(self), asdict(new)):
            return reason
        if not 0 < self.version <= new.version:  # versions are times; a later one would outlive those that follow
            return f"its version {self.version} is not a time before now"
        if self.last_product_id < 1:
            return f"its last_product_id is {self.last_product_id}"
        return ""

    @property
    def first(self) -> int:
        """The lowest product id that is still to be read."""
        return max(self.product_id_min or 1, self.last_product_id + 1)

    def save(self, state: dict[str, Any], last_product_id: int) -> None:
        """Note in `state` that the records of all products up to `last_product_id` are written."""
        state[_FULL_TABLE] = asdict(replace(self, last_product_id=last_product_id))

    @staticmethod
    def clear(state: dict[str, Any]) -> None:
        """Note that no full sync is incomplete."""
        state.pop(_FULL_TABLE, None)


class Bookmark:
    """Decides which products an incremental sync includes, and how far its bookmark advances.

    `since` is the time from which a product counts as changed; empty: every product does.

    All images of a product are emitted where one of them has changed: a store that moves the thumbnail or the order
    of an image changes its siblings, and leaves their dates alone. A change of the product itself counts too, since
    its SKU is in each record. What was deleted cannot be seen here.

    A bookmark counts for the store and the shard that it was made by; any other begins without one. Times are RFC 3339
    in UTC with ``+00:00``, and compare as text.
    """

    def __init__(self, state: dict[str, Any], store_hash: str, options: TapSettings) -> None:
        self._scope = {
            _STORE: store_hash,
            "product_id_min": options.product_id_min,
            "product_id_max": options.product_id_max,
        }
        self._start = options.start_date or ""
        self._value = self._read(state) or ""
        self._latest = ""

    def _read(self, state: dict[str, Any]) -> str | None:
        """Return the bookmark of `state`, if it is of this store and shard; another is taken out of `state`.

        Raises:
            SettingsError: the state is not valid.
        """
        if not state.keys() - {_FULL_TABLE}:
            return None
        value, key = state.get("replication_key_value"), state.get("replication_key", REPLICATION_KEY)
        if value is None:
            reason = f"it has no replication_key_value, only {', '.join(sorted(state.keys() - {_FULL_TABLE}))}"
        elif key != REPLICATION_KEY:
            reason = f"it goes by {truncated_repr(key)}, not by {REPLICATION_KEY}"
        else:
            value = to_utc(value, "The state's replication_key_value")
            reason = _other_scope({_STORE: self._scope[_STORE], **state}, self._scope)
        if reason:
            logger.warning("The bookmark in the state is ignored: %s. %s", reason, self._consequence)
            self._clear(state)
            return None
        return str(value)

    @property
    def since(self) -> str:
        """Products without a change from this time on are not emitted; empty: all are."""
        return max(self._value, self._start)

    @property
    def _consequence(self) -> str:
        return (
            f"Images count as changed from start_date on, {self._start}." if self._start else "All images are emitted."
        )

    def check_not_future(self, now: str) -> None:
        """Ignore, with a warning, a bookmark that lies in the future by the store's own clock: it would hide all."""
        if self._value > now:
            value, self._value = self._value, ""
            reason = f"{value} lies in the future, by the store's clock, which says {now}"
            logger.warning("The bookmark in the state is ignored: %s. %s", reason, self._consequence)
        if self._start > now:
            logger.warning(
                "start_date lies in the future, by the store's clock, which says %s: nothing is emitted.", now
            )

    def includes(self, product: Product) -> bool:
        """Whether the images of a product are to be emitted. Those on the bookmark come again.

        An image without a date may have changed, a product without one says nothing.
        """
        dates = [image[REPLICATION_KEY] for image in product.images]
        latest = max(filter(None, (product.date_modified, *dates)), default="")
        if latest < self.since and None not in dates and not product.invalid:
            return False
        self._latest = max(self._latest, latest)
        return True

    def advance(self, state: dict[str, Any], ceiling: str) -> None:
        """Set the bookmark after a complete sync: the latest change it emitted, but never beyond `ceiling`.

        `ceiling` is a time before the scan began: what changed since may have been passed by already.
        """
        bookmark = max(self._value, min(self._latest, ceiling))
        self._clear(state)
        if bookmark:
            state["replication_key"] = REPLICATION_KEY
            state["replication_key_value"] = bookmark
            state.update(self._scope)

    @staticmethod
    def _clear(state: dict[str, Any]) -> None:
        for name in state.keys() - {_FULL_TABLE}:
            del state[name]


def _other_scope(stored: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    """Return how the store or shard of `stored` differs from `own`; empty: not at all."""
    if stored.get(_STORE) != own[_STORE]:
        return f"it is of the store {truncated_repr(stored.get(_STORE))}, not of {own[_STORE]!r}"
    for name in ("product_id_min", "product_id_max"):
        if stored.get(name) != own[name]:
            return f"it is of another shard: its {name} is {truncated_repr(stored.get(name))}, not {own[name]}"
    return ""


def _invalid(reason: str) -> SettingsError:
    return SettingsError(f"The state is not valid: {reason}. Give the state of an earlier run, or none.")
