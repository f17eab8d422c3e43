"""What takes a restore back: the images of every product it is about to change, as a Singer file.

Feeding the file to the target restores what was overwritten or deleted; in mode mirror it also deletes what the
restore created, and only on the products that the file lists.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from bc_images import schema
from bc_images.errors import SettingsError
from bc_images.files import Downloader
from bc_images.images import Record
from target_bc_images.plan import Action, ProductPlan

__all__ = ["Undo"]


class Undo:
    """Writes ``undo-<time>.singer`` into `state_dir`, durable before any write to the products in it.

    Args:
        state_dir: the folder, which exists.
        store_hash: the store that is written to.
        downloader: keeps the pictures; None where there is no file store.
    """

    def __init__(self, state_dir: Path, store_hash: str, downloader: Downloader | None) -> None:
        now = datetime.now(UTC)
        self.path = state_dir / f"undo-{now:%Y%m%dT%H%M%S.%f}Z.singer"
        self._store_hash = store_hash
        self._version = int(now.timestamp() * 1000)
        self._downloader = downloader
        self._file: BinaryIO | None = None
        self.images = 0

    def keep(self, plans: Sequence[ProductPlan]) -> set[int]:
        """Write down the present images of the products that are about to change.

        Returns:
            The ids of images whose pictures are kept too, among those that a replace or delete would lose.

        Raises:
            SettingsError: the file cannot be written, so nothing may be changed.
        """
        changing = [each for each in plans if each.writes]
        if not changing:
            return set()
        endangered = [
            action.live for each in changing for action in each.writes if _loses_picture(action) and action.live
        ]
        saved = {record["id"]: record for record in self._with_files(endangered)}
        try:
            self._write(changing, saved)
        except OSError as error:
            raise SettingsError(
                f"The undo file {self.path} cannot be written ({error.strerror}), so nothing was changed."
            ) from error
        return {image_id for image_id, record in saved.items() if record["file_sha256"]}

    def _with_files(self, images: Sequence[Record]) -> Iterator[Record]:
        if self._downloader is None:
            return iter(())
        return self._downloader.fill([dict(image) for image in images])

    def _write(self, plans: Sequence[ProductPlan], saved: dict[int, Record]) -> None:
        if self._file is None:
            self._file = self.path.open("xb")
            for stream in ("products", "product_images"):
                self._line(
                    type="SCHEMA", stream=stream, schema=schema.load(stream), key_properties=["store_hash", "id"]
                )
        for each in plans:
            product = {"store_hash": self._store_hash, "id": each.product_id, "image_count": len(each.live)}
            self._line(type="RECORD", stream="products", record=product, version=self._version)
            for image in each.live:
                record = saved.get(image["id"], image)
                self._line(type="RECORD", stream="product_images", record=record, version=self._version)
                self.images += 1
        # After every batch: cut short by a crash, the file still says that it is whole as far as it goes.
        self._line(type="ACTIVATE_VERSION", stream="product_images", version=self._version)
        self._file.flush()
        os.fsync(self._file.fileno())

    def _line(self, **message: Any) -> None:
        if self._file is not None:
            self._file.write(orjson.dumps(message) + b"\n")

    def close(self) -> None:
        """Close the file, if one was needed."""
        if self._file is not None:
            self._file.close()

    @property
    def needed(self) -> bool:
        """Whether anything was written down."""
        return self._file is not None


def _loses_picture(action: Action) -> bool:
    return action.action in {"replace", "delete"}
