"""The command itself, as a process: settings, exit codes, signals, streams."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from bigcommerce_sandbox import READ_ONLY_TOKEN, TOKEN, SandboxServer
from target_bc_images.settings import PROPERTIES
from tests.support.killable_process import LONG
from tests.support.target import RestoreScenario, head, row, singer

COMMAND = str(Path(sys.executable).parent / "target-bc-images")
FIRST, SECOND = 101, 102


def environment(**more: str) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("TARGET_BC_IMAGES_")}
    return {**ours, **more}


@contextmanager
def started(
    scenario: RestoreScenario,
    *arguments: str,
    settings: Mapping[str, Any] = MappingProxyType({}),
    stdout: int = subprocess.PIPE,
    stderr: int = subprocess.PIPE,
) -> Iterator[subprocess.Popen[bytes]]:
    """Start the command with the settings of a scenario."""
    config = scenario.folder / "config.json"
    config.write_text(json.dumps({**scenario.config, **settings}))
    process = subprocess.Popen(
        [COMMAND, "--config", str(config), *arguments],
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=stderr,
        env=environment(),
        cwd=scenario.folder,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def run(scenario: RestoreScenario, data: bytes, *arguments: str, **options: Any) -> tuple[int, str, str]:
    with started(scenario, *arguments, **options) as process:
        out, err = process.communicate(data, LONG)
        return process.returncode, (out or b"").decode(), err.decode()


def last_line(err: str) -> str:
    return err.strip().splitlines()[-1]


def test_a_restore_from_beginning_to_end(scenario_v3: RestoreScenario) -> None:
    before, backup = scenario_v3.state(), scenario_v3.backup()
    scenario_v3.sandbox.delete_image(scenario_v3.images(FIRST)[0]["id"])
    code, out, err = run(scenario_v3, backup)
    assert code == 0, err
    assert json.loads(out) == {"bookmarks": {"product_images": {"at": 1}}}
    assert scenario_v3.state() == before
    assert "create        1" in err
    assert TOKEN not in out + err + scenario_v3.report.read_text()


def test_input_from_a_file(scenario_v3: RestoreScenario) -> None:
    path = scenario_v3.folder / "backup.singer"
    path.write_bytes(scenario_v3.backup())
    code, out, err = run(scenario_v3, b"", "--input", str(path))
    assert (code, bool(out)) == (0, True), err
    path.write_bytes(b"\xff\n")
    code, _, err = run(scenario_v3, b"", "--input", str(path))
    assert (code, "Line 1 of the input is not UTF-8" in last_line(err)) == (3, True)


def test_settings_from_the_environment(scenario_v3: RestoreScenario) -> None:
    backup = scenario_v3.backup()
    scenario_v3.sandbox.delete_image(scenario_v3.images(FIRST)[0]["id"])
    scenario_v3.sandbox.clear_requests()
    names = ("store_hash", "access_token", "api_url", "store_url", "file_store", "report")
    given = {f"TARGET_BC_IMAGES_{name.upper()}": str(scenario_v3.config[name]) for name in names}
    more = environment(**given, TARGET_BC_IMAGES_DRY_RUN="true", TARGET_BC_IMAGES_PRODUCT_IDS=f"[{FIRST}]")
    ended = subprocess.run([COMMAND], input=backup, env=more, cwd=scenario_v3.folder, capture_output=True, timeout=LONG)
    assert ended.returncode == 0, ended.stderr.decode()
    assert scenario_v3.writes() == []
    rows = [json.loads(line) for line in scenario_v3.report.read_text().splitlines()]
    assert [each["action"] for each in rows[:-1]] == ["create", "keep", "keep"]


def test_about_names_every_setting_and_needs_none() -> None:
    ended = subprocess.run(
        [COMMAND, "--about", "--format=json"], env=environment(), capture_output=True, timeout=LONG, text=True
    )
    assert ended.returncode == 0
    assert PROPERTIES.keys() <= json.loads(ended.stdout)["settings"]["properties"].keys()


class TestBadSettings:
    """Exit code 2, one line, nothing read and nothing asked of the store."""

    @pytest.mark.parametrize(
        ("config", "words"),
        [
            ({"mode": "mirror"}, "mode mirror deletes images: set max_deletes"),
            ({"mode": "replace"}, "mode: 'replace' is not one of"),
            ({"max_deletes": -1}, "max_deletes: -1 is less than the minimum of 0"),
            ({"max_delete": 1}, "Unknown setting 'max_delete': did you mean max_deletes?"),
            (
                {"upload_method": "webdav", "webdav_password": ""},
                "upload_method webdav needs webdav_username and webdav_password",
            ),
            ({"upload_method": "multipart", "api_version": "v2"}, "upload_method multipart needs api_version v3"),
            ({"product_ids": [1, "2"]}, "product_ids: '2' is not of type 'integer'"),
            (
                {"file_store_public_url": "ftp://files.example.com"},
                "file_store_public_url is no public http(s) address",
            ),
            ({"file_store": "nonsense://x"}, "file_store"),
            ({"match_products_by": "name"}, "match_products_by: 'name' is not one of"),
            ({"access_token": "sandbox\ntoken"}, "access_token contains a space, a line break"),
            ({"access_token": 5}, "access_token is not valid"),
            ({"store_hash": "../other"}, "store_hash may contain letters"),
            ({"on_error": "ignore"}, "on_error: 'ignore' is not one of"),
            ({"webdav_password": ["hush"]}, "webdav_password is not valid"),
            ({"stream_maps": {"product_images": {"x": "1 +"}}}, "1 +"),
            ({"flattening_enabled": True}, "flattening_max_depth is required"),
        ],
    )
    def test_one_line(self, scenario_v3: RestoreScenario, config: dict[str, Any], words: str) -> None:
        code, out, err = run(scenario_v3, singer(head()), settings=config)
        assert code == 2, err
        assert words in last_line(err)
        assert [line for line in err.splitlines() if "INFO" not in line] == [last_line(err)]
        assert last_line(err).startswith("target-bc-images: ")
        assert "Traceback" not in err
        assert (out, scenario_v3.sandbox.requests()) == ("", [])
        assert "hush" not in err
        assert "sandbox\ntoken" not in err

    def test_no_settings_at_all(self, tmp_path: Path) -> None:
        ended = subprocess.run([COMMAND], env=environment(), cwd=tmp_path, capture_output=True, timeout=LONG, input=b"")
        assert ended.returncode == 2
        assert b"store_hash is missing" in ended.stderr

    def test_an_option_that_does_not_exist(self, scenario_v3: RestoreScenario) -> None:
        code, _, err = run(scenario_v3, b"", "--mirror")
        assert (code, "See target-bc-images --help" in err) == (2, True)


class TestStopped:
    """Exit code 3: the store does not let us go on."""

    def check(self, scenario: RestoreScenario, words: str, **config: Any) -> None:
        backup = scenario.backup()
        scenario.sandbox.delete_image(scenario.images(FIRST)[0]["id"])
        before = scenario.state()
        code, out, err = run(scenario, backup, settings=config)
        assert code == 3, err
        assert words in last_line(err)
        assert (out, "Traceback" in err) == ("", False)
        assert scenario.state() == before

    def test_a_wrong_token(self, scenario_v3: RestoreScenario) -> None:
        self.check(scenario_v3, "Check access_token, its scope (store_v2_products)", access_token="wrong-token")

    def test_a_token_that_may_only_read(self, scenario_v3: RestoreScenario) -> None:
        self.check(scenario_v3, "HTTP 403", access_token=READ_ONLY_TOKEN)

    def test_a_wrong_store(self, scenario_v3: RestoreScenario) -> None:
        self.check(scenario_v3, "HTTP 401", store_hash="other", match_products_by="id")

    def test_nobody_there(self, scenario_v3: RestoreScenario) -> None:
        self.check(scenario_v3, "connection refused", api_url="http://127.0.0.1:9", max_retries=1)


def wait_until(happened: Any) -> None:
    patience = time.monotonic() + LONG
    while not happened():
        assert time.monotonic() < patience, "it never came"
        time.sleep(0.005)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
class TestSignals:
    def test_while_reading(self, scenario_v3: RestoreScenario, number: signal.Signals, code: int) -> None:
        backup = scenario_v3.backup()
        scenario_v3.sandbox.delete_image(scenario_v3.images(FIRST)[0]["id"])
        scenario_v3.sandbox.clear_requests()
        with started(scenario_v3) as process:
            assert process.stdin is not None
            assert process.stderr is not None
            process.stdin.write(backup)
            process.stdin.flush()
            while b"target-bc-images v" not in process.stderr.readline():  # it has begun
                assert process.poll() is None
            time.sleep(0.3)
            process.send_signal(number)
            out, err = process.communicate(timeout=LONG)
        assert (process.returncode, out, scenario_v3.sandbox.requests()) == (code, b"", [])
        assert "stopped by a signal" in last_line(err.decode())

    def test_while_applying(self, scenario: RestoreScenario, number: signal.Signals, code: int) -> None:
        """What is under way is finished and recorded, nothing new is begun, and the next run completes it."""
        before, backup = scenario.state(), scenario.backup()
        for product in (FIRST, SECOND):
            for image in scenario.images(product):
                scenario.sandbox.delete_image(image["id"])
        scenario.sandbox.set_flags(slow_ms=1000)
        scenario.sandbox.clear_requests()
        scenario.sandbox.faults("z" * 20, match="POST /stores")

        def posts() -> int:
            return sum(method == "POST" for method, _ in scenario.writes())

        with started(scenario) as process:
            assert process.stdin is not None
            process.stdin.write(backup)
            process.stdin.close()
            process.stdin = None
            wait_until(lambda: posts() == 2)
            process.send_signal(number)
            out, err = process.communicate(timeout=LONG)
        assert (process.returncode, out) == (code, b""), err.decode()
        assert posts() == 2
        rows = [json.loads(line) for line in scenario.report.read_text().splitlines()]
        statuses = [each["status"] for each in rows if each.get("action") == "create"]
        assert sorted(statuses) == [*["not reached"] * 4, "unverified", "unverified"]
        assert "stopped by a signal" in last_line(err.decode())
        scenario.sandbox.faults("")
        again = scenario.restore(backup)
        assert (again.code, again.summary["summary"]["create"]) == (0, 4)
        assert scenario.state() == before

    def test_a_second_one_waits_for_nothing(
        self, scenario_v3: RestoreScenario, number: signal.Signals, code: int
    ) -> None:
        before, backup = scenario_v3.state(), scenario_v3.backup()
        scenario_v3.sandbox.delete_image(scenario_v3.images(FIRST)[0]["id"])
        scenario_v3.sandbox.clear_requests()
        scenario_v3.sandbox.faults("p", match="POST /stores")
        with started(scenario_v3) as process:
            assert process.stdin is not None
            process.stdin.write(backup)
            process.stdin.close()
            process.stdin = None
            wait_until(lambda: len(scenario_v3.writes()) == 1)
            process.send_signal(number)
            time.sleep(0.2)
            assert process.poll() is None  # its request is still under way
            process.send_signal(number)
            assert process.wait(LONG) == code
        assert scenario_v3.restore(backup).code == 0
        assert scenario_v3.state() == before


def test_nobody_reads_the_state_any_more(scenario_v3: RestoreScenario) -> None:
    before, backup = scenario_v3.state(), scenario_v3.backup()
    scenario_v3.sandbox.delete_image(scenario_v3.images(FIRST)[0]["id"])
    reading, writing = os.pipe()
    os.close(reading)
    code, _, err = run(scenario_v3, backup, stdout=writing)
    os.close(writing)
    assert (code, "Traceback" in err, "BrokenPipe" in err) == (141, False, False), err
    assert scenario_v3.state() == before


def test_a_table_that_nobody_reads_is_no_failure(sandbox: SandboxServer, tmp_path: Path) -> None:
    """A pipe on stderr that is closed early does not end the restore."""
    scenario = RestoreScenario(sandbox, tmp_path)
    before = scenario.state()
    data = singer(head(), *map(row, scenario.records()))
    sandbox.delete_image(scenario.images(FIRST)[0]["id"])
    reading, writing = os.pipe()
    os.close(reading)
    with started(scenario, stderr=writing) as process:
        os.close(writing)
        process.communicate(data, LONG)
    assert scenario.state() == before
