"""Pages decoded at one go say what the same pages say when they are read value by value."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bc_images.bigcommerce.client import Product
from bc_images.bigcommerce.mapping import sources
from bc_images.bigcommerce.product_pages import Listing, decode_products, read_listing
from bc_images.bigcommerce.transport import HttpClient
from bc_images.bigcommerce.v3 import V3Client
from bc_images.errors import UnexpectedResponse
from bc_images.json_repair import MAX_TEXT
from bc_images.settings import Settings
from tests.bigcommerce.test_mapping import JSON, V3

CLIENT = V3Client(HttpClient(Settings.from_config({"store_hash": "abc", "access_token": "t"})))
PRODUCT: dict[str, Any] = {"id": 76, "sku": "SKU", "name": "Name", "date_modified": "2018-09-13T15:57:07+00:00"}
PAGINATION = {"meta": {"pagination": {"total": 1, "per_page": 250}}}


def page(*images: dict[str, Any], **product: Any) -> bytes:
    return json.dumps({"data": [{**PRODUCT, "images": images, **product}], **PAGINATION}, ensure_ascii=False).encode()


def outcome(content: bytes, *, by_value: bool) -> list[Product] | str:
    try:
        products = [*(CLIENT._checked(content) if by_value else CLIENT._decoded(content))]
        return [replace(product, invalid=[*product.invalid]) for product in products]
    except UnexpectedResponse as error:
        return str(error)


DATES = st.sampled_from(["", "2018-09-13T15:57:07Z", "2018-09-31T15:57:07+00:00", "2020-02-29T23:59:59+00:00", "now"])


@settings(deadline=None)
@given(data=st.data(), number=st.integers(0, 3))
def test_both_ways_give_the_same(data: st.DataObject, number: int) -> None:
    images = [V3 | {"id": data.draw(st.integers(1, 5))} for _ in range(number)]
    for image in images:
        for name in data.draw(st.sets(st.sampled_from(sorted(V3)), max_size=2)):
            image[name] = data.draw(JSON | DATES | st.integers(1, 100))
    product = {name: data.draw(JSON | DATES) for name in data.draw(st.sets(st.sampled_from(["sku", "name"])))}
    content = page(*images, **product)
    assert outcome(content, by_value=False) == outcome(content, by_value=True)


def test_a_usual_page_is_decoded_at_one_go() -> None:
    later = V3 | {"id": 248, "date_modified": "2018-09-30T15:57:07+00:00", "is_sample": [1, {"x": None}]}
    content = page(later, V3)
    listing = read_listing(content)
    assert listing == Listing([76], 1, 250, content)
    (product,) = products = list(decode_products(content, "abc"))
    assert [image["id"] for image in product.images] == [247, 248]
    assert products == [replace(one, invalid=()) for one in CLIENT._checked(content)]


@pytest.mark.parametrize("name", [*sources("product_images", "v3").values()])
def test_every_field_counts(name: str) -> None:
    assert outcome(page(V3 | {name: "x"}), by_value=False) != outcome(page(V3), by_value=False)


@pytest.mark.parametrize(
    "content",
    [
        page(V3).replace(b"front", b"\\ud800"),
        page(V3).replace(b"front", b"\xff"),
        page(V3 | {"unused": "front"}).replace(b"front", b"\xff"),
        page(V3)[:-1],
        page(V3).replace(b'"front"', b"[" * 200_000 + b"]" * 200_000),  # Python 3.13 follows thousands
    ],
    ids=["half a pair", "no UTF-8", "no UTF-8 in a field that is not read", "cut", "deep"],
)
def test_what_is_no_json_is_left_to_the_transport(content: bytes) -> None:
    with pytest.raises(orjson.JSONDecodeError):
        read_listing(content)


@pytest.mark.parametrize("images", [[V3] * 250, None, [5]])
def test_a_list_that_may_not_be_whole_is_parsed(images: Any) -> None:
    parsed = read_listing(page(images=images))
    assert not isinstance(parsed, Listing)
    assert parsed["data"][0]["images"] == images


def test_a_text_of_any_length_is_refused_where_it_is() -> None:
    said = outcome(page(V3 | {"description": "x" * (MAX_TEXT + 1)}), by_value=False)
    assert "GET /v3/catalog/products: data, id 76, images, id 247, description has more than" in said


def test_a_number_beyond_all_measure_is_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    content = page(V3).replace(b'"front"', b"1e999")
    assert isinstance(read_listing(content), Listing)
    said = outcome(content, by_value=False)
    assert said == outcome(content, by_value=True)
    assert str(said).startswith("Unexpected API response: /v3/catalog/products: invalid JSON (number is infinity")
    assert not caplog.messages
