"""The record definitions."""

from __future__ import annotations

import jsonschema
import pytest

from bc_images.bigcommerce.mapping import record_from
from bc_images.schema import SCHEMAS_DIR, load, writable_fields

STREAMS = ["product_images", "products"]


@pytest.mark.parametrize("stream", STREAMS)
def test_is_a_valid_schema_whose_fields_are_described(stream: str) -> None:
    schema = load(stream)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["title"] == stream
    assert set(schema["required"]) <= set(schema["properties"])
    for field in schema["properties"].values():
        assert field["description"]
        assert field["x-source"]
        assert type(field["x-writable"]) is bool


def test_no_other_files_lie_there() -> None:
    assert sorted(path.stem for path in SCHEMAS_DIR.iterdir()) == STREAMS


def test_writable_fields() -> None:
    assert writable_fields() == ("is_thumbnail", "sort_order", "description")


IMAGE = {"id": 1, "image_file": "a/1.jpg", "is_thumbnail": True, "sort_order": 0, "description": None}


@pytest.mark.parametrize("api_version", ["v2", "v3"])
def test_both_shapes_give_every_field_in_schema_order(api_version: str) -> None:
    record = record_from(api_version, IMAGE, "abc", 5, "SKU")
    schema = load("product_images")
    assert list(record) == list(schema["properties"])
    jsonschema.validate(record, schema)
