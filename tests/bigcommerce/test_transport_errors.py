"""What goes wrong below HTTP: names, connections, TLS, and whatever the libraries may raise."""

from __future__ import annotations

import errno
import http.client
import inspect
import io
import logging
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
import requests
import urllib3
from requests.adapters import BaseAdapter

from bc_images import logs
from bc_images.bigcommerce import open_store
from bc_images.bigcommerce.retry import RetryPolicy
from bc_images.bigcommerce.transport import HttpClient
from bc_images.bigcommerce.transport_errors import describe
from bc_images.errors import BcImagesError, OutcomeUnknown, StoreUnreachable
from bc_images.redaction import keep_secret, redact
from tests.support.scripted_server import TOKEN, Reply, says, serving, settings

PATH = "/v3/catalog/products"
SECRET = f"{TOKEN} https://user:hunter2@proxy.example/x?signature=abcdef"


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RetryPolicy, "backoff", lambda _policy, _attempt: 0.001)


class Failing(BaseAdapter):
    """Raises the same error for every request."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error
        self.sent = 0

    def send(self, *_args: Any, **_kwargs: Any) -> requests.Response:
        self.sent += 1
        raise self.error

    def close(self) -> None:
        """Nothing is open."""


def client_raising(error: BaseException) -> tuple[HttpClient, Failing]:
    client, adapter = HttpClient(settings("https://store.example", max_retries=2)), Failing(error)
    client._session.mount("https://", adapter)
    return client, adapter


def exceptions_of(*modules: Any) -> list[type[BaseException]]:
    """Return every exception class of the modules, warnings left out."""
    found = {
        value
        for module in modules
        for _, value in inspect.getmembers(module, inspect.isclass)
        if issubclass(value, Exception) and not issubclass(value, Warning)
    }
    return sorted(found, key=lambda cls: (cls.__module__, cls.__name__))


def raised(cls: type[BaseException]) -> BaseException:
    """Return an instance, whatever its constructor wants, whose text holds secrets."""
    error = cls.__new__(cls)
    error.args = (SECRET,)
    return error


LIBRARIES = exceptions_of(requests.exceptions, urllib3.exceptions, http.client)
BUILT_IN: list[type[BaseException]] = [
    OSError,
    ConnectionResetError,
    TimeoutError,
    ssl.SSLError,
    ValueError,
    UnicodeError,
]


@pytest.mark.parametrize("cls", [*LIBRARIES, *BUILT_IN], ids=lambda cls: f"{cls.__module__}.{cls.__name__}")
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_error_of_the_libraries_gets_out(
    cls: type[BaseException], method: str, caplog: pytest.LogCaptureFixture
) -> None:
    wrapped = raised(cls)
    if not issubclass(cls, OSError | ValueError | urllib3.exceptions.HTTPError):
        wrapped = requests.exceptions.ConnectionError(urllib3.exceptions.ProtocolError(SECRET, wrapped))
    client, adapter = client_raising(wrapped)
    with caplog.at_level(logging.DEBUG, "bc_images"), pytest.raises(BcImagesError) as caught:
        client.request(method, PATH, repeatable=method == "GET")
    assert type(caught.value) is StoreUnreachable or (type(caught.value) is OutcomeUnknown and method == "POST")
    assert adapter.sent in ({1} if type(caught.value) is OutcomeUnknown else {1, 3, 4})
    for text in (str(caught.value), caplog.text):
        for secret in (TOKEN, "hunter2", "abcdef", "signature"):
            assert secret not in text
    assert str(caught.value).isprintable()


def chained(outer: BaseException, cause: BaseException) -> BaseException:
    outer.__cause__ = cause
    return outer


POOL: Any = None
CONNECTION: Any = None


def refused() -> BaseException:
    new = chained(urllib3.exceptions.NewConnectionError(CONNECTION, SECRET), ConnectionRefusedError(111, SECRET))
    return requests.exceptions.ConnectionError(urllib3.exceptions.MaxRetryError(POOL, "/", new))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "said", "tries_of_a_post"),
    [
        (refused(), "connection refused", 3),
        (requests.exceptions.ConnectTimeout(SECRET), "timed out", 3),
        (requests.exceptions.ReadTimeout(SECRET), "timed out", 1),
        (requests.exceptions.ConnectionError(urllib3.exceptions.ReadTimeoutError(POOL, "/", SECRET)), "timed out", 1),
        (
            requests.exceptions.ConnectionError(
                urllib3.exceptions.ProtocolError(SECRET, http.client.RemoteDisconnected(SECRET))
            ),
            "connection closed without a response",
            1,
        ),
        (
            requests.exceptions.ConnectionError(
                urllib3.exceptions.ProtocolError(SECRET, ConnectionResetError(104, SECRET))
            ),
            "connection reset",
            1,
        ),
        (
            requests.exceptions.ChunkedEncodingError(
                urllib3.exceptions.ProtocolError(SECRET, urllib3.exceptions.IncompleteRead(3, 5))
            ),
            "truncated response",
            1,
        ),
        (requests.exceptions.ContentDecodingError(SECRET), "the response cannot be decompressed", 1),
        (
            requests.exceptions.ConnectionError(
                chained(urllib3.exceptions.NewConnectionError(CONNECTION, SECRET), OSError(errno.EHOSTUNREACH, SECRET))
            ),
            "no route to host",
            3,
        ),
        (
            requests.exceptions.ConnectionError(
                chained(
                    urllib3.exceptions.NameResolutionError("x", CONNECTION, socket.gaierror(-2, SECRET)),
                    socket.gaierror(-2, SECRET),
                )
            ),
            "the host name cannot be resolved",
            3,
        ),
        (
            requests.exceptions.ProxyError(
                urllib3.exceptions.ProxyError(SECRET, OSError("Tunnel connection failed: 407"))
            ),
            "the proxy: OSError",
            3,
        ),
        (requests.exceptions.SSLError(ssl.SSLEOFError(8, SECRET)), "TLS failed", 1),
        (requests.exceptions.RequestException(SECRET), "RequestException", 1),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_errors_in_words_and_what_they_mean_for_a_write(error: BaseException, said: str, tries_of_a_post: int) -> None:
    client, adapter = client_raising(error)
    with pytest.raises((StoreUnreachable, OutcomeUnknown), match=said) as caught:
        client.request("POST", PATH, repeatable=False, json={})
    assert adapter.sent == tries_of_a_post
    assert (type(caught.value) is OutcomeUnknown) == (tries_of_a_post == 1)
    client, adapter = client_raising(error)
    with pytest.raises(StoreUnreachable, match=said):
        client.get(PATH)
    assert adapter.sent == 3 + (said in DROPPED)


DROPPED = {"connection closed without a response", "connection reset"}
"""Forgiven once."""


def test_errors_that_refer_to_themselves_end() -> None:
    error = requests.exceptions.ConnectionError(SECRET)
    error.args = (error, chained(OSError(errno.ENETUNREACH, SECRET), error))
    assert describe(error) == "network is unreachable"


def test_a_name_that_cannot_be_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def nothing(host: str, *_: Any, **__: Any) -> Any:
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nothing)
    with pytest.raises(StoreUnreachable, match=r"the host name cannot be resolved\. Is it running\? Is api_url"):
        HttpClient(settings("https://store.example", max_retries=1)).request("POST", PATH, repeatable=False)
    assert asked == ["store.example"] * 2


# TLS


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def test_a_certificate_of_an_unknown_authority_ends_the_run_at_once(tls: ssl.SSLContext) -> None:
    with serving(lambda _: says({}), tls) as server:
        client = HttpClient(settings(server.url))
        with pytest.raises(StoreUnreachable, match=r"certificate cannot be verified.*REQUESTS_CA_BUNDLE"):
            client.request("POST", PATH, repeatable=False)
        assert server.connections == 1
        assert not server.requests


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_an_authority_of_the_environment_is_trusted(
    tls: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, str(certificate))
    with serving(lambda _: says({"ok": 1}), tls) as server:
        assert HttpClient(settings(server.url)).get(PATH) == {"ok": 1}


def test_a_certificate_for_another_host_is_refused(
    tls: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with serving(lambda _: says({}), tls) as server:
        client = HttpClient(settings(server.url.replace("127.0.0.1", "localhost")))
        with pytest.raises(StoreUnreachable, match="certificate cannot be verified"):
            client.get(PATH)


def test_certificates_that_are_none(tls: ssl.SSLContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_text("no certificate")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    with serving(lambda _: says({}), tls) as server:
        client = HttpClient(settings(server.url, max_retries=1))
        with pytest.raises(StoreUnreachable, match=r"the file of certificates contains none.*REQUESTS_CA_BUNDLE"):
            client.get(PATH)


def test_a_server_without_tls_is_said_to_be_one() -> None:
    with serving(lambda _: says({})) as server:
        client = HttpClient(settings(server.url.replace("http:", "https:")))
        with pytest.raises(StoreUnreachable, match="the server does not speak TLS"):
            client.get(PATH)


# Redaction


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no address", "no address"),
        ("see https://x.example/a.jpg for more", "see https://x.example/a.jpg for more"),
        ("https://x.example/a.jpg?X-Amz-Signature=abc&b=c failed", "https://x.example/a.jpg?*** failed"),
        ("'https://x.example/a.jpg?sig=abc' failed", "'https://x.example/a.jpg?***' failed"),
        ("s3://key:secret@bucket/x", "s3://***@bucket/x"),
        ("http://user:p@ss@host/x?y=z", "http://***@host/x?***"),
    ],
)
def test_redact(text: str, expected: str) -> None:
    assert redact(text) == expected


def test_a_secret_that_begins_another_does_not_spare_its_end() -> None:
    keep_secret("correct-horse", "correct-horse-battery")
    assert redact("with correct-horse-battery and correct-horse") == "with *** and ***"


def test_no_secret_reaches_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_secret(TOKEN)
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    logs.configure_logging("TAP_BC_IMAGES_", lambda: None)
    logger = logging.getLogger("someone.elses")
    logger.error("with %s", TOKEN)
    logger.error("the traceback", exc_info=ValueError(TOKEN))
    assert "with ***" in written.getvalue()
    assert "ValueError: ***" in written.getvalue()
    assert TOKEN not in written.getvalue()


ECHO = "x" * 65 + TOKEN
"""Where a message is cut, a secret that the cut divides must be gone before."""
IMAGE = {"id": 2, "image_file": "a", "is_thumbnail": True}
META = {"pagination": {"total": 1, "per_page": 250}}


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, b"<html>", {"Content-Type": f"text/{ECHO}"}),
        says({"title": "y" * 490 + TOKEN}, 422),
        says({"title": TOKEN}, 500),
        says({"data": [{"id": 1, "images": [IMAGE | {"sort_order": 1, "id": ECHO}]}], "meta": META}),
        says({"data": [{"id": ECHO}]}),
        says({"data": [ECHO]}),
        says({"data": {ECHO: 1}}),
    ],
    ids=["content type", "long title", "tried again", "image", "product", "no product", "no list"],
)
def test_what_the_store_says_back_is_no_way_out_for_the_token(reply: Reply, caplog: pytest.LogCaptureFixture) -> None:
    with (
        serving(lambda _: reply) as server,
        caplog.at_level(logging.DEBUG),
        pytest.raises(BcImagesError) as caught,
    ):
        list(open_store(settings(server.url, max_retries=1)).scan())
    assert "***" in str(caught.value)
    assert TOKEN[:4] not in str(caught.value) + caplog.text


def test_the_stores_words_are_redacted() -> None:
    said = f"The resource at 'https://user:hunter2@x.example/a.jpg?sig=abcdef' with {TOKEN} could not be downloaded"
    with serving(lambda _: says({"title": said}, 422)) as server, pytest.raises(BcImagesError) as caught:
        HttpClient(settings(server.url)).get(PATH)
    assert "'https://***@x.example/a.jpg?***' with *** could not" in str(caught.value)


@pytest.mark.parametrize("image", [IMAGE | {"sort_order": ECHO}, IMAGE | {"sort_order": 1, "url_tiny": [ECHO]}, ECHO])
def test_what_is_said_of_one_row_is_no_way_out_either(image: object, caplog: pytest.LogCaptureFixture) -> None:
    reply = says({"data": [{"id": 1, "images": [image], "sku": [ECHO]}], "meta": META})
    with serving(lambda _: reply) as server:
        (product,) = open_store(settings(server.url)).scan()
    said = " ".join([each.text for each in product.invalid] + [each.getMessage() for each in caplog.records])
    assert "xxx" in said
    assert TOKEN[:8] not in said
