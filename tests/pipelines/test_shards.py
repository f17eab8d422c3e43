"""A store cut into shards: together they are one scan, exactly."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from bigcommerce_sandbox import SandboxServer
from tests.support import commands


def run(command: str, folder: Path, *arguments: str, store: SandboxServer, **settings: Any) -> str:
    here = {"store_hash": "sandbox", "access_token": "sandbox-token", "api_url": store.url, "store_url": store.url}
    config = folder / "config.json"
    config.write_text(json.dumps({**here, **settings}))
    done = commands.run(command, *arguments, "--config", config)
    assert done.code == 0, done.err
    return done.out


def scanned(messages: str) -> Counter[str]:
    """Return the records, each as it was written."""
    found = [json.loads(line) for line in messages.splitlines()]
    return Counter(json.dumps(message["record"]) for message in found if message["type"] == "RECORD")


@pytest.mark.parametrize("version", ["v3", "v2"])
def test_four_shards_are_one_scan(tmp_path: Path, version: str) -> None:
    with SandboxServer(products=101, images=2, flags={"seed_without_images": 7}) as store:
        cut = json.loads(run("bc-images", tmp_path, "shards", "--count", "4", store=store, api_version=version))
        assert len(cut) == 4
        whole = run("tap-bc-images", tmp_path, store=store, api_version=version)
        parts = [run("tap-bc-images", tmp_path, store=store, api_version=version, **shard) for shard in cut]
    assert "ACTIVATE_VERSION" in whole
    assert not any("ACTIVATE_VERSION" in part for part in parts)
    assert sum(map(scanned, parts), Counter()) == scanned(whole)
    assert max(scanned(whole).values()) == 1
    sizes = [len({json.loads(record)["product_id"] for record in scanned(part)}) for part in parts]
    assert max(sizes) - min(sizes) <= 4, "about equally many"


@pytest.mark.parametrize(("products", "count", "wanted"), [(0, 4, 1), (3, 4, 4), (1, 4, 2), (10, 1, 1), (300, 7, 7)])
def test_shards_hold_every_id_there_can_be(tmp_path: Path, products: int, count: int, wanted: int) -> None:
    with SandboxServer(products=products, images=0) as store:
        cut = json.loads(run("bc-images", tmp_path, "shards", "--count", str(count), store=store))
    assert len(cut) <= wanted
    assert "product_id_min" not in cut[0]
    assert "product_id_max" not in cut[-1]
    for before, after in pairwise(cut):
        assert after["product_id_min"] == before["product_id_max"] + 1
