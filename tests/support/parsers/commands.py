"""What a command is given: settings, catalog, state, Singer messages, reports."""

from __future__ import annotations

import gzip
import io
import os
from pathlib import Path
from typing import Any
from unittest import mock

import orjson

from bc_images import config, jsonl, redaction
from bc_images.cli import retry
from bc_images.settings import Settings
from bc_images.singer.reader import SingerFile
from tap_bc_images.bookmarks import Bookmark, FullTableProgress
from tap_bc_images.catalog import check_state, read_catalog, read_state
from tap_bc_images.settings import TapSettings
from tap_bc_images.tap import TapBCImages
from target_bc_images.report import Report
from target_bc_images.settings import TargetSettings
from target_bc_images.target import TargetBCImages
from tests.support.commands import restored_handlers
from tests.support.parsers.base import RECORD, SETTINGS, Parser
from tests.support.target import end, head, row, singer, state


def _settings_of(content: dict[str, Any], plugin: type[TapBCImages | TargetBCImages]) -> None:
    with mock.patch.object(redaction, "_secrets", set()):
        checked = config.checked(content, plugin.config_jsonschema)
        Settings.from_config(checked)
        (TapSettings if plugin is TapBCImages else TargetSettings).from_config(checked)


def _config_file(data: bytes) -> None:
    content = config.json_object(as_text(data), "--config")
    _settings_of(content, TapBCImages if "start_date" in content else TargetBCImages)


def _environment(data: bytes) -> None:
    pairs = (os.fsdecode(line).partition("=") for line in data.replace(b"\0", b"").splitlines())
    environ = {f"TARGET_BC_IMAGES_{name}": value for name, _, value in pairs}
    properties = TargetBCImages.config_jsonschema["properties"]
    _settings_of(config.from_environment("TARGET_BC_IMAGES_", properties, environ), TargetBCImages)


def as_text(data: bytes) -> str:
    """Return what a text file with these bytes says; what is no UTF-8 is refused where the file is read."""
    return data.decode("utf-8", "replace")


def _state(data: bytes) -> None:
    bookmarks = check_state(read_state(as_text(data))).get("bookmarks", {})
    options = TapSettings.from_config({"product_id_min": 5})
    for bookmark in bookmarks.values():
        full_table = FullTableProgress.begin(bookmark, "sandbox", options, 1_700_000_000_000)
        assert full_table.first > 0
        changes = Bookmark(bookmark, "sandbox", options)
        changes.check_not_future("2025-01-01T00:00:00+00:00")
        changes.advance(bookmark, "2025-01-01T00:00:00+00:00")


_FULL_TABLE = {
    "store_hash": "sandbox",
    "product_id_min": 5,
    "product_id_max": None,
    "version": 1_600_000_000_000,
    "last_product_id": 7,
}
_BOOKMARK = {
    "replication_key": "date_modified",
    "replication_key_value": "2024-01-01T00:00:00+00:00",
    "store_hash": "sandbox",
    "product_id_min": 5,
    "product_id_max": None,
}
_STATE = {"bookmarks": {"product_images": {"full_table": _FULL_TABLE, **_BOOKMARK}, "products": _BOOKMARK}}
CATALOG = {
    "streams": [
        {
            "tap_stream_id": name,
            "stream": name,
            "schema": {"type": "object", "properties": {"id": {"type": "integer"}}},
            "key_properties": ["store_hash", "id"],
            "replication_method": "INCREMENTAL",
            "replication_key": "date_modified",
            "metadata": [
                {"breadcrumb": [], "metadata": {"selected": True, "replication-method": "FULL_TABLE"}},
                {"breadcrumb": ["properties", "id"], "metadata": {"inclusion": "available", "selected": True}},
            ],
        }
        for name in ("product_images", "products")
    ]
}


def _report(data: bytes) -> None:
    path = Path("report.jsonl")
    path.write_bytes(data)
    try:
        name = str(path)
        for line in retry._unfinished(name):
            retry._obstacle(line, [2])
        retry._claimed(name)
        retry._siblings(name)
        report = Report(None)
        for line in retry._unfinished(name):
            report.copy_entry(line)
        report.close()
        assert len("".join(report.problem_lines())) < 20_000
        assert [*retry.ReportRecords(name, [2])]
    finally:
        path.unlink()


_REPORT = singer(
    {
        "product_id": 2,
        "source_id": 1,
        "target_id": 5,
        "action": "create",
        "status": "failed",
        "reason": "HTTP 500",
        "record": RECORD,
        "is_sibling": True,
    },
    {"product_id": 2, "source_id": 3, "target_id": 6, "action": "keep", "status": "kept", "record": None},
    {"summary": {"done": 1}},
)


def _target(data: bytes) -> None:
    """Take in an undo file, up to where the store is asked."""
    settings = {
        **SETTINGS,
        "api_url": "http://127.0.0.1:1",
        "mode": "mirror",
        "max_deletes": 1,
        "report": None,
    }
    with restored_handlers():
        target = TargetBCImages(config=settings)
        try:
            list(target.read([SingerFile(io.BytesIO(data))]).groups("product_id"))
        finally:
            target.close()


MESSAGES = singer(
    row(RECORD), row({"id": 2, "image_count": 1, "sku": "S", "store_hash": "s"}, "products"), end(), state()
)
_UNDO = singer(
    {**head("products"), "undo": True},
    {**head(), "undo": True},
    row({"id": 2, "image_count": 1, "sku": "S", "store_hash": "sandbox"}, "products", None),
    row(RECORD),
    end(),
)


def _lines(data: bytes) -> None:
    for _, _, message in jsonl.messages(io.BytesIO(data), "the file", "x."):
        assert message is not None


_TAP = {
    **SETTINGS,
    "start_date": "2024-01-01",
    "product_id_min": 1,
    "recheck_files": "5%",
    "file_store": "/files",
    "api_url": "https://api.bigcommerce.com",
    "allow_other_api_host": True,
    "store_url": "https://store-{store_hash}.example.com",
    "request_timeout": 10.5,
    "rate_limit_reserve": 0.1,
    "user_agent": "agent",
    "webdav_username": "a@example.com",
    "webdav_password": "password",
}
_TARGET = {
    **SETTINGS,
    "mode": "mirror",
    "max_deletes": 5,
    "product_ids": [1, 2],
    "check_pictures": "sample",
    "state_dir": "/state",
    "report": "report.jsonl",
    "upload": "url",
    "file_store_public_url": "https://files.example.com",
}


PARSERS: dict[str, Parser] = {
    "Singer lines": Parser(
        _lines,
        [
            MESSAGES,
            gzip.compress(MESSAGES, mtime=0),
            b"\xef\xbb\xbf" + MESSAGES,
            MESSAGES.decode().encode("utf-16"),
        ],
        share=4,
    ),
    "undo files": Parser(_target, [_UNDO], share=0.1),
    "state": Parser(_state, [orjson.dumps(_STATE), orjson.dumps({"type": "STATE", "value": _STATE})]),
    "catalog": Parser(
        lambda data: read_catalog(config.json_object(as_text(data), "--catalog")), [orjson.dumps(CATALOG)]
    ),
    "settings": Parser(_config_file, [orjson.dumps(_TAP), orjson.dumps(_TARGET)], share=0.5),
    "environment": Parser(
        _environment,
        [
            b"STORE_HASH=sandbox\nACCESS_TOKEN=token\nMAX_DELETES=5\nMODE=mirror\nDRY_RUN=true\nPRODUCT_IDS=[1,2]\n",
            b"REQUEST_TIMEOUT=1e3\nPENDING_WRITE_TIMEOUT=5\nSTREAM_MAPS={}\nSTORE_HASH=sandbox\nACCESS_TOKEN=token\n",
        ],
        share=0.5,
    ),
    "reports": Parser(_report, [_REPORT]),
}
