"""Singer messages at random: every one is taken, rejected or refused in one line, and none ends as a bug."""

from __future__ import annotations

import copy
import gzip
import io
import json
import logging
import random
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, cast

import pytest

from bc_images import jsonl, schema
from bc_images.errors import BcImagesError, DamagedInput
from target_bc_images.target import TargetBCImages
from tests.target.stage import end, head, kept_signals, row, singer, state

pytestmark = pytest.mark.slow

RECORD = dict.fromkeys(schema.load("product_images")["properties"]) | {
    "store_hash": "sandbox", "id": 1, "product_id": 2, "product_sku": "SKU", "image_file": "a/b.png",
    "is_thumbnail": True, "sort_order": 1, "description": "text", "file_sha256": "a" * 64,
}  # fmt: skip
MESSAGES = [
    head(key_properties=["store_hash", "id"]), head("products"), head("x"), row(RECORD),
    row({"id": 2, "image_count": 1, "sku": "S", "store_hash": "s"}, "products"), row({"id": 1}, "x"), end(), state(),
]  # fmt: skip
ODD: list[Any] = [
    None, True, False, 0, -1, 1.5, 2**63, 2**64 - 1, 2**80, -(2**63), 1e308, "", "x" * 5000, "\0", "🧦", "NaN", [], {},
    [[]], {"": {}}, [1], "product_images", "id", "RAW-PRODUCT_IMAGES", "ID", "2026-99-99", ["id"], {"type": "integer"},
    {"properties": 5}, {"properties": {"id": 5}}, {"properties": {}}, "\x1b[31m", "'\"{}", "\\N", "1e99", " 12 ",
]  # fmt: skip
NAMES = ["ID", "_SDC_DELETED_AT", "_sdc_deleted_at", " id", "\ufeffid", "x.y", ""]
SETTINGS: list[dict[str, Any]] = [
    {}, {}, {"match_products_by": "sku"}, {"stream_maps": {"product_images": {"tiny_url": "__NULL__"}}},
    {"flattening_enabled": True, "flattening_max_depth": 2}, {"product_ids": [2]}, {"mode": "mirror", "max_deletes": 1},
]  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(inner, (*path, key))


def changed(message: dict[str, Any], dice: random.Random) -> dict[str, Any]:
    message = copy.deepcopy(message)
    for _ in range(dice.choice([1, 1, 2, 3])):
        *path, key = dice.choice(list(places(message)) or [("type",)])
        place: Any = message
        for step in path:
            place = place[step]
        if isinstance(place, dict) and dice.random() < 0.3:
            place[dice.choice([*NAMES, str(key).upper()])] = copy.deepcopy(
                dice.choice([place.get(key), dice.choice(ODD)])
            )
        if dice.random() < 0.2:
            with suppress(KeyError, IndexError):
                del place[key]
        else:
            place[key] = copy.deepcopy(dice.choice(ODD))
    return message


@pytest.mark.parametrize("seed", range(4))
def test_messages(seed: int) -> None:
    dice = random.Random(seed)
    logging.disable(logging.CRITICAL)
    settings = {"store_hash": "sandbox", "access_token": "no-token", "api_url": "http://127.0.0.1:1"}
    try:
        for _ in range(500):
            messages = [changed(each, dice) if dice.random() < 0.25 else each for each in MESSAGES]
            if dice.random() < 0.2:
                dice.shuffle(messages)
            data = b"".join(json.dumps(each).encode() + b"\n" for each in messages)
            with kept_signals(), suppress(BcImagesError):
                target = TargetBCImages(config=copy.deepcopy(settings | dice.choice(SETTINGS)))
                try:
                    target.process_lines(cast("Any", io.BytesIO(data)))
                    for key in ("product_id", "product_sku"):
                        list(target.inbox.groups(cast("Any", key)))
                    target.inbox.speaks_for(2, "SKU", "product_sku")
                    assert len(target.report.table()) + len("".join(target.report.faults())) < 20_000
                finally:
                    target.inbox.close()
                    target.store.close()
                    target.report.close()
    finally:
        logging.disable(logging.NOTSET)


def refusal(data: bytes) -> str:
    """Return why a file is refused, or nothing."""
    try:
        for _, _, message in jsonl.messages(io.BytesIO(data), "the file", "x."):
            assert message is not None
    except DamagedInput as error:
        return str(error)
    return ""


INSERTED = [b"[" * 150, b'{"a":' * 130, b"\n", b"\0", b"NaN", b"\\ud800", b"1e999"]


def test_bytes() -> None:
    """100,000 files that begin well: each is read, or refused in one line."""
    dice = random.Random(5)
    good = singer(*MESSAGES[3:])
    starts = [good, gzip.compress(good, mtime=0), b"\xef\xbb\xbf" + good, good.decode().encode("utf-16")]
    for _ in range(100_000):
        data = bytearray(dice.choice(starts))
        for _ in range(dice.choice([1, 1, 3, 20])):
            place = dice.randrange(len(data))
            match dice.randrange(4):
                case 0:
                    data[place] = dice.randrange(256)
                case 1:
                    del data[place : place + dice.randrange(1, 30)]
                case 2:
                    data[place:place] = dice.choice(
                        [b"[" * 150, b'{"a":' * 130, b"\n", b"\0", b"NaN", b"\\ud800", b"1e999"]
                    )
                case _:
                    del data[place + 1 :]
            if not data:
                break
        said = refusal(bytes(data))
        assert len(said.splitlines()) <= 1
        assert len(said) < 300
