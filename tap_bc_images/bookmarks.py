"""What the state remembers of a stream: where an interrupted full sweep goes on, and since when images have changed.

Both are of constant size, whatever the size of the store.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

from bc_images.errors import SettingsError
from bc_images.store import Product
from tap_bc_images.options import Options, utc

__all__ = ["REPLICATION_KEY", "Changes", "FullSweep"]

REPLICATION_KEY = "date_modified"
_SWEEP = "sweep"  # the state's key for a full sweep that is not complete
_STORE = "store_hash"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FullSweep:
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
        """Return the sweep that `state` remembers, if it is of this store and shard, or a new one.

        One that another version of this project has left is taken out of `state`, with a warning: to call it damaged
        would end every scheduled run from an update on.

        Raises:
            SettingsError: the state is damaged.
        """
        new = cls(store_hash, options.product_id_min, options.product_id_max, version)
        found = state.get(_SWEEP)
        if found is None:
            return new
        if not isinstance(found, dict):
            raise _damaged(f"sweep is {found!r}")
        if found.keys() != {field.name for field in fields(cls)}:
            logger.warning("The state tells of an interrupted sweep of another version: this one begins afresh.")
            cls.forget(state)
            return new
        stored = cls(**found)
        if type(stored.version) is not int or type(stored.last_product_id) is not int:
            raise _damaged(f"sweep is {found!r}")
        same = replace(stored, version=version, last_product_id=0) == new
        return stored if same else new

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

    def __init__(self, state: Mapping[str, Any], store_hash: str, options: Options) -> None:
        known = state.get("replication_key_value")
        if known is not None:
            known = utc(known, "The state's replication_key_value")
        self._scope = {
            _STORE: store_hash,
            "product_id_min": options.product_id_min,
            "product_id_max": options.product_id_max,
        }
        made_by = {_STORE: store_hash, **state}
        if any(made_by.get(name) != value for name, value in self._scope.items()):
            known = None
        self._known = known
        self._latest = ""
        self.since = max(known or "", options.start_date or "")
        """Products without a change from this time on are not emitted; empty: all are."""

    def include(self, product: Product) -> bool:
        """Whether the images of a product are to be emitted. Those on the bookmark come again.

        An image without a date may have changed, a product without one says nothing.
        """
        dates = [image[REPLICATION_KEY] for image in product.images]
        latest = max(filter(None, (product.date_modified, *dates)), default="")
        if latest < self.since and None not in dates:
            return False
        self._latest = max(self._latest, latest)
        return True

    def remember(self, state: dict[str, Any], ceiling: str) -> None:
        """Set the bookmark after a complete sweep: the latest change it emitted, but never beyond `ceiling`.

        `ceiling` is a time before the sweep began: what changed since may have been passed by already.
        """
        bookmark = max(self._known or "", min(self._latest, ceiling))
        for name in ("replication_key", "replication_key_value", *self._scope):
            state.pop(name, None)
        if bookmark:
            state["replication_key"] = REPLICATION_KEY
            state["replication_key_value"] = bookmark
            state.update(self._scope)


def _damaged(what: str) -> SettingsError:
    return SettingsError(f"The state is damaged: {what}. Give the state of an earlier run, or none.")
