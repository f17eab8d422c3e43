"""A host of pictures that has no end, glues files together, or resolves to a private address."""

from __future__ import annotations

import hashlib
import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from bc_images.bigcommerce import exchange
from bc_images.bigcommerce.mapping import Record
from bc_images.bigcommerce.retry import RetryPolicy
from bc_images.errors import FatalError, FileUnavailable, SettingsError, StoreUnreachable, UnexpectedResponse
from bc_images.files import FileStore, open_files
from bc_images.files.download import Downloader
from bc_images.files.upload import Uploader
from bc_images.files.url_policy import UrlPolicy, _is_public
from bc_images.files.webdav import WebDAV
from tests.support.file_host import Answer, Host, content, cut
from tests.support.file_stores import record_of, settings_for
from tests.support.hostile_server import CHUNKED, DRIPS, Script, endless, peer
from tests.support.pictures import png

PATH = "/product_images/x.png"
BODY, OTHER = png(5000), png(5000, 7)
BIG = png(600_000)
OLD = {"Last-Modified": "Mon, 24 Sep 2012 01:14:30 GMT"}
TIMEOUT = 0.4


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "POLL", 0.02)
    monkeypatch.setattr(exchange, "DISCARD_SECONDS", 0.2)
    monkeypatch.setattr(RetryPolicy, "backoff", lambda _policy, _attempt: 0.0)


@pytest.fixture
def files(tmp_path: Path) -> FileStore:
    return open_files(str(tmp_path / "files"))


@pytest.fixture
def host() -> Iterator[Host]:
    with Host() as running:
        yield running


def download(url: str, files: FileStore, **settings: Any) -> tuple[Record, list[str]]:
    """Return the record of the one picture of a run, and what the run says of failures."""
    with Downloader(settings_for(url, **settings), files) as downloader:
        (record,) = downloader.fill([record_of("x.png")])
    return record, downloader.failures


# Time


@pytest.mark.parametrize("script", DRIPS.values(), ids=DRIPS)
def test_a_picture_that_never_ends_costs_itself(script: Script, files: FileStore) -> None:
    """What is no picture at all fails at once, the rest when its time is over."""
    with peer(script, pause=0.03) as server:
        record, failures = download(server.url, files, request_timeout=TIMEOUT, max_retries=1)
    assert record["file_sha256"] is None
    assert len(failures) == 1


@pytest.mark.parametrize("pause", [0.03, 0.0], ids=["drip", "flood"])
@pytest.mark.parametrize("status", [b"404 Not Found", b"302 Found", b"403 Forbidden", b"503 Busy"])
def test_a_refusal_without_end_costs_itself(status: bytes, pause: float, files: FileStore) -> None:
    head = b"HTTP/1.1 " + status + b"\r\nLocation: /elsewhere\r\n\r\n"
    with peer(endless(head, b"x" if pause else b"x" * 65536), pause) as server:
        record, failures = download(server.url, files, request_timeout=TIMEOUT, max_retries=1)
    assert record["file_sha256"] is None
    assert len(failures) == 1


def test_a_long_wait_is_capped_and_logged(
    files: FileStore, host: Host, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    waits: list[float | None] = []

    class Noting(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout)
            return False

    def busy(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(503)
        handler.send_header("Retry-After", "3600")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    host.on(PATH, busy, content(BODY))
    caplog.set_level("INFO")
    with Downloader(settings_for(host.url), files) as downloader:
        downloader._http._stop = Noting()
        (record,) = downloader.fill([record_of("x.png")])
    assert record["file_size"] == len(BODY)
    assert waits == [60.0]
    assert "HTTP 503 (it asks for a wait of 3,600 s). Trying again in 60.0 s." in caplog.text


PAGES = {"trailers", "gzip"}
HEADLESS = {"status line", "header line", "header fields", "100 Continue", "102 Processing"}


@pytest.mark.parametrize("script", DRIPS.values(), ids=DRIPS)
@pytest.mark.parametrize("status", [None, b"401 Unauthorized", b"302 Found"], ids=["as it is", "401", "302"])
def test_a_webdav_without_end_is_left(script: Script, status: bytes | None) -> None:
    """Of a response that has a status, only a page in place of a confirmation matters."""

    def refusing(request: str) -> Iterator[bytes]:
        for number, piece in enumerate(script(request)):
            challenge = b'\r\nWWW-Authenticate: Digest realm="x", nonce="y", qop="auth"\r\n'
            yield piece.replace(b"200 OK\r\n", (status or b"") + challenge) if status and not number else piece

    with peer(refusing, pause=0.03) as server:
        webdav = WebDAV(settings_for(server.url, request_timeout=TIMEOUT, max_retries=1), "user", "password")
        has_status = script in {DRIPS[name] for name in HEADLESS}
        is_page = script in {DRIPS[name] for name in PAGES}
        is_stored = status is None and not has_status and not is_page
        with nullcontext() if is_stored else pytest.raises((FatalError, FileUnavailable)):
            webdav._send("PUT", "x.png", b"x" * 100_000, 1)
        assert len(server.requests) <= 4


def test_a_flood_in_a_webdav_challenge_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    head = b'HTTP/1.1 401 No\r\nWWW-Authenticate: Digest realm="x", nonce="y", qop="auth"\r\n\r\n'
    sent = 0

    def flood(_request: str) -> Iterator[bytes]:
        nonlocal sent
        yield head
        while True:
            sent += 65536
            yield b"x" * 65536

    with peer(flood) as server:
        webdav = WebDAV(settings_for(server.url, max_retries=0), "user", "password")
        with pytest.raises((FatalError, StoreUnreachable, UnexpectedResponse)):
            webdav._send("PUT", "x.png", b"x", 0)
    assert sent < 64 * 2**20


# Parts of two files


def part(body: bytes, headers: dict[str, str], start: int = 3000, total: int | None = None) -> Answer:
    """The rest of a file, whatever was asked for."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(206)
        extent = f"bytes {start}-{len(body) - 1}/{total or len(body)}"
        shown = {"Content-Range": extent, "Content-Length": str(len(body) - start)}
        for name, value in (shown | headers).items():
            if value:
                handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body[start:])

    return answer


WEAK, STRONG, NO_ETAG = {"ETag": 'W/"one"'}, {"ETag": '"one"'}, {"ETag": ""}
LATER = {"Last-Modified": "Mon, 24 Sep 2012 02:00:00 GMT"}
FIRST_AND_REST: dict[str, tuple[dict[str, str], Answer]] = {
    "no validator in the rest": (STRONG, part(OTHER, {})),
    "another ETag": (STRONG, part(OTHER, {"ETag": '"two"'})),
    "a weak ETag": (WEAK, part(OTHER, WEAK)),
    "weak and strong": (STRONG, part(OTHER, WEAK)),
    "ETag without quotes": ({"ETag": "one"}, part(OTHER, {"ETag": "one"})),
    "an empty ETag": ({"ETag": '""'}, part(OTHER, {"ETag": '""'})),
    "a weak ETag and an old date": (WEAK | OLD, part(OTHER, WEAK | OLD)),
    "no ETag at first": (NO_ETAG | OLD, part(OTHER, {"ETag": '"two"'})),
    "another date": (NO_ETAG | OLD, part(OTHER, LATER)),
    "the same ETag, another date": (STRONG | OLD, part(OTHER, STRONG | LATER)),
    "another length": (STRONG, part(png(6000, 7), STRONG)),
    "another start": (STRONG, part(OTHER, STRONG, start=2000)),
    "a later start": (STRONG, part(OTHER, STRONG, start=3001)),
    "not to the end": (STRONG, part(OTHER[:4000], STRONG, total=5000)),
    "an unknown length": (STRONG, part(OTHER, STRONG | {"Content-Range": "bytes 3000-4999/*"})),
    "no range": (STRONG, part(OTHER, STRONG | {"Content-Range": ""})),
}


@pytest.mark.parametrize(("headers", "rest"), FIRST_AND_REST.values(), ids=FIRST_AND_REST)
def test_two_files_are_never_glued_together(
    headers: dict[str, str], rest: Answer, files: FileStore, host: Host
) -> None:
    host.on(PATH, cut(BODY, 3000, **headers), rest, content(OTHER))
    record, failures = download(host.url, files)
    # Where nothing is asked for again as a part, what was meant for the rest is a 206 nobody wanted.
    digests = {None, hashlib.sha256(OTHER).hexdigest(), hashlib.sha256(BODY).hexdigest()}
    assert record["file_sha256"] in digests
    assert bool(failures) == (record["file_sha256"] is None)
    if record["file_sha256"]:
        assert files.read(record["file_sha256"]) == OTHER


@pytest.mark.parametrize("validator", [STRONG, NO_ETAG | OLD, STRONG | OLD], ids=["ETag", "an old date", "both"])
def test_the_rest_of_the_same_file_is_taken(validator: dict[str, str], files: FileStore, host: Host) -> None:
    host.on(PATH, cut(BODY, 3000, **validator), part(BODY, validator))
    record, _ = download(host.url, files)
    assert record["file_sha256"] == hashlib.sha256(BODY).hexdigest()
    condition = validator.get("ETag") or validator["Last-Modified"]
    assert (host.seen[1].headers["range"], host.seen[1].headers["if-range"]) == ("bytes=3000-", condition)


@pytest.mark.parametrize("seconds", [0, 59])
def test_a_date_of_the_last_minute_is_no_proof(seconds: int, files: FileStore, host: Host) -> None:
    """Within a second, or by another clock, a file may change without a new date (RFC 9110, 8.8.2.2)."""

    def young(body: bytes, status: int) -> Answer:
        def answer(handler: BaseHTTPRequestHandler) -> None:
            date = handler.date_time_string()
            handler.send_response_only(status)
            modified = handler.date_time_string(time.time() - seconds)
            for name, value in {"Date": date, "Last-Modified": modified, "Content-Length": "5000"}.items():
                handler.send_header(name, value)
            handler.end_headers()
            handler.wfile.write(body)
            handler.close_connection = True

        return answer

    host.on(PATH, young(BODY[:3000], 200), young(OTHER, 200))
    record, _ = download(host.url, files)
    assert record["file_sha256"] == hashlib.sha256(OTHER).hexdigest()
    assert [request.headers.get("range") for request in host.seen] == [None, None]


def test_a_file_that_is_shorter_now_is_begun_anew(files: FileStore, host: Host) -> None:
    def unsatisfiable(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(416)
        handler.send_header("Content-Range", "bytes */2000")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    short = png(2000, 3)
    host.on(PATH, cut(BODY, 3000), unsatisfiable, content(short))
    record, _ = download(host.url, files)
    assert record["file_sha256"] == hashlib.sha256(short).hexdigest()


def test_a_rest_from_another_address_is_not_taken(files: FileStore, host: Host) -> None:
    def redirect(target: str) -> Answer:
        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(302)
            handler.send_header("Location", target)
            handler.send_header("Content-Length", "0")
            handler.end_headers()

        return answer

    host.on(PATH, redirect("/one.png"), redirect("/two.png"))
    host.on("/one.png", cut(BODY, 3000))
    host.on("/two.png", content(OTHER))
    record, _ = download(host.url, files)
    assert record["file_sha256"] == hashlib.sha256(OTHER).hexdigest()


def test_chunks_that_break_off_again_and_again_end(files: FileStore) -> None:
    head = b'HTTP/1.1 200 OK\r\nETag: "one"\r\n' + CHUNKED
    with peer(lambda _: [head + b"3e8\r\n" + BODY[:1000] + b"\r\n"]) as server:
        record, failures = download(server.url, files, max_retries=3)
    assert record["file_sha256"] is None
    assert len(failures) == 1


# Addresses

PRIVATE = [
    "127.0.0.1",
    "10.1.2.3",
    "100.64.0.1",
    "169.254.169.254",
    "172.31.255.255",
    "192.168.0.1",
    "192.0.0.8",
    "192.0.0.255",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "0.0.0.0",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:0:10.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b:1::808:808",
    "2002:a00:1::",
    "2002:7f00:1::1",
    "2001:0:808:808:0:0:f5ff:fffe",  # Teredo, for 10.0.0.1
    "2001:1::1",
    "2001:20::1",
    "2001:db8::1",
    "fc00::1",
    "fd12::1",
    "fe80::1",
    "fec0::1",
    "ff02::1",
]
PUBLIC = [
    "8.8.8.8",
    "93.184.216.34",
    "2a00:1450:4001::1",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2002:808:808::1",
    "2001:0:808:808:0:0:f7f7:f7f7",  # Teredo, for 8.8.8.8
]


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses(address: str) -> None:
    assert not _is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses(address: str) -> None:
    assert _is_public(ipaddress.ip_address(address))


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets a name resolve to some addresses; all others to none."""
    names: dict[str, tuple[str, ...]] = {}
    real = socket.getaddrinfo

    def getaddrinfo(name: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if name in names:
            family = {True: socket.AF_INET6, False: socket.AF_INET}
            return [(family[":" in address], socket.SOCK_STREAM, 6, "", (address, port)) for address in names[name]]
        if str(name).endswith(".example"):
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return real(name, port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return lambda name, *addresses: names.update({name: addresses})


@pytest.mark.parametrize(
    "addresses", [("10.0.0.1",), ("8.8.8.8", "10.0.0.1"), ("::ffff:10.0.0.1",), ("fe80::1%eth0",)], ids=str
)
def test_a_name_is_judged_by_all_its_addresses(resolve: Callable[..., None], addresses: tuple[str, ...]) -> None:
    resolve("cdn.example", *addresses)
    policy = UrlPolicy(settings_for("http://127.0.0.1:1"))
    for check in (policy.check, policy.check_and_resolve):
        with pytest.raises(FileUnavailable, match="private address"):
            check("http://cdn.example/x.png")


def test_a_name_of_public_addresses_may_be_used(resolve: Callable[..., None]) -> None:
    resolve("cdn.example", "8.8.8.8", "2a00:1450:4001::1")
    policy = UrlPolicy(settings_for("http://127.0.0.1:1"))
    assert policy.check("http://cdn.example/x.png") == "http://cdn.example/x.png"
    assert policy.check("http://unknown.example/x.png") == "http://unknown.example/x.png"  # the store may know it


STORE = "https://shop.example"


@pytest.mark.parametrize(
    "file_store_public_url",
    [
        "http://10.0.0.1/files",
        "http://localhost:9000",
        "http://2130706433/",
        "http://[::ffff:7f00:1]/",
        "http://inner.example/files",
        "http://printer.local",
        "http://nas/files",
    ],
)
def test_a_private_file_store_public_url_is_refused(
    resolve: Callable[..., None], file_store_public_url: str, files: FileStore
) -> None:
    resolve("inner.example", "192.168.1.5")
    settings = settings_for("http://127.0.0.1:1", api_version="v2", store_url=STORE, api_url="https://api.example.com")
    with pytest.raises(SettingsError, match=r"file_store_public_url leads to .*, a private address"):
        Uploader(settings, files=files, upload_method="url", file_store_public_url=file_store_public_url)
    # The store of a sandbox is on this machine, and can fetch from it.
    Uploader(
        settings_for("http://127.0.0.1:1", api_version="v2"),
        files=files,
        upload_method="url",
        file_store_public_url=file_store_public_url,
    )


@pytest.mark.parametrize(
    "file_store_public_url",
    [
        "https://me:hunter2@files.example/",
        "https://hunter2@files.example",
        "https://files.example:99999",
        "https://files.example/#hunter2",
        "https://[hunter2",
        "https://files.example/\nhunter2",
    ],
)
def test_a_file_store_public_url_that_is_none_is_refused_without_being_shown(
    file_store_public_url: str, files: FileStore
) -> None:
    with pytest.raises(SettingsError, match="file_store_public_url is no public") as caught:
        Uploader(
            settings_for("http://127.0.0.1:1", api_version="v2"),
            files=files,
            file_store_public_url=file_store_public_url,
        )
    assert "hunter2" not in str(caught.value)
