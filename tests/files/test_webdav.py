"""What WebDAV servers answer besides plain success: pages, locks, several statuses, other ways to log in."""

from __future__ import annotations

import http.server
import logging
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest

from bc_images.bigcommerce import WebDavSource
from bc_images.errors import AuthError, StoreUnreachable, UnexpectedResponse
from bc_images.files import FileStore
from bc_images.files.upload import Uploader
from bc_images.settings import Settings
from tests.files.test_upload import DAV, saved
from tests.support.file_host import Host, status
from tests.support.pictures import picture


@pytest.fixture
def elsewhere(host: Host, files: FileStore, quick: None) -> Uploader:
    """Sends by WebDAV to a host that does what the test says."""
    url = {"api_url": host.url, "store_url": host.url}
    given = {"store_hash": "x", "access_token": "t", "max_retries": 1, "api_version": "v2"} | url
    return Uploader(Settings.from_config(given), files=files, **DAV)


def answer(code: int, body: bytes, content_type: str) -> Any:
    """Return an answer of the host with a body."""

    def send(handler: Any) -> None:
        handler.send_response(code)
        handler.send_header("Content-Type", content_type)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return send


PAGE = b"<html><body>Please log in</body></html>"


def multi_status(*statuses: str) -> bytes:
    responses = "".join(
        f"<D:response><D:href>/dav/product_images/import/x.png</D:href><D:status>{status}</D:status></D:response>"
        for status in statuses
    )
    return f'<?xml version="1.0"?><D:multistatus xmlns:D="DAV:">{responses}</D:multistatus>'.encode()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (answer(200, PAGE, "text/html; charset=utf-8"), r"HTTP 200, a page \(text/html\)"),
        (answer(200, b"{}", "application/json"), r"HTTP 200, a page \(application/json\)"),
        (status(202), "HTTP 202"),
        (status(206), "HTTP 206"),
        (answer(207, b"<html>", "text/html"), "HTTP 207 without any status"),
        (
            answer(207, multi_status("HTTP/1.1 201 Created", "HTTP/1.1 409 Conflict"), "text/xml"),
            "207 with 409 for /dav/",
        ),
    ],
)
def test_what_confirms_nothing_is_no_success(
    host: Host, files: FileStore, elsewhere: Uploader, given: Any, expected: str
) -> None:
    host.otherwise = given
    with (
        pytest.raises(UnexpectedResponse, match=expected) as caught,
        elsewhere.open_source(saved(files, picture("png"))),
    ):
        pytest.fail("nothing was uploaded")
    assert "Check store_url" in str(caught.value)
    assert [request.method for request in host.seen] == ["PUT"]


@pytest.mark.parametrize(
    "given",
    [
        status(200),
        answer(201, b"<html><title>201 Created</title></html>", "text/html"),  # Apache's
        answer(207, multi_status("HTTP/1.1 201 Created"), "application/xml"),
        answer(207, multi_status("HTTP/1.1 204 No Content").replace(b"D:", b"lp1:"), "application/xml"),
    ],
)
def test_what_confirms_is_a_success(host: Host, files: FileStore, elsewhere: Uploader, given: Any) -> None:
    host.otherwise = given
    with elsewhere.open_source(saved(files, picture("png"))) as source:
        assert isinstance(source, WebDavSource)
        host.otherwise = status(204)


@pytest.mark.parametrize("given", [status(423), answer(207, multi_status("HTTP/1.1 423 Locked"), "application/xml")])
def test_a_lock_is_waited_for_and_named(
    host: Host, files: FileStore, elsewhere: Uploader, given: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "bc_images.files.webdav")
    methods: list[str] = []

    def locked_once(handler: Any) -> None:
        methods.append(handler.command)
        (given if len(methods) == 1 else status(201))(handler)

    host.otherwise = locked_once
    with elsewhere.open_source(saved(files, picture("png"))):
        assert methods == ["PUT", "PUT"]
        host.otherwise = status(204)
    assert "locked" in caplog.text
    host.otherwise = given
    with (
        pytest.raises(StoreUnreachable, match=r"locked.*\(tries: 2\)\. Wait for its release"),
        elsewhere.open_source(saved(files, picture("gif"))),
    ):
        pytest.fail("nothing was uploaded")


@pytest.mark.parametrize(
    ("challenge", "schemes"),
    [('Basic realm="dav"', "Basic"), ('NTLM, Basic realm="a, b"', "Ntlm and Basic"), ("Negotiate", "Negotiate")],
)
def test_a_server_without_digest_is_named(
    host: Host, files: FileStore, elsewhere: Uploader, challenge: str, schemes: str
) -> None:
    host.otherwise = status(401, **{"WWW-Authenticate": challenge})
    with (
        pytest.raises(AuthError, match=f"the server offers {schemes}, digest is needed. The password was not sent"),
        elsewhere.open_source(saved(files, picture("png"))),
    ):
        pytest.fail("nothing was uploaded")
    assert len(host.seen) == 1
    assert "authorization" not in host.seen[0].headers


def test_a_certificate_that_is_not_trusted_stops_at_once(files: FileStore, certificate: Path) -> None:
    connections: list[int] = []

    class Counting(http.server.ThreadingHTTPServer):
        def get_request(self) -> Any:
            connections.append(1)
            return super().get_request()

        def handle_error(self, request: object, client_address: object) -> None:
            """The client leaves: that is what the test wants."""

    server = Counting(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    url = f"https://127.0.0.1:{server.server_address[1]}"
    given = {"store_hash": "x", "access_token": "t", "api_version": "v2", "store_url": url, "api_url": url}
    uploader = Uploader(Settings.from_config(given), files=files, **DAV)
    try:
        with (
            pytest.raises(StoreUnreachable, match="certificate"),
            uploader.open_source(saved(files, picture("png"))),
        ):
            pytest.fail("nothing was uploaded")
    finally:
        server.shutdown()
        server.server_close()
    assert len(connections) == 1
