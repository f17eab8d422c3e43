"""V3 products: filters, paging, fields, includes."""

from __future__ import annotations

from typing import Any

import pytest

from bigcommerce_sandbox import v3_filters
from tests.support.api_client import FIRST, ApiClient, picture

PATH = "/v3/catalog/products"


def ids(api: ApiClient, **query: Any) -> list[int]:
    response = api.get(PATH, params={name.replace("__", ":"): value for name, value in query.items()})
    assert response.status_code == 200, response.text
    body = response.json()
    assert body["meta"]["pagination"]["count"] == len(body["data"])
    return [product["id"] for product in body["data"]]


@pytest.fixture
def many(api: ApiClient) -> ApiClient:
    """40 products with known ids, skus and dates."""
    api.sandbox.reset(products=40, images=1)
    return api


def test_by_id(many: ApiClient) -> None:
    everything = [product["id"] for product in many.sandbox.dump(files=False)["products"]]
    assert ids(many) == everything
    assert everything != list(range(everything[0], everything[-1] + 1)), "ids have gaps"
    a, b, c = everything[3], everything[10], everything[20]
    assert ids(many, id=a) == [a]
    assert ids(many, id__in=f"{b},{a},5") == [a, b]
    assert ids(many, id__not_in=f"{a}") == [x for x in everything if x != a]
    assert ids(many, id__min=b, id__max=c) == [x for x in everything if b <= x <= c]
    assert ids(many, id__greater=b, id__less=c) == [x for x in everything if b < x < c]
    assert ids(many, id__greater=everything[-1]) == []
    assert ids(many, id__min=10**40) == []
    assert ids(many, id__greater=-1, id__less=-(10**30)) == []
    assert ids(many, id__in=",".join(map(str, range(1, 2000)))) == everything


def test_total_of_id_ranges_equals_the_walk(many: ApiClient) -> None:
    for query in ({"id:greater": 105}, {"id:min": 105, "id:max": 120}, {"id:less": 1}, {"id:in": "101,102"}):
        total = many.get(PATH, params={**query, "limit": 1}).json()["meta"]["pagination"]["total"]
        assert total == len(many.get(PATH, params={**query, "limit": 250}).json()["data"])


def test_keyset_walk_is_complete(many: ApiClient) -> None:
    seen: list[int] = []
    while page := ids(many, id__greater=seen[-1] if seen else 0, limit=7, sort="id"):
        seen += page
    assert seen == [product["id"] for product in many.sandbox.dump(files=False)["products"]]


def test_by_sku_and_keyword(many: ApiClient) -> None:
    assert ids(many, sku="SKU-000001") == [102]
    assert ids(many, sku__in="SKU-000001,SKU-000002,x") == [102, 103]
    assert ids(many, sku="") != []
    new = many.sandbox.add_product(sku="Blue-Sock", name="Product 110")
    assert new in ids(many, keyword="PRODUCT 11")
    assert ids(many, keyword="blue-s") == [new]
    assert ids(many, keyword="") == ids(many)


def test_direction(many: ApiClient) -> None:
    everything = ids(many)
    assert ids(many, sort="id", direction="asc") == everything
    assert ids(many, direction="desc") == everything[::-1]


def test_pages(many: ApiClient) -> None:
    assert len(ids(many, limit=15, page=3)) == 10
    assert ids(many, limit=15, page=4) == []
    body = many.get(f"{PATH}?limit=15&page=2&sku:in=a,b&id:greater=0").json()
    assert body["meta"]["pagination"]["links"]["previous"] == "?sku:in=a,b&id:greater=0&page=1&limit=15"
    assert many.get(f"{PATH}?limit=251").status_code == 413


def test_included_images_equal_the_images_own_endpoint(api: ApiClient) -> None:
    api.sandbox.set_image(api.images()[0]["id"], description='quotes " and \\ and \n and \x01 and \u2028')
    api.sandbox.set_image(api.images()[1]["id"], description=None)
    for product in api.get(f"{PATH}?include=images").json()["data"]:
        own = api.get(f"{PATH}/{product['id']}/images").json()["data"]
        assert product["images"] == own
        assert api.get(f"{PATH}/{product['id']}?include=images").json()["data"]["images"] == own


def test_embedded_images_are_cut_by_the_switch(bare: ApiClient) -> None:
    for _ in range(252):
        bare.sandbox.add_image(FIRST, b"x", "a.png")
    (product,) = bare.get(f"{PATH}?include=images").json()["data"]
    assert len(product["images"]) == 250
    bare.sandbox.set_flags(embedded_images_max=1000)
    (product,) = bare.get(f"{PATH}?include=images").json()["data"]
    assert len(product["images"]) == 252


def test_product_without_images(bare: ApiClient) -> None:
    (product,) = bare.get(f"{PATH}?include=images").json()["data"]
    assert product["images"] == []


def test_fields(api: ApiClient) -> None:
    (product, *_) = api.get(f"{PATH}?include_fields=sku,name&include=images").json()["data"]
    assert list(product) == ["id", "name", "sku", "images"]
    product = api.get(f"{PATH}/{FIRST}").json()["data"]
    assert list(product) == ["id", "name", "sku", "date_created", "date_modified"]
    product = api.get(f"{PATH}/{FIRST}?exclude_fields=sku,id,description").json()["data"]
    assert list(product) == ["id", "name", "date_created", "date_modified"]


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("include_fields=sku,price", "'price' in include_fields"),
        ("include=images,variants", "include 'variants'"),
        ("sort=date_modified", "by 'date_modified'"),
        *((f"{name}=1", f"filter '{name}'") for name in sorted(v3_filters.NOT_EMULATED)),
        ("date_modified:min=2020-01-01", "filter 'date_modified:min'"),
        ("categories:in=1,2", "filter 'categories:in'"),
    ],
)
def test_what_is_not_emulated_says_so(api: ApiClient, query: str, named: str) -> None:
    """Nothing that the real store would answer is answered as if it had been left out."""
    response = api.get(f"{PATH}?{query}")
    assert response.status_code == 501
    assert named in response.json()["title"]
    assert "docs/sandbox.md" in response.json()["title"]


def test_not_emulated_fields_of_one_product_and_of_images(api: ApiClient) -> None:
    for path in (f"{PATH}/{FIRST}", f"{PATH}/{FIRST}/images"):
        assert api.get(f"{path}?include_fields=price").status_code == 501
    assert api.get(f"{PATH}/{FIRST}?include=variants").status_code == 501


@pytest.mark.parametrize(
    "query",
    [
        "foo=1",
        "id:foo=1",
        "id=x",
        "id:in=",
        "id:in=1,x",
        "sort=foo",
        "direction=up",
        "include=foo",
        "page=x",
        "limit=1.5",
    ],
)
def test_bad_queries_are_422(api: ApiClient, query: str) -> None:
    response = api.get(f"{PATH}?{query}")
    assert response.status_code == 422
    assert isinstance(response.json()["errors"], dict)


def test_writing_products_is_not_emulated(api: ApiClient) -> None:
    for method, path in (
        ("POST", PATH),
        ("PUT", PATH),
        ("DELETE", PATH),
        ("PUT", f"{PATH}/101"),
        ("DELETE", f"{PATH}/101"),
    ):
        assert api(method, path, json={}).status_code == 501
    assert api.get("/v3/catalog/brands").status_code == 501
    assert api("PATCH", PATH).status_code == 405


def test_scan_sees_products_added_and_deleted_meanwhile(many: ApiClient) -> None:
    before = ids(many)
    page = ids(many, limit=10, id__greater=0)
    many.sandbox.delete_product(page[0])
    many.sandbox.delete_product(before[15])
    added = many.sandbox.add_product(sku="new", name="new")
    many.sandbox.add_image(added, picture(), "n.png")
    rest = ids(many, limit=250, id__greater=page[-1])
    assert rest == [x for x in before[10:] if x != before[15]] + [added]
