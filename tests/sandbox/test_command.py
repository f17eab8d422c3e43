"""``bc-images sandbox`` as a process: what it prints, how it ends, what it refuses."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from bigcommerce_sandbox import TOKEN, SandboxServer


def run(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bigcommerce_sandbox", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@contextmanager
def running(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A sandbox process and its address, read from the line it prints."""
    command = [sys.executable, "-m", "bigcommerce_sandbox", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+", line)
        try:
            assert found is not None, process.communicate(timeout=10)
            yield process, found[0]
        finally:
            process.kill()


def get(url: str, path: str) -> requests.Response:
    headers = {"X-Auth-Token": TOKEN, "Accept": "application/json"}
    return requests.get(f"{url}/stores/sandbox{path}", headers=headers, timeout=20)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serves_as_soon_as_it_says_so_and_stops_on_a_signal(number: signal.Signals) -> None:
    with running("--products", "7", "--images", "2") as (process, url):
        assert get(url, "/v2/products/images/count").json() == {"count": 14}
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
        assert (process.returncode, out, err) == (0, "", "")


def test_options(tmp_path: Path) -> None:
    data = tmp_path / "shop.db"
    options = ["--products", "3", "--images", "1", "--seed", "4", "--data", str(data), "--picture-bytes", "5000"]
    limits = ["--faults", ".5", "--latency", "1", "--quota", "6", "--window", "60000"]
    flags = ["--flag", "sort_order_shift=shift", "--flag", "v2_404_shape=object"]
    with running(*options, *limits, *flags) as (process, url):
        answers = [get(url, "/v2/products/1") for _ in range(7)]
        assert [answer.status_code for answer in answers] == [404, 500, 404, 404, 404, 404, 404]
        assert answers[0].json()["errors"] == {}
        assert get(url, "/v2/time").status_code == 429
        found = requests.get(f"{url}/_sandbox/flags", timeout=10).json()
        assert (found["sort_order_shift"], found["latency_ms"], found["window_ms"]) == ("shift", 1, 60_000)
        images = requests.get(f"{url}/_sandbox/state", timeout=10).json()["images"]
        assert [image["size"] for image in images] == [5000] * 3
        process.kill()
        process.wait(10)
    with running("--data", str(data)) as (_, url):
        assert get(url, "/v2/products/images/count").json() == {"count": 3}


def test_what_is_written_survives_a_kill(tmp_path: Path) -> None:
    data = tmp_path / "shop.db"
    with running("--products", "2", "--data", str(data)) as (process, url):
        first = requests.get(f"{url}/_sandbox/state?files=0", timeout=10).json()["images"][0]["id"]
        headers = {"X-Auth-Token": TOKEN, "Accept": "application/json"}
        path = f"{url}/stores/sandbox/v2/products/101/images/{first}"
        assert requests.delete(path, headers=headers, timeout=10).status_code == 204
        process.kill()
        process.wait(10)
    with SandboxServer(data=data) as sandbox:
        assert len(sandbox.dump(files=False)["images"]) == 5


def test_a_used_port_is_one_line_and_exit_2() -> None:
    with SandboxServer() as sandbox:
        done = run("--port", str(sandbox.port))
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert str(sandbox.port) in line
    assert "--port" in line


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--flag", "foo=1"), "foo"),
        (("--flag", "quota"), "NAME=VALUE"),
        (("--flag", "quota=x"), "quota"),
        (("--faults", "..x"), "fault"),
        (("--picture-bytes", "5"), "picture_bytes"),
        (("--data", "/proc/none/x"), "/proc/none/x"),
        (("--products", "-1"), "--products"),
        (("--port", "70000"), "--port"),
    ],
)
def test_bad_options_are_exit_2_without_a_traceback(options: tuple[str, ...], word: str) -> None:
    done = run("--port", "0", *options) if options[0] != "--port" else run(*options)
    assert done.returncode == 2
    assert word in done.stderr
    assert "Traceback" not in done.stderr


def test_help_tells_what_it_is() -> None:
    done = run("--help")
    assert done.returncode == 0
    assert "sandbox-token" in done.stdout
