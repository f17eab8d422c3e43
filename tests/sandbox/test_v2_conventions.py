"""V2 conventions: JSON or XML, tokens, methods, products, time and store."""

from __future__ import annotations

import time
from typing import Any

import pytest
import requests

from bigcommerce_sandbox import READ_ONLY_TOKEN, UNSCOPED_TOKEN, v2_products
from tests.support.api_client import FIRST, ApiClient, picture

LIST = f"/v2/products/{FIRST}/images"


def fmt(response: requests.Response) -> str:
    """The format that was chosen: XML is answered with 501, in JSON."""
    assert response.headers["content-type"] == "application/json"
    if response.status_code == 501:
        assert "in XML" in response.json()[0]["message"]
        return "xml"
    assert response.status_code == 200
    assert len(response.json()) == 3
    return "json"


@pytest.mark.parametrize(
    ("accept", "extension", "meant"),
    [
        (None, "", "xml"),
        ("*/*", "", "xml"),
        ("application/*", "", "xml"),
        ("application/json", "", "json"),
        ("application/json; charset=utf-8", "", "json"),
        ("application/xml", ".json", "xml"),
        ("application/json", ".xml", "json"),
        (None, ".json", "json"),
        (None, ".xml", "xml"),
        ("*/*", ".json", "json"),
        ("text/html", ".json", "json"),
        ("application/json;q=0.9", ".xml", "xml"),
        ("application/json;q=0.9", "", "json"),
        ("application/xml;q=0.2, application/json;q=0.9", "", "json"),
        ("text/html, application/xml;q=0.5", "", "xml"),
        ("text/xml", "", "xml"),
    ],
)
def test_choice_of_the_format(api: ApiClient, accept: str | None, extension: str, meant: str) -> None:
    assert fmt(api.get(LIST + extension, headers={"Accept": accept})) == meant


@pytest.mark.parametrize("accept", ["text/html", "image/png, text/csv", "application/json;q=0", "application/json;q=x"])
def test_no_acceptable_format_is_406(api: ApiClient, accept: str) -> None:
    assert api.get(LIST, headers={"Accept": accept}).status_code == 406


def test_a_refusal_in_xml_is_not_emulated(api: ApiClient) -> None:
    assert fmt(api.get("/v2/products/1/images", headers={"Accept": "application/xml"})) == "xml"


@pytest.mark.parametrize("kind", ["application/xml", "text/xml; charset=utf-8"])
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_writing_in_xml_is_not_emulated(api: ApiClient, method: str, kind: str) -> None:
    before = api.images()
    path = LIST if method == "POST" else f"{LIST}/{before[0]['id']}"
    body = "<image><description>x</description></image>"
    response = api(method, path, data=body, headers={"Content-Type": kind})
    assert response.status_code == 501
    assert "A request body in XML is not emulated" in response.json()[0]["message"]
    assert api.images() == before


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded"])
def test_other_bodies_are_415(api: ApiClient, kind: str | None) -> None:
    assert api("POST", LIST, data=b"{}", headers={"Content-Type": kind}).status_code == 415


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe", b"null", b'{"a":1', b"[" * 5000, b'{"description":"\\ud800"}']
)
def test_broken_json_is_400(api: ApiClient, body: bytes) -> None:
    response = api("POST", LIST, data=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 400


# ---------------------------------------------------------------- tokens and methods


@pytest.mark.parametrize("version", ["v2", "v3"])
@pytest.mark.parametrize("token", [None, "", "wrong"])
def test_no_or_a_wrong_token_is_401(api: ApiClient, version: str, token: str | None) -> None:
    response = api.get(f"/{version}/catalog/products", headers={"X-Auth-Token": token})
    assert response.status_code == 401
    assert isinstance(response.json(), list if version == "v2" else dict)


@pytest.mark.parametrize(
    "path", ["/stores/other/v2/time", "/stores/sandbo/v3/catalog/products", "/stores/", "/stores/x"]
)
def test_another_store_hash_is_401(api: ApiClient, path: str) -> None:
    response = api.session.get(api.sandbox.url + path, timeout=10)
    assert response.status_code == 401


def test_a_read_only_token_cannot_write(api: ApiClient) -> None:
    headers = {"X-Auth-Token": READ_ONLY_TOKEN}
    assert api.get(LIST, headers=headers).status_code == 200
    image = api.images()[0]["id"]
    for version in ("v2", "v3/catalog"):
        path = f"/{version}/products/{FIRST}/images"
        for method, where in (("POST", path), ("PUT", f"{path}/{image}"), ("DELETE", f"{path}/{image}")):
            assert api(method, where, headers=headers, json={}).status_code == 403
    assert len(api.images()) == 3


def test_a_token_without_scope_may_only_ask_the_time(api: ApiClient) -> None:
    headers = {"X-Auth-Token": UNSCOPED_TOKEN}
    assert api.get("/v2/time", headers=headers).status_code == 200
    for path in (LIST, "/v2/store", "/v2/products", "/v3/catalog/products"):
        assert api.get(path, headers=headers).status_code == 403


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", LIST),
        ("POST", f"{LIST}/11"),
        ("POST", "/v2/time"),
        ("DELETE", "/v2/store"),
        ("PUT", "/v2/products/images/count"),
        ("HEAD", LIST),
        ("OPTIONS", LIST),
    ],
)
def test_a_wrong_method_is_405_with_allow(api: ApiClient, method: str, path: str) -> None:
    response = api(method, path)
    assert response.status_code == 405
    assert "GET" in response.headers["allow"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PATCH", LIST),
        ("GET", "/v2/products/images"),
        ("GET", "/v2/orders"),
        ("GET", f"/v2/products/{FIRST}/skus"),
        ("PUT", f"/v2/products/{FIRST}"),
        ("DELETE", "/v2/products"),
        ("GET", "/v4/x"),
    ],
)
def test_what_is_not_emulated_says_so(api: ApiClient, method: str, path: str) -> None:
    response = api(method, path)
    assert response.status_code == 501
    assert "docs/sandbox.md" in response.text


def test_v2_can_be_switched_off(api: ApiClient) -> None:
    for value, status in (("off", 404), ("gone", 410)):
        api.sandbox.set_flags(v2_available=value)
        for path in (LIST, "/v2/time", "/v2/products/images/count"):
            assert api.get(path).status_code == status
        assert api.get("/v3/catalog/products").status_code == 200


# ---------------------------------------------------------------- products, time, store


def test_time_and_store(api: ApiClient) -> None:
    assert abs(api.get("/v2/time").json()["time"] - time.time()) < 60
    assert api.get("/v2/store").json()["id"] == "sandbox"


def products(api: ApiClient, **query: Any) -> list[int]:
    response = api.get("/v2/products", params=query)
    if response.status_code == 204:
        assert response.content == b""
        return []
    assert response.status_code == 200, response.text
    return [product["id"] for product in response.json()]


def test_products_by_id_range_and_page(api: ApiClient) -> None:
    everything = [101, 102, 103, 104, 105]
    assert products(api) == everything
    assert products(api, min_id=103) == [103, 104, 105]
    assert products(api, min_id=102, max_id=103) == [102, 103]
    assert products(api, limit=2, page=2) == [103, 104]
    assert products(api, limit=2, page=4) == []
    assert products(api, min_id=10**30) == []
    assert api.get("/v2/products/count").json() == {"count": 5}
    assert api.get("/v2/products/count", params={"min_id": 104}).json() == {"count": 2}


def test_products_by_sku(api: ApiClient) -> None:
    added = api.sandbox.add_product(sku="A", name="Added")
    assert products(api, sku="A") == [added]
    assert products(api, sku="SKU-000001") == [102]
    assert products(api, sku="none") == []


def test_product_fields_by_include_and_exclude(api: ApiClient) -> None:
    full = api.get(f"/v2/products/{FIRST}").json()
    assert set(full) == {"id", "name", "sku", "date_created", "date_modified", "primary_image"}
    assert full["primary_image"]["id"] == api.thumbnails()[0]
    always = {"id", "name", "date_modified", "primary_image"}
    some = api.get(f"/v2/products/{FIRST}", params={"include": "sku"}).json()
    assert set(some) == always | {"sku"}
    less = api.get(f"/v2/products/{FIRST}", params={"exclude": "date_created,id,name"}).json()
    assert set(full) - set(less) == {"date_created"}


@pytest.mark.parametrize("name", ["price", "@summary", "images"])
def test_other_product_fields_are_not_emulated(api: ApiClient, name: str) -> None:
    response = api.get("/v2/products", params={"include": f"sku,{name}"})
    assert response.status_code == 501
    assert f"'{name}'" in response.json()[0]["message"]


def test_product_without_images_has_an_empty_primary_image(bare: ApiClient) -> None:
    assert bare.get(f"/v2/products/{FIRST}").json()["primary_image"] == {}
    bare.sandbox.add_image(FIRST, picture(), "a.png")
    assert bare.get("/v2/products").json()[0]["primary_image"]["id"] == bare.images()[0]["id"]


@pytest.mark.parametrize("query", ["min_id=x", "max_id=1.5", "page=x"])
def test_bad_product_filters_are_400_and_tell_what_is_wanted(api: ApiClient, query: str) -> None:
    answer = api.get(f"/v2/products?{query}")
    assert answer.status_code == 400
    assert answer.json()[0]["details"] == {"invalid_reason": "It must be a whole number."}


def test_product_filters_that_do_not_exist_are_400(api: ApiClient) -> None:
    assert api.get("/v2/products?foo=1").status_code == 400


def test_product_filters_that_are_not_emulated(api: ApiClient) -> None:
    for name in v2_products.NOT_EMULATED:
        for path in ("/v2/products", "/v2/products/count"):
            response = api.get(path, params={name: "1"})
            assert response.status_code == 501
            assert f"'{name}'" in response.json()[0]["message"]
    assert api.get(f"/v2/products/{FIRST}?foo=1").status_code == 400
