"""A store whose responses have no end, no measure, or both: every request ends, in one line, in bounded memory."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator

import pytest

from bc_images import decompression, json_repair
from bc_images.bigcommerce import body, exchange, open_store
from bc_images.bigcommerce.retry import RetryPolicy
from bc_images.bigcommerce.transport import HttpClient
from bc_images.errors import NotFound, OutcomeUnknown, RequestRejected, StoreUnreachable, UnexpectedResponse
from tests.support.hostile_server import CHUNKED, DRIPS, OK, Script, endless, peer
from tests.support.scripted_server import Reply, says, serving, settings

PATH = "/v3/catalog/products"
TIMEOUT = 0.4  # seconds; the pause between two pieces is far below, so that no single read takes so long


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RetryPolicy, "backoff", lambda _policy, _attempt: 0.001)
    monkeypatch.setattr(exchange, "POLL", 0.02)
    monkeypatch.setattr(exchange, "DISCARD_SECONDS", 0.2)


# Time


@pytest.mark.parametrize("script", DRIPS.values(), ids=DRIPS)
def test_a_response_that_never_ends_is_a_timeout(script: Script) -> None:
    with peer(script, pause=0.03) as store:
        client = HttpClient(settings(store.url, request_timeout=TIMEOUT, max_retries=1))
        with pytest.raises(StoreUnreachable, match=r"no complete response within \d\.\d s .*tries: 2") as caught:
            client.get(PATH)
        assert str(caught.value).isprintable()
        assert len(store.requests) == 2
        with pytest.raises(OutcomeUnknown, match="no complete response within"):
            client.request("POST", PATH, repeatable=False, json={})


@pytest.mark.parametrize(
    ("status", "kind"),
    [(b"404 Not Found", NotFound), (b"302 Found", UnexpectedResponse), (b"422 No", RequestRejected)],
    ids=["404", "302", "422"],
)
@pytest.mark.parametrize("pause", [0.03, 0.0], ids=["drip", "flood"])
def test_the_body_of_an_error_may_be_endless(status: bytes, kind: type[Exception], pause: float) -> None:
    head = b"HTTP/1.1 " + status + b"\r\nLocation: /\r\n\r\n"
    with peer(endless(head, b"x" if pause else b"x" * 65536), pause) as store:
        client = HttpClient(settings(store.url, request_timeout=TIMEOUT, max_retries=1))
        with pytest.raises(kind, match=r"HTTP \d\d\d"):
            client.get(PATH)
        assert len(store.requests) == 1


def test_big_responses_have_more_time_than_small_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as at least `MIN_RATE` bytes come in a second, request_timeout alone does not end it."""

    def steady(_request: str) -> Iterator[bytes]:
        yield OK + b"Content-Length: 30002\r\n\r\n["
        for _ in range(30):
            yield b" " * 1000
        yield b"]"

    monkeypatch.setattr(exchange, "MIN_RATE", 1000)
    with peer(steady, pause=0.03) as store:
        assert HttpClient(settings(store.url, request_timeout=TIMEOUT, max_retries=0)).get(PATH) == []


def test_closing_the_client_ends_a_request_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "GRACE", 0.1)
    with peer(DRIPS["body"], pause=0.03) as store:
        client = HttpClient(settings(store.url, request_timeout=300))
        failures: list[BaseException] = []

        def read() -> None:
            try:
                client.get(PATH)
            except BaseException as error:  # noqa: BLE001 - whatever ends it
                failures.append(error)

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        while not store.requests:
            thread.join(0.01)
        client.close()
        thread.join(30)
        assert not thread.is_alive()
    assert "Stopped" in str(failures[0])


def test_a_connection_is_still_used_again_after_its_deadline_was_watched() -> None:
    with serving(lambda _: says({"ok": 1})) as server:
        client = HttpClient(settings(server.url))
        for _ in range(5):
            assert client.get(PATH) == {"ok": 1}
        server.handle = lambda _: says({"title": "no"}, 404)
        with pytest.raises(NotFound):
            client.get(PATH)
        server.handle = lambda _: says({"ok": 2})
        assert client.get(PATH) == {"ok": 2}
    assert server.connections == 1


# Size

LIMIT = 2 * 1024**2


def bomb(coding: str, size: int) -> bytes:
    """Return `size` blanks, packed."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31 if coding == "gzip" else -15 if coding == "raw" else 15)
    blanks = b" " * 2**20
    return b"".join([*(packer.compress(blanks) for _ in range(size // 2**20)), packer.flush()])


TOO_LARGE: dict[str, Script] = {
    "announced": lambda _: [OK + b"Content-Length: 9999999999999\r\n\r\n"],
    "announced beyond all numbers": lambda _: [OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n"],
    "endless": endless(OK + b"\r\n", b" " * 65536),
    "endless in chunks": endless(OK + CHUNKED, b"10000\r\n" + b" " * 65536 + b"\r\n"),
    "gzip": lambda _: [OK + b"Content-Encoding: gzip\r\n\r\n" + bomb("gzip", 8 * 2**20)],
    "gzip members": endless(OK + b"Content-Encoding: gzip\r\n\r\n", gzip.compress(b" " * 2**16)),
    "empty gzip members": endless(OK + b"Content-Encoding: gzip\r\n\r\n", gzip.compress(b"") * 500),
    "deflate": lambda _: [OK + b"Content-Encoding: deflate\r\n\r\n" + bomb("zlib", 8 * 2**20)],
    "raw deflate": lambda _: [OK + b"Content-Encoding: Deflate\r\n\r\n" + bomb("raw", 8 * 2**20)],
}


@pytest.mark.parametrize("script", TOO_LARGE.values(), ids=TOO_LARGE)
def test_a_response_that_is_too_large_is_refused(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "MAX_BODY", LIMIT)
    with peer(script) as store:
        client = HttpClient(settings(store.url))
        with pytest.raises(UnexpectedResponse, match=r"the response has more than .* MiB\. Nothing was taken"):
            client.get(PATH)
        assert len(store.requests) == 1


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "x" * 1000])
def test_a_coding_that_was_not_asked_for_is_refused(coding: str) -> None:
    with serving(lambda _: Reply(200, b"{}", {"Content-Encoding": coding})) as server:
        with pytest.raises(UnexpectedResponse, match="unexpected Content-Encoding") as caught:
            HttpClient(settings(server.url)).get(PATH)
        assert len(str(caught.value)) < 300
    assert server.requests[0].headers["Accept-Encoding"] == "gzip, deflate"


@pytest.mark.parametrize("pieces", [1, 7, 4096])
@pytest.mark.parametrize("coding", ["gzip", "members", "zlib", "raw", "identity"])
def test_what_is_packed_is_unpacked_exactly(coding: str, pieces: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decompression, "_BLOCK", 100)
    document = json.dumps({"data": list(range(3000))}).encode()
    packer = zlib.compressobj(9, zlib.DEFLATED, {"zlib": 15, "raw": -15}.get(coding, 31))
    packed = packer.compress(document) + packer.flush()
    if coding == "members":
        packed = gzip.compress(document[:5000]) + gzip.compress(b"") + gzip.compress(document[5000:])
    if coding == "identity":
        packed = document
    name = {"members": "gzip", "zlib": "deflate", "raw": "deflate"}.get(coding, coding)
    head = OK + b"Content-Encoding: " + name.encode() + b"\r\n" + CHUNKED
    chunks = [packed[at : at + pieces] for at in range(0, len(packed), pieces)]
    wire = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    with peer(lambda _: [head + wire + b"0\r\n\r\n"]) as store:
        assert HttpClient(settings(store.url)).get(PATH) == json.loads(document)


@pytest.mark.parametrize("cut", [1, 8, 100])
def test_a_truncated_gzip_is_tried_again(cut: int) -> None:
    packed = gzip.compress(b'{"ok": "' + bytes(range(48, 91)) * 20 + b'"}')[:-cut]
    with serving(lambda _: Reply(200, packed, {"Content-Encoding": "gzip"})) as server:
        with pytest.raises(StoreUnreachable, match="tries: 2"):
            HttpClient(settings(server.url, max_retries=1)).get(PATH)
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000, "header line of the response is longer than 65,536 bytes"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 200, "more than 100 header fields"),
        (b"HTTP/1.1 200 " + b"O" * 70_000, "header line of the response is longer than 65,536 bytes"),
    ],
    ids=["line", "fields", "status line"],
)
def test_headers_are_bounded(head: bytes, said: str) -> None:
    with peer(lambda _: [head + b"\r\n\r\n{}"]) as store, pytest.raises(StoreUnreachable, match=said):
        HttpClient(settings(store.url, max_retries=1)).get(PATH)


@pytest.mark.parametrize("depth", [500, 900, 1100, 200_000])
@pytest.mark.parametrize(
    "document",
    [
        b'{"data": %b}',
        b'{"data": [{"id": 1, "images": %b}]}',
        b'{"data": [{"id": 1, "images": [{"id": 2, "description": %b}]}]}',
        b'{"data": [], "meta": {"pagination": %b}}',
        b"%b",
    ],
)
def test_nesting_ends_in_one_line(document: bytes, depth: int) -> None:
    content = document.replace(b"%b", b"[" * depth + b"]" * depth)
    with serving(lambda _: Reply(200, content)) as server, pytest.raises(UnexpectedResponse) as caught:
        list(open_store(settings(server.url, max_retries=0)).scan())
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("depth", [500, 900, 1100, 20_000])
@pytest.mark.parametrize("document", [b'{"title": %b}', b'{"errors": {"x": %b}}', b"[%b]"])
def test_nesting_in_an_error_hides_only_its_text(document: bytes, depth: int) -> None:
    content = document.replace(b"%b", b"[" * depth + b"1" + b"]" * depth)
    with serving(lambda _: Reply(422, content)) as server, pytest.raises(RequestRejected, match="HTTP 422") as caught:
        HttpClient(settings(server.url)).get(PATH)
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize("field", ["description", "zoom", "the name of a field"])
def test_a_text_without_measure_names_its_place(field: str) -> None:
    long = "x" * (json_repair.MAX_TEXT + 1)
    image: dict[str, object] = {"id": 3}
    image[field if " " not in field else long] = long
    page = says({"data": [{"id": 76, "sku": long[1:]}, {"id": 77, "images": [image]}]})
    with (
        serving(lambda _: page) as server,
        pytest.raises(UnexpectedResponse, match=f"data, id 77, images, id 3, {field} has more than 4,194,304 char"),
    ):
        HttpClient(settings(server.url)).get(PATH)


MEMORY = """
import resource, sys
from bc_images.errors import BcImagesError
from bc_images.bigcommerce.transport import HttpClient
from bc_images.settings import Settings
client = HttpClient(Settings.from_config({"store_hash": "abc", "access_token": "t", "api_url": sys.argv[1]}))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    client.get("/v3/catalog/products")
except BcImagesError as error:
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(error.exit_code, grown // 1024, error)
"""


@pytest.mark.parametrize("kind", ["gzip", "endless"])
def test_memory_stays_flat_until_the_bound(kind: str) -> None:
    """More than a gigabyte is offered; what the process grows by is a small part of that."""
    script: Script = {
        "gzip": lambda _: [OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b" " * 2**24) * 70],
        "endless": endless(OK + b"\r\n", b" " * 2**20),
    }[kind]
    with peer(script) as store:
        run = subprocess.run(
            [sys.executable, "-c", MEMORY, store.url], capture_output=True, text=True, check=True, timeout=120
        )
    code, grown, message = run.stdout.split(" ", 2)
    assert (code, message[:40]) == ("3", "GET /v3/catalog/products: the response h")
    assert int(grown) < 100, f"{grown} MiB"
