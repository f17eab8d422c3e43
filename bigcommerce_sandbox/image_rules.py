"""What one image write does to the product's other images: the thumbnail, the sort order, the dates.

All functions here are called inside ``State.write()``.
"""

from __future__ import annotations

import html
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypedDict

from bigcommerce_sandbox import media

if TYPE_CHECKING:
    from bigcommerce_sandbox.flags import Flags
    from bigcommerce_sandbox.state import Image, State

INT_MIN: Final = -2_147_483_648
INT_MAX: Final = 2_147_483_647
DESCRIPTION_CUT: Final = 255  # characters that are left by the flag description_rewrite=cut without a description_max


class Fields(TypedDict, total=False):
    """The writable fields of an image; an absent key leaves the field as it is."""

    is_thumbnail: bool
    sort_order: int
    description: str | None


@dataclass(frozen=True, slots=True)
class Upload:
    """An accepted file: the name it came under, the extension of its real type, its bytes."""

    name: str
    kind: str
    content: bytes


def rewrite(text: str, flags: Flags) -> str:
    """Return what a store keeps of a description, by the flag ``description_rewrite``."""
    match flags.description_rewrite:
        case "trim":
            return text.strip()
        case "escape":
            return html.escape(text)
        case "cut":
            return text[: flags.description_max or DESCRIPTION_CUT]
        case "strip":
            return re.sub(r"<[^>]*>", "", text)
    return text


class Rules:
    """Applies writes to a state, under the present flags."""

    def __init__(self, state: State, flags: Flags) -> None:
        self._state = state
        self._flags = flags

    def _store(self, upload: Upload) -> tuple[str, str]:
        state = self._state
        while True:
            serial = state.meta("paths") + 1
            state.set_meta("paths", serial)
            path = media.stored_name(upload.name, upload.kind, state.meta("seed"), serial)
            if state.original_source(path) is None:
                return path, state.keep_blob(upload.content)

    def _rewritten(self, fields: Fields) -> Fields:
        """Where the flag says so, the store keeps another description than was sent."""
        text = fields.get("description")
        if not text:
            return fields
        return {**fields, "description": rewrite(text, self._flags)}

    def create(self, product_id: int, upload: Upload, fields: Fields) -> int:
        """Add an image; returns its id."""
        state, now = self._state, int(time.time())
        fields = self._rewritten(fields)
        path, digest = self._store(upload)
        last = state.scalar("SELECT max(sort_order) FROM images WHERE product_id = ?", (product_id,))
        only = last is None
        order = fields.get("sort_order")
        if order is None:
            order = 0 if last is None else min(last + 1, INT_MAX)
        elif self._flags.sort_order_shift == "shift":
            self._shift(product_id, order, None, now)
        thumbnail = fields.get("is_thumbnail", only)
        if only and self._flags.single_image_false_thumbnail == "forced":
            thumbnail = True
        cursor = state.db.execute(
            "INSERT INTO images (product_id, image_file, is_thumbnail, sort_order, description, date_created,"
            " date_modified, digest, size) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (product_id, path, thumbnail, order, fields.get("description", ""), now, now, digest, len(upload.content)),
        )
        new = int(cursor.lastrowid or 0)
        if thumbnail:
            self._only_thumbnail(product_id, new)
        self._touch(product_id, now)
        return new

    def update(self, image: Image, upload: Upload | None, fields: Fields) -> None:
        """Change fields, the file, or both; the id stays."""
        state, now = self._state, int(time.time())
        fields = self._rewritten(fields)
        if upload is not None:
            self._linger(image.id)
            path, digest = self._store(upload)
            state.db.execute(
                "UPDATE images SET image_file = ?, seeded = NULL, digest = ?, size = ? WHERE id = ?",
                (path, digest, len(upload.content), image.id),
            )
        order = fields.get("sort_order", image.sort_order)
        if order > image.sort_order and self._flags.sort_order_shift == "shift":
            self._shift(image.product_id, order, image.id, now)
        thumbnail = fields.get("is_thumbnail", bool(image.is_thumbnail))
        only = state.count_images(image.product_id) == 1
        if only and "is_thumbnail" in fields and self._flags.single_image_false_thumbnail == "forced":
            thumbnail = True
        state.db.execute(
            "UPDATE images SET is_thumbnail = ?, sort_order = ?, description = ?, date_modified = ? WHERE id = ?",
            (thumbnail, order, fields.get("description", image.description), now, image.id),
        )
        if thumbnail:
            self._only_thumbnail(image.product_id, image.id)
        self._touch(image.product_id, now)

    def delete(self, images: list[Image]) -> None:
        """Delete images of one product."""
        if not images:
            return
        state, product_id = self._state, images[0].product_id
        for image in images:
            self._linger(image.id)
            state.db.execute("DELETE FROM images WHERE id = ?", (image.id,))
        if self._flags.thumbnail_after_delete == "first" and any(image.is_thumbnail for image in images):
            state.db.execute(
                "UPDATE images SET is_thumbnail = 1 WHERE id ="
                " (SELECT id FROM images WHERE product_id = ? ORDER BY sort_order, id LIMIT 1)",
                (product_id,),
            )
        self._touch(product_id, int(time.time()))

    def _only_thumbnail(self, product_id: int, image_id: int) -> None:
        self._state.db.execute(
            "UPDATE images SET is_thumbnail = 0 WHERE product_id = ? AND id <> ? AND is_thumbnail",
            (product_id, image_id),
        )

    def _shift(self, product_id: int, order: int, but: int | None, now: int) -> None:
        self._state.db.execute(
            "UPDATE images SET sort_order = min(sort_order + 1, ?),"
            " date_modified = CASE WHEN ? THEN ? ELSE date_modified END"
            " WHERE product_id = ? AND sort_order >= ? AND id IS NOT ?",
            (INT_MAX, self._flags.shift_bumps_date == "on", now, product_id, order, but),
        )

    def _linger(self, image_id: int) -> None:
        """Where the flag says so, an original outlives its image."""
        if self._flags.lingering_originals == "on":
            self._state.db.execute(
                "INSERT OR REPLACE INTO lingering SELECT image_file, seeded, digest FROM images WHERE id = ?",
                (image_id,),
            )

    def _touch(self, product_id: int, now: int) -> None:
        if self._flags.image_write_bumps_product_date == "on":
            self._state.db.execute("UPDATE products SET date_modified = ? WHERE id = ?", (now, product_id))
