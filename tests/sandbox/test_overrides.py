"""Rows that the API shows otherwise than the store holds them."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from bc_images.sandbox.control import BadControl
from tests.sandbox.door import FIRST, Door
from tests.sandbox.test_control import admin


def shown(shop: Door, version: str) -> list[Any]:
    """The first image of the first product, in every answer that shows it."""
    image = shop.images()[0]["id"]
    if version == "v2":
        own = f"/v2/products/{FIRST}/images"
        return [shop.get(own).json()[0], shop.get(f"{own}/{image}").json()]
    own = f"/v3/catalog/products/{FIRST}"
    page = shop.get("/v3/catalog/products?include=images&limit=1&sort=id").json()
    return [
        page["data"][0]["images"][0],
        shop.get(f"{own}?include=images").json()["data"]["images"][0],
        shop.get(f"{own}/images").json()["data"][0],
        shop.get(f"{own}/images/{image}").json()["data"],
    ]


@pytest.mark.parametrize("version", ["v2", "v3"])
def test_every_answer_shows_it(shop: Door, version: str) -> None:
    image, before = shop.images()[0]["id"], shown(shop, version)
    state = shop.sandbox.dump()
    shop.sandbox.override("images", image, missing=["image_file"], sort_order=None, not_a_field=1)
    for old, new in zip(before, shown(shop, version), strict=True):
        assert new == {**{name: value for name, value in old.items() if name != "image_file"}, "sort_order": None}
    shop.sandbox.override("images", image, row="x")
    assert shown(shop, version) == ["x"] * len(before)
    assert shop.sandbox.dump() == state  # the store holds what it held
    shop.sandbox.override("images", image)
    assert shown(shop, version) == before
    assert shop.sandbox.overrides() == []


def test_of_a_product(shop: Door) -> None:
    shop.sandbox.override("products", FIRST, sku=5, images=None)
    page = shop.get("/v3/catalog/products?include=images&limit=1&sort=id&include_fields=sku").json()
    assert page["data"] == [{"id": FIRST, "sku": 5, "images": None}]
    assert len(shop.get(f"/v3/catalog/products/{FIRST}/images").json()["data"]) == len(shop.images())
    assert shop.get(f"/v2/products/{FIRST}").json()["sku"] == 5
    sku = shop.sandbox.dump(files=False)["products"][0]["sku"]
    assert [each["id"] for each in shop.get("/v2/products", params={"sku": sku}).json()] == [FIRST]


def test_the_answer_to_a_write_shows_it_and_the_work_is_done(shop: Door) -> None:
    image = shop.images()[0]["id"]
    shop.sandbox.override("images", image, is_thumbnail=None)
    answer = shop("PUT", f"/v3/catalog/products/{FIRST}/images/{image}", json={"description": "new"}).json()["data"]
    assert (answer["is_thumbnail"], answer["description"]) == (None, "new")
    assert shop.images()[0]["description"] == "new"


def test_counts_files_xml_and_refusals_are_what_they_were(shop: Door) -> None:
    image = shop.images()[0]
    shop.sandbox.override("images", image["id"], id=None)
    assert shop.get("/v2/products/images/count").json() == {"count": len(shop.sandbox.dump(files=False)["images"])}
    assert shop.file(f"/product_images/{image['image_file']}").ok
    assert (
        f"<id>{image['id']}</id>"
        in shop.get(f"/v2/products/{FIRST}/images", headers={"Accept": "application/xml"}).text
    )
    assert shop.get(f"/v3/catalog/products/{FIRST}/images/999999").status_code == 404


def test_over_http(shop: Door) -> None:
    image = shop.images()[0]["id"]
    admin(shop, "PUT", f"/overrides/images/{image}", json={"values": {"sort_order": None}, "missing": ["image_file"]})
    assert admin(shop, "GET", "/overrides") == [
        {"kind": "images", "id": image, "values": {"sort_order": None}, "missing": ["image_file"]}
    ]
    admin(shop, "PUT", f"/overrides/images/{image}", json={"row": None})
    assert admin(shop, "GET", "/overrides") == [{"kind": "images", "id": image, "row": None}]
    admin(shop, "PUT", f"/overrides/images/{image}", json={})
    assert admin(shop, "GET", "/overrides") == []


def test_a_reset_removes_all(shop: Door) -> None:
    shop.sandbox.override("products", FIRST, sku=5)
    shop.sandbox.reset()
    assert shop.sandbox.overrides() == []


def test_what_is_refused(shop: Door) -> None:
    for kind, number in (("orders", 1), ("products", 1), ("images", 10**9)):
        with pytest.raises(BadControl):
            shop.sandbox.override(kind, number, sku=1)
    with pytest.raises(TypeError, match="row stands for the whole row"):
        shop.sandbox.override("products", FIRST, row=1, sku=2)
    bodies: list[Any] = [{"row": 1, "missing": ["sku"]}, {"set": {}}, {"values": []}, {"missing": {}}, []]
    for body in bodies:
        url = f"{shop.sandbox.url}/_sandbox/overrides/products/{FIRST}"
        assert requests.put(url, json=body, timeout=20).status_code == 400
