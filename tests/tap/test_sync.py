"""What is emitted, over real HTTP: everything, once, in order, with both versions of the API."""

from __future__ import annotations

import logging
from itertools import pairwise
from typing import Any

import pytest

from bigcommerce_sandbox import SandboxServer
from tests.support.scripted_server import Reply, Request, says, serving
from tests.support.tap import catalog_of, settings, stored, sync

PIXEL = bytes.fromhex("47494638396101000100800000ffffff00000021f90400000000002c00000000010001000002024401003b")


def add_products(sandbox: SandboxServer, count: int) -> list[int]:
    return [sandbox.add_product(sku=f"new-{number}", name="New") for number in range(count)]


@pytest.mark.parametrize("products", [0, 1, 249, 250, 251, 500])
def test_every_image_once_in_order(sandbox: SandboxServer, version: str, products: int) -> None:
    sandbox.reset(products=products, images=2)
    output = sync(settings(sandbox.url, api_version=version))
    assert output.ids() == stored(sandbox)
    assert len(output.ids()) == 2 * products
    assert all(before["product_id"] <= after["product_id"] for before, after in pairwise(output.records()))
    assert output.states[-1] == {"bookmarks": {"product_images": {}}}


def test_no_two_records_share_a_key(sandbox: SandboxServer, version: str) -> None:
    """The SDK's own test of this compares generators, so it cannot fail."""
    sandbox.reset(products=120, images=3)
    output = sync(settings(sandbox.url, api_version=version))
    (schema,) = output.of("SCHEMA")
    assert schema["key_properties"] == ["store_hash", "id"]
    keys = [tuple(record[name] for name in schema["key_properties"]) for record in output.records()]
    assert len(keys) == 360
    assert len(set(keys)) == 360
    assert all(None not in key for key in keys)


def test_two_pages_of_products_without_an_image(sandbox: SandboxServer, version: str) -> None:
    sandbox.reset(products=3, images=2)
    ids = add_products(sandbox, 505)
    last = sandbox.add_image(ids[-1], PIXEL, "last.gif")
    output = sync(settings(sandbox.url, api_version=version))
    assert output.ids() == stored(sandbox)
    assert output.ids()[-1] == last
    assert len(output.ids()) == 7


@pytest.mark.parametrize("images", [250, 251])
def test_a_product_with_more_images_than_a_page(sandbox: SandboxServer, version: str, images: int) -> None:
    sandbox.reset(products=2, images=1)
    (product,) = add_products(sandbox, 1)
    for number in range(images):
        sandbox.add_image(product, PIXEL, f"{number}.gif")
    output = sync(settings(sandbox.url, api_version=version))
    assert output.ids() == stored(sandbox)
    assert len(output.ids()) == images + 2


def test_a_record_holds_what_the_store_says(sandbox: SandboxServer, version: str) -> None:
    sandbox.reset(products=30, images=2)
    expected = {image["id"]: image for image in sandbox.dump(files=False)["images"]}
    skus = {product["id"]: product["sku"] for product in sandbox.dump(files=False)["products"]}
    output = sync(settings(sandbox.url, api_version=version))
    declared = set(output.of("SCHEMA")[0]["schema"]["properties"])
    for record in output.records():
        image = expected.pop(record["id"])
        assert set(record) == declared
        assert record["store_hash"] == "sandbox"
        assert record["product_sku"] == skus[record["product_id"]]
        for name in ("product_id", "image_file", "is_thumbnail", "sort_order"):
            assert record[name] == image[name], name
        assert (record["description"] or "") == (image["description"] or "")
        known, unknown = ("date_modified", "date_created") if version == "v3" else ("date_created", "date_modified")
        assert record[known] == image[known]
        assert record[unknown] is None
        assert record["file_sha256"] is None
    assert not expected


def test_products(sandbox: SandboxServer, version: str) -> None:
    sandbox.set_flags(seed_without_images=4)
    sandbox.reset(products=260, images=3)
    config = settings(sandbox.url, api_version=version)
    output = sync(config, catalog=catalog_of(config, "products"))
    there = sandbox.dump(files=False)["products"]
    without = sum(1 for number in range(260) if number % 4 == 3)
    assert output.ids("products") == [product["id"] for product in there]
    assert [record["sku"] for record in output.records("products")] == [product["sku"] or "" for product in there]
    assert [record["image_count"] for record in output.records("products")].count(0) == without
    assert not output.records("product_images")


def test_both_streams_cost_one_scan(sandbox: SandboxServer, version: str) -> None:
    sandbox.reset(products=60, images=2)
    config = settings(sandbox.url, api_version=version)
    sync(config)
    alone = len(sandbox.requests())
    sandbox.clear_requests()
    output = sync(config, catalog=catalog_of(config, "products", "product_images"))
    assert len(sandbox.requests()) == alone
    assert output.ids() == stored(sandbox)
    assert output.ids("products") == [product["id"] for product in sandbox.dump(files=False)["products"]]
    assert {record["image_count"] for record in output.records("products")} == {2}
    assert len(output.of("ACTIVATE_VERSION")) == 2


def test_few_requests(sandbox: SandboxServer) -> None:
    sandbox.reset(products=1003, images=1)
    sync(settings(sandbox.url, concurrency=4))
    assert len(sandbox.requests()) <= -(-1003 // 250) + 4 + 2
    sandbox.clear_requests()
    sync(settings(sandbox.url, concurrency=4, api_version="v2"))
    assert len(sandbox.requests()) <= 1003 + -(-1003 // 250) + 3


def test_a_shard_reads_its_products_only(sandbox: SandboxServer, version: str) -> None:
    sandbox.reset(products=40, images=2)
    ids = [product["id"] for product in sandbox.dump(files=False)["products"]]
    config = settings(sandbox.url, api_version=version)
    middle = sync(config | {"product_id_min": ids[10], "product_id_max": ids[29]})
    assert {record["product_id"] for record in middle.records()} == set(ids[10:30])
    shards = [
        sync(config | {"product_id_max": ids[9]}),
        middle,
        sync(config | {"product_id_min": ids[30]}),
    ]
    assert sorted(number for shard in shards for number in shard.ids()) == sorted(stored(sandbox))


class TestCountCheck:
    """A scan that sees something else than the store counts is warned of, and one that sees less drops no row."""

    def store(self, *counts: int | None, products: int = 1) -> Any:
        """A store of some products with two images each, that counts images as told (None: it fails)."""
        said = iter(counts)

        def answer(request: Request) -> Reply:
            if request.path.endswith("/images/count"):
                count = next(said)
                return says({}, 500) if count is None else says({"count": count})
            rows = []
            for product in range(1, products + 1):
                rest = {"product_id": product, "image_file": "a.jpg", "is_thumbnail": False, "sort_order": 0}
                rest["date_modified"] = "2024-01-01T00:00:00+00:00"
                rows.append({"id": product, "images": [{"id": 10 * product + number, **rest} for number in (1, 2)]})
            return says({"data": rows, "meta": {"pagination": {"total": products, "per_page": 250}}})

        return serving(answer)

    @pytest.mark.parametrize(
        ("counts", "said", "activated"),
        [
            ((2,), None, True),
            ((5, 2), None, True),
            ((1, 4), None, True),
            ((3, 3), "counted 3 images before the scan and counts 3 now, but the scan saw 2", False),
            ((9, 5), "counted 9 images before the scan and counts 5 now, but the scan saw 2", False),
            ((3, None), "counted 3 images before the scan and does not say now, but the scan saw 2", False),
            ((1, 1), "counted 1 image before the scan and counts 1 now, but the scan saw 2", True),
            ((0, None), "counted 0 images before the scan and does not say now, but the scan saw 2", True),
        ],
        ids=str,
    )
    def test_difference(
        self, caplog: pytest.LogCaptureFixture, counts: tuple[int, ...], said: str | None, activated: bool
    ) -> None:
        with self.store(*counts) as server, caplog.at_level(logging.WARNING):
            output = sync(settings(server.url))
        assert output.ids() == [11, 12]
        warnings = [record.getMessage() for record in caplog.records if "scan saw" in record.getMessage()]
        assert len(warnings) == (said is not None)
        if said is not None:
            assert said in warnings[0]
            assert ("no ACTIVATE_VERSION is sent" in warnings[0]) == (not activated)
        assert len(output.of("ACTIVATE_VERSION")) == activated
        assert output.states[-1] == {"bookmarks": {"product_images": {}}}

    def test_a_store_that_shows_nothing_of_what_it_counts(self) -> None:
        """Neither table loses its rows: the products come out of the same scan."""
        with self.store(3000, 3000, products=0) as server:
            config = settings(server.url)
            output = sync(config, catalog=catalog_of(config, "product_images", "products"))
        assert output.kinds == ["SCHEMA", "STATE", "SCHEMA", "STATE"]

    def test_no_bookmark_moves(self) -> None:
        with self.store(9, 9, 2) as server:
            config = settings(server.url)
            catalog = catalog_of(config, "product_images", replication_method="INCREMENTAL")
            assert sync(config, catalog=catalog).states[-1] == {"bookmarks": {"product_images": {}}}
            assert sync(config, catalog=catalog).states[-1]["bookmarks"]["product_images"]["replication_key_value"]

    def test_without_v2_products_are_counted(self, sandbox: SandboxServer, caplog: pytest.LogCaptureFixture) -> None:
        sandbox.reset(products=20, images=2)
        sandbox.set_flags(v2_available="gone")
        with caplog.at_level(logging.WARNING):
            output = sync(settings(sandbox.url))
        assert output.ids() == stored(sandbox)
        assert not [record for record in caplog.records if "scan saw" in record.getMessage()]
