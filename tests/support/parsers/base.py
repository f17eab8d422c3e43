"""A parser in a form that takes nothing but bytes, and what several of them are given."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from requests.structures import CaseInsensitiveDict

from bc_images import schema
from bc_images.errors import BcImagesError


class Parser(NamedTuple):
    """A parser: `parse` takes bytes and raises errors of `errors` only. `share` of the inputs, in comparison."""

    parse: Callable[[bytes], object]
    samples: list[bytes]
    errors: tuple[type[Exception], ...] = (BcImagesError,)
    share: float = 1.0


SETTINGS: dict[str, Any] = {"store_hash": "sandbox", "access_token": "no-token", "concurrency": 1, "max_retries": 0}
RECORD = dict.fromkeys(schema.load("product_images")["properties"]) | {
    "store_hash": "sandbox",
    "id": 1,
    "product_id": 2,
    "product_sku": "SKU",
    "image_file": "a/b.png",
    "is_thumbnail": True,
    "sort_order": 1,
    "description": "text",
    "file_sha256": "a" * 64,
}


def read_response(data: bytes) -> tuple[int, CaseInsensitiveDict[str], bytes]:
    """Read status, header fields and body as they come out of http.client."""
    start, _, content = data.partition(b"\r\n\r\n")
    status, *fields = re.split("\r\n|\r|\n", start.decode("latin-1"))
    headers = CaseInsensitiveDict({name: value.strip() for name, _, value in (each.partition(":") for each in fields)})
    return int(status) if re.fullmatch("[2-9][0-9]{2}", status, re.ASCII) else 200, headers, content
