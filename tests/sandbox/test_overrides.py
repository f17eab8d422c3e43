"""Rows that the API shows otherwise than the store holds them."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from bigcommerce_sandbox.control import BadControl
from tests.sandbox.test_control import admin
from tests.support.api_client import FIRST, ApiClient


def shown(api: ApiClient, version: str) -> list[Any]:
    """The first image of the first product, in every answer that shows it."""
    image = api.images()[0]["id"]
    if version == "v2":
        own = f"/v2/products/{FIRST}/images"
        return [api.get(own).json()[0], api.get(f"{own}/{image}").json()]
    own = f"/v3/catalog/products/{FIRST}"
    page = api.get("/v3/catalog/products?include=images&limit=1&sort=id").json()
    return [
        page["data"][0]["images"][0],
        api.get(f"{own}?include=images").json()["data"]["images"][0],
        api.get(f"{own}/images").json()["data"][0],
        api.get(f"{own}/images/{image}").json()["data"],
    ]


@pytest.mark.parametrize("version", ["v2", "v3"])
def test_every_answer_shows_it(api: ApiClient, version: str) -> None:
    image, before = api.images()[0]["id"], shown(api, version)
    state = api.sandbox.dump()
    api.sandbox.override("images", image, missing=["image_file"], sort_order=None, not_a_field=1)
    for old, new in zip(before, shown(api, version), strict=True):
        assert new == {**{name: value for name, value in old.items() if name != "image_file"}, "sort_order": None}
    api.sandbox.override("images", image, row="x")
    assert shown(api, version) == ["x"] * len(before)
    assert api.sandbox.dump() == state  # the store holds what it held
    api.sandbox.override("images", image)
    assert shown(api, version) == before
    assert api.sandbox.overrides() == []


def test_of_a_product(api: ApiClient) -> None:
    api.sandbox.override("products", FIRST, sku=5, images=None)
    page = api.get("/v3/catalog/products?include=images&limit=1&sort=id&include_fields=sku").json()
    assert page["data"] == [{"id": FIRST, "sku": 5, "images": None}]
    assert len(api.get(f"/v3/catalog/products/{FIRST}/images").json()["data"]) == len(api.images())
    assert api.get(f"/v2/products/{FIRST}").json()["sku"] == 5
    sku = api.sandbox.dump(files=False)["products"][0]["sku"]
    assert [each["id"] for each in api.get("/v2/products", params={"sku": sku}).json()] == [FIRST]


def test_the_answer_to_a_write_shows_it_and_the_work_is_done(api: ApiClient) -> None:
    image = api.images()[0]["id"]
    api.sandbox.override("images", image, is_thumbnail=None)
    answer = api("PUT", f"/v3/catalog/products/{FIRST}/images/{image}", json={"description": "new"}).json()["data"]
    assert (answer["is_thumbnail"], answer["description"]) == (None, "new")
    assert api.images()[0]["description"] == "new"


def test_counts_files_and_refusals_are_what_they_were(api: ApiClient) -> None:
    image = api.images()[0]
    api.sandbox.override("images", image["id"], id=None)
    assert api.get("/v2/products/images/count").json() == {"count": len(api.sandbox.dump(files=False)["images"])}
    assert api.file(f"/product_images/{image['image_file']}").ok
    assert api.get(f"/v3/catalog/products/{FIRST}/images/999999").status_code == 404


def test_over_http(api: ApiClient) -> None:
    image = api.images()[0]["id"]
    admin(api, "PUT", f"/overrides/images/{image}", json={"values": {"sort_order": None}, "missing": ["image_file"]})
    assert admin(api, "GET", "/overrides") == [
        {"kind": "images", "id": image, "values": {"sort_order": None}, "missing": ["image_file"]}
    ]
    admin(api, "PUT", f"/overrides/images/{image}", json={"row": None})
    assert admin(api, "GET", "/overrides") == [{"kind": "images", "id": image, "row": None}]
    admin(api, "PUT", f"/overrides/images/{image}", json={})
    assert admin(api, "GET", "/overrides") == []


def test_a_reset_removes_all(api: ApiClient) -> None:
    api.sandbox.override("products", FIRST, sku=5)
    api.sandbox.reset()
    assert api.sandbox.overrides() == []


def test_what_is_refused(api: ApiClient) -> None:
    for kind, number in (("orders", 1), ("products", 1), ("images", 10**9)):
        with pytest.raises(BadControl):
            api.sandbox.override(kind, number, sku=1)
    with pytest.raises(TypeError, match="row stands for the whole row"):
        api.sandbox.override("products", FIRST, row=1, sku=2)
    bodies: list[Any] = [{"row": 1, "missing": ["sku"]}, {"set": {}}, {"values": []}, {"missing": {}}, []]
    for body in bodies:
        url = f"{api.sandbox.url}/_sandbox/overrides/products/{FIRST}"
        assert requests.put(url, json=body, timeout=20).status_code == 400
