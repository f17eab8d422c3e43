"""Every parser of bytes from outside, in a form that takes nothing but these bytes; and valid samples for each.

What has header fields and a body is given as a status, fields and a body, as they travel.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, cast
from unittest import mock
from urllib.parse import urlsplit

import orjson
import requests
import urllib3
from PIL import Image
from requests.structures import CaseInsensitiveDict

from bc_images import config, jsonl, redaction, schema
from bc_images.bigcommerce import StoreClient, UrlSource, body
from bc_images.bigcommerce.rate_limit import RateHeaders, RateWindow
from bc_images.bigcommerce.retry import capped_retry_after, rate_limited
from bc_images.bigcommerce.session import DigestAuth, UnusableChallenge
from bc_images.bigcommerce.store_clock import StoreClock
from bc_images.bigcommerce.transport import Decode, HttpClient
from bc_images.bigcommerce.v2 import V2Client
from bc_images.bigcommerce.v3 import V3Client
from bc_images.cli import retry
from bc_images.errors import BcImagesError
from bc_images.files import alteration, http_download, inspection, media_type
from bc_images.files.index import FileIndex
from bc_images.files.locks import LockHolder, StoreLock, read_locks
from bc_images.files.webdav import WebDAV
from bc_images.settings import Settings
from bc_images.singer.archive.loader import _Seen
from bc_images.singer.archive.store import Archives
from bc_images.singer.reader import SingerFile
from bc_images_airbyte.destination import configured_streams
from bc_images_airbyte.reader import AirbyteSource, Stream
from bc_images_airbyte.source import singer_catalog, singer_state
from tap_bc_images.bookmarks import Bookmark, FullTableProgress
from tap_bc_images.catalog import check_state, read_catalog, read_state
from tap_bc_images.settings import TapSettings
from tap_bc_images.tap import TapBCImages
from target_bc_images.report import Report
from target_bc_images.settings import TargetSettings
from target_bc_images.target import TargetBCImages
from tests.support.commands import restored_handlers
from tests.support.target import end, head, row, singer, state

__all__ = ["PARSERS", "Parser"]


class Parser(NamedTuple):
    """A parser: `parse` takes bytes and raises errors of `errors` only. `share` of the inputs, in comparison."""

    parse: Callable[[bytes], object]
    samples: list[bytes]
    errors: tuple[type[Exception], ...] = (BcImagesError,)
    share: float = 1.0


_SETTINGS: dict[str, Any] = {"store_hash": "sandbox", "access_token": "no-token", "concurrency": 1, "max_retries": 0}
_JSON = b"200\r\nContent-Type: application/json\r\n\r\n"
_RECORD = dict.fromkeys(schema.load("product_images")["properties"]) | {
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


def _response(data: bytes) -> tuple[int, CaseInsensitiveDict[str], bytes]:
    """Read status, header fields and body as they come out of http.client."""
    start, _, content = data.partition(b"\r\n\r\n")
    status, *fields = re.split("\r\n|\r|\n", start.decode("latin-1"))
    headers = CaseInsensitiveDict({name: value.strip() for name, _, value in (each.partition(":") for each in fields)})
    return int(status) if re.fullmatch("[2-9][0-9]{2}", status, re.ASCII) else 200, headers, content


# The API


class _Client(HttpClient):
    """A client whose requests that match `pattern`, or the first of them, get a given response; others a good one."""

    def __init__(self, version: str, pattern: str, *, once: bool) -> None:
        super().__init__(Settings.from_config({**_SETTINGS, "api_version": version}))
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
        status, headers, content = _response(data)
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
    _, headers, content = _response(data)
    exchange = SimpleNamespace(response=SimpleNamespace(headers=headers), read=lambda: iter([content[:9], content[9:]]))
    with mock.patch.object(body, "MAX_BODY", 2**20):
        body.read_body(cast("Any", exchange))


def _rate_limit(data: bytes) -> None:
    _, headers, _ = _response(data)
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


# WebDAV


class _WebDAV(WebDAV):
    """A WebDAV that answers every request alike."""

    def __init__(self, data: bytes) -> None:
        super().__init__(Settings.from_config(_SETTINGS), "user", "password")
        self._data = data

    def _exchange(self, method: str, name: str, content: bytes | None) -> tuple[requests.Response, bytes]:
        response = requests.Response()
        response.status_code, response.headers, said = _response(self._data)
        return response, said


def _webdav(data: bytes) -> None:
    client = _WebDAV(data)
    try:
        with client.temporary_upload("a.png", b"content"):
            pass
    finally:
        client.close()


_MULTI_STATUS = (
    b'207\r\nContent-Type: text/xml\r\n\r\n<?xml version="1.0"?><D:multistatus xmlns:D="DAV:"><D:response>'
    b"<D:href>/dav/a.png</D:href><D:status>HTTP/1.1 423 Locked</D:status></D:response></D:multistatus>"
)
_CHALLENGE = (
    b'401\r\nWWW-Authenticate: Digest realm="dav", nonce="abc", qop="auth", opaque="x", algorithm=MD5, stale=true'
    b"\r\n\r\n<html>"
)


def _challenge(data: bytes) -> None:
    """Answer a challenge, and look whether the answer can be sent."""
    status, headers, content = _response(data)
    request = requests.Request("PUT", "https://example.com/dav/a.png", auth=DigestAuth("user", "password")).prepare()
    response = requests.Response()
    response.status_code, response.headers, response.request = status, headers, request
    response.raw = urllib3.HTTPResponse(io.BytesIO(content), preload_content=False)

    def send(again: requests.PreparedRequest, **_: Any) -> requests.Response:
        for value in again.headers.values():
            assert isinstance(value, str | bytes)
            text = value.encode("latin-1") if isinstance(value, str) else value
            assert not re.search(rb"[\r\n]", text)
        return requests.Response()

    response.connection = SimpleNamespace(send=send)  # type: ignore[assignment]
    for hook in request.hooks["response"]:
        hook(response)


# The file store


class _Backend:
    """A file store that lists some keys, and holds the same bytes in each object."""

    display_name = "the files"

    def __init__(self, content: bytes = b"", keys: tuple[str, ...] = ()) -> None:
        self._content, self._keys = content, keys

    def keys(self, _: str) -> Iterator[str]:
        yield from self._keys

    def listing(self, _: str) -> Iterator[SimpleNamespace]:
        for key in self._keys:
            yield SimpleNamespace(key=key, size=10, problem=None)

    def chunks(self, _: str) -> Iterator[bytes]:
        yield self._content[:5]
        yield self._content[5:]

    def modified(self, _: str) -> None:
        return None


def _refs(data: bytes) -> None:
    refs = FileIndex(cast("Any", _Backend(keys=tuple(os.fsdecode(line) for line in data.split(b"\n")))), "sandbox")
    refs.get("a/b.png")
    refs.close()


def _locks(data: bytes) -> None:
    backend = cast("Any", _Backend(data, ("locks/sandbox/0123-1.json",)))
    (lock,) = read_locks(backend, "sandbox")
    assert len(f"{lock} {lock.age(1.0)} {lock.is_stale(None)} {lock.lock_id}") < 2000
    StoreLock(backend, "sandbox")._refuse_if_locked([lock], None)


def _archive(data: bytes) -> None:
    files = cast("Any", SimpleNamespace(backend=_Backend(data), display_name="the files"))
    seen = _Seen()
    for number, _, message in Archives(files, "store").messages("20250131T020000Z.singer.gz"):
        seen.add(number, message)


def _picture(data: bytes) -> None:
    """What is found does not depend on how the bytes come."""
    kind = media_type.sniff(data[: media_type.HEAD], len(data))
    whole, pieces = inspection.Inspection(), inspection.Inspection()
    whole.feed(data)
    for start in range(0, len(data), 1 if len(data) < 1000 else 1000):
        pieces.feed(data[start : start + (1 if len(data) < 1000 else 1000)])
    found = whole.defect(kind or "image/png")
    assert found == pieces.defect(kind or "image/png")
    inspection.refusal(len(data), found)


def _pictures() -> list[bytes]:
    made = []
    for kind in ("JPEG", "PNG", "GIF", "WEBP", "BMP", "XBM"):
        out = io.BytesIO()
        first = Image.new("1" if kind == "XBM" else "RGB", (4, 3))
        first.save(out, kind, **({"save_all": True, "append_images": [first.copy()]} if kind == "GIF" else {}))
        made.append(out.getvalue())
    return [*made, b"/* by hand */ " + made[-1], b"\0\0\x04\x03\0\0\0"]


def _picture_host(data: bytes) -> None:
    """Read the header fields of a first response, and of one that goes on with it."""
    status, headers, _ = _response(data)
    alteration.transformation(status, headers)
    alteration.conversion("image/webp", headers, "a/b.png")
    first, rest = requests.Response(), requests.Response()
    first.headers = CaseInsensitiveDict({name: headers[name] for name in ("ETag", "Last-Modified") if name in headers})
    rest.status_code, rest.headers = status, headers
    if (validator := http_download._Validator.of(rest)) is not None:
        http_download._check_continuation(rest, first, validator, 50, http_download._length(rest))


# Files of the command line


def _settings_of(content: dict[str, Any], plugin: type[TapBCImages | TargetBCImages]) -> None:
    with mock.patch.object(redaction, "_secrets", set()):
        checked = config.checked(content, plugin.config_jsonschema)
        Settings.from_config(checked)
        (TapSettings if plugin is TapBCImages else TargetSettings).from_config(checked)


def _config_file(data: bytes) -> None:
    content = config.json_object(_text(data), "--config")
    _settings_of(content, TapBCImages if "start_date" in content else TargetBCImages)


def _environment(data: bytes) -> None:
    pairs = (os.fsdecode(line).partition("=") for line in data.replace(b"\0", b"").splitlines())
    environ = {f"TARGET_BC_IMAGES_{name}": value for name, _, value in pairs}
    properties = TargetBCImages.config_jsonschema["properties"]
    _settings_of(config.from_environment("TARGET_BC_IMAGES_", properties, environ), TargetBCImages)


def _text(data: bytes) -> str:
    """Return what a text file with these bytes says; what is no UTF-8 is refused where the file is read."""
    return data.decode("utf-8", "replace")


def _state(data: bytes) -> None:
    bookmarks = check_state(read_state(_text(data))).get("bookmarks", {})
    options = TapSettings.from_config({"product_id_min": 5})
    for bookmark in bookmarks.values():
        full_table = FullTableProgress.begin(bookmark, "sandbox", options, 1_700_000_000_000)
        assert full_table.first > 0
        changes = Bookmark(bookmark, "sandbox", options)
        changes.check_not_future("2025-01-01T00:00:00+00:00")
        changes.advance(bookmark, "2025-01-01T00:00:00+00:00")


_FULL_TABLE = {
    "store_hash": "sandbox",
    "product_id_min": 5,
    "product_id_max": None,
    "version": 1_600_000_000_000,
    "last_product_id": 7,
}
_BOOKMARK = {
    "replication_key": "date_modified",
    "replication_key_value": "2024-01-01T00:00:00+00:00",
    "store_hash": "sandbox",
    "product_id_min": 5,
    "product_id_max": None,
}
_STATE = {"bookmarks": {"product_images": {"full_table": _FULL_TABLE, **_BOOKMARK}, "products": _BOOKMARK}}
_CATALOG = {
    "streams": [
        {
            "tap_stream_id": name,
            "stream": name,
            "schema": {"type": "object", "properties": {"id": {"type": "integer"}}},
            "key_properties": ["store_hash", "id"],
            "replication_method": "INCREMENTAL",
            "replication_key": "date_modified",
            "metadata": [
                {"breadcrumb": [], "metadata": {"selected": True, "replication-method": "FULL_TABLE"}},
                {"breadcrumb": ["properties", "id"], "metadata": {"inclusion": "available", "selected": True}},
            ],
        }
        for name in ("product_images", "products")
    ]
}


def _report(data: bytes) -> None:
    path = Path("report.jsonl")
    path.write_bytes(data)
    try:
        name = str(path)
        for line in retry._unfinished(name):
            retry._obstacle(line, [2])
        retry._claimed(name)
        retry._siblings(name)
        report = Report(None)
        for line in retry._unfinished(name):
            report.copy_entry(line)
        report.close()
        assert len("".join(report.problem_lines())) < 20_000
        assert [*retry.ReportRecords(name, [2])]
    finally:
        path.unlink()


_REPORT = singer(
    {
        "product_id": 2,
        "source_id": 1,
        "target_id": 5,
        "action": "create",
        "status": "failed",
        "reason": "HTTP 500",
        "record": _RECORD,
        "is_sibling": True,
    },
    {"product_id": 2, "source_id": 3, "target_id": 6, "action": "keep", "status": "kept", "record": None},
    {"summary": {"done": 1}},
)


def _target(data: bytes) -> None:
    """Take in an undo file, up to where the store is asked."""
    settings = {
        **_SETTINGS,
        "api_url": "http://127.0.0.1:1",
        "mode": "mirror",
        "max_deletes": 1,
        "report": None,
    }
    with restored_handlers():
        target = TargetBCImages(config=settings)
        try:
            list(target.read([SingerFile(io.BytesIO(data))]).groups("product_id"))
        finally:
            target.close()


_MESSAGES = singer(
    row(_RECORD), row({"id": 2, "image_count": 1, "sku": "S", "store_hash": "s"}, "products"), end(), state()
)
_UNDO = singer(
    {**head("products"), "undo": True},
    {**head(), "undo": True},
    row({"id": 2, "image_count": 1, "sku": "S", "store_hash": "sandbox"}, "products", None),
    row(_RECORD),
    end(),
)


def _lines(data: bytes) -> None:
    for _, _, message in jsonl.messages(io.BytesIO(data), "the file", "x."):
        assert message is not None


# Airbyte


def _airbyte_messages(data: bytes) -> None:
    streams = [Stream("product_images", None, overwrites=True), Stream("products", None, overwrites=False)]
    for _, _, message in AirbyteSource(io.BytesIO(data), streams):
        assert message["type"] in {"SCHEMA", "RECORD", "STATE", "ACTIVATE_VERSION"}
        assert isinstance(message.get("stream", ""), str)


_AIRBYTE = singer(
    {"type": "RECORD", "record": {"stream": "product_images", "data": _RECORD, "emitted_at": 1}},
    {"type": "STATE", "state": {"type": "STREAM", "stream": {"stream_descriptor": {"name": "products"}}}},
    {
        "type": "TRACE",
        "trace": {
            "type": "STREAM_STATUS",
            "stream_status": {"stream_descriptor": {"name": "product_images"}, "status": "COMPLETE"},
        },
    },
)
_CONFIGURED = {
    "streams": [
        {
            "stream": {"name": name, "namespace": None, "json_schema": {"properties": {"id": {"type": "integer"}}}},
            "sync_mode": "incremental",
            "destination_sync_mode": "append",
            "generation_id": 1,
            "minimum_generation_id": 1,
        }
        for name in ("product_images", "products")
    ]
}
_DISCOVERED = _CATALOG


def _airbyte_catalog(data: bytes) -> None:
    content = config.json_object(_text(data), "--catalog")
    streams = configured_streams(content)
    AirbyteSource(io.BytesIO(), streams)
    read_catalog(singer_catalog(content, _DISCOVERED))


def _airbyte_state(data: bytes) -> None:
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return  # refused where the file is read
    check_state(singer_state(content))


_TAP = {
    **_SETTINGS,
    "start_date": "2024-01-01",
    "product_id_min": 1,
    "recheck_files": "5%",
    "file_store": "/files",
    "api_url": "https://api.bigcommerce.com",
    "allow_other_api_host": True,
    "store_url": "https://store-{store_hash}.example.com",
    "request_timeout": 10.5,
    "rate_limit_reserve": 0.1,
    "user_agent": "agent",
    "webdav_username": "a@example.com",
    "webdav_password": "password",
}
_TARGET = {
    **_SETTINGS,
    "mode": "mirror",
    "max_deletes": 5,
    "product_ids": [1, 2],
    "check_pictures": "sample",
    "state_dir": "/state",
    "report": "report.jsonl",
    "upload": "url",
    "file_store_public_url": "https://files.example.com",
}
_RATE = (
    b"200\r\nX-Rate-Limit-Requests-Quota: 450\r\nX-Rate-Limit-Requests-Left: 449\r\nX-Rate-Limit-Time-Reset-Ms: 15000"
    b"\r\nX-Rate-Limit-Time-Window-Ms: 30000\r\nRetry-After: 5\r\n\r\n"
)
_RETRY = (
    b"503\r\nRetry-After: Wed, 21 Oct 2015 07:28:00 GMT\r\nDate: Wed, 21 Oct 2015 07:28:00 GMT\r\nX-Retry-After: 1.5"
    b"\r\n\r\n"
)
_POLISHED = (
    b"203\r\nCf-Polished: origSize=100, origFmt=png, qual=85\r\nContent-Length: 100\r\nContent-Type: image/webp\r\n"
    b'Warning: 214 - "Transformation Applied"\r\nCf-Resized: internal=ok/m\r\nServer: Image Manager\r\n\r\n'
)
_RANGE = (
    b'206\r\nETag: "abc"\r\nContent-Range: bytes 50-99/100\r\nContent-Length: 100\r\n'
    b"Date: Wed, 21 Oct 2015 07:28:00 GMT\r\nLast-Modified: Wed, 21 Oct 2015 07:20:00 GMT\r\n\r\n"
)
_REF = f"refs/sandbox/a/b.png={'a' * 64}=10=png=original".encode()
_DEFLATE = b"200\r\nContent-Encoding: deflate\r\n\r\n" + zlib.compress(_JSON * 20)
_LOCK = orjson.dumps({**asdict(LockHolder.current()), "renewed": "2020-01-01T00:00:00+00:00"})
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
    "WebDAV responses": Parser(
        _webdav, [b"201\r\n\r\n", _MULTI_STATUS, b"423\r\nRetry-After: 5\r\n\r\nlocked", _CHALLENGE]
    ),
    "WebDAV challenges": Parser(_challenge, [_CHALLENGE], (UnusableChallenge,)),
    "heads of pictures": Parser(_picture, _pictures()),
    "headers of picture hosts": Parser(_picture_host, [_POLISHED, _RANGE]),
    "names of objects": Parser(_refs, [_REF, _REF + b"=1=truncated", _REF + b"\n" + _REF + b"=2"], share=0.5),
    "locks": Parser(_locks, [_LOCK]),
    "archives": Parser(
        _archive, [gzip.compress(singer(head(), head("products")) + _MESSAGES, mtime=0), gzip.compress(b"", mtime=0)]
    ),
    "Singer lines": Parser(
        _lines,
        [
            _MESSAGES,
            gzip.compress(_MESSAGES, mtime=0),
            b"\xef\xbb\xbf" + _MESSAGES,
            _MESSAGES.decode().encode("utf-16"),
        ],
        share=4,
    ),
    "undo files": Parser(_target, [_UNDO], share=0.1),
    "state": Parser(_state, [orjson.dumps(_STATE), orjson.dumps({"type": "STATE", "value": _STATE})]),
    "catalog": Parser(
        lambda data: read_catalog(config.json_object(_text(data), "--catalog")), [orjson.dumps(_CATALOG)]
    ),
    "settings": Parser(_config_file, [orjson.dumps(_TAP), orjson.dumps(_TARGET)], share=0.5),
    "environment": Parser(
        _environment,
        [
            b"STORE_HASH=sandbox\nACCESS_TOKEN=token\nMAX_DELETES=5\nMODE=mirror\nDRY_RUN=true\nPRODUCT_IDS=[1,2]\n",
            b"REQUEST_TIMEOUT=1e3\nPENDING_WRITE_TIMEOUT=5\nSTREAM_MAPS={}\nSTORE_HASH=sandbox\nACCESS_TOKEN=token\n",
        ],
        share=0.5,
    ),
    "reports": Parser(_report, [_REPORT]),
    "Airbyte messages": Parser(_airbyte_messages, [_AIRBYTE]),
    "Airbyte catalog": Parser(_airbyte_catalog, [orjson.dumps(_CONFIGURED)], share=0.5),
    "Airbyte state": Parser(
        _airbyte_state,
        [orjson.dumps([{"stream": {"stream_state": {"a": 1}, "stream_descriptor": {"name": "products"}}}])],
    ),
}
