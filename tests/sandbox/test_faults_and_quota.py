"""Scripted faults, code by code, and the quota with its headers."""

from __future__ import annotations

import socket
import time

import pytest
import requests

from bigcommerce_sandbox import TOKEN, SandboxServer
from bigcommerce_sandbox.faults import FAULT_CODES, BadScript
from tests.support.api_client import FIRST, ApiClient

LIST = f"/v2/products/{FIRST}/images"
RATE = {
    "x-rate-limit-time-window-ms",
    "x-rate-limit-time-reset-ms",
    "x-rate-limit-requests-quota",
    "x-rate-limit-requests-left",
}


def rate(response: requests.Response) -> dict[str, int]:
    return {name[13:]: int(response.headers[name]) for name in RATE if name in response.headers}


def delete_first(api: ApiClient) -> requests.Response:
    return api("DELETE", f"{LIST}/{api.images()[0]['id']}")


# ---------------------------------------------------------------- answers


@pytest.mark.parametrize(
    ("fault", "status", "done"),
    [
        (".", 204, True),
        ("q", 429, False),
        ("Q", 429, False),
        ("r", 429, False),
        ("5", 500, False),
        ("b", 502, False),
        ("s", 503, False),
        ("u", 503, False),
        ("7", 507, False),
        ("9", 509, False),
        ("w", 504, True),
        ("W", 504, False),
        ("z", 204, True),
        ("n", 204, False),
        ("o", 204, False),
        ("h", 200, False),
        ("e", 200, True),
        ("E", 200, False),
        ("f", 200, True),
        ("c", 409, False),
        ("C", 409, True),
    ],
)
def test_answer_and_effect_of_each_code(api: ApiClient, fault: str, status: int, done: bool) -> None:
    api.sandbox.set_flags(slow_ms=1)
    api.sandbox.faults(fault)
    response = delete_first(api)
    assert response.status_code == status
    assert len(api.images()) == (2 if done else 3)
    assert bool(rate(response)) == (fault not in "Qr")
    assert delete_first(api).status_code == 204, "after the script everything passes"


@pytest.mark.parametrize(("fault", "done"), [("l", True), ("d", False), ("t", True)])
def test_codes_without_a_whole_answer(api: ApiClient, fault: str, done: bool) -> None:
    api.sandbox.faults(fault)
    with pytest.raises(requests.ConnectionError):
        delete_first(api)
    assert len(api.images()) == (2 if done else 3)
    status = [entry["status"] for entry in api.sandbox.requests()]
    assert status == [204 if fault == "t" else None]


def test_work_that_is_done_late(api: ApiClient) -> None:
    api.sandbox.set_flags(late_ms=0)
    api.sandbox.faults("L")
    with pytest.raises(requests.ConnectionError):
        delete_first(api)
    assert len(api.images()) == 3
    assert api.sandbox.carry_out_late() == 1
    assert len(api.images()) == 2
    assert api.sandbox.carry_out_late() == 0
    api.sandbox.set_flags(late_ms=20)
    api.sandbox.faults("L")
    with pytest.raises(requests.ConnectionError):
        delete_first(api)
    while len(api.images()) > 1:
        pass


@pytest.mark.parametrize("version", ["v2", "v3"])
def test_a_write_that_is_not_applied_may_be_answered_with_what_is_there(api: ApiClient, version: str) -> None:
    image = api.images()[0]
    path = f"{LIST}/{image['id']}" if version == "v2" else f"/v3/catalog/products/{FIRST}/images/{image['id']}"
    for fault, said in (("n", "new"), ("o", image["description"] or None)):
        api.sandbox.faults(fault)
        answer = api("PUT", path, json={"description": "new"}).json()
        assert ((answer.get("data") or answer)["description"] or None) == said
        assert api.images()[0] == image


def test_every_letter_is_tested_here() -> None:
    assert set(FAULT_CODES) == set(".qQr5bsu79wWzlndotzheEfpPcCL")


def test_truncated_body(api: ApiClient) -> None:
    api.sandbox.faults("t")
    response = api.get(LIST, stream=True)
    whole = len(api.get(LIST).content)
    assert response.status_code == 200
    assert int(response.headers["content-length"]) == whole
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        response.content  # noqa: B018


def test_suspended_has_the_title(api: ApiClient) -> None:
    api.sandbox.faults("s")
    assert "The store is suspended" in api.get(LIST).json()["title"]


def test_429_tells_when_to_come_back(api: ApiClient) -> None:
    api.sandbox.set_flags(fault_reset_ms=70, fault_retry_after=3)
    api.sandbox.faults("qr")
    first = api.get(LIST)
    assert rate(first)["time-reset-ms"] == 70
    assert rate(first)["requests-left"] > 0, "as in the documented sample: the status counts, not what is left"
    assert api.get(LIST).headers["x-retry-after"] == "3"


def test_html_instead_of_json(api: ApiClient) -> None:
    api.sandbox.faults("h")
    response = api.get(LIST)
    assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")


def test_a_success_without_the_image(api: ApiClient) -> None:
    api.sandbox.faults("eEf")
    contents = [api.create("v3").content for _ in range(3)]
    assert contents == [b"", b"", b'{"ok":true}']
    assert len(api.images()) == 5


def test_not_applied_looks_applied(api: ApiClient) -> None:
    before = api.sandbox.dump(files=False)
    image = before["images"][0]["id"]
    api.sandbox.faults("nnn")
    for response in (
        api("PUT", f"{LIST}/{image}", json={"description": "new"}),
        api("PUT", f"/v3/catalog/products/{FIRST}/images/{image}", json={"description": "new"}),
    ):
        assert response.status_code == 200
        assert "new" in response.text
    lost = api.create()
    assert lost.status_code == 201
    assert api.sandbox.dump(files=False) == before
    real = api.create().json()
    assert real["id"] == lost.json()["id"] + 1, "the id of the lost image stays used"
    assert real["image_file"] != lost.json()["image_file"]


# ---------------------------------------------------------------- held requests


def raw(api: ApiClient, method: str, path: str) -> socket.socket:
    """Send a request by hand, so that the client can go away while it waits."""
    connection = socket.create_connection(("127.0.0.1", api.sandbox.port), timeout=10)
    headers = f"Host: localhost\r\nX-Auth-Token: {TOKEN}\r\nAccept: application/json\r\n"
    connection.sendall(f"{method} /stores/sandbox{path} HTTP/1.1\r\n{headers}\r\n".encode())
    return connection


def wait_until(condition: object) -> None:
    assert callable(condition)
    for _ in range(500):
        if condition():
            return
        time.sleep(0.01)
    pytest.fail("it did not happen within five seconds")


@pytest.mark.parametrize(("fault", "done"), [("p", False), ("P", True)])
def test_held_until_the_client_is_gone(api: ApiClient, fault: str, done: bool) -> None:
    image = api.images()[0]["id"]
    api.sandbox.faults(fault)
    connection = raw(api, "DELETE", f"{LIST}/{image}")
    wait_until(api.sandbox.requests)
    wait_until(lambda: (len(api.images()) == 2) == done)
    connection.settimeout(0.2)
    with pytest.raises(TimeoutError):
        connection.recv(1)
    connection.close()
    assert api.get(LIST).status_code == 200, "others are served meanwhile and after"
    assert len(api.images()) == (2 if done else 3)


def test_a_server_with_held_requests_stops(api: ApiClient) -> None:
    with SandboxServer() as sandbox:
        sandbox.faults("pP")
        door = ApiClient(sandbox)
        connections = [raw(door, "GET", LIST) for _ in range(2)]
        wait_until(lambda: len(sandbox.requests()) == 2)
    for connection in connections:
        connection.close()


# ---------------------------------------------------------------- scripts


def test_letters_are_counted_over_matching_requests_only(api: ApiClient) -> None:
    api.sandbox.faults(".5", match=r"^GET .*/images$")
    assert [api.get(LIST).status_code, api.get("/v2/time").status_code] == [200, 200]
    assert [api.get(LIST).status_code, api.get(LIST).status_code] == [500, 200]


def test_without_match_files_and_dav_are_not_counted(api: ApiClient) -> None:
    api.sandbox.faults("5")
    path = f"/product_images/{api.images()[0]['image_file']}"
    assert api.file(path).status_code == 200
    assert api.get(LIST).status_code == 500
    api.sandbox.faults("5", match="GET /product_images/")
    assert api.file(path).status_code == 500
    api.sandbox.faults("t", match="GET /product_images/")
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        api.file(path)
    api.sandbox.faults("b", match="PROPFIND /dav")
    assert requests.request("PROPFIND", f"{api.sandbox.url}/dav/", timeout=10).status_code == 502


def test_scripts_by_match_are_replaced_and_removed(api: ApiClient) -> None:
    api.sandbox.faults("5" * 9)
    api.sandbox.faults("b b\n", match="images")
    assert api.sandbox.fault_scripts() == [{"match": None, "left": "5" * 9}, {"match": "images", "left": "bb"}]
    api.sandbox.faults("u")
    assert api.get(LIST).status_code == 503
    api.sandbox.faults("", match="images")
    assert api.get(LIST).status_code == 200
    api.sandbox.faults("55")
    api.sandbox.faults("")
    assert api.get(LIST).status_code == 200


def test_bad_scripts(api: ApiClient) -> None:
    with pytest.raises(BadScript, match="unknown fault code 'x'"):
        api.sandbox.faults("..x")
    with pytest.raises(BadScript, match="regular expression"):
        api.sandbox.faults(".", match="(")


# ---------------------------------------------------------------- quota


def test_headers_on_every_api_answer(api: ApiClient) -> None:
    for path in ("/v2/time", "/v2/products/1", "/v3/catalog/products", "/v2/orders", "/v3/x?foo"):
        assert set(rate(api.get(path))) == {"time-window-ms", "time-reset-ms", "requests-quota", "requests-left"}
    assert rate(api.get("/v2/time", headers={"X-Auth-Token": "no"}))
    assert not rate(api.file("/product_images/x"))


def test_quota_is_counted_down_and_refused(api: ApiClient) -> None:
    api.sandbox.set_flags(quota=3, window_ms=60_000)
    found = [api.get("/v2/time") for _ in range(5)]
    assert [response.status_code for response in found] == [200, 200, 200, 429, 429]
    assert [rate(response)["requests-left"] for response in found] == [2, 1, 0, 0, 0]
    assert {rate(response)["requests-quota"] for response in found} == {3}
    assert 0 < rate(found[-1])["time-reset-ms"] <= 60_000


def test_a_client_that_waits_as_told_is_served(api: ApiClient) -> None:
    api.sandbox.set_flags(quota=2, window_ms=150)
    for _ in range(3):
        while (response := api.get("/v2/time")).status_code == 200:
            pass
        assert response.status_code == 429
        time.sleep(rate(response)["time-reset-ms"] / 1000)
        assert api.get("/v2/time").status_code == 200


def test_another_app_eats_the_quota(api: ApiClient) -> None:
    api.sandbox.set_flags(quota=10, window_ms=60_000)
    assert api.sandbox.consume_quota(8) == 2
    assert rate(api.get("/v2/time"))["requests-left"] == 1
    assert api.sandbox.consume_quota(100) == 0
    assert api.get("/v2/time").status_code == 429


def test_latency_is_added_to_each_request(api: ApiClient) -> None:
    api.sandbox.set_flags(latency_ms=60)
    begin = time.monotonic()
    api.get("/v2/time")
    assert time.monotonic() - begin >= 0.06
