"""What the body of a refusal says: its text, and the fields that it is about."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from bc_images.bigcommerce.api_errors import ApiError, read_error


@pytest.mark.parametrize(
    ("body", "text", "fields", "max_length"),
    [
        (
            {"status": 422, "title": "Bad", "errors": {"description": "description must not be longer than 255"}},
            "Bad description: description must not be longer than 255",
            {"description"},
            255,
        ),
        (
            {"status": 422, "title": "Bad", "errors": {"description": {"0": [{"message": "is too long"}]}}},
            "Bad description: is too long",
            {"description"},
            None,
        ),
        (
            {"title": "Bad", "errors": {"images": [{"sort_order": ["below 0", "no integer"]}, {}]}},
            "Bad images.sort_order: below 0 images.sort_order: no integer",
            {"sort_order"},
            None,
        ),
        ({"title": "Bad", "errors": ["Sort Order is not valid"]}, "Bad Sort Order is not valid", {"sort_order"}, None),
        (
            [{"status": 400, "message": "The field 'sort_order' is invalid.", "details": {"invalid_reason": "It is."}}],
            "The field 'sort_order' is invalid. It is",
            {"sort_order"},
            None,
        ),
        (
            [{"message": "The field 'description' is invalid."}, {"message": "The field 'is_thumbnail' is invalid."}],
            "The field 'description' is invalid. The field 'is_thumbnail' is invalid",
            {"description", "is_thumbnail"},
            None,
        ),
        (
            [
                {
                    "message": "The field 'image_file' is invalid.",
                    "details": {"invalid_reason": "description.png: bad"},
                }
            ],
            "The field 'image_file' is invalid. description.png: bad",
            {"image_file"},
            None,
        ),
        ({"title": {"en": "Bad"}, "errors": {"": None}}, "Bad", set(), None),
        ({"title": "at most 500 characters"}, "at most 500 characters", set(), 500),
        ("text", "", set(), None),
        ([], "", set(), None),
    ],
)
def test_read_error(body: Any, text: str, fields: set[str], max_length: int | None) -> None:
    assert read_error(orjson.dumps(body)) == ApiError(text, frozenset(fields), max_length)


def test_no_json() -> None:
    assert read_error(b"<html>description</html>") == ApiError("")


def test_nested_without_end() -> None:
    assert read_error(b'{"title": "Bad", "errors": ' + b"[" * 1000 + b'"x"' + b"]" * 1000 + b"}").text == "Bad"


def test_one_short_line_that_can_be_printed() -> None:
    error = read_error(orjson.dumps({"title": "a\nb\x1b[31m" + "x" * 1000}))
    assert error.text.isprintable()
    assert len(error.text) == 500
