"""Writes the undo file: the images of every product before it is changed, as Singer messages.

Feeding the file to the target restores what was overwritten or deleted; in mode mirror it also deletes what the
restore created, and only on the products that the file lists.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from bc_images import schema
from bc_images.bigcommerce.mapping import Record
from bc_images.durable import fsync_dir, fsync_file
from bc_images.errors import FatalError
from bc_images.jsonl import UNDO
from bc_images.private_files import create_private
from target_bc_images.live_images import LiveImages
from target_bc_images.planning import ProductPlan

__all__ = ["UndoWriter"]


class UndoWriter:
    """Writes ``undo-<time>.singer`` into `state_dir`, durable before any write to the products in it.

    Args:
        state_dir: the folder, which exists.
        store_hash: the store that is written to.
        live_images: keeps the pictures, where there is a file store.

    Attributes:
        path: the file.
        is_needed: something of what was saved has been changed since, or may have been.
    """

    def __init__(self, state_dir: Path, store_hash: str, live_images: LiveImages) -> None:
        now = datetime.now(UTC)
        self.path = state_dir / f"undo-{now:%Y%m%dT%H%M%S.%f}Z.singer"
        self._store_hash = store_hash
        self._version = int(now.timestamp() * 1000)
        self._live_images = live_images
        self._file: BinaryIO | None = None
        self.is_needed = False

    def save(self, plans: Sequence[ProductPlan]) -> set[str]:
        """Write down the present images of the products that are about to change.

        Returns:
            The ``image_file`` of those pictures that are kept too, among those that would be lost.

        Raises:
            FatalError: the file cannot be written, so nothing may be changed.
        """
        changing = [planned for planned in plans if planned.writes]
        at_risk = [
            action.existing
            for planned in changing
            for action in planned.writes
            if action.existing is not None and action.loses_bytes
        ]
        copies = self._live_images.back_up(at_risk) if at_risk else []
        if changing:
            try:
                self._write(changing, {image["id"]: image for image in copies})
            except OSError as error:
                raise FatalError(
                    f"The undo file {self.path} cannot be written ({error.strerror}): nothing more was changed."
                ) from error
        return {image["image_file"] for image in copies if image["file_sha256"]}

    def _write(self, plans: Sequence[ProductPlan], copies: dict[int, Record]) -> None:
        begins = self._file is None
        file = self._file = self._file or create_private(self.path)
        if begins:
            for stream in ("products", "product_images"):
                head = {"schema": schema.load(stream), "key_properties": ["store_hash", "id"]}
                _line(file, type="SCHEMA", stream=stream, **{UNDO: True}, **head)
        for planned in plans:
            sku = _sku(planned)
            product = {
                "store_hash": self._store_hash,
                "id": planned.product_id,
                "sku": sku,
                "image_count": len(planned.existing),
            }
            _line(file, type="RECORD", stream="products", record=product)
            for image in planned.existing:
                record = {**copies.get(image["id"], image), "product_sku": sku}
                _line(file, type="RECORD", stream="product_images", record=record)
        # After every batch: cut short by a crash, the file still says that it is whole as far as it goes.
        _line(file, type="ACTIVATE_VERSION", stream="product_images", version=self._version)
        fsync_file(file)
        if begins:
            fsync_dir(self.path.parent)

    def close(self) -> None:
        """Close the file, if one was needed."""
        if self._file is not None:
            self._file.close()


def _sku(plan: ProductPlan) -> str | None:
    """Return the product's SKU, by which an undo finds it again where the restore did; V2 does not tell it."""
    return next((image["product_sku"] for image in (*plan.existing, *plan.desired) if image.get("product_sku")), None)


def _line(file: BinaryIO, **message: Any) -> None:
    file.write(orjson.dumps(message, option=orjson.OPT_APPEND_NEWLINE))
