"""How the command ends: one clear line, the documented exit code, whole lines on stdout, and no secret anywhere."""

from __future__ import annotations

import fcntl
import json
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bigcommerce_sandbox import SandboxServer
from tests.support.commands import TIMEOUT, CommandResult
from tests.support.exit_checks import SECRET, check, running, stopped
from tests.support.scripted_server import Reply, Request, says, serving, unused_port
from tests.support.tap import COMMAND, Config, catalog_of, end, environment, run, settings, start, stored


def page(image: dict[str, Any]) -> Callable[[Request], Reply]:
    """Return a store of one image."""

    def answer(request: Request) -> Reply:
        if request.path.endswith("/images/count"):
            return says({"count": 1})
        return says(
            {"data": [{"id": 7, "sku": "a", "images": [image]}], "meta": {"pagination": {"total": 1, "per_page": 250}}}
        )

    return answer


IMAGE = {"id": 3, "product_id": 7, "image_file": "a.jpg", "is_thumbnail": False, "sort_order": 0}


class TestTheStore:
    """Stopped by the store: exit code 3."""

    def test_wrong_token(self, sandbox: SandboxServer, tmp_path: Path, version: str) -> None:
        sandbox.reset(products=3, images=1)
        ended = run(config=settings(sandbox.url, access_token=SECRET, api_version=version), folder=tmp_path)
        check(ended, 3, "refused the token", "Check access_token")
        assert not ended.records()

    def test_wrong_hash(self, sandbox: SandboxServer, tmp_path: Path) -> None:
        check(run(config=settings(sandbox.url, store_hash="other"), folder=tmp_path), 3, "HTTP 40")

    @pytest.mark.parametrize(
        ("address", "said"),
        [
            ("http://127.0.0.1:{port}", "connection refused"),
            ("https://store.invalid", "host name cannot be resolved"),
        ],
    )
    def test_unreachable(self, tmp_path: Path, address: str, said: str) -> None:
        url = address.format(port=unused_port())
        config = settings(url, access_token=SECRET, allow_other_api_host=True)
        check(run(config=config, folder=tmp_path), 3, said)

    def test_no_tls(self, sandbox: SandboxServer, tmp_path: Path) -> None:
        url = sandbox.url.replace("http:", "https:")
        check(run(config=settings(url, access_token=SECRET), folder=tmp_path), 3, "does not speak TLS")

    @pytest.mark.parametrize(
        ("letter", "said"), [("h", "not JSON"), ("t", "truncated"), ("s", "suspended"), ("5", "HTTP 500")]
    )
    def test_bad_answers(self, sandbox: SandboxServer, tmp_path: Path, letter: str, said: str) -> None:
        sandbox.reset(products=600, images=1)
        sandbox.faults(f"..{letter}", "GET .*/products$")
        ended = run(config=settings(sandbox.url, concurrency=1, access_token="sandbox-token"), folder=tmp_path)
        check(ended, 3, said)
        assert len(ended.records()) >= 250
        assert not ended.of("ACTIVATE_VERSION")
        assert "full_table" in ended.states[-1]["bookmarks"]["product_images"]

    @pytest.mark.parametrize("wrong", [{"sort_order": "first"}, {"id": None}])
    def test_a_field_of_a_wrong_type(self, tmp_path: Path, wrong: dict[str, Any]) -> None:
        with serving(page(IMAGE | wrong)) as server:
            ended = run(config=settings(server.url, access_token=SECRET), folder=tmp_path)
        check(ended, 1, "product 7", next(iter(wrong)))
        assert not ended.of("ACTIVATE_VERSION")
        assert not ended.records()


class TestSettings:
    """Bad settings: exit code 2, before the first request and before the first line."""

    @pytest.mark.parametrize(
        ("config", "said"),
        [
            (settings("http://127.0.0.1:1", concurency=3), "did you mean concurrency"),
            (settings("http://127.0.0.1:1", access_token=f"{SECRET}\n"), "access_token"),
            (settings("http://127.0.0.1:1", access_token=[SECRET]), "access_token"),
            ({}, "store_hash is missing"),
            (settings("http://127.0.0.1:1", stream_maps={"product_images": {"a": "1 +"}}), "stream_maps"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_config(self, tmp_path: Path, config: Config, said: str) -> None:
        ended = run(config=config, folder=tmp_path)
        check(ended, 2, said)
        assert ended.out == ""

    @pytest.mark.parametrize(
        ("option", "content"), [("--config", "{"), ("--catalog", "[]"), ("--state", "{"), ("--state", None)]
    )
    def test_damaged_files(self, tmp_path: Path, option: str, content: str | None) -> None:
        path = tmp_path / "damaged.json"
        if content is not None:
            path.write_text(content, encoding="utf-8")
        ended = run(option, str(path), config=settings("http://127.0.0.1:1"), folder=tmp_path)
        check(ended, 2, option)
        assert ended.out == ""

    def test_unknown_option(self) -> None:
        check(run("--concurrency", "3"), 2, "--concurrency", "--help")

    def test_unsuitable_catalog(self, tmp_path: Path) -> None:
        config = settings("http://127.0.0.1:1", api_version="v2")
        path = tmp_path / "catalog.json"
        path.write_text(json.dumps(catalog_of(config, "product_images", replication_method="INCREMENTAL")), "utf-8")
        ended = run("--catalog", str(path), config=config, folder=tmp_path)
        check(ended, 2, "INCREMENTAL needs api_version v3")
        assert ended.out == ""

    def test_an_expression_that_only_a_record_shows_to_be_wrong(self, sandbox: SandboxServer, tmp_path: Path) -> None:
        sandbox.reset(products=2, images=1)
        maps = {"product_images": {"x": "sort_order / 0"}}
        check(
            run(config=settings(sandbox.url, stream_maps=maps), folder=tmp_path), 2, "stream map", "ZeroDivisionError"
        )


class TestWorking:
    def test_from_the_environment_alone(self, sandbox: SandboxServer) -> None:
        sandbox.reset(products=30, images=2)
        ended = run(
            TAP_BC_IMAGES_STORE_HASH="sandbox",
            TAP_BC_IMAGES_ACCESS_TOKEN="sandbox-token",
            TAP_BC_IMAGES_API_URL=sandbox.url,
            TAP_BC_IMAGES_CONCURRENCY="2",
            TAP_BC_IMAGES_RATE_LIMIT_RESERVE="0.5",
        )
        check(ended, 0)
        assert ended.ids() == stored(sandbox)
        assert "METRIC" not in ended.err
        assert "sandbox-token" not in ended.out + ended.err

    def test_a_cut_emoji_keeps_nobody_from_a_backup(self, tmp_path: Path) -> None:
        def answer(request: Request) -> Reply:
            said = page(IMAGE | {"description": "CUT"})(request)
            return Reply(said.status, said.body.replace(b"CUT", b"cat \\ud83d"), said.headers)

        with serving(answer) as server:
            ended = run(config=settings(server.url), folder=tmp_path)
        check(ended, 0)
        assert [record["description"] for record in ended.records()] == ["cat \N{REPLACEMENT CHARACTER}"]
        assert "data, id 7, images, id 3, description: a broken character" in ended.err

    @pytest.mark.parametrize(("level", "lines"), [("WARNING", 0), ("ERROR", 0)], ids=["warning", "error"])
    def test_loglevel(self, sandbox: SandboxServer, tmp_path: Path, level: str, lines: int) -> None:
        sandbox.reset(products=3, images=1)
        ended = run(config=settings(sandbox.url), folder=tmp_path, LOGLEVEL=level)
        check(ended, 0)
        assert len(ended.err.splitlines()) == lines

    def test_loglevel_info_brings_the_metrics_back(self, sandbox: SandboxServer, tmp_path: Path) -> None:
        sandbox.reset(products=3, images=1)
        ended = run(config=settings(sandbox.url), folder=tmp_path, TAP_BC_IMAGES_LOGLEVEL="INFO")
        assert "METRIC" in ended.err

    def test_debug_tells_no_secret(self, sandbox: SandboxServer, tmp_path: Path) -> None:
        sandbox.reset(products=3, images=1)
        ended = run(config=settings(sandbox.url, access_token=SECRET), folder=tmp_path, LOGLEVEL="DEBUG")
        assert ended.code == 3
        assert SECRET not in ended.err

    def test_test(self, sandbox: SandboxServer, tmp_path: Path, version: str) -> None:
        sandbox.reset(products=50, images=2)
        ended = run("--test", config=settings(sandbox.url, api_version=version), folder=tmp_path)
        check(ended, 0)
        assert len(ended.records()) == len(ended.records("products")) == 1
        assert not ended.of("ACTIVATE_VERSION")
        assert "full_table" not in json.dumps(ended.states)
        for stream in ("product_images", "products"):
            (schema,) = ended.of("SCHEMA", stream)
            assert set(schema["schema"]["properties"]) == set(ended.records(stream)[0])

    def test_test_finds_a_wrong_token(self, sandbox: SandboxServer, tmp_path: Path) -> None:
        check(run("--test", config=settings(sandbox.url, access_token=SECRET), folder=tmp_path), 3, "refused the token")

    def test_discover_needs_no_settings(self) -> None:
        ended = run("--discover")
        assert ended.code == 0
        assert len(json.loads(ended.out)["streams"]) == 2

    def test_stdout_of_discover_may_be_closed(self) -> None:
        ended = piped_into_nobody(["--discover"])
        assert ended.code != 0
        assert ended.err == ""


def piped_into_nobody(arguments: list[str], lines: int = 0) -> CommandResult:
    """Run the command with a reader that leaves after some lines, as ``head`` does."""
    process = subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    )
    assert process.stdout is not None
    assert process.stderr is not None
    for _ in range(lines):
        process.stdout.readline()
    process.stdout.close()
    err = process.stderr.read().decode()
    process.stderr.close()
    return CommandResult(process.wait(TIMEOUT), "", err)


class TestState:
    def test_what_a_loader_printed_line_by_line(self, sandbox: SandboxServer, tmp_path: Path) -> None:
        """An interrupted full sync resumes from the last line; an empty file is no state."""
        sandbox.reset(products=600, images=1)
        sandbox.faults("..5", "GET .*/products$")
        config = settings(sandbox.url, concurrency=1)
        first = run(config=config, folder=tmp_path)
        check(first, 3, "HTTP 500")
        printed = tmp_path / "state.json"
        printed.write_text("".join(f"{json.dumps(state)}\n" for state in first.states), encoding="utf-8")
        assert len(first.states) > 1
        rest = run("--state", str(printed), config=config, folder=tmp_path)
        check(rest, 0)
        reached = first.states[-1]["bookmarks"]["product_images"]["full_table"]["last_product_id"]
        assert 0 < len(rest.records()) < 600
        assert min(record["product_id"] for record in rest.records()) > reached
        printed.write_text("", encoding="utf-8")
        afresh = run("--state", str(printed), config=config, folder=tmp_path)
        check(afresh, 0)
        assert afresh.ids() == stored(sandbox)


class TestStdout:
    @pytest.fixture
    def config(self, sandbox: SandboxServer, tmp_path: Path) -> str:
        """Path of the settings for a store with more to tell than a pipe holds."""
        sandbox.reset(products=1500, images=2)
        path = tmp_path / "config.json"
        path.write_text(json.dumps(settings(sandbox.url)), encoding="utf-8")
        return str(path)

    @pytest.mark.parametrize("lines", [0, 10])
    def test_closed_pipe(self, config: str, lines: int) -> None:
        check(piped_into_nobody(["--config", config], lines), 141)

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
    def test_full_disk(self, config: str) -> None:
        with Path("/dev/full").open("wb") as full:
            done = subprocess.run(
                [*COMMAND, "--config", config], stdout=full, stderr=subprocess.PIPE, text=True, env=environment()
            )
        check(CommandResult(done.returncode, "", done.stderr), 3, "No space left on device")


class TestSignals:
    """Quickly, wherever it is, and never 0: a backup cut short must not look complete."""

    @pytest.mark.parametrize(
        ("api", "script", "signum"),
        [
            pytest.param("v3", "p", signal.SIGTERM, id="no answer comes, V3"),
            pytest.param("v2", "p", signal.SIGINT, id="no answer comes, V2"),
            pytest.param("v3", "5" * 30, signal.SIGINT, id="waiting to try again, V3"),
            pytest.param("v2", "5" * 30, signal.SIGTERM, id="waiting to try again, V2"),
            pytest.param("v3", "r", signal.SIGTERM, id="the quota is used up"),
            pytest.param("v2", "Q" * 30, signal.SIGTERM, id="the platform is overloaded"),
        ],
    )
    def test_while_it_waits(
        self, sandbox: SandboxServer, tmp_path: Path, api: str, script: str, signum: signal.Signals
    ) -> None:
        sandbox.reset(products=300, images=1)
        sandbox.set_flags(fault_retry_after=300)
        path = "GET .*/products/[0-9]+/images" if api == "v2" else "GET .*/v3/catalog/products$"
        sandbox.faults(script, path)

        def waits() -> bool:
            return any(re.search(path, f"GET {each['path']}") for each in sandbox.requests())

        with running(settings(sandbox.url, api_version=api, max_retries=20), tmp_path, waits) as process:
            stopped(process, signum)

    @pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks the pipe how full it is")
    @pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
    def test_while_the_reader_is_busy(self, sandbox: SandboxServer, tmp_path: Path, signum: signal.Signals) -> None:
        """A block on its way is written to its end, however long the pipe was full."""
        sandbox.reset(products=1500, images=2)
        process = start(settings(sandbox.url), tmp_path)
        assert process.stdout is not None
        deadline = time.monotonic() + TIMEOUT
        seen = [-1, 0]
        while seen[-1] < 1 << 15 or len(set(seen[-10:])) > 1:  # until it stays full
            assert time.monotonic() < deadline
            time.sleep(0.02)
            seen.append(struct.unpack("i", fcntl.ioctl(process.stdout, termios.FIONREAD, b"\0" * 4))[0])
        ended = stopped(process, signum)
        assert ended.records()

    def test_twice(self, sandbox: SandboxServer, tmp_path: Path) -> None:
        """The second time it ends at once, without a word."""
        sandbox.reset(products=1500, images=2)
        process = start(settings(sandbox.url), tmp_path)
        assert process.stdout is not None
        process.stdout.read(1)  # it is well under way, and the pipe is not read on
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        assert end(process, signal.SIGTERM).code == 143
