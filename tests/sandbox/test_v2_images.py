"""V2 product images: each operation, each documented refusal."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
import requests

from tests.support.api_client import FIRST, ApiClient, picture

LIST = f"/v2/products/{FIRST}/images"


def error(response: requests.Response) -> dict[str, Any]:
    """The one error of a V2 error array."""
    (found,) = response.json()
    assert isinstance(found, dict)
    assert found["status"] == response.status_code
    return found


def test_list_is_a_bare_array_in_id_order_with_all_read_fields(api: ApiClient) -> None:
    response = api.get(LIST)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert [image["id"] for image in body] == sorted(image["id"] for image in api.images())
    assert list(body[0]) == [
        "id",
        "product_id",
        "image_file",
        "zoom_url",
        "thumbnail_url",
        "standard_url",
        "tiny_url",
        "is_thumbnail",
        "sort_order",
        "description",
        "date_created",
    ]
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d \+0000", body[0]["date_created"])


def test_list_shows_null_and_empty_descriptions_as_they_are(api: ApiClient) -> None:
    found = {
        image["description"] for product in (101, 102) for image in api.get(f"/v2/products/{product}/images").json()
    }
    assert {None, ""} <= found


def test_get_is_one_object(api: ApiClient) -> None:
    first = api.get(LIST).json()[0]
    assert api.get(f"{LIST}/{first['id']}").json() == first


def test_empty_list_and_page_past_the_end_are_204_without_a_body(api: ApiClient, bare: ApiClient) -> None:
    for response in (bare.get(LIST), api.get(LIST, params={"page": 2}), api.get(LIST, params={"page": 10**30})):
        assert (response.status_code, response.content) == (204, b"")
        assert "content-length" not in response.headers


def test_pages_have_50_by_default_and_250_at_most(bare: ApiClient) -> None:
    content = picture()
    ids = [bare.sandbox.add_image(FIRST, content, "a.png") for _ in range(251)]
    assert [image["id"] for image in bare.get(LIST).json()] == ids[:50]
    assert [image["id"] for image in bare.get(LIST, params={"limit": 250}).json()] == ids[:250]
    assert [image["id"] for image in bare.get(LIST, params={"limit": 250, "page": 2}).json()] == ids[250:]
    assert [image["id"] for image in bare.get(LIST, params={"limit": 2, "page": 3}).json()] == ids[4:6]


@pytest.mark.parametrize(("given", "meant"), [("0", 1), ("-3", 1)])
def test_a_limit_below_one_counts_as_one(api: ApiClient, given: str, meant: int) -> None:
    assert len(api.get(LIST, params={"limit": given}).json()) == meant


def test_limit_over_250_is_413_or_cut_by_the_switch(bare: ApiClient) -> None:
    for _ in range(251):
        bare.sandbox.add_image(FIRST, b"x", "a.png")
    refused = bare.get(LIST, params={"limit": 251})
    assert error(refused)["status"] == 413
    bare.sandbox.set_flags(limit_over_max="clamp")
    assert len(bare.get(LIST, params={"limit": 10**40}).json()) == 250


@pytest.mark.parametrize("query", ["page=x", "limit=", "limit=1.5", "sort=id"])
def test_other_queries_are_400(api: ApiClient, query: str) -> None:
    assert error(api.get(f"{LIST}?{query}"))["status"] == 400


def test_counts_are_store_wide_and_per_product(api: ApiClient) -> None:
    assert api.get("/v2/products/images/count").json() == {"count": 15}
    assert api.get(f"/v2/products/{FIRST}/images/count").json() == {"count": 3}
    api("DELETE", LIST)
    assert api.get("/v2/products/images/count").json() == {"count": 12}


@pytest.mark.parametrize(
    "path",
    [
        "/v2/products/1/images",
        "/v2/products/x/images",
        "/v2/products/-1/images",
        f"/v2/products/{10**40}/images",
        f"{LIST}/1",
        f"{LIST}/y",
        "/v2/products/102/images/11",
        "/v2/products/1",
        "/v2/products/1/images/count",
    ],
)
def test_missing_products_and_images_are_404_in_two_shapes(api: ApiClient, path: str) -> None:
    response = api.get(path)
    assert response.status_code == 404
    assert error(response)["message"] == "The requested resource was not found."
    api.sandbox.set_flags(v2_404_shape="object")
    body = api.get(path).json()
    assert body["status"] == 404
    assert body["errors"] == {}


# ---------------------------------------------------------------- create


def test_create_by_url_is_201_with_location_and_without_rendition_addresses(api: ApiClient) -> None:
    fields: dict[str, Any] = {"is_thumbnail": True, "sort_order": 7, "description": "größer"}
    response = api.create("v2", **fields)
    body = response.json()
    assert response.status_code == 201
    assert response.headers["location"] == f"{api.sandbox.url}/stores/sandbox{LIST}/{body['id']}"
    assert set(body) == {*fields, "id", "product_id", "image_file", "date_created"}
    assert {name: body[name] for name in fields} == fields
    assert body["id"] == max(image["id"] for image in api.sandbox.dump(files=False)["images"])
    assert parsedate_to_datetime(body["date_created"]).year > 2024
    stored = api.get(response.headers["location"].partition("/stores/sandbox")[2]).json()
    assert {name: stored[name] for name in body} == body


def test_created_file_is_stored_under_a_new_name_with_a_stacked_suffix(api: ApiClient) -> None:
    source = api.sandbox.dump(files=False)["images"][0]["image_file"]
    stem, _, ext = source.rpartition("/")[2].rpartition(".")
    created = api.create().json()["image_file"]
    assert re.fullmatch(rf"[a-z]/\d{{3}}/{re.escape(stem)}__\d{{5}}\.{ext}", created)
    assert re.search(r"__\d{5}__\d{5}\.", created)
    assert api.sandbox.original(created) == api.sandbox.original(source)


def test_create_from_the_import_directory(api: ApiClient) -> None:
    content = picture("blue", "JPEG")
    folder = api.sandbox.url + "/dav/product_images/import"
    auth = requests.auth.HTTPDigestAuth("owner@sandbox.example", "sandbox-dav-password")
    requests.request("MKCOL", f"{folder}/sub", auth=auth, timeout=10).raise_for_status()
    assert requests.put(f"{folder}/sub/my photo.jpg", content, auth=auth, timeout=10).status_code == 201
    created = api("POST", LIST, json={"image_file": "sub/my photo.jpg"})
    assert created.status_code == 201
    assert re.fullmatch(r"[a-z]/\d{3}/my-photo__\d{5}\.jpg", created.json()["image_file"])
    assert api.sandbox.original(created.json()["image_file"]) == content


@pytest.mark.parametrize("path", ["x.jpg", "../../../../etc/passwd", "/etc/passwd", "", "sub\0x", "."])
def test_create_from_what_is_not_in_the_import_directory(api: ApiClient, path: str) -> None:
    found = error(api("POST", LIST, json={"image_file": path}))
    assert found["message"] == "The field 'image_file' is invalid."
    assert found["details"] == {"invalid_reason": f"The file '{path}' is missing or is not usable by this resource."}


@pytest.mark.parametrize(
    "url",
    [
        "https://files.example.net/a.jpg",
        "http://169.254.169.254/latest/meta-data",
        "http://localhost.example.net/a.jpg",
        "http://127.0.0.1:1/a.jpg",
        "http://[::ffff:8.8.8.8]/a.jpg",
        "http://[bad/a.jpg",
        "http://",
    ],
)
def test_create_from_a_url_that_cannot_be_fetched(api: ApiClient, url: str) -> None:
    found = error(api("POST", LIST, json={"image_file": url}))
    assert found["message"] == "The field 'image_file' is invalid."
    reason = f"The resource at '{url}' could not be downloaded and may be invalid."
    assert found["details"] == {"invalid_reason": reason}


def test_create_from_a_url_longer_than_255(api: ApiClient) -> None:
    url = api.original_url(api.images()[0])
    fits = url + "?" + "x" * (254 - len(url))
    assert api("POST", LIST, json={"image_file": fits}).status_code == 201
    assert "details" not in error(api("POST", LIST, json={"image_file": fits + "x"}))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "The required field 'image_file' was not supplied."),
        ({"image_url": "x"}, "The field 'image_url' is not supported by this resource."),
        ({"image_file": None}, "The field 'image_file' does not allow null values."),
        ({"description": None}, "The field 'description' does not allow null values."),
        ({"is_thumbnail": "yes"}, "The field 'is_thumbnail' is invalid."),
        ({"is_thumbnail": 1}, "The field 'is_thumbnail' is invalid."),
        ({"sort_order": "1"}, "The field 'sort_order' is invalid."),
        ({"sort_order": 1.5}, "The field 'sort_order' is invalid."),
        ({"sort_order": 2**31}, "The field 'sort_order' is invalid."),
        ({"sort_order": -(2**31) - 1}, "The field 'sort_order' is invalid."),
        ({"sort_order": 10**400}, "The request body could not be parsed."),
        ({"description": 5}, "The field 'description' is invalid."),
        ({"image_file": 5}, "The field 'image_file' is invalid."),
        ({"image_file": ["x"]}, "The field 'image_file' is invalid."),
        ([], "The request body must be an object."),
        ("text", "The request body must be an object."),
    ],
)
def test_create_refuses_bad_fields(api: ApiClient, body: Any, message: str) -> None:
    if isinstance(body, dict) and body and not {"image_file", "image_url"} & set(body):
        body = {"image_file": api.original_url(api.images()[0]), **body}
    assert error(api("POST", LIST, json=body))["message"] == message
    assert len(api.images()) == 3


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("name", ["id", "product_id", "date_created"])
def test_read_only_fields_are_refused(api: ApiClient, method: str, name: str) -> None:
    path = LIST if method == "POST" else f"{LIST}/{api.images()[0]['id']}"
    found = error(api(method, path, json={"image_file": "x.jpg", name: 1}))
    assert found["message"] == (
        f"The field '{name}' cannot be written to. Please remove it from your request before trying again."
    )


def test_negative_sort_order_by_the_switch(api: ApiClient) -> None:
    assert api.create(sort_order=-5).json()["sort_order"] == -5
    api.sandbox.set_flags(v2_negative_sort_order="refuse")
    assert error(api.create(sort_order=-5))["message"] == "The field 'sort_order' is invalid."


def test_description_maximum_by_the_switch(api: ApiClient) -> None:
    assert api.create(description="x" * 100_000).status_code == 201
    api.sandbox.set_flags(description_max=255)
    assert api.create(description="x" * 255).status_code == 201
    assert api.create(description="x" * 256).status_code == 400


def test_not_a_picture_and_too_large_are_unusable(api: ApiClient) -> None:
    for content in (b"<html>no</html>", b"", picture()[:40], picture("red", "TIFF")):
        image = api.sandbox.add_image(102, content, "a.png")
        url = api.original_url(next(item for item in api.images(102) if item["id"] == image))
        found = error(api("POST", LIST, json={"image_file": url}))
        assert found["details"]["invalid_reason"] == f"The file '{url}' is missing or is not usable by this resource."
    api.sandbox.set_flags(max_file_bytes=100)
    assert error(api.create())["details"]["invalid_reason"].startswith("The file 'http")


def test_no_more_than_the_maximum_of_images(api: ApiClient) -> None:
    api.sandbox.set_flags(max_images=4)
    assert api.create().status_code == 201
    assert api.create().status_code == 403
    assert len(api.images()) == 4


def test_ids_are_never_used_again(api: ApiClient) -> None:
    first = api.create().json()["id"]
    assert api("DELETE", f"{LIST}/{first}").status_code == 204
    assert api.create().json()["id"] == first + 1


def test_multipart_is_415_unless_switched_on(api: ApiClient) -> None:
    files = {"image_file": ("up load.png", picture("green"), "image/png")}
    data = {"sort_order": "4", "is_thumbnail": "true"}
    assert api("POST", LIST, files=files, data=data).status_code == 415
    api.sandbox.set_flags(v2_multipart="on")
    created = api("POST", LIST, files=files, data=data)
    assert created.status_code == 201
    assert created.json()["sort_order"] == 4
    assert api.sandbox.original(created.json()["image_file"]) == picture("green")


# ---------------------------------------------------------------- update and delete


def test_update_changes_only_what_is_sent(api: ApiClient) -> None:
    before = api.images()[1]
    response = api("PUT", f"{LIST}/{before['id']}", json={"description": "new"})
    assert response.status_code == 200
    assert response.json()["id"] == before["id"]
    assert "zoom_url" not in response.json()
    after = api.images()[1]
    assert after["description"] == "new"
    assert after["date_modified"] > before["date_modified"]
    same = ("image_file", "is_thumbnail", "sort_order", "date_created")
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    assert api("PUT", f"{LIST}/{before['id']}", json={}).status_code == 200


def test_update_with_a_new_file_keeps_the_id_and_the_old_path_is_gone(api: ApiClient) -> None:
    old, other = api.images()[:2]
    response = api("PUT", f"{LIST}/{old['id']}", json={"image_file": api.original_url(other)})
    assert response.json()["id"] == old["id"]
    new = response.json()["image_file"]
    assert new != old["image_file"]
    assert api.file(f"/product_images/{old['image_file']}").status_code == 404
    assert api.file(f"/product_images/{new}").content == api.sandbox.original(other["image_file"])


def test_update_of_what_is_missing(api: ApiClient) -> None:
    assert api("PUT", f"{LIST}/1", json={}).status_code == 404
    assert api("DELETE", f"{LIST}/1").status_code == 404
    assert api("POST", "/v2/products/1/images", json={}).status_code == 404
    assert api("DELETE", "/v2/products/1/images").status_code == 404


def test_delete_one(api: ApiClient) -> None:
    first, *rest = api.images()
    response = api("DELETE", f"{LIST}/{first['id']}")
    assert (response.status_code, response.content) == (204, b"")
    assert [image["id"] for image in api.images()] == [image["id"] for image in rest]
    assert api("DELETE", f"{LIST}/{first['id']}").status_code == 404


def test_delete_multiple_deletes_one_page(bare: ApiClient) -> None:
    ids = [bare.sandbox.add_image(FIRST, b"x", "a.png") for _ in range(120)]
    assert bare("DELETE", LIST, params={"page": 2, "limit": 10}).status_code == 204
    assert [image["id"] for image in bare.images()] == ids[:10] + ids[20:]
    remaining = []
    while bare.get(LIST).status_code != 204:
        assert bare("DELETE", LIST).status_code == 204
        remaining.append(len(bare.images()))
    assert remaining == [60, 10, 0]
    assert bare("DELETE", LIST).status_code == 204


def test_extra_fields_by_the_switch(api: ApiClient) -> None:
    api.sandbox.set_flags(v2_extra_fields="on")
    body = api.get(LIST).json()[0]
    assert body["is_sample"] is False
    assert parsedate_to_datetime(body["date_modified"]) >= parsedate_to_datetime(body["date_created"])
