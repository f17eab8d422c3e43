"""What the state remembers of a stream: where an interrupted full sweep goes on, and since when images have changed.

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
from tap_bc_images.settings import Options, utc

__all__ = ["REPLICATION_KEY", "Changes", "FullTableProgress"]

REPLICATION_KEY = "date_modified"
_SWEEP = "sweep"  # the state's key for a full sweep that is not complete
_STORE = "store_hash"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FullTableProgress:
    """A full sweep of one shard of one store: all its records carry one version, however often it is interrupted.

    `last_product_id` is the last product whose records are all written; 0 before the first.
    """

    store_hash: str
    product_id_min: int | None
    product_id_max: int | None
    version: int
    last_product_id: int = 0

    @classmethod
    def begin(cls, state: dict[str, Any], store_hash: str, options: Options, version: int) -> Self:
        """Return the sweep that `state` remembers, if it is of this store and shard, or a new one of that `version`.

        One that cannot be gone on with is taken out of `state`, with a warning: to call it damaged would end every
        scheduled run from an update on, or from a copied state.

        Raises:
            SettingsError: the state is damaged.
        """
        new = cls(store_hash, options.product_id_min, options.product_id_max, version)
        found = state.get(_SWEEP)
        if found is None:
            return new
        if not isinstance(found, dict):
            raise _damaged(f"sweep is {truncated_repr(found)}")
        if found.keys() != {field.name for field in fields(cls)}:
            logger.warning("The state tells of an interrupted sweep of another version: this one begins afresh.")
            cls.forget(state)
            return new
        stored = cls(**found)
        if type(stored.version) is not int or type(stored.last_product_id) is not int:
            raise _damaged(f"sweep is {truncated_repr(found)}")
        if why := stored._differs(new):
            logger.warning("The interrupted sweep in the state is ignored: %s. This one begins afresh.", why)
            cls.forget(state)
            return new
        return stored

    def _differs(self, new: Self) -> str:
        """Say why the sweep `new` cannot go on where this one, of a state, was interrupted; empty: it can."""
        if why := _other_scope(asdict(self), asdict(new)):
            return why
        if not 0 < self.version <= new.version:  # versions are times; a later one would outlive those that follow
            return f"its version {self.version} is no time before now"
        if self.last_product_id < 1:
            return f"its last_product_id is {self.last_product_id}"
        return ""

    @property
    def first(self) -> int:
        """The lowest product id that is still to be read."""
        return max(self.product_id_min or 1, self.last_product_id + 1)

    def remember(self, state: dict[str, Any], last_product_id: int) -> None:
        """Note in `state` that the records of all products up to `last_product_id` are written."""
        state[_SWEEP] = asdict(replace(self, last_product_id=last_product_id))

    @staticmethod
    def forget(state: dict[str, Any]) -> None:
        """Note that no sweep is under way."""
        state.pop(_SWEEP, None)


class Changes:
    """Tells changed products from others, and how far the bookmark may go after a complete sweep.

    All images of a product are emitted where one of them has changed: a store that moves the thumbnail or the order
    of an image changes its siblings, and leaves their dates alone. A change of the product itself counts too, since
    its SKU is in each record. What was deleted cannot be seen here.

    A bookmark speaks for the store and the shard that it was made by; any other begins without one. Times are RFC 3339
    in UTC with ``+00:00``, and compare as text.
    """

    def __init__(self, state: dict[str, Any], store_hash: str, options: Options) -> None:
        self._scope = {
            _STORE: store_hash,
            "product_id_min": options.product_id_min,
            "product_id_max": options.product_id_max,
        }
        self._start = options.start_date or ""
        self._known = self._read(state) or ""
        self._latest = ""

    def _read(self, state: dict[str, Any]) -> str | None:
        """Return the bookmark of `state`, if it speaks for this store and shard; another is taken out of `state`.

        Raises:
            SettingsError: the state is damaged.
        """
        if not state.keys() - {_SWEEP}:
            return None
        value, key = state.get("replication_key_value"), state.get("replication_key", REPLICATION_KEY)
        if value is None:
            why = f"it has no replication_key_value, only {', '.join(sorted(state.keys() - {_SWEEP}))}"
        elif key != REPLICATION_KEY:
            why = f"it goes by {truncated_repr(key)}, not by {REPLICATION_KEY}"
        else:
            value = utc(value, "The state's replication_key_value")
            why = _other_scope({_STORE: self._scope[_STORE], **state}, self._scope)
        if why:
            logger.warning("The bookmark in the state is ignored: %s. %s", why, self._without_it)
            self._forget(state)
            return None
        return str(value)

    @property
    def since(self) -> str:
        """Products without a change from this time on are not emitted; empty: all are."""
        return max(self._known, self._start)

    @property
    def _without_it(self) -> str:
        return (
            f"Images count as changed from start_date on, {self._start}." if self._start else "All images are emitted."
        )

    def hold_against(self, now: str) -> None:
        """Ignore, with a warning, a bookmark that lies in the future by the store's own clock: it would hide all."""
        if self._known > now:
            known, self._known = self._known, ""
            why = f"{known} lies in the future, by the store's clock, which says {now}"
            logger.warning("The bookmark in the state is ignored: %s. %s", why, self._without_it)
        if self._start > now:
            logger.warning(
                "start_date lies in the future, by the store's clock, which says %s: nothing is emitted.", now
            )

    def include(self, product: Product) -> bool:
        """Whether the images of a product are to be emitted. Those on the bookmark come again.

        An image without a date may have changed, a product without one says nothing.
        """
        dates = [image[REPLICATION_KEY] for image in product.images]
        latest = max(filter(None, (product.date_modified, *dates)), default="")
        if latest < self.since and None not in dates and not product.invalid:
            return False
        self._latest = max(self._latest, latest)
        return True

    def remember(self, state: dict[str, Any], ceiling: str) -> None:
        """Set the bookmark after a complete sweep: the latest change it emitted, but never beyond `ceiling`.

        `ceiling` is a time before the sweep began: what changed since may have been passed by already.
        """
        bookmark = max(self._known, min(self._latest, ceiling))
        self._forget(state)
        if bookmark:
            state["replication_key"] = REPLICATION_KEY
            state["replication_key_value"] = bookmark
            state.update(self._scope)

    @staticmethod
    def _forget(state: dict[str, Any]) -> None:
        for name in state.keys() - {_SWEEP}:
            del state[name]


def _other_scope(found: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    """Say in what `found` is of another store or shard than `own`; empty: in nothing."""
    if found.get(_STORE) != own[_STORE]:
        return f"it is of the store {truncated_repr(found.get(_STORE))}, not of {own[_STORE]!r}"
    for name in ("product_id_min", "product_id_max"):
        if found.get(name) != own[name]:
            return f"it is of another shard: its {name} is {truncated_repr(found.get(name))}, not {own[name]}"
    return ""


def _damaged(what: str) -> SettingsError:
    return SettingsError(f"The state is damaged: {what}. Give the state of an earlier run, or none.")
