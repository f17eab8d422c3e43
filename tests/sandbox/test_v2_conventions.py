"""V2 conventions: JSON or XML, tokens, methods, products, time and store."""

from __future__ import annotations

import time
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import requests

from bigcommerce_sandbox import READ_ONLY_TOKEN, UNSCOPED_TOKEN
from tests.support.api_client import FIRST, ApiClient, picture

LIST = f"/v2/products/{FIRST}/images"


def fmt(response: requests.Response) -> str:
    kind = response.headers["content-type"]
    assert kind in ("application/json", "application/xml")
    if kind == "application/json":
        response.json()
    else:
        assert response.text.startswith('<?xml version="1.0" encoding="UTF-8"?>')
        ET.fromstring(response.content)
    return kind.partition("/")[2]


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


def test_xml_of_a_list(api: ApiClient) -> None:
    image = api.images()[0]["id"]
    api.sandbox.set_image(image, description='<b> & "x" \x01\r\n größer', sort_order=-3)
    root = ET.fromstring(api.get(f"{LIST}.xml", headers={"Accept": None}).content)
    assert root.tag == "images"
    assert [child.tag for child in root] == ["image"] * 3
    fields = {child.tag: child.text for child in root[0]}
    assert fields["id"] == str(image)
    assert fields["is_thumbnail"] == "true"
    assert fields["sort_order"] == "-3"
    assert fields["description"] == '<b> & "x" \ufffd\r\n größer'
    api.sandbox.set_image(image, description=None)
    one = ET.fromstring(api.get(f"{LIST}/{image}.xml", headers={"Accept": None}).content)
    assert (one.tag, one.findtext("description")) == ("image", "NULL")


def test_xml_of_an_error(api: ApiClient) -> None:
    response = api.get("/v2/products/1/images", headers={"Accept": "application/xml"})
    root = ET.fromstring(response.content)
    assert root.tag == "errors"
    assert root.findtext("error/status") == "404"
    assert root.findtext("error/message") == "The requested resource was not found."


def test_xml_of_a_product_has_links_and_values(api: ApiClient) -> None:
    root = ET.fromstring(api.get(f"/v2/products/{FIRST}.xml", headers={"Accept": None}).content)
    assert root.find("categories/value") is not None
    link = root.find("images/link")
    assert link is not None
    assert link.text == f"/products/{FIRST}/images"


def test_writing_in_xml(api: ApiClient) -> None:
    url = api.original_url(api.images()[0])
    body = f"<image><image_file>{url}</image_file><is_thumbnail>true</is_thumbnail><sort_order>-2</sort_order></image>"
    headers = {"Content-Type": "application/xml", "Accept": "application/xml"}
    created = api("POST", LIST, data=body, headers=headers)
    assert created.status_code == 201
    root = ET.fromstring(created.content)
    assert (root.tag, root.findtext("is_thumbnail"), root.findtext("sort_order")) == ("image", "true", "-2")
    path = f"{LIST}/{root.findtext('id')}"
    changed = api("PUT", path, data="<image><description>x</description></image>", headers=headers)
    assert ET.fromstring(changed.content).findtext("description") == "x"
    for bad in (
        "<image>",
        "",
        "<image><sort_order><x/></sort_order></image>",
        "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
    ):
        assert api("PUT", path, data=bad, headers=headers).status_code == 400
    for bad in ("NULL", "TRUE", ""):
        text = f"<image><is_thumbnail>{bad}</is_thumbnail></image>"
        assert api("PUT", path, data=text, headers=headers).status_code == 400


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


def test_products_by_date_and_field(api: ApiClient) -> None:
    old = api.sandbox.add_product(sku="A", name="Old", date_modified="2019-01-01T00:00:00+00:00", price=99.5)
    assert products(api, max_date_modified="2019-06-01") == [old]
    assert products(api, max_date_modified="Tue, 01 Jan 2019 00:00:00 +0000") == [old]
    assert old not in products(api, min_date_modified="2019-01-01T00:00:01Z")
    assert products(api, sku="A") == products(api, name="Old") == products(api, min_price="99.5") == [old]
    assert products(api, sku="SKU-000001") == [102]
    assert products(api, sku="none") == []
    assert products(api, is_visible="false") == []
    assert set(products(api, condition="new")) >= {101, old}


def test_product_fields_by_include_and_exclude(api: ApiClient) -> None:
    full = api.get(f"/v2/products/{FIRST}").json()
    assert full["price"] == "5.0000"
    assert full["images"]["resource"] == f"/products/{FIRST}/images"
    assert full["primary_image"]["id"] == api.thumbnails()[0]
    always = {"id", "name", "date_modified", "primary_image"}
    some = api.get(f"/v2/products/{FIRST}", params={"include": "sku,nothing"}).json()
    assert set(some) == always | {"sku"}
    summary = api.get("/v2/products", params={"include": "@summary"}).json()[0]
    assert set(summary) > always | {"availability", "inventory_level"}
    assert "description" not in summary
    less = api.get(f"/v2/products/{FIRST}", params={"exclude": "description,id,name"}).json()
    assert set(full) - set(less) == {"description"}


def test_product_without_images_has_an_empty_primary_image(bare: ApiClient) -> None:
    assert bare.get(f"/v2/products/{FIRST}").json()["primary_image"] == {}
    bare.sandbox.add_image(FIRST, picture(), "a.png")
    assert bare.get("/v2/products").json()[0]["primary_image"]["id"] == bare.images()[0]["id"]


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("min_id=x", "a whole number"),
        ("page=x", "a whole number"),
        ("is_visible=maybe", "true or false"),
        ("min_date_modified=yesterday", "a date, in RFC 2822 or ISO 8601"),
        ("min_date_modified=2013-12", "a date, in RFC 2822 or ISO 8601"),
        ("min_price=x", "a number"),
    ],
)
def test_bad_product_filters_are_400_and_tell_what_is_wanted(api: ApiClient, query: str, wanted: str) -> None:
    answer = api.get(f"/v2/products?{query}")
    assert answer.status_code == 400
    assert answer.json()[0]["details"] == {"invalid_reason": f"It must be {wanted}."}


def test_product_filters_that_do_not_exist_are_400(api: ApiClient) -> None:
    assert api.get("/v2/products?foo=1").status_code == 400


def test_product_filters_that_are_not_emulated(api: ApiClient) -> None:
    assert api.get("/v2/products?keyword_filter=x").status_code == 501
    assert api.get(f"/v2/products/{FIRST}?foo=1").status_code == 400
