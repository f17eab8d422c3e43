"""What a write does to the other images, under each flag."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from tests.support.api_client import FIRST, ApiClient, picture

Images = list[dict[str, Any]]
VERSIONS = pytest.mark.parametrize("version", ["v2", "v3"])


def put(api: ApiClient, version: str, image: int, **fields: object) -> None:
    prefix = "/v2" if version == "v2" else "/v3/catalog"
    api("PUT", f"{prefix}/products/{FIRST}/images/{image}", json=fields).raise_for_status()


def delete(api: ApiClient, image: int) -> None:
    api("DELETE", f"/v2/products/{FIRST}/images/{image}").raise_for_status()


@VERSIONS
def test_a_new_thumbnail_takes_the_place_of_the_old(api: ApiClient, version: str) -> None:
    first, second, _ = (image["id"] for image in api.images())
    assert api.thumbnails() == [first]
    put(api, version, second, is_thumbnail=True)
    assert api.thumbnails() == [second]
    api.create(version, is_thumbnail=True).raise_for_status()
    assert len(api.thumbnails()) == 1
    assert second not in api.thumbnails()
    put(api, version, api.thumbnails()[0], is_thumbnail=False)
    assert api.thumbnails() == []


@VERSIONS
@pytest.mark.parametrize("flag", ["forced", "sticks"])
def test_the_only_image(bare: ApiClient, api: ApiClient, version: str, flag: str) -> None:
    bare.sandbox.set_flags(single_image_false_thumbnail=flag)
    url = api.original_url(api.images()[0])
    name, path = ("image_file", "/v2") if version == "v2" else ("image_url", "/v3/catalog")
    bare("POST", f"{path}/products/{FIRST}/images", json={name: url, "is_thumbnail": False}).raise_for_status()
    assert len(bare.thumbnails()) == (flag == "forced")
    put(bare, version, bare.images()[0]["id"], is_thumbnail=True)
    assert len(bare.thumbnails()) == 1
    put(bare, version, bare.images()[0]["id"], is_thumbnail=False)
    assert len(bare.thumbnails()) == (flag == "forced")


def test_the_first_image_becomes_the_thumbnail_unasked(bare: ApiClient, api: ApiClient) -> None:
    bare.sandbox.set_flags(single_image_false_thumbnail="sticks")
    url = api.original_url(api.images()[0])
    for _ in range(2):
        bare("POST", f"/v2/products/{FIRST}/images", json={"image_file": url}).raise_for_status()
    assert bare.thumbnails() == [bare.images()[0]["id"]]


@pytest.mark.parametrize("flag", ["first", "none"])
def test_after_the_thumbnail_is_deleted(api: ApiClient, flag: str) -> None:
    api.sandbox.set_flags(thumbnail_after_delete=flag)
    first, second, third = (image["id"] for image in api.images())
    api.sandbox.set_image(second, sort_order=5)
    api.sandbox.set_image(third, sort_order=4)
    delete(api, first)
    assert api.thumbnails() == ([third] if flag == "first" else [])


def test_deleting_another_image_leaves_the_thumbnail(api: ApiClient) -> None:
    first, second, _ = (image["id"] for image in api.images())
    delete(api, second)
    assert api.thumbnails() == [first]


def ordered(api: ApiClient, *orders: int) -> list[int]:
    """Set the orders of the first product's three images; returns their ids."""
    ids = [image["id"] for image in api.images()]
    for image, order in zip(ids, orders, strict=True):
        api.sandbox.set_image(image, sort_order=order, date_modified=1_600_000_000)
    return ids


@VERSIONS
@pytest.mark.parametrize(
    ("image", "order", "after"),
    [
        (0, 1, [1, 2, 3]),  # given a lower priority: what is at or behind the new place moves
        (0, 2, [2, 1, 3]),
        (0, 9, [9, 1, 2]),
        (2, 0, [0, 1, 0]),  # given a higher priority: nothing moves
        (1, 1, [0, 1, 2]),
    ],
)
def test_shift_on_update(api: ApiClient, version: str, image: int, order: int, after: list[int]) -> None:
    ids = ordered(api, 0, 1, 2)
    api.sandbox.set_flags(sort_order_shift="shift")
    put(api, version, ids[image], sort_order=order)
    assert api.orders() == after
    assert api.orders(102) == [0, 1, 2], "other products do not move"


@VERSIONS
@pytest.mark.parametrize(
    ("order", "after"), [(1, [0, 2, 3, 1]), (0, [1, 2, 3, 0]), (7, [0, 1, 2, 7]), (None, [0, 1, 2, 3])]
)
def test_shift_on_create(api: ApiClient, version: str, order: int | None, after: list[int]) -> None:
    ordered(api, 0, 1, 2)
    api.sandbox.set_flags(sort_order_shift="shift")
    api.create(version, **({} if order is None else {"sort_order": order})).raise_for_status()
    assert api.orders() == after


@VERSIONS
def test_without_shift_duplicates_stay(api: ApiClient, version: str) -> None:
    ids = ordered(api, 0, 1, 1)
    put(api, version, ids[0], sort_order=1)
    api.create(version, sort_order=1).raise_for_status()
    assert api.orders() == [1, 1, 1, 1]


def test_shift_stops_at_the_largest_integer(api: ApiClient) -> None:
    ordered(api, 0, 2**31 - 1, 5)
    api.sandbox.set_flags(sort_order_shift="shift")
    api.create(sort_order=0).raise_for_status()
    assert api.orders() == [1, 2**31 - 1, 6, 0]


@pytest.mark.parametrize("flag", ["off", "on"])
def test_date_of_shifted_images(api: ApiClient, flag: str) -> None:
    ids = ordered(api, 0, 1, 2)
    api.sandbox.set_flags(sort_order_shift="shift", shift_bumps_date=flag)
    put(api, "v2", ids[0], sort_order=2)
    dates = [image["date_modified"] > "2024" for image in api.images()]
    assert dates == [True, False, flag == "on"]


@pytest.mark.parametrize("flag", ["off", "on"])
def test_date_of_the_product(api: ApiClient, flag: str) -> None:
    api.sandbox.set_flags(image_write_bumps_product_date=flag)

    def bumped() -> bool:
        return bool(api.sandbox.dump(files=False)["products"][0]["date_modified"] > "2024")

    assert not bumped()
    delete(api, api.images()[0]["id"])
    assert bumped() == (flag == "on")


@pytest.mark.parametrize("flag", ["off", "on"])
def test_originals_after_delete_and_replace(api: ApiClient, flag: str) -> None:
    api.sandbox.set_flags(lingering_originals=flag)
    deleted, replaced, source = api.images()
    content = [api.sandbox.original(image["image_file"]) for image in (deleted, replaced)]
    put(api, "v2", replaced["id"], image_file=api.original_url(source))
    delete(api, deleted["id"])
    for image, known in zip((deleted, replaced), content, strict=True):
        response = api.file(f"/product_images/{image['image_file']}")
        if flag == "on":
            assert response.content == known
        else:
            assert response.status_code == 404


@pytest.mark.parametrize("originals", ["off", "on"])
@pytest.mark.parametrize("renditions", ["off", "on"])
def test_renditions_after_delete_and_replace(api: ApiClient, originals: str, renditions: str) -> None:
    """They linger with their original, or not at all."""
    api.sandbox.set_flags(lingering_originals=originals, lingering_renditions=renditions)
    deleted, replaced, source = api("GET", f"/v2/products/{FIRST}/images").json()
    before = [requests.get(image["zoom_url"], timeout=10).content for image in (deleted, replaced)]
    put(api, "v2", replaced["id"], image_file=api.original_url(source))
    delete(api, deleted["id"])
    linger = originals == renditions == "on"
    for image, known in zip((deleted, replaced), before, strict=True):
        response = requests.get(image["zoom_url"], timeout=10)
        assert response.status_code == (200 if linger else 404)
        if linger:
            assert response.content == known
    # Of use to a restore from links alone: the store itself fetches the picture of an image that it no longer has.
    made = api("POST", f"/v2/products/{FIRST}/images", json={"image_file": deleted["zoom_url"]})
    assert made.ok == linger


def test_recompressed_uploads_are_other_bytes_of_a_picture(api: ApiClient) -> None:
    api.sandbox.set_flags(recompress_uploads="on")
    for kind in ("PNG", "JPEG", "GIF", "WEBP", "BMP"):
        content = picture("purple", kind)
        image = api.sandbox.add_image(102, content, f"a.{kind.lower()}")
        found = next(item for item in api.images(102) if item["id"] == image)
        created = api("POST", f"/v2/products/{FIRST}/images", json={"image_file": api.original_url(found)}).json()
        stored = api.sandbox.original(created["image_file"])
        assert stored is not None
        assert stored != content


@VERSIONS
@pytest.mark.parametrize(
    ("rewrite", "kept"),
    [
        ("off", " a <b>&</b> c "),
        ("trim", "a <b>&</b> c"),
        ("escape", " a &lt;b&gt;&amp;&lt;/b&gt; c "),
        ("cut", " a <"),
        ("strip", " a & c "),
    ],
)
def test_rewritten_descriptions(api: ApiClient, version: str, rewrite: str, kept: str) -> None:
    if rewrite == "cut":
        api.sandbox.set_flags(description_max=4)
    api.sandbox.set_flags(description_rewrite=rewrite)
    created = api.create(version, description=" a <b>&</b> c ").json()
    assert (created if version == "v2" else created["data"])["description"] == kept
    image = api.images()[0]["id"]
    put(api, version, image, description=" a <b>&</b> c ")
    assert api.images()[0]["description"] == kept


def test_a_negative_order_kept_as_zero(api: ApiClient) -> None:
    api.sandbox.set_flags(v2_negative_sort_order="zero")
    assert api.create(sort_order=-3).json()["sort_order"] == 0
    assert api.create("v3", sort_order=-3).json()["data"]["sort_order"] == -3


def test_how_the_refusal_of_a_field_looks(api: ApiClient) -> None:
    api.sandbox.set_flags(description_max=3, field_errors="nested")
    reason = "description must not be longer than 3 characters"
    errors = api.create("v3", description="long").json()["errors"]
    assert errors == {"description": {"0": [{"message": reason}]}}
    (error,) = api.create(description="long").json()
    assert error["details"] == {"invalid_reason": {"0": [{"message": "It must not be longer than 3 characters."}]}}
    api.sandbox.set_flags(field_errors="unnamed")
    for version in ("v2", "v3"):
        assert "description" not in api.create(version, description="long").text


def test_default_sort_order_is_one_behind_the_last(bare: ApiClient, api: ApiClient) -> None:
    url = api.original_url(api.images()[0])
    for _ in range(2):
        bare("POST", f"/v2/products/{FIRST}/images", json={"image_file": url}).raise_for_status()
    assert bare.orders() == [0, 1]
