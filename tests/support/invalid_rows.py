"""Rows that no store should show and some do: for `SandboxServer.override`, in the names of both API versions."""

from __future__ import annotations

from typing import Any

Override = dict[str, Any]

INVALID: dict[str, tuple[Override, str]] = {
    "empty path": ({"image_file": ""}, "image_file is ''"),
    "no path": ({"image_file": None}, "image_file is None"),
    "path missing": ({"missing": ["image_file"]}, "image_file is missing"),
    "path a number": ({"image_file": 5}, "image_file is 5"),
    "no order": ({"sort_order": None}, "sort_order is None"),
    "order too large": ({"sort_order": 3_000_000_000}, "sort_order is 3000000000"),
    "order with an exponent": ({"sort_order": 3e9}, "sort_order is 3000000000.0"),
    "order a fraction": ({"sort_order": 1.5}, "sort_order is 1.5"),
    "order missing": ({"missing": ["sort_order"]}, "sort_order is missing"),
    "no thumbnail": ({"is_thumbnail": None}, "is_thumbnail is None"),
    "thumbnail a number": ({"is_thumbnail": 1}, "is_thumbnail is 1"),
    "thumbnail missing": ({"missing": ["is_thumbnail"]}, "is_thumbnail is missing"),
    "description a number": ({"description": 5}, "description is 5"),
    "no product": ({"product_id": None}, "product_id is None"),
    "no id": ({"id": None}, "id is None"),
    "id missing": ({"missing": ["id"]}, "id is missing"),
    "id zero": ({"id": 0}, "id is 0"),
    "text": ({"row": "image"}, "it is 'image', not an object"),
    "null": ({"row": None}, "it is None, not an object"),
    "a list": ({"row": []}, "it is [], not an object"),
}
"""What costs an image: the override, and how the problem is named."""

INFORMATION: dict[str, tuple[Override, str]] = {
    "address false": ({"url_zoom": False, "zoom_url": False}, "zoom_url is False, not text or null"),
    "address a list": ({"url_tiny": [], "tiny_url": []}, "tiny_url is [], not text or null"),
    "zero date": ({"date_modified": "0000-00-00", "date_created": "0000-00-00"}, "is '0000-00-00', not a date"),
    "negative year": (
        {"date_modified": "-0001-11-30T00:00:00+00:00", "date_created": "Wed, 30 Nov -0001 00:00:00 +0000"},
        "-0001",
    ),
    "date a number": ({"date_modified": 1536854227, "date_created": 1536854227}, "is 1536854227, not a date"),
}
"""What costs a value that nothing is restored from: the override, and how it is named."""
