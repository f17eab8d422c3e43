"""Settings of the target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from platformdirs import user_state_path

from bc_images.errors import SettingsError
from bc_images.settings import Sample, setting
from target_bc_images.changes import Mode
from target_bc_images.restore_input import Key

__all__ = ["PROPERTIES", "TargetSettings"]

PROPERTIES: dict[str, dict[str, Any]] = {
    "mode": setting(
        "Mode",
        "upsert creates and changes; create_only and update_only do one of the two; "
        "mirror also deletes what the backup lacks.",
        enum=["upsert", "create_only", "update_only", "mirror"],
        default="upsert",
    ),
    "max_deletes": setting(
        "Most deletes",
        "How many images a mirror may delete; required by mirror. One more, and nothing is written.",
        "integer",
        minimum=0,
    ),
    "dry_run": setting("Dry run", "Print and report the plan, and write nothing at all.", "boolean", default=False),
    "match_products_by": setting(
        "Match products by",
        "How a record finds its product. Default: id; records of another store are rejected until "
        "one of the two is chosen.",
        enum=["id", "sku"],
    ),
    "product_ids": setting(
        "Products",
        "Restore only the images of these products (ids as in the backup). Default: all.",
        "array",
        items={"type": "integer", "minimum": 1},
    ),
    "upload_method": setting(
        "Upload method",
        "How picture bytes reach the store; auto takes the first way that can work.",
        enum=["auto", "multipart", "webdav", "url"],
        default="auto",
    ),
    "file_store_public_url": setting(
        "Public address of the file store", "Where the store can fetch the files itself, for upload_method: url."
    ),
    "state_dir": setting(
        "State folder",
        "Where the ledger and the undo files are kept. Default: a folder of the user's for each store, "
        "such as ~/.local/state/bc-images/STORE_HASH.",
    ),
    "report": setting("Report", "Path of a file that gets one JSON line an action, then a summary."),
    "report_by_product": setting(
        "Report by product", "Show the summary per product as well.", "boolean", default=False
    ),
    "allow_data_loss": setting(
        "Allow data loss",
        "Without file_store: let replace and delete go on although the present pictures cannot be kept.",
        "boolean",
        default=False,
    ),
    "pending_write_timeout": setting(
        "Pending write timeout",
        "Seconds for which the store may still carry out a create whose reply was lost: so long the "
        "image is not created again.",
        "integer",
        minimum=0,
        default=900,
    ),
    "check_pictures": setting(
        "Check pictures",
        "Read the pictures of images whose rows are as they should be: none, one in twenty at random, "
        "or all. One that is gone, or is not that of the backup, is replaced.",
        enum=["off", "sample", "all"],
        default="off",
    ),
    "on_error": setting(
        "On error",
        "Whether a record that is rejected or fails stops the run.",
        enum=["continue", "stop"],
        default="continue",
    ),
}


_SAMPLES = {"off": None, "sample": Sample(share=0.05), "all": Sample(share=1.0)}


@dataclass(frozen=True, slots=True)
class TargetSettings:
    """The target's own settings, checked.

    Attributes:
        picture_sample: what `check_pictures` asks for.
        takes_lock: keep other restores of the store out by an entry in the file store; no setting, but for commands.
    """

    mode: Mode = Mode.UPSERT
    max_deletes: int | None = None
    dry_run: bool = False
    match_products_by: Literal["id", "sku"] | None = None
    product_ids: frozenset[int] | None = None
    upload_method: Literal["auto", "multipart", "webdav", "url"] = "auto"
    file_store_public_url: str | None = None
    state_dir: Path = Path()
    report: str | None = None
    report_by_product: bool = False
    allow_data_loss: bool = False
    pending_write_timeout: int = 900
    check_pictures: Literal["off", "sample", "all"] = "off"
    on_error: Literal["continue", "stop"] = "continue"
    picture_sample: Sample | None = None
    takes_lock: bool = True

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Take the target's settings out of its configuration, already valid by its JSON Schema.

        Raises:
            SettingsError: settings that contradict each other.
        """
        values: dict[str, Any] = {name: config[name] for name in PROPERTIES if config.get(name) is not None}
        if "product_ids" in values:
            values["product_ids"] = frozenset(values["product_ids"])
        if "state_dir" in values:
            values["state_dir"] = Path(values["state_dir"]).expanduser()
        else:  # whatever the working folder is: a ledger that is not found is one that does not count
            values["state_dir"] = user_state_path("bc-images", appauthor=False) / str(config.get("store_hash"))
        values["mode"] = Mode(values.get("mode", Mode.UPSERT))
        values["picture_sample"] = _SAMPLES[values.get("check_pictures", "off")]
        settings = cls(**values)
        if settings.mode.deletes and settings.max_deletes is None:
            raise SettingsError("mode mirror deletes images: set max_deletes to the most it may delete.")
        if settings.upload_method == "webdav" and not (config.get("webdav_username") and config.get("webdav_password")):
            raise SettingsError("upload_method webdav needs webdav_username and webdav_password.")
        return settings

    @property
    def group_key(self) -> Key:
        """What makes records of the input belong together: the product that they are restored to."""
        return "product_sku" if self.match_products_by == "sku" else "product_id"
