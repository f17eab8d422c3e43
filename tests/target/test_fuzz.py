"""Singer messages at random: every one is taken, rejected or refused in one line, and none ends as a bug."""

from __future__ import annotations

import copy
import io
import json
import logging
import random
from contextlib import suppress
from typing import Any, cast

import pytest

from bc_images import schema
from bc_images.errors import BcImagesError
from bc_images.singer.reader import SingerFile
from target_bc_images.report import rejection
from target_bc_images.target import TargetBCImages
from tests.support.commands import restored_handlers
from tests.support.mutation import changed
from tests.support.target import end, head, row, state

pytestmark = pytest.mark.slow

RECORD = dict.fromkeys(schema.load("product_images")["properties"]) | {
    "store_hash": "sandbox", "id": 1, "product_id": 2, "product_sku": "SKU", "image_file": "a/b.png",
    "is_thumbnail": True, "sort_order": 1, "description": "text", "file_sha256": "a" * 64,
}  # fmt: skip
MESSAGES = [
    head(key_properties=["store_hash", "id"]), head("products"), head("x"), row(RECORD),
    row({"id": 2, "image_count": 1, "sku": "S", "store_hash": "s"}, "products"), row({"id": 1}, "x"), end(), state(),
]  # fmt: skip
NAMES = ["ID", "_SDC_DELETED_AT", "_sdc_deleted_at", " id", "\ufeffid", "x.y", ""]
SETTINGS: list[dict[str, Any]] = [
    {}, {}, {"match_products_by": "sku"}, {"stream_maps": {"product_images": {"tiny_url": "__NULL__"}}},
    {"flattening_enabled": True, "flattening_max_depth": 2}, {"product_ids": [2]}, {"mode": "mirror", "max_deletes": 1},
]  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
def test_messages(seed: int) -> None:
    dice = random.Random(seed)
    logging.disable(logging.CRITICAL)
    settings = {"store_hash": "sandbox", "access_token": "no-token", "api_url": "http://127.0.0.1:1"}
    try:
        for _ in range(500):
            messages = [changed(each, dice, NAMES) if dice.random() < 0.25 else each for each in MESSAGES]
            if dice.random() < 0.2:
                dice.shuffle(messages)
            data = b"".join(json.dumps(each).encode() + b"\n" for each in messages)
            with restored_handlers(), suppress(BcImagesError):
                target = TargetBCImages(config=copy.deepcopy(settings | dice.choice(SETTINGS)))
                try:
                    restore_input = target.read([SingerFile(io.BytesIO(data))])
                    for key in ("product_id", "product_sku"):
                        list(restore_input.groups(cast("Any", key)))
                    restore_input.covers(2, "SKU", "product_sku")
                    report = target.session.report
                    for record, reason in restore_input.rejected:
                        report.add(rejection(record, reason), "rejected")
                    assert len(report.table()) + len("".join(report.problem_lines())) < 20_000
                finally:
                    target.session.report.counts.clear()
                    target.close()
    finally:
        logging.disable(logging.NOTSET)
