"""What a test or a demo does to the store behind its back: look, reset, damage, script, measure."""

from __future__ import annotations

import hashlib
import re
import shutil
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from bigcommerce_sandbox import media, serializers
from bigcommerce_sandbox.dav import make_folders
from bigcommerce_sandbox.image_rules import INT_MAX, INT_MIN
from bigcommerce_sandbox.overrides import KINDS, Override
from bigcommerce_sandbox.product_list import LARGEST_ID
from bigcommerce_sandbox.seed import NEW_PRODUCT
from bigcommerce_sandbox.state import LOST, LOST_WITH_RENDITIONS, Image

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bigcommerce_sandbox.app import App
    from bigcommerce_sandbox.quota import Quota

_PATH: Final = re.compile(r"[A-Za-z0-9_./-]{1,255}")
IMAGE_COLUMNS: Final = frozenset(
    {"image_file", "is_thumbnail", "sort_order", "description", "date_created", "date_modified"}
)


class BadControl(ValueError):
    """A control was called with something that does not exist or does not fit; the text says what."""


def _moment(name: str, value: object) -> int:
    """Unix seconds, or an ISO 8601 text."""
    try:
        if isinstance(value, str):
            when = datetime.fromisoformat(value)
            value = int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp())
        if isinstance(value, int) and not isinstance(value, bool):
            serializers.iso(value)
            return value
    except (ValueError, OverflowError, OSError):
        pass
    raise BadControl(f"{name}: {value!r} is no date (unix seconds or ISO 8601)")


def _column(name: str, value: Any) -> Any:
    if name not in IMAGE_COLUMNS:
        raise BadControl(f"an image has no settable field {name!r}; there are: {', '.join(sorted(IMAGE_COLUMNS))}")
    if name.startswith("date_"):
        return _moment(name, value)
    fits = {
        "image_file": isinstance(value, str) and _PATH.fullmatch(value) is not None,
        "is_thumbnail": isinstance(value, bool),
        "sort_order": isinstance(value, int) and not isinstance(value, bool) and INT_MIN <= value <= INT_MAX,
        "description": value is None or isinstance(value, str),
    }
    if not fits[name]:
        raise BadControl(f"{name}: {value!r} does not fit")
    return value


class Control:
    """Direct access to a running sandbox; safe to call from any thread."""

    def __init__(self, app: App, quota: Quota, defaults: tuple[int, int, int]) -> None:
        self._app = app
        self._state = app.context.state
        self._quota = quota
        self._stock = defaults

    # ------------------------------------------------------------ looking

    def dump(self, *, files: bool = True, first: int = 0, last: int = LARGEST_ID) -> dict[str, list[dict[str, Any]]]:
        """All products and images in id order; ``files=False`` leaves out sha256 and size, which cost time.

        ``first`` and ``last`` are product ids: what a large store holds is read in parts.
        """
        state = self._state
        with state.lock:
            between = (first, last)
            products = state.rows(
                "SELECT id, sku, name, date_modified FROM products WHERE id BETWEEN ? AND ? ORDER BY id", between
            )
            columns = f"{', '.join(Image._fields)}, digest, size, seeded"
            images = state.rows(
                f"SELECT {columns} FROM images WHERE product_id BETWEEN ? AND ? ORDER BY id",  # noqa: S608
                between,
            )
        found: dict[str, list[dict[str, Any]]] = {"products": [], "images": []}
        measured: list[tuple[str, int, int, str]] = []
        for number, sku, name, modified in products:
            found["products"].append(
                {"id": number, "sku": sku, "name": name, "date_modified": serializers.iso(modified)}
            )
        for row in images:
            image, (digest, size, seeded) = Image._make(row[:-3]), row[-3:]
            body = image._asdict()
            body["is_thumbnail"] = bool(image.is_thumbnail)
            body["date_created"], body["date_modified"] = (
                serializers.iso(image.date_created),
                serializers.iso(image.date_modified),
            )
            if files:
                if digest is None:  # a seeded picture that nobody has asked for yet
                    content = state.drawn(seeded, image.image_file)
                    digest, size = hashlib.sha256(content).hexdigest(), len(content)
                    measured.append((digest, size, image.id, image.image_file))
                body["sha256"], body["size"] = (None, None) if state.lost(image.image_file) else (digest, size)
            found["images"].append(body)
        with state.write() as db:
            db.executemany("UPDATE images SET digest = ?, size = ? WHERE id = ? AND image_file = ?", measured)
        return found

    def original(self, image_file: str) -> bytes | None:
        """The bytes of a stored file, or None."""
        return self._state.original(image_file)

    def requests(self) -> list[dict[str, Any]]:
        """Every request so far but the admin's, in order of arrival.

        ``status`` is None while a request is being answered and when it got no reply; ``token`` tells whether an
        API token came with it.
        """
        names = ("n", "method", "path", "query", "status", "token")
        return [dict(zip(names, entry, strict=True)) for entry in list(self._app.log)]

    def clear_requests(self) -> None:
        """Forget the logged requests."""
        self._app.clear_log()

    # ------------------------------------------------------------ setting

    def reset(self, products: int | None = None, images: int | None = None, seed: int | None = None) -> None:
        """Begin again with a freshly seeded store: also the files, faults, log and quota; the flags stay.

        What is not given is as it was at the last seeding.
        """
        values = (products, images, seed)
        if any(value is not None and (not isinstance(value, int) or value < 0) for value in values):
            raise BadControl("products, images and seed are integers of 0 or more")
        self._stock = (
            self._stock[0] if products is None else products,
            self._stock[1] if images is None else images,
            self._stock[2] if seed is None else seed,
        )
        flags = self._app.context.flags
        self._state.reseed(*self._stock, flags.picture_bytes, flags.seed_without_images)
        root = self._app.context.import_directory.parent.parent
        for entry in root.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        make_folders(root)
        self._app.faults.script("")
        self._app.forget_late()
        self._app.overrides.clear()
        self._app.clear_log()
        self._app.context.cdn.clear()
        self._quota.reset()

    def faults(self, script: str, match: str | None = None) -> None:
        """Script faults; see `faults.Faults.script`."""
        self._app.faults.script(script, match)

    def fault_scripts(self) -> list[dict[str, str | None]]:
        """The scripts and what is left of them."""
        return self._app.faults.as_list()

    def late_requests(self) -> int:
        """Return how many requests fault ``L`` has put off that are still to be done."""
        return self._app.late_count

    def carry_out_late(self) -> int:
        """Do the work that fault ``L`` has put off, now; returns how many requests that were."""
        return self._app.carry_out_late()

    def set_flags(self, **values: object) -> dict[str, str | int]:
        """Set flags; returns all of them. A changed quota begins a fresh window, a changed CDN an empty cache."""
        self._app.context.flags.set(values)
        if "cdn" in values:
            self._app.context.cdn.clear()
        if values.keys() & {"quota", "window_ms"}:
            self._quota.reset()
        return self._app.context.flags.as_dict()

    def consume_quota(self, units: int) -> int:
        """Let another app use units of the present window; returns what is left of it."""
        return self._quota.consume(max(0, units))

    def override(self, kind: str, number: int, *, missing: Iterable[str] = (), **values: Any) -> None:
        """Let the API show a row of ``products`` or ``images`` otherwise than the store holds it.

        ``values`` are fields, by the names of the answer, and what they show; ``missing`` names fields that it leaves
        out; ``row=`` shows something else in the place of the whole row. With nothing of these the row is shown as it
        is. `dump` goes on to tell what the store holds.
        """
        if kind not in KINDS:
            raise BadControl(f"there are overrides for {' and '.join(KINDS)}, not for {kind!r}")
        self._need_product(number) if kind == "products" else self._need_image(number)
        self._app.overrides.set(kind, number, Override.of(values, tuple(missing)))

    def overrides(self) -> list[dict[str, Any]]:
        """All overrides."""
        return self._app.overrides.as_list()

    # ------------------------------------------------------------ damaging

    def add_product(self, **fields: Any) -> int:
        """Add a product (``sku=``, ``name=``, ``date_created=``, ``date_modified=``); returns its id."""
        wrong = fields.keys() - NEW_PRODUCT.keys() - {"date_created", "date_modified"}
        if wrong:
            raise BadControl(f"a product has no settable field {min(wrong)!r}")
        for name, value in fields.items():
            if name in NEW_PRODUCT and not isinstance(value, str):
                raise BadControl(f"{name}: {value!r} does not fit")
        now = int(time.time())
        dates = {name: _moment(name, fields.pop(name, now)) for name in ("date_created", "date_modified")}
        return self._state.add_product({**NEW_PRODUCT, **fields, **dates})

    def delete_product(self, product_id: int) -> None:
        """Delete a product with its images."""
        self._need_product(product_id)
        with self._state.write():
            self._app.context.rules.delete(self._state.images_of(product_id))
            self._state.delete_product(product_id)

    def add_image(self, product_id: int, content: bytes, filename: str, **fields: Any) -> int:
        """Add an image past the API: no limit and no type is checked, no sibling is moved; returns its id.

        The thumbnail is the first image unless ``is_thumbnail`` says otherwise.
        """
        self._need_product(product_id)
        columns = {name: _column(name, value) for name, value in fields.items()}
        now, state = int(time.time()), self._state
        with state.write() as db:
            self._need_free(columns.get("image_file"))
            digest = state.keep_blob(content)
            last = state.scalar("SELECT max(sort_order) FROM images WHERE product_id = ?", (product_id,))
            row = {
                "product_id": product_id,
                "image_file": columns.get("image_file") or self._new_path(filename),
                "is_thumbnail": last is None,
                "sort_order": 0 if last is None else min(last + 1, INT_MAX),
                "description": "",
                "date_created": now,
                "date_modified": now,
                "digest": digest,
                "size": len(content),
                **columns,
            }
            names, places = ", ".join(row), ", ".join("?" * len(row))
            cursor = db.execute(f"INSERT INTO images ({names}) VALUES ({places})", tuple(row.values()))  # noqa: S608
            new = int(cursor.lastrowid or 0)
            if row["is_thumbnail"]:
                self._one_thumbnail(product_id, new)
        return new

    def set_image(self, image_id: int, **fields: Any) -> None:
        """Change columns of an image past the API; no sibling is moved, but there is at most one thumbnail.

        ``content=`` and ``filename=`` replace the file.
        """
        content, filename = fields.pop("content", None), fields.pop("filename", None)
        columns = {name: _column(name, value) for name, value in fields.items()}
        state = self._state
        with state.write() as db:
            image = self._need_image(image_id)
            if columns.get("image_file") != image.image_file:
                self._need_free(columns.get("image_file"))
            if content is None and "image_file" in columns:
                content = state.original(image.image_file)  # a seeded picture is drawn by its path's format
            if content is not None:
                columns.setdefault("image_file", self._new_path(filename or image.image_file.rpartition("/")[2]))
                columns |= {"digest": state.keep_blob(content), "size": len(content), "seeded": None}
                state.lose(columns["image_file"], 0)
            columns.setdefault("date_modified", int(time.time()))
            assign = ", ".join(f"{name} = ?" for name in columns)
            db.execute(f"UPDATE images SET {assign} WHERE id = ?", (*columns.values(), image_id))  # noqa: S608
            if columns.get("is_thumbnail"):
                self._one_thumbnail(image.product_id, image_id)

    def delete_image(self, image_id: int) -> None:
        """Delete an image, as the API does."""
        with self._state.write():
            self._app.context.rules.delete([self._need_image(image_id)])

    def lose_file(self, image_id: int, *, renditions: bool = False) -> None:
        """Lose the original of an image, which then answers 404; its row stays. ``renditions``: and these too."""
        self._state.lose(self._need_image(image_id).image_file, LOST_WITH_RENDITIONS if renditions else LOST)

    def _need_product(self, product_id: int) -> None:
        if not self._state.has_product(product_id):
            raise BadControl(f"there is no product {product_id}")

    def _need_image(self, image_id: int) -> Image:
        image = self._state.image(image_id)
        if image is None:
            raise BadControl(f"there is no image {image_id}")
        return image

    def _need_free(self, image_file: str | None) -> None:
        if image_file is not None and self._state.original_source(image_file) is not None:
            raise BadControl(f"there is a file at {image_file} already")

    def _new_path(self, filename: str) -> str:
        ext = filename.rpartition(".")[2].lower()
        kind = ext if ext in media.MEDIA_TYPES else "jpg"
        serial = self._state.meta("paths") + 1
        self._state.set_meta("paths", serial)
        return media.stored_name(filename, kind, self._state.meta("seed"), serial)

    def _one_thumbnail(self, product_id: int, image_id: int) -> None:
        self._state.db.execute(
            "UPDATE images SET is_thumbnail = 0 WHERE product_id = ? AND id <> ?", (product_id, image_id)
        )
