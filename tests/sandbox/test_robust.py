"""Nothing that a client sends makes the sandbox fail: no 500, no traceback, and it goes on serving."""

from __future__ import annotations

import random
import socket

import pytest

from bigcommerce_sandbox import TOKEN
from tests.support.api_client import FIRST, ApiClient


def raw(api: ApiClient, request: bytes) -> bytes:
    """The answer to bytes as they are; empty when the connection is closed without one."""
    with socket.create_connection(("127.0.0.1", api.sandbox.port), timeout=10) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        out = b""
        try:
            while part := connection.recv(65536):
                out += part
        except ConnectionError:
            pass
        return out


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


TOKEN_LINE = f"X-Auth-Token: {TOKEN}\r\n".encode()


@pytest.mark.parametrize(
    "path",
    [
        b"/stores/sandbox/v2/products/\xff\xfe/images",
        b"/stores/sandbox/v2/products/%ff%fe/images?page=%ff&limit=%00",
        b"/stores/sandbox/v3/catalog/products?keyword=%ff%00%ed%a0%80&sku:in=%ff",
        b"/stores/sandbox/v3/catalog/products?" + b"&".join(b"a%d=1" % n for n in range(500)),
        b"/stores/sandbox/v2/products?" + b"a" * 30_000,
        b"/stores/sandbox/v2/products/" + b"9" * 30_000,
        b"/stores/sandbox/v2//products///images",
        b"/stores//v2/time",
        b"/stores/sandbox/v2",
        b"/stores/sandbox",
        b"/stores",
        b"//",
        b"/_sandbox/none",
        b"/product_images/%ed%a0%80",
        b"/s-sandbox/products/101/images/11/%ff.1.1.1.jpg",
        b"/dav/%ff",
        b"*",
    ],
)
def test_absurd_paths(api: ApiClient, path: bytes) -> None:
    connection = b"Connection: close\r\n"
    answer = raw(api, b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\n" + connection + TOKEN_LINE + b"\r\n")
    assert status(answer) not in range(500, 501)
    assert api.get("/v2/time").status_code == 200


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=b", "text/\xff"])
@pytest.mark.parametrize("path", [f"/v2/products/{FIRST}/images", f"/v3/catalog/products/{FIRST}/images"])
def test_random_bodies(api: ApiClient, path: str, kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    api.sandbox.set_flags(v2_multipart="on")
    dice = random.Random(kind + path)
    pieces = [
        b'{"image_file":',
        b'"',
        b"--b\r\n",
        b"<image>",
        b"Content-Disposition: form-data; name=x\r\n\r\n",
        b"\xff",
        b"]",
        b"}",
    ]
    for _ in range(60):
        body = b"".join(dice.choice([*pieces, dice.randbytes(dice.randrange(20))]) for _ in range(dice.randrange(12)))
        method, where = dice.choice([("POST", path), ("PUT", f"{path}/11"), ("POST", f"{path}/11")])
        response = api(method, where, data=body, headers={"Content-Type": kind.encode("latin-1")})
        assert 400 <= response.status_code < 500, (body, response.text)
    assert len(api.images()) == 3
    assert capfd.readouterr().err == ""


def test_absurd_headers(api: ApiClient) -> None:
    for line in (b"Accept: \xff", b"Accept: ,;q=,;;", b"Accept: " + b"a/b;q=0.5," * 2000, b"Content-Type: \x80"):
        head = b"GET /stores/sandbox/v2/time HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        assert status(raw(api, head + TOKEN_LINE + line + b"\r\n\r\n")) in (200, 400, 406, 501)


def test_absurd_values(api: ApiClient) -> None:
    huge = 10**300
    for query in (f"page={huge}&limit=250", f"page=-{huge}", f"limit={huge}", f"id:in={huge},-{huge}"):
        assert api.get(f"/v3/catalog/products?{query}").status_code in (200, 413)
    for query in ("id=nan", "id:in=" + "x," * 5000):
        assert api.get(f"/v3/catalog/products?{query}").status_code == 422
    for query in (f"min_id={huge}", "min_id=nan", f"page={huge}"):
        assert api.get(f"/v2/products?{query}").status_code in (200, 204, 400)


def test_cut_off_requests(api: ApiClient, capfd: pytest.CaptureFixture[str]) -> None:
    head = f"POST /stores/sandbox/v2/products/{FIRST}/images HTTP/1.1\r\nHost: localhost\r\n".encode() + TOKEN_LINE
    head += b"Accept: application/json\r\n"
    for rest in (
        b"",
        b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nab",
    ):
        assert status(raw(api, head + rest)) in (0, 400, 415)
    put = b"PUT /dav/product_images/import/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nabc"
    assert status(raw(api, put)) in (0, 401)
    assert api.get("/v2/time").status_code == 200
    assert capfd.readouterr().err == ""
