"""The responses of the API."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable
from functools import cache
from types import SimpleNamespace
from typing import Any, cast
from unittest import mock
from urllib.parse import urlsplit

import orjson
import requests

from bc_images.bigcommerce import StoreClient, UrlSource, body
from bc_images.bigcommerce.rate_limit import RateHeaders, RateWindow
from bc_images.bigcommerce.retry import capped_retry_after, rate_limited
from bc_images.bigcommerce.store_clock import StoreClock
from bc_images.bigcommerce.transport import Decode, HttpClient
from bc_images.bigcommerce.v2 import V2Client
from bc_images.bigcommerce.v3 import V3Client
from bc_images.errors import BcImagesError
from bc_images.settings import Settings
from tests.support.parsers.base import SETTINGS, Parser, read_response

_JSON = b"200\r\nContent-Type: application/json\r\n\r\n"


class _Client(HttpClient):
    """A client whose requests that match `pattern`, or the first of them, get a given response; others a good one."""

    def __init__(self, version: str, pattern: str, *, once: bool) -> None:
        super().__init__(Settings.from_config({**SETTINGS, "api_version": version}))
        self._pattern, self._once = pattern, once
        self.use(b"")

    def use(self, data: bytes) -> None:
        """Answer with `data` from now on."""
        self._data, self._left, self._is_over = data, 1000, False

    def _send_once(self, request: requests.PreparedRequest, request_name: str, decode: Decode) -> Any:
        self._left -= 1
        assert self._left, "requests without end"
        place = f"{request.method} {urlsplit(str(request.url)).path.partition('/stores/sandbox')[2]}"
        if not self._is_over and re.fullmatch(self._pattern, place):
            data = self._data
            self._is_over = self._once
        else:
            data = next(_JSON + orjson.dumps(good) for pattern, good in _GOOD.items() if re.fullmatch(pattern, place))
        status, headers, content = read_response(data)
        RateHeaders.read(headers)
        response = requests.Response()
        response.status_code, response.headers, response.request = status, headers, request
        return self._interpret(response, content, request_name, decode)


_IMAGE = {
    "id": 1,
    "product_id": 2,
    "image_file": "a/b.png",
    "is_thumbnail": True,
    "sort_order": 1,
    "description": "text",
}
_IMAGE_V3 = _IMAGE | {"url_zoom": "https://cdn/z", "date_modified": "2024-01-01T00:00:00Z"}
_IMAGE_V2 = _IMAGE | {"zoom_url": "https://cdn/z", "date_created": "Mon, 24 Sep 2012 01:14:30 +0000"}
_PAGE = {"pagination": {"total": 2, "count": 2, "per_page": 250, "current_page": 1, "total_pages": 1}}
_PRODUCTS_V3 = {
    "data": [
        {"id": 2, "sku": "SKU", "name": "A", "date_modified": "2024-01-01T00:00:00Z", "images": [_IMAGE_V3]},
        {"id": 3, "sku": "sku", "name": None, "images": []},
    ],
    "meta": _PAGE,
}
_PRODUCTS_V2 = [{"id": 2, "sku": "SKU", "name": "A", "date_modified": "Mon, 24 Sep 2012 01:14:30 +0000"}]
_GOOD: dict[str, Any] = {
    "GET /v3/catalog/products": _PRODUCTS_V3,
    "GET /v3/catalog/products/[0-9]+/images": {"data": [_IMAGE_V3], "meta": _PAGE},
    "[A-Z]+ /v3/catalog/products/[0-9]+/images(/[0-9]+)?": {"data": _IMAGE_V3},
    "GET /v3/catalog/products/[0-9]+": {"data": {"id": 2}},
    "GET /v2/products/images/count": {"count": 1},
    "GET /v2/products/count": {"count": 1},
    "GET /v2/products": [],
    "GET /v2/products/[0-9]+": {"id": 2},
    "GET /v2/products/[0-9]+/images": [_IMAGE_V2],
    "[A-Z]+ /v2/products/[0-9]+/images(/[0-9]+)?": _IMAGE_V2,
}


def _api(
    version: str,
    pattern: str,
    good: Any,
    *work: Callable[[StoreClient], object],
    share: float = 1.0,
    once: bool = False,
) -> Parser:
    """Return the parser of responses to requests that match `pattern`; each part of `work` is done with every one."""
    made = cache(lambda: _Client(version, pattern, once=once))

    def parse(data: bytes) -> None:
        refused, client = None, made()
        for part in work:
            client.use(data)
            try:
                part(V3Client(client) if version == "v3" else V2Client(client))
            except BcImagesError as error:
                refused = error
        if refused is not None:
            raise refused

    refusal = {"status": 422, "title": "invalid", "errors": {"sort_order": "is longer than 255 characters"}}
    refusal_v2 = [{"status": 400, "message": "invalid", "details": {"invalid_reason": "sort_order"}}]
    samples = [_JSON + orjson.dumps(good)] * 3 + [
        _JSON.replace(b"200", b"422") + orjson.dumps(refusal),
        _JSON.replace(b"200", b"400") + orjson.dumps(refusal_v2),
        b"429\r\nX-Rate-Limit-Time-Reset-Ms: 3000\r\nX-Retry-After: 3\r\n\r\n",
        b"503\r\nRetry-After: Wed, 21 Oct 2015 07:28:00 GMT\r\nDate: Wed, 21 Oct 2015 07:28:00 GMT\r\n\r\n",
        b"403\r\nContent-Type: text/html\r\n\r\n<!-- a --><!doctype html><title>Blocked &amp; gone</title>",
        b"403\r\n\r\n<!-- a --> <!-- b --><html><title>Blocked</title>",
        b"204\r\n\r\n",
    ]
    return Parser(parse, samples, share=share)


def _all(name: str, *values: Any) -> Callable[[StoreClient], object]:
    """Return what reads all that a method of a store yields."""
    return lambda store: list(getattr(store, name)(*values))


_WRITES: list[Callable[[StoreClient], object]] = [
    lambda store: store.create(2, UrlSource("https://example.com/a.png"), {"sort_order": 1}),
    lambda store: store.replace(2, 1, UrlSource("https://example.com/a.png"), {"sort_order": 1}),
    lambda store: store.update(2, 1, {"description": "text"}),
    lambda store: store.delete(2, 1),
    lambda store: store.image(2, 1),
]


def _compressed(data: bytes) -> None:
    _, headers, content = read_response(data)
    exchange = SimpleNamespace(response=SimpleNamespace(headers=headers), read=lambda: iter([content[:9], content[9:]]))
    with mock.patch.object(body, "MAX_BODY", 2**20):
        body.read_body(cast("Any", exchange))


def _rate_limit(data: bytes) -> None:
    _, headers, _ = read_response(data)
    rate_headers = RateHeaders.read(headers)
    window = RateWindow(0.1)
    if rate_headers is not None:
        window.update(1.0, 0.5, rate_headers)
        window.count_unanswered(2.0)
    assert 0 <= window.seconds_to_wait(2.0, 1) < 65
    seconds, note = capped_retry_after(headers)
    assert 0 <= seconds <= 60
    assert len(note) < 500
    clock = StoreClock()
    clock.update(headers.get("Date"))
    assert 946_684_800 < clock.now() < 7_300_000_000
    assert (rate_limited(headers).retry_after or 0.0) >= 0


_RATE = (
    b"200\r\nX-Rate-Limit-Requests-Quota: 450\r\nX-Rate-Limit-Requests-Left: 449\r\nX-Rate-Limit-Time-Reset-Ms: 15000"
    b"\r\nX-Rate-Limit-Time-Window-Ms: 30000\r\nRetry-After: 5\r\n\r\n"
)
_RETRY = (
    b"503\r\nRetry-After: Wed, 21 Oct 2015 07:28:00 GMT\r\nDate: Wed, 21 Oct 2015 07:28:00 GMT\r\nX-Retry-After: 1.5"
    b"\r\n\r\n"
)
_DEFLATE = b"200\r\nContent-Encoding: deflate\r\n\r\n" + zlib.compress(_JSON * 20)
_BODY_ERRORS = (requests.exceptions.RequestException, body.BodyTooLarge, body.UnexpectedEncoding)


PARSERS: dict[str, Parser] = {
    "API V3: products": _api(
        "v3",
        "GET /v3/catalog/products",
        _PRODUCTS_V3,
        _all("scan"),
        _all("products", [2, 3]),
        _all("products_by_sku", ["SKU"]),
        lambda store: store.similar_skus("SKU"),
        share=0.3,
    ),
    "API V3: images of a product": _api(
        "v3",
        "GET /v3/catalog/products/[0-9]+/images",
        {"data": [_IMAGE_V3, {**_IMAGE_V3, "id": 4}], "meta": _PAGE},
        _all("images", 2),
        lambda store: store.delete_all(2, [1, 4]),
    ),
    "API V3: one image": _api(
        "v3", "[A-Z]+ /v3/catalog/products/2/images(/1)?", {"data": _IMAGE_V3}, *_WRITES, share=0.5
    ),
    "API V2: products": _api(
        "v2",
        "GET /v2/products",
        _PRODUCTS_V2,
        _all("scan"),
        _all("products_by_sku", ["SKU"]),
        share=0.3,
        once=True,
    ),
    "API V2: images of a product": _api(
        "v2",
        "GET /v2/products/[0-9]+/images",
        [_IMAGE_V2, {**_IMAGE_V2, "id": 4}],
        _all("images", 2),
        _all("products", [2]),
        lambda store: store.delete_all(2, [1, 4]),
        share=0.5,
    ),
    "API V2: one image": _api("v2", "[A-Z]+ /v2/products/2/images(/1)?", _IMAGE_V2, *_WRITES, share=0.5),
    "API V2: counts": _api(
        "v2", "GET /v2/.*count", {"count": 5}, lambda store: store.count_images(), lambda store: store.count_products()
    ),
    "compressed responses": Parser(
        _compressed,
        [b"200\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(_JSON * 20, mtime=0), _DEFLATE],
        _BODY_ERRORS,
    ),
    "rate-limit headers and Retry-After": Parser(_rate_limit, [_RATE, _RETRY]),
}
