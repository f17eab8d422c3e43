"""One request: what is repeated, what is not, and which error each answer becomes."""

from __future__ import annotations

import io
import itertools
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests

from bc_images.bigcommerce.retry import RetryPolicy, rate_limited
from bc_images.bigcommerce.transport import HttpClient
from bc_images.errors import (
    AuthError,
    BcImagesError,
    FatalError,
    NotFound,
    OutcomeUnknown,
    RequestRejected,
    SettingsError,
    StoreSuspended,
    StoreUnreachable,
    UnexpectedResponse,
)
from tests.support.scripted_server import (
    DROP,
    TOKEN,
    Handler,
    Raw,
    Reply,
    Request,
    says,
    serving,
    settings,
    unused_port,
)

PATH = "/v3/catalog/products"
SENT = f"/stores/abc{PATH}"


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the waits between tries short."""
    monkeypatch.setattr(RetryPolicy, "backoff", lambda _policy, attempt: min(0.05, 0.001 * 2**attempt))


def in_turn(*replies: Reply) -> Handler:
    """Give the replies one after the other, and the last for ever."""
    return lambda request: replies[min(request.number, len(replies)) - 1]


def test_a_request_says_who_asks_and_for_what() -> None:
    with serving(in_turn(says({"data": []}))) as server:
        client = HttpClient(settings(server.url + "/", user_agent="tester/1"))
        assert client.get(PATH, {"id:in": "1,2", "limit": 250}) == {"data": []}
    (request,) = server.requests
    assert (request.method, request.path) == ("GET", SENT)
    assert request.query == {"id:in": "1,2", "limit": "250"}
    assert request.headers["X-Auth-Token"] == TOKEN
    assert request.headers["Accept"] == "application/json"
    assert request.headers["User-Agent"] == "tester/1"
    assert request.headers["Authorization"] is None


def test_json_and_multipart_bodies() -> None:
    with serving(in_turn(says({}))) as server:
        client = HttpClient(settings(server.url))
        client.request("PUT", PATH, json={"description": "größe"})
        client.request("POST", PATH, data={"sort_order": "1"}, files={"image_file": ("ä.png", b"bytes", "image/png")})
    first, second = server.requests
    assert first.headers["Content-Type"] == "application/json"
    assert first.body == b'{"description": "gr\\u00f6\\u00dfe"}'
    assert second.headers["Content-Type"].startswith("multipart/form-data; boundary=")
    assert b'name="sort_order"\r\n\r\n1\r\n' in second.body
    assert 'name="image_file"; filename="ä.png"\r\nContent-Type: image/png\r\n\r\nbytes\r\n'.encode() in second.body


@pytest.mark.parametrize("reply", [Reply(204, b""), Reply(202, b"")])
def test_an_answer_without_content_is_none(reply: Reply) -> None:
    with serving(in_turn(reply)) as server:
        assert HttpClient(settings(server.url)).get(PATH) is None


def test_an_empty_answer_to_a_write_is_none() -> None:
    with serving(in_turn(Reply(201, b""))) as server:
        assert HttpClient(settings(server.url)).request("PUT", PATH, json={}) is None


def test_the_stores_clock_is_kept() -> None:
    with serving(in_turn(says({}, Date="Mon, 24 Sep 2012 01:14:30 GMT"))) as server:
        client = HttpClient(settings(server.url))
        assert abs(client.clock.now() - time.time()) < 60
        client.get(PATH)
        assert 0 <= client.clock.now() - 1_348_449_270 < 60
        client.clock.update("yesterday")
        assert 0 <= client.clock.now() - 1_348_449_270 < 60


# What is repeated

CUT = Reply(200, b'{"data": [', length=500, close=True)
CHUNKS = Reply(200, b'4\r\n{"da\r\n', {"Transfer-Encoding": "chunked", "Content-Length": ""}, close=True)
HALF = Reply(200, b'{"data": [')
EMPTY = Reply(200, b"")
PLAIN = {"Content-Type": "text/plain"}
PASSING = {
    "500": Reply(500, b"[]"),
    "502 html": Reply(502, b"<html>bad gateway</html>", {"Content-Type": "text/html"}),
    "503": Reply(503, b"busy", PLAIN),
    "504": Reply(504, b""),
    "408": Reply(408, b""),
    "423": says({"title": "locked"}, 423),
    "520": Reply(520, b"<html>", {"Content-Type": "text/html"}),
    "522": Reply(522, b""),
    "524": Reply(524, b""),
    "529": Reply(529, b""),
    "dropped": DROP,
    "cut off": CUT,
    "cut off in chunks": CHUNKS,
    "half a document": HALF,
    "no HTTP": Raw(body=b"SSH-2.0-OpenSSH_9.2p1\r\n"),
    "endless header": Raw(body=b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n{}"),
    "many headers": Raw(body=b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 200 + b"\r\n{}"),
    "not compressed as said": Reply(200, b"{}", {"Content-Encoding": "gzip"}),
}
NEVER_DONE = {
    "429 bare": Reply(429, b""),
    "429 told": says(
        {},
        429,
        X_Rate_Limit_Requests_Quota="150",
        X_Rate_Limit_Requests_Left="35",
        X_Rate_Limit_Time_Reset_Ms="1",
        X_Rate_Limit_Time_Window_Ms="1000",
    ),
    "429 X-Retry-After": says({}, 429, X_Retry_After="0"),
    "429 Retry-After": says({}, 429, Retry_After="0"),
}


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize("reply", [*PASSING.values(), *NEVER_DONE.values()], ids=[*PASSING, *NEVER_DONE])
def test_what_may_be_repeated_is_repeated(method: str, reply: Reply) -> None:
    with serving(in_turn(reply, reply, says({"ok": 1}))) as server:
        assert HttpClient(settings(server.url)).request(method, PATH) == {"ok": 1}
    assert len(server.requests) == 3


# Characters that are none

CAT = "\N{CAT FACE}".encode()  # four bytes


def page_with(description: bytes) -> Reply:
    return Reply(200, b'{"data": [{"id": 77, "images": [{"id": 3, "description": "%b"}]}]}' % description)


@pytest.mark.parametrize(
    ("description", "read"),
    [
        (b"cat \\ud83d", "cat \ufffd"),
        (b"\\udc31 and \\uD83D\\uDC31", "\ufffd and \N{CAT FACE}"),
        (b"cut " + CAT[:3], "cut \ufffd"),
        (b"\xed\xa0\xbd half, as some databases keep it", "\ufffd half, as some databases keep it"),
        (b"not\xffUTF-8", "not\ufffdUTF-8"),
        (b"a backslash \\\\ud83d " + CAT[:1], "a backslash \\ud83d \ufffd"),
    ],
)
def test_a_broken_character_is_replaced_and_told(
    caplog: pytest.LogCaptureFixture, description: bytes, read: str
) -> None:
    with serving(in_turn(page_with(description))) as server:
        answer = HttpClient(settings(server.url)).get(PATH)
    assert answer == {"data": [{"id": 77, "images": [{"id": 3, "description": read}]}]}
    assert len(server.requests) == 1
    (warning,) = [record.getMessage() for record in caplog.records]
    assert warning.startswith(f"GET {PATH}: data, id 77, images, id 3, description: a broken character")


def test_what_is_mended_is_as_strict_as_any_other_answer(caplog: pytest.LogCaptureFixture) -> None:
    with (
        serving(in_turn(Reply(200, b'{"a": "\\ud83d", "b": NaN}'))) as server,
        pytest.raises(StoreUnreachable, match="truncated or invalid JSON"),
    ):
        HttpClient(settings(server.url, max_retries=1)).get(PATH)
    assert len(server.requests) == 2
    assert not caplog.records


def test_an_answer_that_is_nested_too_deeply_is_not_asked_for_again() -> None:
    with (
        serving(in_turn(Reply(200, b"[" * 5000 + b"]" * 5000))) as server,
        pytest.raises(UnexpectedResponse, match="nested too deeply"),
    ):
        HttpClient(settings(server.url)).get(PATH)
    assert len(server.requests) == 1


def test_an_empty_answer_to_a_read_is_repeated() -> None:
    with serving(in_turn(EMPTY, says([]))) as server:
        assert HttpClient(settings(server.url)).get(PATH) == []


@pytest.mark.parametrize("reply", PASSING.values(), ids=PASSING)
def test_a_write_of_unknown_outcome_is_never_repeated(reply: Reply) -> None:
    with serving(in_turn(reply, says({"ok": 1}))) as server:
        client = HttpClient(settings(server.url))
        with pytest.raises(OutcomeUnknown, match=f"^POST {PATH}: .* may or may not"):
            client.request("POST", PATH, repeatable=False, json={})
    assert len(server.requests) == 1


@pytest.mark.parametrize("reply", NEVER_DONE.values(), ids=NEVER_DONE)
def test_a_write_that_was_refused_for_now_is_repeated(reply: Reply) -> None:
    parts = {"image_file": ("x.png", io.BytesIO(b"all of the bytes"))}
    with serving(in_turn(reply, reply, says({"ok": 1}))) as server:
        client = HttpClient(settings(server.url))
        assert client.request("POST", PATH, repeatable=False, data={}, files=parts) == {"ok": 1}
    assert len(server.requests) == 3
    assert all(b"all of the bytes" in request.body for request in server.requests)


def test_a_multipart_body_is_whole_in_every_try() -> None:
    with serving(in_turn(DROP, CUT, Reply(500), says({"ok": 1}))) as server:
        parts = {"image_file": ("x.png", io.BytesIO(b"all of the bytes"))}
        HttpClient(settings(server.url)).request("POST", PATH, data={"a": "b"}, files=parts)
    assert len({request.body for request in server.requests}) == 1
    assert b"all of the bytes" in server.requests[0].body


def test_a_write_that_never_left_is_repeated(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "bc_images")
    client = HttpClient(settings(f"http://127.0.0.1:{unused_port()}", max_retries=2))
    with pytest.raises(StoreUnreachable, match="connection refused"):
        client.request("POST", PATH, repeatable=False, json={})
    assert len(refused_attempts(caplog)) == 2


def refused_attempts(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [line for line in caplog.messages if "connection refused" in line]


def test_a_store_that_never_answers_is_given_up_after_a_few_tries(caplog: pytest.LogCaptureFixture) -> None:
    url = f"http://127.0.0.1:{unused_port()}"
    client = HttpClient(settings(url))
    assert client.settings.max_retries == 14
    with caplog.at_level(logging.INFO, "bc_images"), pytest.raises(StoreUnreachable) as caught:
        client.get(PATH)
    assert str(caught.value) == (f"Could not connect to {url}: connection refused. Is it running? Is api_url right?")
    attempts = refused_attempts(caplog)
    assert len(attempts) == 3
    assert all(f"GET {PATH} at {url}: " in line for line in attempts)


def test_an_address_that_swallows_every_packet_is_given_up_after_one_long_try(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(step=60.0)
    monkeypatch.setattr("bc_images.bigcommerce.transport.time.monotonic", lambda: next(clock))
    client = HttpClient(settings("https://store.example"))
    tries: list[None] = []

    def timeout(*_: Any, **__: Any) -> requests.Response:
        tries.append(None)
        raise requests.exceptions.ConnectTimeout

    monkeypatch.setattr(client._session, "send", timeout)
    with pytest.raises(StoreUnreachable, match=r"Could not connect to https://store\.example: timed out"):
        client.get(PATH)
    assert len(tries) == 1


def test_a_store_that_has_answered_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    with serving(in_turn(Reply(503, b"", close=True))) as server:
        client = HttpClient(settings(server.url))
        with pytest.raises(StoreUnreachable):
            client.get(PATH, max_retries=0)
    with caplog.at_level(logging.INFO, "bc_images"), pytest.raises(StoreUnreachable) as caught:
        client.get(PATH)
    assert len(refused_attempts(caplog)) == client.settings.max_retries == 14
    assert f"at {server.url}: connection refused (tries: 15). Check the network" in str(caught.value)


def test_an_unreachable_proxy_is_named_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{unused_port()}")
    with pytest.raises(StoreUnreachable, match=r"Could not connect to .*the proxy: connection refused.*HTTPS_PROXY"):
        HttpClient(settings("https://store.example")).get(PATH)


@pytest.mark.parametrize("retries", [0, 1, 4])
def test_tries_are_counted(retries: int) -> None:
    with serving(in_turn(Reply(500, b""))) as server:
        client = HttpClient(settings(server.url, max_retries=retries))
        with pytest.raises(StoreUnreachable, match=rf"HTTP 500 \(tries: {retries + 1}\)") as caught:
            client.get(PATH)
    assert len(server.requests) == retries + 1
    assert caught.value.exit_code == 3


def test_a_slow_answer_is_given_up_and_asked_for_again() -> None:
    hang = threading.Event()

    def handle(request: Request) -> Reply:
        if request.number == 1:
            hang.wait(20)
        return says({"ok": 1})

    with serving(handle) as server:
        client = HttpClient(settings(server.url, request_timeout=0.3))
        assert client.get(PATH) == {"ok": 1}
        server.requests.clear()
        with pytest.raises(OutcomeUnknown, match="timed out"):
            client.request("POST", PATH, repeatable=False, json={})
        hang.set()


def test_a_connection_that_went_stale_is_no_error() -> None:
    """Kept alive by us, closed by the store after its answer."""

    def handle(request: Request) -> Reply:
        return Reply(200, b'{"ok": 1}', close=True)

    with serving(handle) as server:
        client = HttpClient(settings(server.url))
        for _ in range(20):
            assert client.get(PATH) == {"ok": 1}


def test_a_dropped_connection_is_forgiven_once_even_without_retries() -> None:
    with serving(in_turn(says({}), DROP, says({"ok": 1}), DROP, DROP)) as server:
        client = HttpClient(settings(server.url, max_retries=0))
        client.get(PATH)
        assert client.get(PATH) == {"ok": 1}
        with pytest.raises(StoreUnreachable, match=r"closed without a response \(tries: 2\)"):
            client.get(PATH)
    assert len(server.requests) == 5


def test_one_connection_is_used_again_and_again() -> None:
    with serving(in_turn(says({}))) as server:
        client = HttpClient(settings(server.url))
        for _ in range(5):
            client.get(PATH)
    assert server.connections == 1


BACKOFF = RetryPolicy.backoff  # before it is patched


def test_backoff_grows_with_jitter_up_to_a_bound() -> None:
    for attempt in range(30):
        waits = {BACKOFF(RetryPolicy(), attempt) for _ in range(50)}
        longest = min(30.0, 0.5 * 2**attempt)
        assert 0.75 * longest <= min(waits) < max(waits) <= longest


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply(500), [("this request", 0.001), ("this request", 0.002), ("this request", 0.004)]),
        (Reply(429), [("everyone", 0.001), ("everyone", 0.002), ("everyone", 0.004)]),
        (says({}, 429, X_Retry_After="2"), [("everyone", 2.0), ("everyone", 2.001), ("everyone", 2.002)]),
    ],
    ids=["an error", "an overloaded platform", "a quota used up"],
)
def test_every_try_is_waited_for_longer(
    monkeypatch: pytest.MonkeyPatch, reply: Reply, expected: list[tuple[str, float]]
) -> None:
    waits: list[tuple[str, float | None]] = []

    class Noting(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(("this request", timeout))
            return self.is_set()

    with serving(in_turn(reply, reply, reply, says({"ok": 1}))) as server:
        client = HttpClient(settings(server.url))
        client.stop = Noting()
        monkeypatch.setattr(client.budget, "pause", lambda seconds: waits.append(("everyone", seconds)))
        assert client.get(PATH) == {"ok": 1}
    assert waits == expected


# What the quota says


def test_a_429_pauses_every_thread_until_the_reset() -> None:
    rate_headers = {**NEVER_DONE["429 told"].headers, "X-Rate-Limit-Time-Reset-Ms": "300"}
    arrived: list[float] = []

    def handle(request: Request) -> Reply:
        arrived.append(time.monotonic())
        return Reply(429, b"", rate_headers) if request.number == 2 else says({})

    with serving(handle) as server, ThreadPoolExecutor(5) as executor:
        client = HttpClient(settings(server.url))
        client.get(PATH)
        refused = executor.submit(client.get, PATH)
        while not client.budget._paused_until:
            time.sleep(0.001)
        others = [executor.submit(client.get, PATH) for _ in range(4)]
        assert [future.result() for future in (refused, *others)] == [{}] * 5
    assert len(arrived) == 7
    assert min(arrived[2:]) - arrived[1] >= 0.3


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"X-Rate-Limit-Time-Reset-Ms": "2500"}, 2.5),
        ({**NEVER_DONE["429 told"].headers, "X-Rate-Limit-Time-Window-Ms": "soon"}, 0.001),
        ({"X-Retry-After": "7"}, 7.0),
        ({"Retry-After": "1.5"}, 1.5),
        ({"Retry-After": "Tue, 24 Nov 2026 06:00:30 GMT", "Date": "Tue, 24 Nov 2026 06:00:00 GMT"}, 30.0),
        ({"Retry-After": "Tue, 24 Nov 2026 06:00:00 GMT", "Date": "Tue, 24 Nov 2026 06:00:30 GMT"}, 0.0),
        ({"Retry-After": "Mon, 24 Sep 2012 01:14:30 GMT", "Date": "today"}, 0.0),
        ({"X-Rate-Limit-Time-Reset-Ms": "2500", "X-Retry-After": "4"}, 4.0),  # the longer of the two
        ({"X-Rate-Limit-Time-Reset-Ms": "soon", "Retry-After": "later", "X-Retry-After": "-1"}, None),
        ({}, None),
    ],
    ids=str,
)
def test_how_long_a_429_asks_us_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    """Whatever can be read of it counts; only where nothing can, the platform is overloaded."""
    response = requests.Response()
    response.headers.update(headers)
    refused = rate_limited(response.headers)
    assert (refused.retry_after, refused.no_rate_headers) == (seconds, seconds is None)


def test_a_store_that_is_never_free_is_given_up() -> None:
    with (
        serving(in_turn(says({}, 429, X_Retry_After="0"))) as server,
        pytest.raises(StoreUnreachable, match=r"429.*again and again"),
    ):
        HttpClient(settings(server.url), retry=RetryPolicy(max_rate_waits=3)).get(PATH)
    assert len(server.requests) == 4


def test_a_waiting_request_ends_when_the_client_is_closed() -> None:
    rate_headers = {**NEVER_DONE["429 told"].headers, "X-Rate-Limit-Time-Reset-Ms": "300000"}
    seen = threading.Event()

    def handle(_: Request) -> Reply:
        seen.set()
        return Reply(429, b"", rate_headers)

    with serving(handle) as server, ThreadPoolExecutor(4) as executor:
        client = HttpClient(settings(server.url))
        waiting = [executor.submit(client.get, PATH) for _ in range(4)]
        assert seen.wait(10)
        client.close()
        for future in waiting:
            with pytest.raises(FatalError, match=r"^Stopped"):
                future.result(timeout=30)


def test_a_retry_ends_when_the_client_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RetryPolicy, "backoff", lambda _policy, _attempt: 300.0)
    asked = threading.Event()

    def handle(_: Request) -> Reply:
        asked.set()
        return Reply(500)

    with serving(handle) as server, ThreadPoolExecutor(1) as executor:
        client = HttpClient(settings(server.url))
        waiting = executor.submit(client.get, PATH)
        assert asked.wait(10)
        client.close()
        with pytest.raises(FatalError):
            waiting.result(timeout=30)


def test_a_closed_client_sends_nothing() -> None:
    with serving(in_turn(says({}))) as server:
        client = HttpClient(settings(server.url))
        client.close()
        with pytest.raises(FatalError):
            client.get(PATH)
    assert not server.requests


# What is final

SUSPENDED = {"status": 503, "title": "The store is suspended due to reaching its limit", "type": "x"}
NOT_FOUND_ARRAY = [{"status": 404, "message": "The requested resource was not found."}]
NOT_FOUND_OBJECT = {"status": 404, "title": "Not found", "type": "https://x.example", "errors": {}}
INVALID = [
    {"status": 400, "message": "The field 'image_file' is invalid.", "details": {"invalid_reason": "It is missing."}}
]
UNPROCESSABLE = {"status": 422, "title": "missing", "errors": {"image_url": "must be present", "x": "wrong"}}


PAGE = b"<!DOCTYPE html>\n<html><head><title>\nAccess &amp; denied | Example\n</title></head></html>"


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize(
    "reply",
    [
        Reply(0, PAGE, {"Content-Type": "text/html; charset=UTF-8"}),
        Reply(0, PAGE, {"Content-Type": "application/json"}),
        Reply(0, b"<!-- id 7 -->\n" + PAGE, {"Content-Type": "text/plain"}),
    ],
)
def test_a_page_of_html_is_a_firewall_and_no_refused_token(reply: Reply, status: int) -> None:
    with serving(in_turn(replace(reply, status=status))) as server:
        client = HttpClient(settings(server.url))
        with pytest.raises(StoreUnreachable) as caught:
            client.get(PATH)
        with pytest.raises(RequestRejected) as rejected:  # one text may be what is blocked: others go on
            client.request("PUT", PATH, json={})
    for error in (caught.value, rejected.value):
        said = f"a firewall or proxy in front of the store blocked the request (HTTP {status}, a page of HTML titled "
        assert said + "'Access & denied | Example')" in str(error)
        assert "access_token" not in str(error)


def test_html_without_a_title() -> None:
    page = Reply(403, b"no", {"Content-Type": "text/html"})
    with serving(in_turn(page)) as server, pytest.raises(StoreUnreachable, match=r"\(HTTP 403, a page of HTML\)"):
        HttpClient(settings(server.url)).get(PATH)


@pytest.mark.parametrize(
    ("reply", "kind", "said"),
    [
        (says({"title": "no"}, 401), AuthError, r"refused the token \(HTTP 401: no\).*access_token.*store_hash"),
        (says(None, 403), AuthError, r"refused the token \(HTTP 403\)"),
        (says(SUSPENDED, 503), StoreSuspended, "HTTP 503: The store is suspended.*owner"),
        (says(NOT_FOUND_ARRAY, 404), NotFound, "HTTP 404: The requested resource was not found"),
        (says(NOT_FOUND_OBJECT, 404), NotFound, "HTTP 404: Not found"),
        (Reply(404, b"<html>", {"Content-Type": "text/html"}), NotFound, "HTTP 404$"),
        (says(INVALID, 400), RequestRejected, "HTTP 400: The field 'image_file' is invalid. It is missing$"),
        (says(UNPROCESSABLE, 422), RequestRejected, "missing image_url: must be present x: wrong$"),
        (says({"title": "a\n\x1b[31mred\x00"}, 409), RequestRejected, r"HTTP 409: a \[31mred$"),
        (says({"title": "y" * 9000}, 413), RequestRejected, "y{500}$"),
        (says("text", 405), RequestRejected, "HTTP 405$"),
        (says([], 406), RequestRejected, "HTTP 406$"),
        (Reply(501), StoreUnreachable, "HTTP 501.*Retrying does not help"),
        (says({"title": "plan limit"}, 507), StoreUnreachable, "HTTP 507: plan limit. Retrying does not help"),
        (Reply(505), StoreUnreachable, "HTTP 505"),
        (Reply(509), StoreUnreachable, "HTTP 509"),
        (Reply(301, b"", {"Location": "https://evil.example"}), UnexpectedResponse, "redirect.*never followed"),
        (Reply(304, b""), UnexpectedResponse, "redirect"),
        (Reply(206, b"{}"), UnexpectedResponse, "HTTP 206 is not a status"),
        (
            Reply(200, b"<!doctype html>", {"Content-Type": "text/html; charset=utf-8"}),
            UnexpectedResponse,
            "'text/html; charset=utf-8', not JSON. Check api_url",
        ),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_final_answers(reply: Reply, kind: type[BcImagesError], said: str, method: str) -> None:
    with serving(in_turn(reply)) as server:
        client = HttpClient(settings(server.url))
        with pytest.raises((kind, OutcomeUnknown), match=said) as caught:
            client.request(method, PATH, repeatable=method == "GET")
    # A write that the store calls a success may have been done, whatever its body is.
    assert type(caught.value) is (OutcomeUnknown if method == "POST" and reply.status == 200 else kind)
    assert str(caught.value).startswith(f"{method} {PATH}: ")
    assert str(caught.value).isprintable()
    assert len(server.requests) == 1
    if isinstance(caught.value, RequestRejected):
        assert caught.value.status == reply.status


def test_a_503_that_passes_is_not_a_suspension() -> None:
    with serving(in_turn(says({"title": "Service Unavailable"}, 503), says({}))) as server:
        assert HttpClient(settings(server.url)).get(PATH) == {}


def test_a_redirect_is_not_followed_and_gets_no_token() -> None:
    with (
        serving(in_turn(says({}))) as elsewhere,
        serving(lambda _: Reply(307, b"", {"Location": f"{elsewhere.url}/x"})) as server,
    ):
        with pytest.raises(UnexpectedResponse):
            HttpClient(settings(server.url)).get(PATH)
        assert not elsewhere.requests


def test_cookies_are_not_kept() -> None:
    with serving(in_turn(says({}, Set_Cookie="session=1; Path=/"))) as server:
        client = HttpClient(settings(server.url))
        client.get(PATH)
        client.get(PATH)
    assert server.requests[1].headers["Cookie"] is None


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_json_cannot_carry_is_refused_before_sending(value: float) -> None:
    with serving(in_turn(says({}))) as server, pytest.raises(RequestRejected, match="cannot be sent") as caught:
        HttpClient(settings(server.url)).request("PUT", PATH, json={"sort_order": value})
    assert caught.value.status is None
    assert not server.requests


def test_what_no_form_can_carry_is_refused_before_sending() -> None:
    with serving(in_turn(says({}))) as server, pytest.raises(RequestRejected, match="cannot be sent"):
        HttpClient(settings(server.url)).request("POST", PATH, data={"description": "\ud800"}, files={"f": b"x"})
    assert not server.requests


# What surrounds a request


def test_netrc_neither_replaces_the_token_nor_adds_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password hunter2\ndefault login me password hunter2\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with serving(in_turn(says({}))) as server:
        HttpClient(settings(server.url)).get(PATH)
    assert server.requests[0].headers["Authorization"] is None
    assert server.requests[0].headers["X-Auth-Token"] == TOKEN


def test_a_proxy_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(in_turn(says({"ok": 1}))) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        assert HttpClient(settings("http://store.example")).get(PATH) == {"ok": 1}
    assert proxy.requests[0].target == f"http://store.example{SENT}"


def test_a_proxy_is_left_out_where_the_environment_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{unused_port()}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving(in_turn(says({"ok": 1}))) as server:
        assert HttpClient(settings(server.url)).get(PATH) == {"ok": 1}


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_does_not_answer_keeps_its_password(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, scheme: str
) -> None:
    monkeypatch.setenv(f"{scheme.upper()}_PROXY", f"http://me:hunter2@127.0.0.1:{unused_port()}")
    client = HttpClient(settings(f"{scheme}://store.example", max_retries=1))
    refused = "the proxy: connection refused"
    with caplog.at_level(logging.DEBUG, "bc_images"), pytest.raises(StoreUnreachable, match=refused) as caught:
        client.request("POST", PATH, repeatable=False)
    assert refused in caplog.text
    assert "hunter2" not in str(caught.value) + caplog.text


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    "proxy",
    [
        "http://me:hun/ter2@127.0.0.1:1",
        "http://me:hunter2@",
        "gopher://me:hunter2@127.0.0.1:1",
        "socks5://me:hunter2@127.0.0.1:1",  # its library is not among ours
        "http://me:hunter2@127.0.0.1:99999",
    ],
)
def test_a_proxy_that_cannot_be_is_a_setting_to_change(
    monkeypatch: pytest.MonkeyPatch, proxy: str, scheme: str
) -> None:
    monkeypatch.setenv(f"{scheme.upper()}_PROXY", proxy)
    with pytest.raises(SettingsError, match=f"^The proxy .* for {scheme}://store.example .*HTTPS_PROXY") as caught:
        HttpClient(settings(f"{scheme}://store.example"))
    assert "ter2" not in str(caught.value)


def test_certificates_that_are_not_there_are_a_setting_to_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")
    with pytest.raises(SettingsError, match=r"REQUESTS_CA_BUNDLE.*nowhere/ca\.pem"):
        HttpClient(settings("https://store.example"))


def test_many_threads_share_one_client() -> None:
    with serving(lambda request: says({"n": request.query["n"]})) as server:
        client = HttpClient(settings(server.url, concurrency=5))
        with ThreadPoolExecutor(20) as executor:
            answers = list(executor.map(lambda n: client.get(PATH, {"n": n}), range(200)))
    assert answers == [{"n": str(n)} for n in range(200)]
    assert server.connections <= 5
