"""Pictures, those who serve them, and what else the file store holds."""

from __future__ import annotations

import gzip
import io
import os
import re
from collections.abc import Iterator
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any, cast

import orjson
import requests
import urllib3
from PIL import Image
from requests.structures import CaseInsensitiveDict

from bc_images.bigcommerce.session import DigestAuth, UnusableChallenge
from bc_images.files import alteration, http_download, inspection, media_type
from bc_images.files.index import FileIndex
from bc_images.files.locks import LockHolder, StoreLock, read_locks
from bc_images.files.webdav import WebDAV
from bc_images.settings import Settings
from bc_images.singer.archive.loader import _Seen
from bc_images.snapshots import SnapshotStore
from tests.support.parsers.base import SETTINGS, Parser, read_response
from tests.support.parsers.commands import MESSAGES
from tests.support.target import head, singer


class _WebDAV(WebDAV):
    """A WebDAV that answers every request alike."""

    def __init__(self, data: bytes) -> None:
        super().__init__(Settings.from_config(SETTINGS), "user", "password")
        self._data = data

    def _exchange(self, method: str, name: str, content: bytes | None) -> tuple[requests.Response, bytes]:
        response = requests.Response()
        response.status_code, response.headers, said = read_response(self._data)
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
    status, headers, content = read_response(data)
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
    for number, _, message in SnapshotStore(files, "store").messages("20250131T020000Z.singer.gz"):
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
    status, headers, _ = read_response(data)
    alteration.transformation(status, headers)
    alteration.conversion("image/webp", headers, "a/b.png")
    first, rest = requests.Response(), requests.Response()
    first.headers = CaseInsensitiveDict({name: headers[name] for name in ("ETag", "Last-Modified") if name in headers})
    rest.status_code, rest.headers = status, headers
    if (validator := http_download._Validator.of(rest)) is not None:
        http_download._check_continuation(rest, first, validator, 50, http_download._length(rest))


_POLISHED = (
    b"203\r\nCf-Polished: origSize=100, origFmt=png, qual=85\r\nContent-Length: 100\r\nContent-Type: image/webp\r\n"
    b'Warning: 214 - "Transformation Applied"\r\nCf-Resized: internal=ok/m\r\nServer: Image Manager\r\n\r\n'
)
_RANGE = (
    b'206\r\nETag: "abc"\r\nContent-Range: bytes 50-99/100\r\nContent-Length: 100\r\n'
    b"Date: Wed, 21 Oct 2015 07:28:00 GMT\r\nLast-Modified: Wed, 21 Oct 2015 07:20:00 GMT\r\n\r\n"
)
_REF = f"refs/sandbox/a/b.png={'a' * 64}=10=png=original".encode()
_LOCK = orjson.dumps({**asdict(LockHolder.current()), "renewed": "2020-01-01T00:00:00+00:00"})


PARSERS: dict[str, Parser] = {
    "WebDAV responses": Parser(
        _webdav, [b"201\r\n\r\n", _MULTI_STATUS, b"423\r\nRetry-After: 5\r\n\r\nlocked", _CHALLENGE]
    ),
    "WebDAV challenges": Parser(_challenge, [_CHALLENGE], (UnusableChallenge,)),
    "heads of pictures": Parser(_picture, _pictures()),
    "headers of picture hosts": Parser(_picture_host, [_POLISHED, _RANGE]),
    "names of objects": Parser(_refs, [_REF, _REF + b"=1=truncated", _REF + b"\n" + _REF + b"=2"], share=0.5),
    "locks": Parser(_locks, [_LOCK]),
    "archives": Parser(
        _archive, [gzip.compress(singer(head(), head("products")) + MESSAGES, mtime=0), gzip.compress(b"", mtime=0)]
    ),
}
