"""Images in the shapes of V2, V3 and the record; names; what differs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bc_images.bigcommerce.mapping import (
    InvalidImageError,
    Record,
    comparable_stem,
    diff,
    file_name,
    record_from,
    sent_value,
    utc_from_iso,
    utc_from_rfc2822,
)
from bc_images.errors import UnexpectedResponse
from bc_images.schema import load
from bigcommerce_sandbox.media import stored_name

from_v2 = partial(record_from, "v2")
from_v3 = partial(record_from, "v3")

V2: dict[str, Any] = {
    "id": 247,
    "product_id": 76,
    "image_file": "sample_images/in_123__14581.jpg",
    "zoom_url": "https://cdn.example/zoom.jpg",
    "thumbnail_url": "https://cdn.example/thumbnail.jpg",
    "standard_url": "https://cdn.example/standard.jpg",
    "tiny_url": "https://cdn.example/tiny.jpg",
    "is_thumbnail": True,
    "sort_order": -1,
    "description": "front",
    "date_created": "Mon, 24 Sep 2012 01:14:30 +0000",
}
V3: dict[str, Any] = {
    "id": 247,
    "product_id": 76,
    "image_file": "sample_images/in_123__14581.jpg",
    "url_zoom": "https://cdn.example/zoom.jpg",
    "url_thumbnail": "https://cdn.example/thumbnail.jpg",
    "url_standard": "https://cdn.example/standard.jpg",
    "url_tiny": "https://cdn.example/tiny.jpg",
    "is_thumbnail": True,
    "sort_order": -1,
    "description": "front",
    "date_modified": "2018-09-13T15:57:07+00:00",
}
RECORD: Record = {
    "store_hash": "abc",
    "id": 247,
    "product_id": 76,
    "product_sku": "SKU",
    "image_file": "sample_images/in_123__14581.jpg",
    "is_thumbnail": True,
    "sort_order": -1,
    "description": "front",
    "zoom_url": "https://cdn.example/zoom.jpg",
    "standard_url": "https://cdn.example/standard.jpg",
    "thumbnail_url": "https://cdn.example/thumbnail.jpg",
    "tiny_url": "https://cdn.example/tiny.jpg",
    "date_created": None,
    "date_modified": None,
    "file_sha256": None,
    "file_size": None,
    "file_type": None,
    "file_source": None,
}


def test_a_v2_image_becomes_a_record() -> None:
    assert from_v2(V2, "abc", 76, "SKU") == {**RECORD, "date_created": "2012-09-24T01:14:30+00:00"}


def test_a_v3_image_becomes_a_record() -> None:
    assert from_v3(V3, "abc", 76, "SKU") == {**RECORD, "date_modified": "2018-09-13T15:57:07+00:00"}


def test_the_answer_of_a_v2_create_has_no_addresses() -> None:
    image = {name: value for name, value in V2.items() if not name.endswith("_url")}
    record = from_v2(image, "abc", 76, None)
    assert [record[name] for name in ("zoom_url", "standard_url", "thumbnail_url", "tiny_url")] == [None] * 4


def test_fields_that_the_api_may_grow_are_left_out() -> None:
    assert from_v3({**V3, "image_url": "https://x.example", "is_sample": True}, "abc", 76, "SKU")["id"] == 247


SHAPES = [pytest.param(from_v2, V2, id="v2"), pytest.param(from_v3, V3, id="v3")]
Shape = Callable[..., Record]


@pytest.mark.parametrize(("shape", "image"), SHAPES)
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", "247"),
        ("id", 247.0),
        ("id", True),
        ("id", None),
        ("id", 0),
        ("id", -3),
        ("product_id", 77),
        ("product_id", "76"),
        ("product_id", None),
        ("image_file", None),
        ("image_file", ""),
        ("image_file", 5),
        ("image_file", ["a.jpg"]),
        ("is_thumbnail", None),
        ("is_thumbnail", 1),
        ("is_thumbnail", "true"),
        ("sort_order", None),
        ("sort_order", "1"),
        ("sort_order", 1.0),
        ("sort_order", False),
        ("sort_order", 2**31),
        ("sort_order", -(2**31) - 1),
        ("description", 5),
        ("description", {"text": "x" * 5000}),
    ],
)
def test_a_wrong_field_is_named_with_its_product(shape: Shape, image: dict[str, Any], field: str, value: Any) -> None:
    with pytest.raises(UnexpectedResponse, match=f"product 76, image .*{field} is") as caught:
        shape({**image, field: value}, "abc", 76, "SKU")
    assert len(str(caught.value)) < 250
    assert "\n" not in str(caught.value)
    is_the_answers_fault = (field == "product_id" and value is not None) or (
        field == "id" and type(value) not in {int, type(None)}
    )
    assert isinstance(caught.value, InvalidImageError) is not is_the_answers_fault


@pytest.mark.parametrize(("shape", "image"), SHAPES)
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("zoom_url", 5),
        ("standard_url", False),
        ("thumbnail_url", []),
        ("tiny_url", {}),
        ("date", "yesterday"),
        ("date", "2018-13-41T00:00:00+00:00"),
        ("date", "0000-00-00"),
        ("date", "0000-00-00 00:00:00"),
        ("date", "-0001-11-30T00:00:00+00:00"),
        ("date", "Wed, 30 Nov -0001 00:00:00 +0000"),
        ("date", "Sat, 01 Jan 0000 00:00:00 +0000"),
        ("date", "XXXXXXXXXXXXXXXXXXX+00:00"),
        ("date", 1536854227),
        ("date", False),
        ("date", ["Mon, 24 Sep 2012 01:14:30 +0000"]),
    ],
)
def test_what_nothing_is_restored_from_becomes_null(
    shape: Shape, image: dict[str, Any], field: str, value: Any
) -> None:
    v3 = shape is from_v3
    name = "date_modified" if field == "date" and v3 else "date_created" if field == "date" else field
    sent = f"url_{field.removesuffix('_url')}" if v3 and field.endswith("_url") else name
    notices: list[str] = []
    record = shape({**image, sent: value}, "abc", 76, "SKU", notices.append)
    assert record == {**shape(image, "abc", 76, "SKU"), name: None}
    (notice,) = notices
    assert notice.startswith(f"product 76, image 247: {name} is {value!r}"[:60])


@pytest.mark.parametrize(("shape", "image"), SHAPES)
@pytest.mark.parametrize("field", ["id", "image_file", "is_thumbnail", "sort_order"])
def test_a_missing_field_is_named_with_its_product(shape: Shape, image: dict[str, Any], field: str) -> None:
    without = {name: value for name, value in image.items() if name != field}
    with pytest.raises(UnexpectedResponse, match=f"product 76, image .*{field} is missing"):
        shape(without, "abc", 76, "SKU")


@pytest.mark.parametrize(("shape", "image"), SHAPES)
@pytest.mark.parametrize("value", [None, "", "absent"])
def test_what_may_be_missing(shape: Shape, image: dict[str, Any], value: str | None) -> None:
    optional = {"description", "product_id", "date_created", "date_modified"}
    rest = {name: value for name, value in image.items() if name not in optional and "url" not in name}
    if value != "absent":
        rest |= dict.fromkeys(optional - {"product_id"}, value)
    record = shape(rest, "abc", 76, None)
    assert record["description"] == (None if value == "absent" else value)
    assert record["date_created"] is record["date_modified"] is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=3,
)


@settings(deadline=None)
@given(data=st.data(), v3=st.booleans())
def test_whatever_comes_fits_the_schema_or_is_refused(data: st.DataObject, v3: bool) -> None:
    good = V3 if v3 else V2
    changed = data.draw(st.sets(st.sampled_from(sorted(good)), max_size=3))
    image = good | {name: data.draw(JSON) for name in changed}
    try:
        record = (from_v3 if v3 else from_v2)(image, "abc", 76, "SKU")
    except UnexpectedResponse:
        return
    jsonschema_rs.validate(load("product_images"), record, validate_formats=True)
    assert list(record) == list(RECORD)


# Dates


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Mon, 24 Sep 2012 01:14:30 +0000", "2012-09-24T01:14:30+00:00"),
        ("Mon, 24 Sep 2012 01:14:30 -0500", "2012-09-24T06:14:30+00:00"),
        ("Mon, 24 Sep 2012 01:14:30 -0000", "2012-09-24T01:14:30+00:00"),
        ("Mon, 24 Sep 2012 01:14:30 GMT", "2012-09-24T01:14:30+00:00"),
        ("Thu, 01 Jan 1970 00:00:00 +0000", "1970-01-01T00:00:00+00:00"),
        ("", None),
        (None, None),
    ],
)
def test_rfc_2822(text: str | None, expected: str | None) -> None:
    assert utc_from_rfc2822(text, {"id": 1}, "date_created") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2018-09-13T15:57:07+00:00", "2018-09-13T15:57:07+00:00"),
        ("2018-09-13T15:57:07Z", "2018-09-13T15:57:07+00:00"),
        ("2018-09-13T15:57:07-05:00", "2018-09-13T20:57:07+00:00"),
        ("2018-09-13T15:57:07.250+00:00", "2018-09-13T15:57:07.250000+00:00"),
        ("2018-09-13T15:57:07", "2018-09-13T15:57:07+00:00"),
        ("2018-09-13 15:57:07+00:00", "2018-09-13T15:57:07+00:00"),
        ("2018-W37-4T15:57:07+00:00", "2018-09-13T15:57:07+00:00"),
        ("20180913T155707.1234+0000", "2018-09-13T15:57:07.123400+00:00"),
        ("2018-09-13", "2018-09-13T00:00:00+00:00"),
        ("", None),
        (None, None),
    ],
)
def test_iso_8601(text: str | None, expected: str | None) -> None:
    assert utc_from_iso(text, {"id": 1}, "date_modified") == expected


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00", "now", 0, b"2018-09-13"])
def test_no_date_names_the_product(text: object) -> None:
    with pytest.raises(UnexpectedResponse, match="product 5: date_modified is"):
        utc_from_iso(text, {"id": 5}, "date_modified")


# Names

ARABIC = "\u0663\u0666\u0665\u0666\u0662"


@pytest.mark.parametrize(
    ("image_file", "name", "compared"),
    [
        ("p/022/name__36562.jpg", "name.jpg", "name"),
        ("sample_images/in_123__14581.jpg", "in_123.jpg", "in-123"),
        ("a/001/x_1024x1024__83011__60806.jpg", "x_1024x1024.jpg", "x-1024x1024"),
        ("a/001/x__1__22222.jpg", "x__1.jpg", "x-1"),
        ("a/001/x__123456.jpg", "x__123456.jpg", "x-123456"),
        ("a/001/x__36562.JPEG", "x.JPEG", "x"),
        ("a/001/Front View__36562.png", "Front View.png", "front-view"),
        ("a/001/front-view__36562.png", "front-view.png", "front-view"),
        ("a/001/x.tar__11111.gz", "x.tar.gz", "x-tar"),
        ("a/001/__36562.jpg", "__36562.jpg", "36562"),
        ("a/001/__36562__12345.jpg", "__36562.jpg", "36562"),
        ("a/001/noext__36562", "noext", "noext"),
        ("noext", "noext", "noext"),
        ("x.jpg", "x.jpg", "x"),
        ("a/001/größe__36562.jpg", "größe.jpg", "grösse"),
        ("a/001/GRÖẞE__36562.jpg", "GRÖẞE.jpg", "grösse"),
        ("a/001/gro\u0308ße__36562.jpg", "gro\u0308ße.jpg", "grösse"),
        ("a/001/日本__36562.jpg", "日本.jpg", "日本"),
        (
            "a/001/x__\u0663\u0666\u0665\u0666\u0662.jpg",
            "x__\u0663\u0666\u0665\u0666\u0662.jpg",
            "x-\u0663\u0666\u0665\u0666\u0662",
        ),  # no suffix
        ("https://cdn/s-abc/products/1/images/7/back__16082.1534344511.1280.1280.jpg?c=2", "back.jpg", "back"),
        ("back__16082.1534344511.220.290.jpg", "back.jpg", "back"),
        ("back.1534344511.220.290__16082.jpg", "back.jpg", "back"),
        ("../../etc/passwd", "passwd", "passwd"),
        ("..", "image", "image"),
        ("a/..", "image", "image"),
        (".", "image", "image"),
        ("/", "image", "image"),
        ("a/001/.jpg", "image.jpg", "image"),
        ("a/001/..__36562.jpg", "image.jpg", "image"),
    ],
)
def test_names(image_file: str, name: str, compared: str) -> None:
    assert file_name(image_file) == name
    assert comparable_stem(image_file) == compared


NAMES = st.text(min_size=1, max_size=60).filter(lambda name: "?" not in name and "/" not in name)
KINDS = st.sampled_from(["jpg", "png", "gif", "webp", "bmp"])


@settings(deadline=None)
@given(NAMES, KINDS, st.integers(0, 9999))
def test_a_name_keeps_its_stem_however_often_it_is_imported(name: str, kind: str, serial: int) -> None:
    first = stored_name(name, kind, 1, serial)
    again = stored_name(file_name(first), kind, 2, serial)
    stacked = stored_name(first.rpartition("/")[2], kind, 3, serial)
    assert comparable_stem(first) == comparable_stem(again) == comparable_stem(stacked)


@settings(deadline=None)
@given(st.from_regex(r"[a-z0-9][A-Za-z0-9 ()+_.-]{0,30}", fullmatch=True), KINDS)
def test_a_plain_name_has_the_stem_that_its_stored_form_has(name: str, kind: str) -> None:
    assert comparable_stem(f"{name}.{kind}") == comparable_stem(stored_name(f"{name}.{kind}", kind, 1, 1))


# What differs


@pytest.mark.parametrize(
    ("wanted", "live", "expected"),
    [
        ({}, {}, {}),
        ({"description": None}, {"description": ""}, {}),
        ({"description": ""}, {"description": None}, {}),
        ({"description": None}, {"description": "x"}, {"description": ""}),
        ({"description": "x"}, {"description": None}, {"description": "x"}),
        ({"is_thumbnail": False}, {}, {"is_thumbnail": False}),
        ({"sort_order": 0}, {"sort_order": 3}, {"sort_order": 0}),
        ({"zoom_url": "https://other.example", "date_created": "x", "product_sku": "y"}, {}, {}),
        (
            {"is_thumbnail": False, "sort_order": 3, "description": "y"},
            {},
            {"is_thumbnail": False, "sort_order": 3, "description": "y"},
        ),
    ],
)
def test_diff(wanted: Record, live: Record, expected: Record) -> None:
    assert diff({**RECORD, **wanted}, {**RECORD, **live}) == expected


def test_an_absent_description_is_no_wish() -> None:
    without = {name: value for name, value in RECORD.items() if name != "description"}
    assert diff(without, RECORD) == {}


def test_only_a_text_that_is_null_is_sent_as_the_empty_one() -> None:
    assert [sent_value(name, None) for name in ("description", "sort_order", "is_thumbnail")] == ["", None, None]
    assert diff({"description": None, "sort_order": 2}, {"description": "", "sort_order": 3}) == {"sort_order": 2}
