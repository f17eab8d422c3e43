"""A web page, or a pattern without end, before the sandbox."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator

import pytest
import requests

from bigcommerce_sandbox import DAV_PASSWORD, DAV_USERNAME, TOKEN, SandboxServer
from bigcommerce_sandbox.faults import BadScript

ROUTES = [
    ("GET", "/_sandbox/"),
    ("GET", "/_sandbox/state"),
    ("POST", "/_sandbox/reset"),
    ("DELETE", "/_sandbox/requests"),
    ("GET", "/stores/sandbox/v3/catalog/products"),
    ("DELETE", "/stores/sandbox/v2/products/101/images"),
    ("GET", "/product_images/x.jpg"),
    ("PUT", "/dav/product_images/import/x.jpg"),
    ("PROPFIND", "/dav/"),
    ("GET", "/"),
]
CHANGING = [(method, path) for method, path in ROUTES if method not in {"GET", "PROPFIND"}]


@pytest.fixture(scope="module")
def running() -> Iterator[SandboxServer]:
    with SandboxServer(products=2, images=2) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: SandboxServer) -> SandboxServer:
    running.reset()
    running.faults("")
    return running


def status_of(sandbox: SandboxServer, method: str, path: str, *headers: tuple[str, str]) -> int:
    """Return the status of a request with exactly these headers, and a token."""
    connection = http.client.HTTPConnection("127.0.0.1", sandbox.port, timeout=30)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in (*headers, ("X-Auth-Token", TOKEN), ("Content-Length", "0")):
        connection.putheader(name, value)
    connection.endheaders()
    with connection.getresponse() as response:
        status = response.status
    connection.close()
    return status


FOREIGN_HOSTS = ["evil.example", "evil.example:{port}", "10.0.0.1", "localhost.evil.example", "127.0.0.1.evil.example"]
FOREIGN_HOSTS += ["me@127.0.0.1", "127.0.0.1/x", "[::1", "0.0.0.0", "2130706433", "", "127.0.0.1:x", "[::ffff:8.8.8.8]"]


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_foreign_host_is_refused(sandbox: SandboxServer, method: str, path: str, host: str) -> None:
    before = sandbox.dump()
    assert status_of(sandbox, method, path, ("Host", host.format(port=sandbox.port))) in {400, 421}
    assert sandbox.dump() == before
    assert sandbox.requests() == []


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_two_hosts_are_refused(sandbox: SandboxServer, method: str, path: str) -> None:
    hosts = [("Host", "127.0.0.1"), ("Host", "evil.example")]
    assert status_of(sandbox, method, path, *hosts) in {400, 421}


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:{port}", "127.0.0.1:{port}", "127.1.2.3", "[::1]:{port}"])
def test_every_name_of_this_machine_is_answered(sandbox: SandboxServer, host: str) -> None:
    assert status_of(sandbox, "GET", "/_sandbox/", ("Host", host.format(port=sandbox.port))) == 200


FOREIGN_ORIGINS = ["https://evil.example", "null", "http://127.0.0.1:1", "http://127.0.0.1"]
FOREIGN_ORIGINS += [
    "http://127.0.0.1.evil.example:{port}",
    "http://evil@127.0.0.1:{port}",
    "http://[bad",
    "file://",
    "",
]


@pytest.mark.parametrize("origin", FOREIGN_ORIGINS)
@pytest.mark.parametrize(("method", "path"), CHANGING)
def test_a_foreign_origin_changes_nothing(sandbox: SandboxServer, method: str, path: str, origin: str) -> None:
    before = sandbox.dump()
    headers = [
        ("Host", f"127.0.0.1:{sandbox.port}"),
        ("Origin", origin.format(port=sandbox.port)),
        ("Accept", "application/json"),
    ]
    assert status_of(sandbox, method, path, *headers) == 403
    assert sandbox.dump() == before


@pytest.mark.parametrize("origin", ["http://127.0.0.1:{port}", "http://localhost:{port}"])
def test_its_own_origin_may_change_it(sandbox: SandboxServer, origin: str) -> None:
    headers = [
        ("Host", f"127.0.0.1:{sandbox.port}"),
        ("Origin", origin.format(port=sandbox.port)),
        ("Accept", "application/json"),
    ]
    assert status_of(sandbox, "DELETE", "/stores/sandbox/v2/products/101/images", *headers) in {204, 404}
    assert status_of(sandbox, "DELETE", "/_sandbox/requests", *headers) == 200


# Patterns

ENDLESS = ["(a+)+$", "(a|aa)+$", "(.*a){25}$", r"/(\w+\s?)*$"]


@pytest.mark.parametrize("pattern", ENDLESS)
def test_a_pattern_without_end_costs_its_script(sandbox: SandboxServer, pattern: str) -> None:
    """The store goes on, and so does what else was asked for."""
    sandbox.faults("5", match="/hit$")
    sandbox.faults("5" * 50, match=pattern)
    url = f"{sandbox.url}/product_images/{'a' * 40}!"
    assert requests.get(url, timeout=60).status_code == 404
    assert [script["match"] for script in sandbox.fault_scripts()] == ["/hit$"]
    assert requests.get(f"{sandbox.url}/product_images/hit", timeout=60).status_code == 500


@pytest.mark.parametrize("pattern", ["(", "(?P<a", "a{99999999999}", "(?:" * 5000])
def test_a_pattern_that_is_none_is_refused(sandbox: SandboxServer, pattern: str) -> None:
    with pytest.raises(BadScript, match="regular expression"):
        sandbox.faults("5", match=pattern)
    answer = requests.post(f"{sandbox.url}/_sandbox/faults", json={"script": "5", "match": pattern}, timeout=60)
    assert answer.status_code == 400
    sandbox.faults("5", match="/hit$")
    assert requests.get(f"{sandbox.url}/product_images/hit", timeout=60).status_code == 500


def test_patterns_are_searched_from_many_threads(sandbox: SandboxServer) -> None:
    sandbox.faults("5" * 1000, match="/hit")
    statuses: list[int] = []

    def ask(path: str) -> None:
        statuses.extend(requests.get(f"{sandbox.url}/product_images/{path}", timeout=60).status_code for _ in range(20))

    threads = [threading.Thread(target=ask, args=(path,)) for path in ["hit", "miss"] * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (statuses.count(500), statuses.count(404)) == (80, 80)


def test_nothing_is_left_running() -> None:
    with SandboxServer(products=0) as sandbox:
        sandbox.faults("5", match="x")
        process = sandbox._app.faults._patterns._process
        assert process is not None
        assert process.poll() is None
    assert process.poll() is not None


def test_webdav_works_as_before(sandbox: SandboxServer) -> None:
    auth = requests.auth.HTTPDigestAuth(DAV_USERNAME, DAV_PASSWORD)
    url = f"{sandbox.url}/dav/product_images/import/x.jpg"
    assert requests.put(url, b"x", auth=auth, timeout=60).status_code == 201
