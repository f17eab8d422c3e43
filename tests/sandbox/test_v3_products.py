"""V3 products: filters, paging, fields, includes."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest

from bigcommerce_sandbox import v3_filters, v3_products
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


def test_by_sku_name_and_other_fields(many: ApiClient) -> None:
    assert ids(many, sku="SKU-000001") == [102]
    assert ids(many, sku__in="SKU-000001,SKU-000002,x") == [102, 103]
    assert ids(many, sku="") != []
    assert ids(many, name="[Sample] Product 1") == [102]
    assert ids(many, keyword="PRODUCT 11") == ids(many, keyword="product 11", keyword_context="merchant")
    new = many.sandbox.add_product(sku="x", name="y", price=7.25, inventory_level=0, is_visible=0)
    assert new in ids(many, price="7.25")
    assert new in ids(many, is_visible="false", out_of_stock=1, inventory_low="true")
    assert new not in ids(many, is_visible=1)
    assert new in ids(many, categories="20", categories__in="20,21", channel_id__in=1)
    assert ids(many, channel_id__in=2) == []
    assert new in ids(many, inventory_level__in="0,1", inventory_level__max=0, condition="new", type="physical")


def test_by_date_modified(many: ApiClient) -> None:
    new = many.sandbox.add_product(sku="d", name="d", date_modified="2030-05-05T12:00:00+00:00")
    assert ids(many, date_modified__min="2030-05-05T12:00:00+00:00") == [new]
    assert ids(many, date_modified__min="2030-05-05T12:00:01Z") == []
    assert ids(many, date_modified__min="2030-05-05T14:00:00+02:00") == [new]
    assert ids(many, date_modified__min=int(datetime(2030, 5, 5, 12, tzinfo=UTC).timestamp())) == [new]
    assert ids(many, date_modified="2030-05-05") == ids(many, date_modified="2030-05-05T12:00:00") == [new]
    assert new not in ids(many, date_modified__max="2030-05-05T11:59:59Z")


def test_a_date_alone_gets_the_present_time_of_day(many: ApiClient) -> None:
    """So a change earlier on that day is missed: bigcommerce/api issue 94."""
    now = int(time.time()) % 86400
    midnight = int(datetime(2030, 5, 5, tzinfo=UTC).timestamp())
    early = many.sandbox.add_product(sku="early", name="e", date_modified=midnight + max(0, now - 3600))
    late = many.sandbox.add_product(sku="late", name="l", date_modified=midnight + 86400)
    assert ids(many, date_modified__min="2030-05-05") == ([late] if now > 3600 else [early, late][now <= 0 :])
    assert ids(many, date_modified__min="20300505") == ids(many, date_modified__min="2030-05-05")


def test_sort_and_direction(many: ApiClient) -> None:
    everything = ids(many)
    assert ids(many, direction="desc") == everything[::-1]
    dates = [p["date_modified"] for p in many.get(f"{PATH}?sort=date_modified&direction=desc").json()["data"]]
    assert dates == sorted(dates, reverse=True)
    for sort in v3_products.SORTS:
        assert sorted(ids(many, sort=sort)) == everything


def test_pages(many: ApiClient) -> None:
    assert len(ids(many, limit=15, page=3)) == 10
    assert ids(many, limit=15, page=4) == []
    body = many.get(f"{PATH}?limit=15&page=2&sku:in=a,b&id:greater=0").json()
    assert body["meta"]["pagination"]["links"]["previous"] == "?sku:in=a,b&id:greater=0&page=1&limit=15"
    assert many.get(f"{PATH}?limit=251").status_code == 413


def test_options_and_modifiers_silently_cut_the_page_to_ten(many: ApiClient) -> None:
    for name in ("options", "modifiers", "images,options"):
        body = many.get(f"{PATH}?limit=250&include={name}").json()
        assert len(body["data"]) == body["meta"]["pagination"]["per_page"] == 10
        assert body["meta"]["pagination"]["total_pages"] == 4
    assert len(ids(many, include="images", limit=250)) == 40


def test_included_images_equal_the_images_own_endpoint(api: ApiClient) -> None:
    api.sandbox.set_image(api.images()[0]["id"], description='quotes " and \\ and \n and \x01 and \u2028')
    api.sandbox.set_image(api.images()[1]["id"], description=None)
    for product in api.get(f"{PATH}?include=images,primary_image").json()["data"]:
        own = api.get(f"{PATH}/{product['id']}/images").json()["data"]
        assert product["images"] == own
        assert product["primary_image"] == next(image for image in own if image["is_thumbnail"])
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
    (product,) = bare.get(f"{PATH}?include=images,primary_image").json()["data"]
    assert product["images"] == []
    assert "primary_image" not in product


def test_every_include_is_answered(api: ApiClient) -> None:
    names = sorted(v3_products.INCLUDES)
    product = api.get(f"{PATH}/{FIRST}?include={','.join(names)}").json()["data"]
    assert set(names) <= set(product)
    assert product["variants"][0]["sku"] == product["sku"]
    assert product["channels"] == [1]


def test_fields(api: ApiClient) -> None:
    (product, *_) = api.get(f"{PATH}?include_fields=sku,name,nothing&include=images").json()["data"]
    assert list(product) == ["id", "name", "sku", "images"]
    product = api.get(f"{PATH}/{FIRST}?exclude_fields=description,id").json()["data"]
    assert "description" not in product
    assert {"id", "price", "date_modified"} <= set(product)


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
        "is_visible=maybe",
        "price=x",
        "date_modified:min=yesterday",
        "date_modified:min=2013-12",
        "condition=broken",
        "page=x",
        "limit=1.5",
    ],
)
def test_bad_queries_are_422(api: ApiClient, query: str) -> None:
    response = api.get(f"{PATH}?{query}")
    assert response.status_code == 422
    assert isinstance(response.json()["errors"], dict)


def test_every_filter_takes_a_value(api: ApiClient) -> None:
    values = {
        "int": "1",
        "ints": "1,2",
        "bool": "1",
        "number": "1.5",
        "date": "2020-01-01T00:00:00Z",
        "day": "2020-01-01",
    }
    for name, (_, kind) in v3_filters.FILTERS.items():
        enum = v3_filters.ENUMS.get(name)
        value = min(enum) if enum else values.get(kind, "x")
        assert api.get(PATH, params={name: value}).status_code == 200, name


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
