"""What the tests of the target start from: a sandbox store, a file store, and the target run in this process."""

from __future__ import annotations

import io
from contextlib import closing, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import orjson
from PIL import Image

from bc_images import schema
from bc_images.bigcommerce import open_store
from bc_images.bigcommerce.mapping import Record
from bc_images.errors import BcImagesError
from bc_images.files import open_files
from bc_images.files.download import Downloader
from bc_images.settings import Settings
from bigcommerce_sandbox import DAV_PASSWORD, DAV_USERNAME, STORE_HASH, TOKEN, SandboxServer
from target_bc_images.target import TargetBCImages
from tests.support.commands import CommandResult, restored_handlers

VERSION = 1_700_000_000_000

ImageState = tuple[int, bool, str, str]
"""What a restore must bring back: sort order, thumbnail, description, digest."""


def picture(colour: int, kind: str = "PNG") -> bytes:
    """Return a small picture; equal colours give equal bytes."""
    out = io.BytesIO()
    Image.new("RGB", (8, 6), (colour * 37 % 256, colour * 101 % 256, colour % 256)).save(out, kind)
    return out.getvalue()


def singer(*messages: dict[str, Any]) -> bytes:
    """Return messages as the lines of a Singer stream."""
    return b"".join(orjson.dumps(message, option=orjson.OPT_APPEND_NEWLINE) for message in messages)


def head(stream: str = "product_images", **more: Any) -> dict[str, Any]:
    name = stream.replace("-", ".").rpartition(".")[2]
    known = name in {"product_images", "products"}
    properties = schema.load(name) if known else {"type": "object", "properties": {}}
    return {"type": "SCHEMA", "stream": stream, "schema": properties, "key_properties": ["id"], **more}


def row(record: Record, stream: str = "product_images", version: int | None = VERSION) -> dict[str, Any]:
    message = {"type": "RECORD", "stream": stream, "record": record}
    return message if version is None else {**message, "version": version}


def end(stream: str = "product_images", version: int = VERSION) -> dict[str, Any]:
    return {"type": "ACTIVATE_VERSION", "stream": stream, "version": version}


def state(value: Any = 1) -> dict[str, Any]:
    return {"type": "STATE", "value": {"bookmarks": {"product_images": {"at": value}}}}


class RestoreScenario:
    """A running store, and what is needed to back it up, to damage it, and to restore it."""

    def __init__(self, sandbox: SandboxServer, folder: Path, api_version: str = "v3", *, files: bool = True) -> None:
        self.sandbox = sandbox
        self.folder = folder
        self.state_dir = folder / "state"
        self.report = folder / "report.jsonl"
        self.config: dict[str, Any] = {
            "store_hash": STORE_HASH,
            "access_token": TOKEN,
            "api_url": sandbox.url,
            "store_url": sandbox.url,
            "api_version": api_version,
            "file_store": str(folder / "files") if files else "",
            "state_dir": str(self.state_dir),
            "report": str(self.report),
            "webdav_username": DAV_USERNAME,
            "webdav_password": DAV_PASSWORD,
            "concurrency": 4,
            "pending_write_timeout": 0,  # no longer than it is looked for: tests do not wait
        }

    @property
    def settings(self) -> Settings:
        return Settings.from_config(self.config)

    def records(self, *, files: bool = True) -> list[Record]:
        """Read all images of the store, with their files if there is a file store."""
        settings = self.settings
        with closing(open_store(settings)) as store:
            found = [image for product in store.scan() for image in product.images]
        if not (files and settings.file_store):
            return found
        with closing(open_files(settings.file_store)) as kept, Downloader(settings, kept) as downloader:
            return list(downloader.fill(found))

    def backup(self, *, files: bool = True) -> bytes:
        """Return a complete scan as the tap writes it."""
        return singer(head(), *map(row, self.records(files=files)), end(), state())

    def state(self) -> dict[int, list[ImageState]]:
        """Return what the store's products have, whatever the ids are."""
        found: dict[int, list[ImageState]] = {}
        for image in self.sandbox.dump()["images"]:
            shape = image["sort_order"], image["is_thumbnail"], image["description"] or "", image["sha256"]
            found.setdefault(image["product_id"], []).append(shape)
        return {product: sorted(images) for product, images in found.items()}

    def lose_ledger(self) -> None:
        for path in self.state_dir.glob("ledger-*"):
            path.unlink()

    def images(self, product_id: int) -> list[dict[str, Any]]:
        return [image for image in self.sandbox.dump(files=False)["images"] if image["product_id"] == product_id]

    def writes(self) -> list[tuple[str, str]]:
        """Return the requests so far that were to change something, WebDAV's too."""
        return [
            (each["method"], each["path"]) for each in self.sandbox.requests() if each["method"] not in {"GET", "HEAD"}
        ]

    def restore(self, data: bytes, **settings: Any) -> CommandResult:
        """Run the target over `data`."""
        return run_target({**self.config, **settings}, data)


def run_target(config: dict[str, Any], data: bytes) -> CommandResult:
    """Run the target in this process as its command does, and return its result."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with restored_handlers(), redirect_stdout(out), redirect_stderr(err):
        try:
            with closing(TargetBCImages(config=config)) as target:
                target.restore(io.BytesIO(data))
        except BcImagesError as error:
            code = error.exit_code
            print(error, file=err)
        except SystemExit as leaving:
            code = int(str(leaving.code))
    report = Path(config["report"]) if config.get("report") else None
    lines = report.read_bytes().splitlines() if report and report.is_file() else []  # no device: one may have no end
    return CommandResult(code, out.getvalue(), err.getvalue(), [orjson.loads(line) for line in lines])
