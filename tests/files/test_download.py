"""Downloads from good and bad hosts: never a wrong file under a digest, never a record that names a missing file."""

from __future__ import annotations

import gzip
import hashlib
import logging
import random
import re
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bc_images.bigcommerce.mapping import Record
from bc_images.errors import FatalError, FileStoreError, StoreUnreachable
from bc_images.files import FileStore, open_files
from bc_images.files import http_download as transfer_module
from bc_images.files import url_policy as addresses_module
from bc_images.files.backends.local import LocalBackend
from bc_images.files.download import Downloader
from tests.support.file_host import Answer, Host, closed_port, content, cut, drip, hang_up, hold, raw, status
from tests.support.file_stores import keys, record_of, settings_for
from tests.support.pictures import KINDS, MEDIA_TYPES, picture, png

PATH = "/product_images/a/001/x__00001.png"
IMAGE_FILE = "a/001/x__00001.png"
BODY = png(5000)
BIG = png(600_000)
PACKED = {"gzip": gzip.compress(BODY), "deflate": zlib.compress(BODY)}

Fill = Callable[..., list[Record]]


@pytest.fixture
def files(tmp_path: Path) -> FileStore:
    return open_files(str(tmp_path / "files"))


@pytest.fixture
def fill(files: FileStore, host: Host, quick: None) -> Fill:
    """Fills records as a run of its own would."""

    def run(records: list[Record], failed: int = 0, **settings: Any) -> list[Record]:
        files.close()  # so that it lists anew
        with Downloader(settings_for(host.url, **settings), files) as downloader:
            filled = list(downloader.fill(records))
        assert downloader.failed == len(downloader.failures) == failed
        assert downloader.files == len(records) - failed
        for record in filled:
            if record["file_sha256"]:
                held = files.read(record["file_sha256"])
                assert len(held) == record["file_size"]
        return filled

    return run


def whole(body: bytes, head: bytes = b"200 OK", **headers: str) -> Answer:
    """An answer whose framing is without fault, whatever is in it."""
    shown = {"Content-Length": str(len(body))} | {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in shown.items())
    return raw(b"HTTP/1.1 " + head + b"\r\n" + lines.encode() + b"\r\n" + body)


def lost(record: Record) -> bool:
    return all(record[name] is None for name in ("file_sha256", "file_size", "file_type", "file_source"))


def test_every_type_byte_for_byte(fill: Fill, host: Host, files: FileStore) -> None:
    for kind in KINDS:
        host.on(f"/product_images/{kind}.bin", content(picture(kind), **{"Content-Type": "application/octet-stream"}))
    filled = fill([record_of(f"{kind}.bin") for kind in KINDS])
    for kind, record in zip(KINDS, filled, strict=True):
        assert record["file_sha256"] == hashlib.sha256(picture(kind)).hexdigest()
        assert (record["file_size"], record["file_type"]) == (len(picture(kind)), MEDIA_TYPES[kind])
        assert record["file_source"] == "original"
        assert files.read(record["file_sha256"]) == picture(kind)


@pytest.mark.parametrize(
    ("image_file", "path"),
    [
        ("sample images/größe 1.png", "/product_images/sample%20images/gr%C3%B6%C3%9Fe%201.png"),
        ("a/100%.png", "/product_images/a/100%25.png"),
        ("a/what?.png", "/product_images/a/what%3F.png"),
        ("a/#1.png", "/product_images/a/%231.png"),
        ("a/%2e%2e/x.png", "/product_images/a/%252e%252e/x.png"),
        ("a\\b.png", "/product_images/a%5Cb.png"),
        ("a/" + "x" * 240 + ".png", "/product_images/a/" + "x" * 240 + ".png"),
    ],
)
def test_paths_are_percent_encoded(fill: Fill, host: Host, image_file: str, path: str) -> None:
    host.on(path, content(BODY))
    for _ in range(2):  # the second run finds the ref
        (record,) = fill([record_of(image_file)])
        assert record["file_size"] == len(BODY)
    assert host.paths() == [path]


@pytest.mark.parametrize("image_file", ["../admin.png", "a/../../x.png", "./x.png", "/etc/passwd", "a//b.png", ".."])
def test_a_path_that_leaves_the_folder_is_not_asked_for(fill: Fill, host: Host, image_file: str) -> None:
    (record,) = fill([record_of(image_file)], failed=1)
    assert lost(record)
    assert host.seen == []


def test_the_order_stays_whatever_is_fast(fill: Fill, host: Host) -> None:
    def late(handler: Any) -> None:
        time.sleep(0.2)
        content(BODY)(handler)

    host.on("/product_images/0.png", late)
    for number in range(1, 60):
        host.on(f"/product_images/{number}.png", content(BODY) if number % 3 else status(404))
    records = [record_of(f"{number}.png", id=number) for number in range(60)]
    filled = fill(records, failed=19)
    assert [record["id"] for record in filled] == list(range(60))
    assert [record["id"] for record in filled if lost(record)] == list(range(3, 60, 3))


def test_a_second_run_downloads_nothing_and_asks_for_nothing(fill: Fill, host: Host) -> None:
    for number in range(20):
        host.on(f"/product_images/{number}.png", content(png(2000, number)))
    records = [record_of(f"{number}.png") for number in range(20)]
    first = fill([dict(record) for record in records])
    host.seen.clear()
    assert fill([dict(record) for record in records]) == first
    assert host.seen == []
    host.on("/product_images/new.png", content(BODY))
    fill([*records, record_of("new.png")])
    assert host.paths() == ["/product_images/new.png"]


def test_a_lost_file_is_downloaded_again(fill: Fill, host: Host, files: FileStore, tmp_path: Path) -> None:
    host.on(PATH, content(BODY))
    (record,) = fill([record_of(IMAGE_FILE)])
    (stored,) = keys(files, "sha256")
    (tmp_path / "files" / stored).unlink()
    assert fill([record_of(IMAGE_FILE)]) == [record]
    assert host.paths() == [PATH, PATH]


def test_a_link_that_leads_nowhere_is_as_good_as_lost(fill: Fill, host: Host, files: FileStore, tmp_path: Path) -> None:
    host.on(PATH, content(BODY))
    (record,) = fill([record_of(IMAGE_FILE)])
    (stored,) = keys(files, "sha256")
    (tmp_path / "files" / stored).unlink()
    (tmp_path / "files" / stored).symlink_to("gone")
    assert fill([record_of(IMAGE_FILE)]) == [record]
    assert host.paths() == [PATH, PATH]
    assert (tmp_path / "files" / stored).read_bytes() == BODY


def test_the_token_never_leaves(fill: Fill, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    host.on(PATH, status(302, Location="/next", Set_Cookie="session=1; Path=/"))
    host.on("/next", status(404))
    host.on("/zoom.png", content(BODY))
    fill([record_of(IMAGE_FILE, zoom_url=f"{host.url}/zoom.png")])
    assert host.paths() == [PATH, "/next", "/zoom.png"]
    for request in host.seen:
        assert not {"x-auth-token", "authorization", "cookie", "referer"} & set(request.headers)
        assert "a-token" not in str(request)
        assert request.headers["accept-encoding"] == "identity"
        assert request.headers["user-agent"] == "bc-images"


# ------------------------------------------------------------ the rendition


@pytest.mark.parametrize("code", [404, 410])
def test_a_missing_original_is_replaced_by_its_rendition(fill: Fill, host: Host, code: int) -> None:
    host.on(PATH, status(code))
    host.on("/zoom.png", content(BODY))
    (record,) = fill([record_of(IMAGE_FILE, zoom_url=f"{host.url}/zoom.png")])
    assert record["file_source"] == "zoom"
    assert record["file_size"] == len(BODY)


def test_a_rendition_is_kept_but_the_original_is_asked_for_again(fill: Fill, host: Host) -> None:
    host.on("/zoom.png", content(BODY))
    record = record_of(IMAGE_FILE, zoom_url=f"{host.url}/zoom.png")
    first = fill([dict(record)])
    host.seen.clear()
    assert fill([dict(record)]) == first
    assert host.paths() == [PATH]
    host.on(PATH, status(500))
    assert fill([dict(record)]) == first
    host.on(PATH, content(BIG))
    (better,) = fill([dict(record)])
    assert (better["file_source"], better["file_size"]) == ("original", len(BIG))
    host.seen.clear()
    assert fill([dict(record)]) == [better]
    assert host.seen == []


@pytest.mark.parametrize("zoom_url", [None, "", "{url}/gone.png"])
def test_without_a_rendition_the_record_says_so(fill: Fill, host: Host, zoom_url: str | None) -> None:
    (record,) = fill([record_of(IMAGE_FILE, zoom_url=zoom_url and zoom_url.format(url=host.url))], failed=1)
    assert lost(record)


@pytest.mark.parametrize(
    "zoom_url",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/x.png",
        "gopher://127.0.0.1/",
        "//127.0.0.1/x.png",
        "not an address",
        "http://",
        "http://[::1/x.png",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:169.254.169.254]/",
        "http://2852039166/latest",
        "http://0xA9FEA9FE/",
        "http://10.0.0.1/x.png",
        "http://192.168.1.1/x.png",
        "http://[::1]:80/x.png",
        "http://[fe80::1]/x.png",
        "http://[::127.0.0.1]/x.png",
        "http://[::a9fe:a9fe]/x.png",
        "http://[fec0::1]/x.png",
        "http://[2002:7f00:1::]/x.png",
        "http://0.0.0.0/x.png",
        "http://localhost/x.png",
        "http://metadata.google.internal/x.png",
        "http://user:secret@127.0.0.1/x.png",
    ],
)
def test_an_address_that_must_not_be_contacted(fill: Fill, caplog: pytest.LogCaptureFixture, zoom_url: str) -> None:
    (record,) = fill([record_of(IMAGE_FILE, zoom_url=zoom_url)], failed=1)
    assert lost(record)
    assert "secret" not in caplog.text
    assert re.search("private address|not an http|not a valid URL|user name", caplog.text)


def test_another_port_of_the_stores_own_host_is_a_stranger(fill: Fill, host: Host) -> None:
    """What else runs there, such as a database's web interface, is not the store."""
    with Host() as beside:
        beside.on("/x.png", content(BODY))
        host.on("/redirected.png", status(302, Location=f"{beside.url}/x.png"))
        for zoom_url in (f"{beside.url}/x.png", f"{host.url}/redirected.png"):
            (record,) = fill([record_of(IMAGE_FILE, zoom_url=zoom_url)], failed=1)
            assert lost(record)
        assert beside.seen == []
    assert host.paths().count("/redirected.png") == 1


def test_another_host_of_a_private_network_is_refused_behind_a_redirect(fill: Fill, host: Host) -> None:
    with Host() as inner:
        for target in (
            f"http://localhost:{inner.port}/x.png",
            f"http://[::1]:{inner.port}/x.png",
            "file:///etc/passwd",
        ):
            host.on(PATH, status(302, Location=target))
            (record,) = fill([record_of(IMAGE_FILE)], failed=1)
            assert lost(record)
        assert inner.seen == []


# ------------------------------------------------------------ redirects


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirects_are_followed(fill: Fill, host: Host, code: int) -> None:
    host.on(PATH, status(code, Location="/a"))
    host.on("/a", status(code, Location=f"{host.url}/b%20c?d=e"))
    host.on("/b%20c?d=e", content(BODY))
    (record,) = fill([record_of(IMAGE_FILE)])
    assert record["file_source"] == "original"


def test_redirects_end(fill: Fill, host: Host) -> None:
    host.on(PATH, status(302, Location=PATH))
    (record,) = fill([record_of(IMAGE_FILE)], failed=1)
    assert lost(record)
    assert len(host.seen) == 6


# ------------------------------------------------------------ what breaks off


@pytest.mark.parametrize("after", [0, 1, 100, 4999])
def test_a_file_that_is_cut_off_is_completed(fill: Fill, host: Host, after: int) -> None:
    host.on(PATH, cut(BODY, after), content(BODY))
    (record,) = fill([record_of(IMAGE_FILE)])
    assert record["file_sha256"] == hashlib.sha256(BODY).hexdigest()
    wanted = None if after == 0 else f"bytes={after}-"
    assert [request.headers.get("range") for request in host.seen] == [None, wanted]


def test_a_file_that_changed_meanwhile_is_begun_anew(fill: Fill, host: Host) -> None:
    """The rest belongs to another file: `If-Range` makes the host send it whole, and nothing is mixed."""
    host.on(PATH, cut(BODY, 3000), content(BIG, ETag='"two"'))
    (record,) = fill([record_of(IMAGE_FILE)])
    assert record["file_sha256"] == hashlib.sha256(BIG).hexdigest()


@pytest.mark.parametrize("headers", [{"ETag": 'W/"weak"'}, {"ETag": ""}, {"Accept-Ranges": "none"}])
def test_without_a_strong_validator_it_is_begun_anew(fill: Fill, host: Host, headers: dict[str, str]) -> None:
    host.on(PATH, cut(BODY, 3000, **headers), content(BODY))
    fill([record_of(IMAGE_FILE)])
    assert [request.headers.get("range") for request in host.seen] == [None, None]


def test_the_rest_of_an_answer_without_a_length_has_one(fill: Fill, host: Host) -> None:
    """The first answer came in chunks and broke off; of the second, what `Content-Range` says has to come."""
    first = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nETag: "one"\r\n\r\n3e8\r\n' + BODY[:1000] + b"\r\n"
    extent = b"Content-Range: bytes 1000-4999/5000\r\n"
    second = b"HTTP/1.1 206 Partial\r\n" + extent + b'Content-Length: 4000\r\nETag: "one"\r\n\r\n' + BODY[1000:3000]
    third = b"HTTP/1.1 206 Partial\r\n" + extent + b"Content-Length: 2000\r\n\r\n" + BODY[1000:3000]
    for short in (second, third):
        host.on(PATH, raw(first), raw(short), status(403))
        (record,) = fill([record_of(IMAGE_FILE)], failed=1)
        assert lost(record)
    host.on(PATH, raw(first), raw(second), content(BODY))
    (record,) = fill([record_of(IMAGE_FILE)])
    assert record["file_sha256"] == hashlib.sha256(BODY).hexdigest()


@pytest.mark.parametrize(
    "extent", ["bytes 0-4999/5000", "bytes 2999-4999/5000", "bytes 3000-4999/6000", "bytes */5000", "", "nonsense"]
)
def test_a_host_that_answers_another_part_is_not_believed(fill: Fill, host: Host, extent: str) -> None:
    head = f"HTTP/1.1 206 Partial\r\nContent-Range: {extent}\r\nContent-Length: 2000\r\n\r\n".encode()
    host.on(PATH, cut(BODY, 3000), raw(head + BODY[3000:]), content(BODY))
    (record,) = fill([record_of(IMAGE_FILE)])
    assert record["file_sha256"] == hashlib.sha256(BODY).hexdigest()
    assert len(host.seen) == 3


@pytest.mark.parametrize(
    "answer",
    [
        cut(BODY, 3000),
        cut(BODY, 0),
        cut(BODY, 3000, ETag=""),
        raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1388\r\n" + BODY[:3000]),
        raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n" + BODY[:1000] + b"\r\n"),
        raw(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n\r\n" + BODY),  # who knows whether that is all
        raw(b"HTTP/1.0 200 OK\r\n\r\n" + BODY[:2000]),
        *(
            whole(packed, content_encoding=name)
            for name, wholly in PACKED.items()
            for packed in (wholly, wholly[:-20], wholly[: len(wholly) // 2], BODY)
        ),
        whole(BODY, content_encoding="identity, gzip"),
        whole(BODY, b"206 Partial"),
        whole(BODY, b"206 Partial", content_range="bytes 0-4999/5000"),
        whole(BODY[:4000], b"206 Partial", content_range="bytes 0-3999/5000"),
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n" + BODY),
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5000, 4000\r\n\r\n" + BODY),
        raw(b"this is no HTTP"),
        raw(b""),
        hang_up,
        status(500),
        status(503),
        status(429),
        status(403),
        status(401),
        status(204),
        status(304),
        content(b""),
        content(b"<html><title>Sorry</title></html>", **{"Content-Type": "text/html; charset=utf-8"}),
        content(BODY, **{"Content-Type": "text/html"}),
        content(b"<html><title>Sorry</title></html>"),
        content(b'{"error": "no"}', **{"Content-Type": "application/json"}),
        content(b"\x89PNG but not really"),
    ],
)
def test_nothing_wrong_is_ever_kept(fill: Fill, host: Host, files: FileStore, answer: Answer) -> None:
    """One picture cannot be downloaded, its neighbours can; the run goes on and says so."""
    host.on(PATH, answer)
    host.on("/product_images/good.png", content(BODY))
    bad, good = fill([record_of(IMAGE_FILE), record_of("good.png")], failed=1, request_timeout=5)
    assert lost(bad)
    assert good["file_sha256"] == hashlib.sha256(BODY).hexdigest()
    assert {key for key in keys(files) if not key.startswith("refs/")} == {
        f"sha256/{good['file_sha256'][:2]}/{good['file_sha256']}"
    }
    assert len(keys(files, "refs")) == 1


def test_no_answer_breaks_the_run(files: FileStore, host: Host, quick: None, caplog: pytest.LogCaptureFixture) -> None:
    """Heads and bodies put together by chance, and then damaged: whatever comes out, it is a record."""
    dice = random.Random(5)
    starts = [b"HTTP/1.1 200 OK", b"HTTP/1.1 206 Partial", b"HTTP/1.0 200", b"HTTP/1.1 302 Found", b"HTTP/1.1 429 No"]
    lines = [
        b"Content-Length: 5000",
        b"Content-Length: " + b"9" * 5000,
        b"Content-Length: \xb2",
        b"Content-Length: 0",
        b"Transfer-Encoding: chunked",
        b"Content-Encoding: gzip",
        b"Content-Encoding: br, nonsense",
        b"Content-Type: \xff\xfe",
        b"Location: http://[bad/",
        b"Location: //",
        b"Location: \xff\x00",
        b"Location: " + b"x" * 70_000,
        b"Retry-After: " + b"0" * 5000,
        b"Retry-After: -0.0",
        b"Content-Range: bytes 0-4999/5000",
        b"Set-Cookie: \x00=\xff",
        b"X: " * 200,
        b": nothing",
    ]
    bodies = [
        BODY,
        b"",
        BODY[:100],
        gzip.compress(BODY),
        b"1388\r\n" + BODY + b"\r\n0\r\n\r\n",
        b"-1\r\n\r\n",
        b"zz\r\n",
    ]
    for number in range(150):
        head = b"\r\n".join([dice.choice(starts), *dice.sample(lines, dice.randrange(4)), b"", b""])
        text = bytearray(head + dice.choice(bodies))
        for _ in range(dice.randrange(3)):
            text[dice.randrange(min(len(head), 200))] = dice.randrange(256)
        host.on(f"/product_images/{number}.png", raw(bytes(text)))
    with Downloader(settings_for(host.url, max_retries=0, request_timeout=5), files) as downloader:
        filled = list(downloader.fill(record_of(f"{number}.png") for number in range(150)))
    assert len(filled) == 150
    assert "Traceback" not in caplog.text
    for record in filled:
        if not lost(record):
            assert files.read(record["file_sha256"]) == BODY


@pytest.mark.parametrize("answer", [status(500), status(503), status(429), status(408), hang_up, cut(BODY, 0)])
def test_what_passes_is_tried_again(fill: Fill, host: Host, answer: Answer) -> None:
    host.on(PATH, answer, answer, content(BODY))
    (record,) = fill([record_of(IMAGE_FILE)], max_retries=2)
    assert record["file_size"] == len(BODY)
    assert len(host.seen) == 3


@pytest.mark.parametrize("answer", [status(500), cut(BODY, 0), cut(BODY, 100), cut(BODY, 100, ETag="")])
@pytest.mark.parametrize("retries", [0, 1, 3])
def test_tries_are_counted(fill: Fill, host: Host, answer: Answer, retries: int) -> None:
    host.on(PATH, answer)
    fill([record_of(IMAGE_FILE)], failed=1, max_retries=retries)
    assert len(host.seen) == retries + 1


@pytest.mark.parametrize(("retry_after", "waited"), [("7", 7.0), ("100000", 60.0), ("soon", 0.0), ("-1", 0.0)])
def test_the_host_may_ask_for_a_pause(
    files: FileStore, host: Host, quick: None, retry_after: str, waited: float
) -> None:
    host.on(PATH, status(429, Retry_After=retry_after), content(BODY))
    waits: list[float] = []

    class Patient(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout or 0.0)
            return False

    with Downloader(settings_for(host.url), files) as downloader:
        downloader._http._stop = Patient()
        list(downloader.fill([record_of(IMAGE_FILE)]))
    assert waits == [waited]
    assert downloader.files == 1


@pytest.mark.parametrize(
    "head", [b"Transfer-Encoding: chunked", b"Content-Encoding: identity\r\nTransfer-Encoding: Chunked"]
)
def test_chunks_have_a_length_of_their_own(fill: Fill, host: Host, head: bytes) -> None:
    chunks = b"1000\r\n" + BODY[:4096] + b"\r\n388\r\n" + BODY[4096:] + b"\r\n0\r\n\r\n"
    host.on(PATH, raw(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n" + chunks))
    (record,) = fill([record_of(IMAGE_FILE)])
    assert record["file_sha256"] == hashlib.sha256(BODY).hexdigest()


def test_a_host_that_only_drips_is_given_up(fill: Fill, host: Host, over: threading.Event) -> None:
    host.on(PATH, drip(BODY, 0.05, over))
    host.on("/product_images/good.png", content(BODY))
    bad, good = fill([record_of(IMAGE_FILE), record_of("good.png")], failed=1, request_timeout=0.4, max_retries=0)
    assert lost(bad)
    assert good["file_size"] == len(BODY)


def test_a_slow_host_is_waited_for(fill: Fill, host: Host) -> None:
    def slow(handler: Any) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(BIG)))
        handler.end_headers()
        for start in range(0, len(BIG), 60_000):
            time.sleep(0.05)
            handler.wfile.write(BIG[start : start + 60_000])

    host.on(PATH, slow)
    (record,) = fill([record_of(IMAGE_FILE)], request_timeout=0.3)
    assert record["file_size"] == len(BIG)


def test_one_file_without_an_answer_does_not_stop_the_others(fill: Fill, host: Host, over: threading.Event) -> None:
    host.on(PATH, hold(over))
    for number in range(30):
        host.on(f"/product_images/{number}.png", content(BODY))
    records = [record_of(IMAGE_FILE), *(record_of(f"{number}.png") for number in range(30))]
    filled = fill(records, failed=1, request_timeout=0.3, max_retries=1, concurrency=2)
    assert [lost(record) for record in filled] == [True] + [False] * 30


def test_an_endless_file_is_cut(fill: Fill, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer_module, "MAX_BYTES", 300_000)
    host.on(PATH, content(BIG))
    (record,) = fill([record_of(IMAGE_FILE)], failed=1)
    assert lost(record)
    assert len(host.seen) == 1


# ------------------------------------------------------------ what stops a run


def test_a_host_that_nobody_reaches_stops_the_run(files: FileStore, quick: None) -> None:
    settings = settings_for(f"http://127.0.0.1:{closed_port()}")
    with (
        Downloader(settings, files) as downloader,
        pytest.raises(
            StoreUnreachable,
            match=r"No response .* to 32 pictures in a row: connection refused\. .*Check store_url",
        ),
    ):
        list(downloader.fill(record_of(f"{number}.png") for number in range(1000)))


def test_a_host_that_has_never_answered_is_asked_a_few_times_for_each_picture(
    files: FileStore, quick: None, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"http://127.0.0.1:{closed_port()}"
    caplog.set_level(logging.INFO, "bc_images.files")
    with Downloader(settings_for(url, concurrency=1, max_retries=10), files) as downloader:
        (record,) = downloader.fill([record_of("x.png")])
    assert lost(record)
    assert "connection refused, 4 times" in downloader.failures[0]
    assert sum(url in line and "Trying again" in line for line in caplog.messages) == 3


@pytest.mark.parametrize("answer", [hang_up, raw(b""), raw(b"rubbish")])
def test_a_host_that_answers_to_nothing_stops_the_run(
    files: FileStore, host: Host, quick: None, answer: Answer
) -> None:
    for number in range(100):
        host.on(f"/product_images/{number}.png", answer)
    with (
        Downloader(settings_for(host.url, concurrency=2), files) as downloader,
        pytest.raises(StoreUnreachable, match="No response from"),
    ):
        list(downloader.fill(record_of(f"{number}.png") for number in range(100)))


def test_a_host_that_answers_now_and_then_does_not(files: FileStore, host: Host, quick: None) -> None:
    for number in range(100):
        host.on(f"/product_images/{number}.png", hang_up if number % 2 else content(BODY))
    with Downloader(settings_for(host.url, concurrency=2), files) as downloader:
        list(downloader.fill(record_of(f"{number}.png") for number in range(100)))
    assert (downloader.files, downloader.failed) == (50, 50)


def test_a_rendition_host_that_nobody_reaches_is_asked_no_more(
    files: FileStore, host: Host, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer_module, "MAX_UNRESPONSIVE", 2)
    monkeypatch.setattr(addresses_module, "_is_public", lambda _address: True)
    dead = f"http://localhost:{closed_port()}/x.png"
    with Downloader(settings_for(host.url, concurrency=1), files) as downloader:
        for image_file in ("x.png", "y.png", "z.png"):
            assert lost(*downloader.fill([record_of(image_file, zoom_url=dead)]))
    said = [line.partition("): ")[2] for line in downloader.failures]
    assert said == ["connection refused, 3 times."] * 2 + ["localhost did not respond before; not requested again."]


def test_a_dead_host_behind_redirects_is_asked_no_more(
    files: FileStore, host: Host, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer_module, "MAX_UNRESPONSIVE", 2)
    monkeypatch.setattr(addresses_module, "_is_public", lambda _address: True)
    dead = f"http://localhost:{closed_port()}/x.png"
    for number in range(4):
        host.on(f"/product_images/{number}.png", status(302, Location=dead))
    with Downloader(settings_for(host.url, concurrency=1, max_retries=0), files) as downloader:
        for number in range(4):
            assert lost(*downloader.fill([record_of(f"{number}.png")]))
    said = [line.partition("): ")[2] for line in downloader.failures]
    assert said[:2] == ["connection refused."] * 2
    assert said[2:] == ["localhost did not respond before; not requested again."] * 2


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets a name resolve to one address after the other; the last one stays."""

    def set_up(name: str, *answers: str) -> None:
        real, left = socket.getaddrinfo, list(answers)

        def resolve(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
            if host != name:
                return real(host, port, *args, **kwargs)
            address = left.pop(0) if len(left) > 1 else left[0]
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

        monkeypatch.setattr(socket, "getaddrinfo", resolve)

    return set_up


def test_a_public_name_with_a_private_address_is_refused(
    fill: Fill, host: Host, resolver: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    resolver("cdn.example.com", "127.0.0.1")
    fill([record_of(IMAGE_FILE, zoom_url=f"http://cdn.example.com:{host.port}/x.png")], failed=1)
    assert host.paths() == [PATH]
    assert "resolves to a private address; request blocked" in caplog.text


def test_a_name_that_changes_its_address_meanwhile_is_sent_nothing(
    fill: Fill, host: Host, resolver: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    resolver("cdn.example.com", "93.184.216.34", "127.0.0.1")
    fill([record_of(IMAGE_FILE, zoom_url=f"http://cdn.example.com:{host.port}/x.png")], failed=1)
    assert host.paths() == [PATH]
    assert "resolves to a private address; connection blocked" in caplog.text


def test_a_proxy_of_the_environment_is_used(
    files: FileStore, host: Host, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", host.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    host.on("http://cdn.example.com/x.png", content(BODY))
    with Downloader(settings_for("http://shop.example.com"), files) as downloader:
        (record,) = downloader.fill([record_of(IMAGE_FILE, zoom_url="http://cdn.example.com/x.png")])
    assert record["file_source"] == "zoom"
    assert host.paths() == [f"http://shop.example.com{PATH}", "http://cdn.example.com/x.png"]


def test_a_broken_file_store_stops_the_run(
    files: FileStore, host: Host, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(50):
        host.on(f"/product_images/{number}.png", content(png(2000, number)))
    real, calls = LocalBackend.begin, []

    def full(folder: LocalBackend) -> Any:
        calls.append(1)
        if len(calls) > 5:
            raise FileStoreError("The file store is full.")
        return real(folder)

    monkeypatch.setattr(LocalBackend, "begin", full)
    seen: list[Record] = []
    records = (record_of(f"{number}.png", id=number) for number in range(50))
    with Downloader(settings_for(host.url), files) as downloader, pytest.raises(FileStoreError, match="is full"):
        seen.extend(downloader.fill(records))  # keeps what came before the error
    assert len(seen) <= 5
    for record in seen:  # what went out before is sound
        files.inspect(record["file_sha256"])


def test_closing_ends_waiting_and_running_downloads(files: FileStore, host: Host, over: threading.Event) -> None:
    host.on(PATH, status(503, Retry_After="50"))
    host.on("/product_images/drip.png", drip(BODY, 0.01, over))
    downloader = Downloader(settings_for(host.url), files)
    threading.Timer(0.3, downloader.close).start()
    with pytest.raises(FatalError, match="Stopped while"):
        list(downloader.fill([record_of("drip.png"), record_of(IMAGE_FILE)]))


def test_an_error_of_the_scan_comes_through(files: FileStore, host: Host) -> None:
    host.on(PATH, content(BODY))

    def scan() -> Iterator[Record]:
        yield record_of(IMAGE_FILE)
        raise StoreUnreachable("gone")

    with Downloader(settings_for(host.url), files) as downloader, pytest.raises(StoreUnreachable, match="gone"):
        list(downloader.fill(scan()))


# ------------------------------------------------------------ numbers and words


def test_progress_can_be_read_and_failures_are_listed(
    files: FileStore, host: Host, quick: None, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(10):
        host.on(f"/product_images/{number}.png", content(png(2000, number)))
    refs = files.refs("abc")
    stored = files.add([BODY])
    refs.put("old.png", stored)
    records = [record_of(f"{number}.png", id=number) for number in range(200)] + [record_of("old.png")]
    with caplog.at_level(logging.WARNING), Downloader(settings_for(host.url), files) as downloader:
        list(downloader.fill(records))
    assert (downloader.files, downloader.downloaded, downloader.bytes) == (11, 10, 20_000)
    assert downloader.failed == len(caplog.records) == 190
    assert len(downloader.failures) == 100
    assert downloader.failures[0] == "Product 7, image 10 ('10.png'): HTTP 404."
    assert caplog.records[0].getMessage() == (
        "Product 7, image 10 ('10.png'): HTTP 404. The record goes out without a file."
    )


def test_no_more_connections_than_allowed(files: FileStore, host: Host) -> None:
    at_once, most, lock = [0], [0], threading.Lock()

    def counted(handler: Any) -> None:
        with lock:
            at_once[0] += 1
            most[0] = max(most[0], at_once[0])
        time.sleep(0.01)
        with lock:
            at_once[0] -= 1
        content(BODY)(handler)

    for number in range(60):
        host.on(f"/product_images/{number}.png", counted)
    with Downloader(settings_for(host.url, concurrency=3), files) as downloader:
        list(downloader.fill(record_of(f"{number}.png") for number in range(60)))
    assert most[0] <= 3
    assert downloader.files == 60


def test_records_are_not_read_far_ahead(files: FileStore, host: Host, over: threading.Event) -> None:
    host.on("/product_images/0.png", hold(over))
    taken = [0]

    def scan() -> Iterator[Record]:
        for number in range(100_000):
            taken[0] += 1
            yield record_of(f"{number}.png", id=number)

    with Downloader(settings_for(host.url, request_timeout=1, max_retries=0, concurrency=2), files) as downloader:
        first = next(iter(downloader.fill(scan())))
    assert first["id"] == 0
    assert taken[0] <= 1000
