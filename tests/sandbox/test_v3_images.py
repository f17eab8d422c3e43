"""V3 product images: each operation by JSON and multipart, each refusal."""

from __future__ import annotations

import re
from typing import Any

import pytest
import requests

from tests.support.api_client import FIRST, ApiClient, picture

LIST = f"/v3/catalog/products/{FIRST}/images"


def title(response: requests.Response, status: int) -> str:
    """The title of a V3 error object of this status."""
    body = response.json()
    assert response.status_code == status
    assert body["status"] == status
    assert body["type"]
    return str(body["title"])


def test_list_has_data_and_pagination(api: ApiClient) -> None:
    body = api.get(LIST).json()
    assert [image["id"] for image in body["data"]] == [image["id"] for image in api.images()]
    assert list(body["data"][0]) == [
        "id",
        "product_id",
        "is_thumbnail",
        "sort_order",
        "description",
        "image_file",
        "url_zoom",
        "url_standard",
        "url_thumbnail",
        "url_tiny",
        "date_modified",
    ]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", body["data"][0]["date_modified"])
    assert body["meta"] == {
        "pagination": {
            "total": 3,
            "count": 3,
            "per_page": 50,
            "current_page": 1,
            "total_pages": 1,
            "links": {"current": "?page=1&limit=50"},
        }
    }


def test_pages_are_linked_by_query_strings(api: ApiClient) -> None:
    query, seen = "?limit=1", []
    for _ in range(3):
        body = api.get(LIST + query).json()
        seen += [image["id"] for image in body["data"]]
        query = body["meta"]["pagination"]["links"].get("next", "")
    assert seen == [image["id"] for image in api.images()]
    assert not query
    assert "previous" in body["meta"]["pagination"]["links"]


def test_null_description_is_empty_text(api: ApiClient) -> None:
    image = api.images()[0]["id"]
    api.sandbox.set_image(image, description=None)
    assert api.get(f"{LIST}/{image}").json()["data"]["description"] == ""


def test_empty_list_is_200_or_204_by_the_switch(bare: ApiClient) -> None:
    body = bare.get(LIST).json()
    assert body["data"] == []
    assert body["meta"]["pagination"]["total"] == 0
    bare.sandbox.set_flags(v3_empty_list="204")
    response = bare.get(LIST)
    assert (response.status_code, response.content) == (204, b"")


def test_limit_over_250(api: ApiClient) -> None:
    assert api.get(f"{LIST}?limit=251").status_code == 413
    api.sandbox.set_flags(limit_over_max="clamp")
    assert api.get(f"{LIST}?limit=251").json()["meta"]["pagination"]["per_page"] == 250


def test_include_and_exclude_fields(api: ApiClient) -> None:
    assert set(api.get(f"{LIST}?include_fields=sort_order").json()["data"][0]) == {"id", "sort_order"}
    one = api.get(f"{LIST}/{api.images()[0]['id']}?exclude_fields=url_zoom,id").json()["data"]
    assert "url_zoom" not in one
    assert {"id", "url_tiny"} <= set(one)


def test_unknown_filters_are_422(api: ApiClient) -> None:
    for path in (LIST, f"{LIST}/{api.images()[0]['id']}"):
        response = api.get(f"{path}?foo=1&bar=2")
        assert title(response, 422) == "The filter(s): foo, bar are not valid filter parameter(s)."
        assert response.json()["errors"] == {}
    assert api.get(f"{LIST}?page=x").status_code == 422


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v3/catalog/products/1/images"),
        ("POST", "/v3/catalog/products/1/images"),
        ("GET", "/v3/catalog/products/1/images/11"),
        ("GET", f"{LIST}/1"),
        ("PUT", f"{LIST}/1"),
        ("DELETE", f"{LIST}/1"),
        ("GET", "/v3/catalog/products/x"),
        ("GET", f"/v3/catalog/products/{10**30}"),
        ("GET", "/v3/catalog/products/102/images/11"),
    ],
)
def test_missing_products_and_images_are_404(api: ApiClient, method: str, path: str) -> None:
    response = api(method, path, json={} if method in ("POST", "PUT") else None)
    assert title(response, 404)
    assert "instance" in response.json()


def test_title_of_a_missing_product(api: ApiClient) -> None:
    assert title(api.get("/v3/catalog/products/999/images"), 404) == "A product was not found with an id of 999"


# ---------------------------------------------------------------- create


def test_create_by_url_is_200(api: ApiClient) -> None:
    fields: dict[str, Any] = {"is_thumbnail": True, "sort_order": -7, "description": "größer"}
    response = api.create("v3", **fields, product_id_="ignored", date_modified="2001-01-01T00:00:00Z")
    assert response.status_code == 200
    body = response.json()
    assert body["meta"] == {}
    image = body["data"]
    assert {name: image[name] for name in fields} == fields
    assert image["date_modified"] > "2024"
    assert api.get(f"{LIST}/{image['id']}").json()["data"] == image
    assert api.thumbnails() == [image["id"]]


def test_create_by_multipart(api: ApiClient) -> None:
    content = picture("green", "GIF")
    files = {"image_file": ("my file.gif", content, "image/gif")}
    data = {"is_thumbnail": "false", "sort_order": "-2147483648", "description": "ä"}
    response = api("POST", LIST, files=files, data=data)
    assert response.status_code == 200
    image = response.json()["data"]
    assert re.fullmatch(r"[a-z]/\d{3}/my-file__\d{5}\.gif", image["image_file"])
    assert (image["is_thumbnail"], image["sort_order"], image["description"]) == (False, -(2**31), "ä")
    assert api.file(f"/product_images/{image['image_file']}").content == content


def test_neither_file_nor_url_is_422(api: ApiClient) -> None:
    expected = "image_url must be present if uploading by url"
    assert title(api("POST", LIST, json={"sort_order": 1}), 422) == expected
    assert title(api("POST", LIST, json={"image_file": "a/000/b.jpg"}), 422) == expected
    url = api.original_url(api.images()[0])
    assert title(api("POST", LIST, files={"image_url": (None, url)}), 422) == expected
    assert len(api.images()) == 3


@pytest.mark.parametrize("url", ["http://files.example.net/a.jpg", "https://10.0.0.1/", "http://127.0.0.1:1/x"])
def test_url_that_cannot_be_fetched_is_400(api: ApiClient, url: str) -> None:
    assert "could not be downloaded and may be invalid" in title(api("POST", LIST, json={"image_url": url}), 400)


@pytest.mark.parametrize(
    "url", ["/product_images/a.jpg", "a.jpg", "", "ftp://127.0.0.1/a", 5, None, "http://" + "x" * 249]
)
def test_url_that_is_none_is_422(api: ApiClient, url: object) -> None:
    assert "image_url" in api("POST", LIST, json={"image_url": url}).json()["errors"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("is_thumbnail", "true"),
        ("is_thumbnail", 1),
        ("is_thumbnail", None),
        ("sort_order", "1"),
        ("sort_order", 2**31),
        ("sort_order", True),
        ("sort_order", 0.5),
        ("description", None),
        ("description", ["x"]),
        ("product_id", "x"),
        ("date_modified", 5),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_wrong_types_are_422_and_name_the_field(api: ApiClient, method: str, name: str, value: object) -> None:
    first = api.images()[0]
    path = LIST if method == "POST" else f"{LIST}/{first['id']}"
    response = api(method, path, json={"image_url": api.original_url(first), name: value})
    assert response.status_code == 422
    assert name in response.json()["errors"]
    assert api.images()[0] == first
    assert len(api.images()) == 3


@pytest.mark.parametrize("data", [{"is_thumbnail": "perhaps"}, {"sort_order": "1.5"}, {"sort_order": ""}])
def test_wrong_multipart_fields_are_422(api: ApiClient, data: dict[str, str]) -> None:
    files = {"image_file": ("a.png", picture(), "image/png")}
    assert api("POST", LIST, files=files, data=data).status_code == 422


def test_a_multipart_file_that_is_a_field_is_422(api: ApiClient) -> None:
    assert "image_file" in api("POST", LIST, files={"image_file": (None, "text")}).json()["errors"]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[]", b"5", b"null"])
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_malformed_json_is_422(api: ApiClient, method: str, body: bytes) -> None:
    path = LIST if method == "POST" else f"{LIST}/{api.images()[0]['id']}"
    assert api(method, path, data=body, headers={"Content-Type": "application/json"}).status_code == 422


@pytest.mark.parametrize("kind", [None, "text/plain", "application/xml"])
def test_other_bodies_are_415(api: ApiClient, kind: str | None) -> None:
    response = api("POST", LIST, data=b"{}", headers={"Content-Type": kind})
    assert response.status_code == 415
    assert response.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize(
    "kind", ["multipart/form-data", "multipart/form-data; boundary=x", 'multipart/form-data; boundary=""']
)
def test_malformed_multipart_is_422(api: ApiClient, kind: str) -> None:
    assert api("POST", LIST, data=b"--y\r\nnonsense", headers={"Content-Type": kind}).status_code == 422


def test_not_a_picture_is_422(api: ApiClient) -> None:
    for content in (b"no picture", b"", picture()[:50]):
        response = api("POST", LIST, files={"image_file": ("a.jpg", content, "image/jpeg")})
        assert "could not be processed and may not be valid image" in title(response, 422)


def test_over_8_mb_is_422_with_its_code(api: ApiClient) -> None:
    fits = picture("red", "BMP", (1, 1))
    fits += bytes(8 * 1024 * 1024 - len(fits))
    ok = api("POST", LIST, files={"image_file": ("a.bmp", fits, "image/bmp")})
    assert ok.status_code == 200
    for send in (
        {"files": {"image_file": ("a.bmp", fits + b"x", "image/bmp")}},
        {"json": {"image_url": api.original_url(ok.json()["data"])}},
    ):
        if "json" in send:
            api.sandbox.set_flags(max_file_bytes=len(fits) - 1)
        response = api("POST", LIST, **send)
        assert "maximum of 8 MB" in title(response, 422)
        assert response.json()["code"] == 10001


def test_a_body_over_16_mb_is_413(api: ApiClient) -> None:
    assert api("POST", LIST, files={"image_file": ("a.bmp", bytes(17 * 1024 * 1024))}).status_code == 413


def test_no_more_than_the_maximum_of_images(api: ApiClient) -> None:
    api.sandbox.set_flags(max_images=3)
    assert api.create("v3").status_code == 422
    assert len(api.images()) == 3


def test_description_maximum_by_the_switch(api: ApiClient) -> None:
    api.sandbox.set_flags(description_max=10)
    assert api.create("v3", description="x" * 10).status_code == 200
    assert "description" in api.create("v3", description="x" * 11).json()["errors"]


# ---------------------------------------------------------------- update and delete


def test_update_changes_only_what_is_sent(api: ApiClient) -> None:
    before = api.images()[1]
    response = api("PUT", f"{LIST}/{before['id']}", json={"description": "new", "product_id": 5, "unknown": 1})
    assert response.status_code == 200
    after = api.images()[1]
    assert after["description"] == "new"
    same = ("id", "product_id", "image_file", "is_thumbnail", "sort_order", "date_created")
    assert {name: after[name] for name in same} == {name: before[name] for name in same}


def new_file(api: ApiClient, method: str, image: int, **data: str) -> requests.Response:
    files = {"image_file": ("new.png", picture("yellow"), "image/png")}
    return api(method, f"{LIST}/{image}", files=files, data=data)


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_update_by_multipart(api: ApiClient, method: str) -> None:
    old = api.images()[0]
    response = new_file(api, method, old["id"], sort_order="9")
    assert response.status_code == 200
    image = response.json()["data"]
    assert (image["id"], image["sort_order"]) == (old["id"], 9)
    assert api.sandbox.original(image["image_file"]) == picture("yellow")
    assert api.file(f"/product_images/{old['image_file']}").status_code == 404
    fields_only = api(method, f"{LIST}/{old['id']}", files={"sort_order": (None, "3")})
    assert fields_only.json()["data"]["sort_order"] == 3


def test_update_by_multipart_put_can_be_refused(api: ApiClient) -> None:
    image = api.images()[0]["id"]
    api.sandbox.set_flags(v3_multipart_put="off")
    assert new_file(api, "PUT", image).status_code == 415
    assert new_file(api, "POST", image).status_code == 200


def test_post_of_json_to_an_image_is_415(api: ApiClient) -> None:
    assert api("POST", f"{LIST}/{api.images()[0]['id']}", json={"sort_order": 1}).status_code == 415


def test_update_by_url_stores_a_new_path_even_for_its_own_file(api: ApiClient) -> None:
    old = api.images()[0]
    content = api.sandbox.original(old["image_file"])
    image = api("PUT", f"{LIST}/{old['id']}", json={"image_url": api.original_url(old)}).json()["data"]
    assert image["id"] == old["id"]
    assert image["image_file"] != old["image_file"]
    assert api.sandbox.original(image["image_file"]) == content
    assert api.sandbox.original(old["image_file"]) is None


def test_delete_one_but_no_collection(api: ApiClient) -> None:
    image: dict[str, Any] = api.images()[0]
    assert api("DELETE", f"{LIST}/{image['id']}").status_code == 204
    assert api("DELETE", f"{LIST}/{image['id']}").status_code == 404
    response = api("DELETE", LIST)
    assert response.status_code == 405
    assert response.headers["allow"] == "GET, POST"
    assert len(api.images()) == 2
