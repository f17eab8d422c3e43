"""What is emitted, over real HTTP: everything, once, in order, with both versions of the API."""

from __future__ import annotations

import logging
from itertools import pairwise
from typing import Any

import pytest

from bc_images.sandbox import SandboxServer
from tests.core.wire import Reply, Request, says, serving
from tests.tap.harness import catalog_of, settings, stored, sync

PIXEL = bytes.fromhex("47494638396101000100800000ffffff00000021f90400000000002c00000000010001000002024401003b")


def add_products(shop: SandboxServer, count: int) -> list[int]:
    return [shop.add_product(sku=f"new-{number}", name="New") for number in range(count)]


@pytest.mark.parametrize("products", [0, 1, 249, 250, 251, 500])
def test_every_image_once_in_order(shop: SandboxServer, version: str, products: int) -> None:
    shop.reset(products=products, images=2)
    output = sync(settings(shop.url, api_version=version))
    assert output.ids() == stored(shop)
    assert len(output.ids()) == 2 * products
    assert all(before["product_id"] <= after["product_id"] for before, after in pairwise(output.records()))
    assert output.states[-1] == {"bookmarks": {"product_images": {}}}


def test_no_two_records_share_a_key(shop: SandboxServer, version: str) -> None:
    """The SDK's own test of this compares generators, so it cannot fail."""
    shop.reset(products=120, images=3)
    output = sync(settings(shop.url, api_version=version))
    (schema,) = output.of("SCHEMA")
    assert schema["key_properties"] == ["store_hash", "id"]
    keys = [tuple(record[name] for name in schema["key_properties"]) for record in output.records()]
    assert len(keys) == 360
    assert len(set(keys)) == 360
    assert all(None not in key for key in keys)


def test_two_pages_of_products_without_an_image(shop: SandboxServer, version: str) -> None:
    shop.reset(products=3, images=2)
    ids = add_products(shop, 505)
    last = shop.add_image(ids[-1], PIXEL, "last.gif")
    output = sync(settings(shop.url, api_version=version))
    assert output.ids() == stored(shop)
    assert output.ids()[-1] == last
    assert len(output.ids()) == 7


@pytest.mark.parametrize("images", [250, 251])
def test_a_product_with_more_images_than_a_page(shop: SandboxServer, version: str, images: int) -> None:
    shop.reset(products=2, images=1)
    (product,) = add_products(shop, 1)
    for number in range(images):
        shop.add_image(product, PIXEL, f"{number}.gif")
    output = sync(settings(shop.url, api_version=version))
    assert output.ids() == stored(shop)
    assert len(output.ids()) == images + 2


def test_a_record_holds_what_the_store_says(shop: SandboxServer, version: str) -> None:
    shop.reset(products=30, images=2)
    expected = {image["id"]: image for image in shop.dump(files=False)["images"]}
    skus = {product["id"]: product["sku"] for product in shop.dump(files=False)["products"]}
    output = sync(settings(shop.url, api_version=version))
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


def test_products(shop: SandboxServer, version: str) -> None:
    shop.switch(seed_without_images=4)
    shop.reset(products=260, images=3)
    config = settings(shop.url, api_version=version)
    output = sync(config, catalog=catalog_of(config, "products"))
    there = shop.dump(files=False)["products"]
    without = sum(1 for number in range(260) if number % 4 == 3)
    assert output.ids("products") == [product["id"] for product in there]
    assert [record["sku"] for record in output.records("products")] == [product["sku"] or "" for product in there]
    assert [record["image_count"] for record in output.records("products")].count(0) == without
    assert not output.records("product_images")


def test_both_streams_cost_one_sweep(shop: SandboxServer, version: str) -> None:
    shop.reset(products=60, images=2)
    config = settings(shop.url, api_version=version)
    sync(config)
    alone = len(shop.requests())
    shop.clear_requests()
    output = sync(config, catalog=catalog_of(config, "products", "product_images"))
    assert len(shop.requests()) == alone
    assert output.ids() == stored(shop)
    assert output.ids("products") == [product["id"] for product in shop.dump(files=False)["products"]]
    assert {record["image_count"] for record in output.records("products")} == {2}
    assert len(output.of("ACTIVATE_VERSION")) == 2


def test_few_requests(shop: SandboxServer) -> None:
    shop.reset(products=1003, images=1)
    sync(settings(shop.url, concurrency=4))
    assert len(shop.requests()) <= -(-1003 // 250) + 4 + 2
    shop.clear_requests()
    sync(settings(shop.url, concurrency=4, api_version="v2"))
    assert len(shop.requests()) <= 1003 + -(-1003 // 250) + 3


def test_a_shard_reads_its_products_only(shop: SandboxServer, version: str) -> None:
    shop.reset(products=40, images=2)
    ids = [product["id"] for product in shop.dump(files=False)["products"]]
    config = settings(shop.url, api_version=version)
    middle = sync(config | {"product_id_min": ids[10], "product_id_max": ids[29]})
    assert {record["product_id"] for record in middle.records()} == set(ids[10:30])
    shards = [
        sync(config | {"product_id_max": ids[9]}),
        middle,
        sync(config | {"product_id_min": ids[30]}),
    ]
    assert sorted(number for shard in shards for number in shard.ids()) == sorted(stored(shop))


class TestCensus:
    """A sweep that sees something else than the store counts is warned of."""

    def store(self, *counts: int, seen: int = 2) -> Any:
        said = iter(counts)

        def answer(request: Request) -> Reply:
            if request.path.endswith("/images/count"):
                return says({"count": next(said)})
            images = [
                {"id": number, "product_id": 7, "image_file": "a.jpg", "is_thumbnail": False, "sort_order": 0}
                for number in range(1, seen + 1)
            ]
            page = {"total": 1, "per_page": 250}
            return says({"data": [{"id": 7, "sku": "a", "images": images}], "meta": {"pagination": page}})

        return serving(answer)

    @pytest.mark.parametrize(
        ("counts", "warned"), [((2,), False), ((3, 3), True), ((5, 2), False), ((1, 4), False), ((9, 5), True)]
    )
    def test_difference(self, caplog: pytest.LogCaptureFixture, counts: tuple[int, ...], warned: bool) -> None:
        with self.store(*counts) as server, caplog.at_level(logging.WARNING):
            output = sync(settings(server.url))
        assert len(output.ids()) == 2
        said = [record.getMessage() for record in caplog.records if "sweep saw" in record.getMessage()]
        assert bool(said) == warned
        if warned:
            assert f"counts {counts[1]} images" in said[0]
            assert "saw 2" in said[0]

    def test_without_v2_products_are_counted(self, shop: SandboxServer, caplog: pytest.LogCaptureFixture) -> None:
        shop.reset(products=20, images=2)
        shop.switch(v2_available="gone")
        with caplog.at_level(logging.WARNING):
            output = sync(settings(shop.url))
        assert output.ids() == stored(shop)
        assert not [record for record in caplog.records if "sweep saw" in record.getMessage()]
