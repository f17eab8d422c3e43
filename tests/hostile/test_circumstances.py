"""What happens around a run: a revoked token, a store that is away, clocks that jump, a full disk, others beside it."""

from __future__ import annotations

import json
import random
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fsspec
import orjson
import pytest

from bc_images.bigcommerce import exchange, retry, store_clock, transport
from bc_images.bigcommerce.retry import RetryPolicy
from bc_images.bigcommerce.transport import HttpClient
from bc_images.errors import AuthError, StoreUnreachable
from bc_images.files import locks
from bc_images.files.backends import local
from bigcommerce_sandbox import DAV_PASSWORD, TOKEN, SandboxServer, router
from target_bc_images import executor
from target_bc_images.ledger import Ledger
from tests.support import commands, killable_process, s3, tap
from tests.support.scripted_server import Reply, Request, says, serving
from tests.support.scripted_server import settings as client_settings
from tests.support.target import RestoreScenario, picture

PATH = "/v3/catalog/products"
DAY = 86_400.0
_TOKENS = frozenset({TOKEN})
FIRST, SECOND, THIRD = 101, 102, 103


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait as often as a real run does, and not as long."""
    monkeypatch.setattr(executor, "POLL_DELAYS", killable_process.POLL_DELAYS)
    monkeypatch.setattr(RetryPolicy, "backoff", killable_process.backoff)


def lose_everything(scenario: RestoreScenario) -> int:
    images = scenario.sandbox.dump(files=False)["images"]
    for image in images:
        scenario.sandbox.delete_image(image["id"])
    return len(images)


class AtEachRequest:
    """Takes the place of the sandbox's set of tokens: calls `action` with the number of each API request."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, action: Callable[[int], bool | None]) -> None:
        self._tokens = _TOKENS
        self._action = action
        self._lock = threading.Lock()
        self.requests = 0
        monkeypatch.setattr(router, "KNOWN_TOKENS", self)

    def __contains__(self, token: object) -> bool:
        with self._lock:
            self.requests += 1
            return self._action(self.requests) is not False and token in self._tokens


# A token that is revoked


@pytest.mark.parametrize(("version", "requests"), [("v3", 1), ("v3", 2), ("v3", 3), ("v2", 9), ("v2", 650)])
def test_a_token_revoked_during_a_backup(monkeypatch: pytest.MonkeyPatch, version: str, requests: int) -> None:
    with SandboxServer(products=700, images=1) as sandbox:
        config = tap.settings(sandbox.url, api_version=version, concurrency=1)
        with monkeypatch.context() as patch:
            AtEachRequest(patch, lambda number: number <= requests)
            with pytest.raises(AuthError) as caught:
                tap.sync(config)
        assert caught.value.exit_code == 3
        first = tap.written_before(caught.value)
        assert not first.of("ACTIVATE_VERSION")
        second = tap.sync(config, state=first.states[-1] if first.states else None)
        assert second.of("ACTIVATE_VERSION")
        assert set(first.ids()) | set(second.ids()) == set(tap.stored(sandbox))
        assert len(second.ids()) < 700 or requests < 100


@pytest.mark.parametrize("request_number", [3, 9, 14])
@pytest.mark.usefixtures("quick")
def test_a_token_revoked_during_a_restore(
    scenario: RestoreScenario, monkeypatch: pytest.MonkeyPatch, request_number: int
) -> None:
    before, backup = scenario.state(), scenario.backup()
    count = lose_everything(scenario)
    with monkeypatch.context() as patch:
        AtEachRequest(patch, lambda number: number <= request_number)
        run = scenario.restore(backup, concurrency=1)
    assert run.code == 3
    assert "token" in run.err.splitlines()[-1]
    statuses = [row["status"] for row in run.rows if "summary" not in row]
    assert len(statuses) == count
    assert "not reached" in statuses
    assert statuses.count("done") + statuses.count("unverified") == len(scenario.sandbox.dump(files=False)["images"])
    assert scenario.restore(backup).code == 0
    assert scenario.state() == before


# A store that is away, or slow


class FakeWaits(threading.Event):
    """Waits at once, and adds up what would have been waited."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds += timeout or 0.0
        return self.is_set()


@pytest.mark.parametrize("status", [None, 502, 503, 504, 500], ids=["refused", "502", "503", "504", "500"])
def test_a_store_away_for_three_minutes_is_waited_for(monkeypatch: pytest.MonkeyPatch, status: int | None) -> None:
    """With the shortest pauses that chance may choose, and default settings."""
    monkeypatch.setattr(random, "uniform", lambda shortest, _: shortest)
    waits = FakeWaits()

    def store(request: Request) -> Reply:
        is_away = request.number > 1 and waits.seconds < 180
        return Reply(status, b"<html>Bad Gateway</html>") if is_away and status else says({"data": []})

    with serving(store) as server:
        ours = HttpClient(client_settings(server.url))
        ours.stop = waits
        ours.get(PATH)
        if status is None:
            address, real = server.url, ours._send

            def send(request: Any) -> Any:
                nobody = request.copy()
                nobody.url = address.rsplit(":", 1)[0] + f":{unused_port()}" + PATH
                return real(request if waits.seconds >= 180 else nobody)

            monkeypatch.setattr(ours, "_send", send)
        assert ours.get(PATH) == {"data": []}
    assert waits.seconds >= 180


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class FakeTime:
    """The clock of the deadlines, moved by the test alone."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(exchange, "time", SimpleNamespace(monotonic=lambda: self.now, sleep=time.sleep))
        monkeypatch.setattr(exchange, "POLL", 0.005)

    def move(self, seconds: float) -> None:
        self.now += seconds
        time.sleep(0.03)  # the watchdog looks meanwhile


@pytest.mark.usefixtures("quick")
def test_a_store_that_takes_20_seconds_for_each_response(
    scenario: RestoreScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeTime(monkeypatch)
    before = scenario.state()
    calls = AtEachRequest(monkeypatch, lambda _: clock.move(20))
    backup = scenario.backup()
    lose_everything(scenario)
    run = scenario.restore(backup, concurrency=1, max_retries=0)
    assert (run.code, scenario.state()) == (0, before), run.err
    assert calls.requests >= 20


def test_a_store_that_takes_longer_than_request_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, left = FakeTime(monkeypatch), threading.Event()

    def store(_: Request) -> Reply:
        while not left.wait(0.01):  # again and again: the first may come before the client has begun to wait
            clock.now += 61
        return says({})

    with serving(store) as server:
        slow = HttpClient(client_settings(server.url, max_retries=0, request_timeout=60))
        with pytest.raises(StoreUnreachable, match=r"no complete response within \d+\.0 s"):
            slow.get(PATH)
        left.set()


# Clocks


class JumpingTime:
    """The module `time`, but that its clock jumps by a day, forward and back, between any two looks at it."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)
        self.looks = 0

    def time(self) -> float:
        self.looks += 1
        return time.time() + self._dice.choice([-DAY, 0.0, DAY])

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_clock_that_jumps_by_a_day(scenario: RestoreScenario, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """One reply is lost, one run is cut short, one neighbour stays moved: the next run puts all of it right."""
    jumping = JumpingTime(seed)
    for module in (retry, locks, local, store_clock):
        monkeypatch.setattr(module, "time", jumping)
    monkeypatch.setattr(locks, "_POLL", 0.005)
    monkeypatch.setattr(transport, "time", jumping)
    scenario.config["pending_write_timeout"] = 900
    before, backup = scenario.state(), scenario.backup()
    lost = lose_everything(scenario)
    scenario.sandbox.faults("..lw..u", match="POST .*/images$")
    assert scenario.restore(backup).code in {1, 3}
    scenario.sandbox.faults("")
    for _ in range(3):
        scenario.restore(backup)
    run = scenario.restore(backup, pending_write_timeout=0)
    assert run.code == 0, run.err
    assert scenario.state() == before
    assert len(scenario.sandbox.dump(files=False)["images"]) == lost
    assert jumping.looks > 3


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("jump", [DAY, -DAY, 400 * DAY])
def test_a_clock_that_jumps_between_two_runs_repeats_no_create(
    scenario_v3: RestoreScenario, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    """A create is carried out after the second run has begun: it is the store's clock that dates it."""
    scenario_v3.config["pending_write_timeout"] = 900
    scenario_v3.sandbox.set_flags(late_ms=0)
    before, backup = scenario_v3.state(), scenario_v3.backup()
    scenario_v3.sandbox.delete_image(scenario_v3.images(FIRST)[0]["id"])
    scenario_v3.sandbox.faults("L", match="POST .*/images$")
    assert scenario_v3.restore(backup).code == 1
    with monkeypatch.context() as patch:
        patch.setattr(store_clock, "time", SimpleNamespace(time=lambda: time.time() + jump, monotonic=time.monotonic))
        run = scenario_v3.restore(backup)
        assert (run.code, run.actions) == (1, [("create", "undecided")])
    scenario_v3.sandbox.carry_out_late()
    assert scenario_v3.restore(backup).code == 0
    assert scenario_v3.state() == before


# Disks


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("number", [1, 4])
def test_a_disk_that_is_full_between_a_create_and_its_note(
    scenario: RestoreScenario, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    before, backup = scenario.state(), scenario.backup()
    count = lose_everything(scenario)
    done, calls = Ledger.commit, []

    def on_a_full_disk(self: Ledger, *rest: Any, **more: Any) -> None:
        calls.append(rest)
        if len(calls) < number:
            return done(self, *rest, **more)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
        try:
            return done(self, *rest, **more)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(Ledger, "commit", on_a_full_disk)
            run = scenario.restore(backup, concurrency=1)
    finally:
        signal.signal(signal.SIGXFSZ, handler)
    assert run.code == 3
    assert run.err.splitlines()[-1].startswith("The ledger cannot be used: ")
    assert "Traceback" not in run.err
    assert len(scenario.sandbox.dump(files=False)["images"]) == number
    run = scenario.restore(backup)
    assert (run.code, scenario.state()) == (0, before), run.err
    assert sum(status == "done" and action == "create" for action, status in run.actions) == count - number


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("change", ["another picture", "one bit", "cut", "gone"])
def test_a_picture_that_is_replaced_after_a_check(scenario: RestoreScenario, change: str) -> None:
    backup = scenario.records()
    before = scenario.state()
    data = scenario.backup()
    assert commands.run("bc-images", "check", f"--file-store={scenario.config['file_store']}").code == 0
    lost = next(record for record in backup if record["product_id"] == SECOND)
    (path,) = Path(scenario.config["file_store"], "sha256").rglob(f"*{lost['file_sha256'][2:]}*")
    content = path.read_bytes()
    path.chmod(0o600)
    changed = {
        "another picture": picture(77),
        "one bit": content[:-9] + bytes([content[-9] ^ 1]) + content[-8:],
        "cut": content[:-9],
        "gone": None,
    }[change]
    path.unlink() if changed is None else path.write_bytes(changed)
    count = lose_everything(scenario)
    run = scenario.restore(data)
    refused = [row for row in run.rows if row.get("status") not in {"done", None}]
    assert run.code == 1
    assert [(row["product_id"], row["source_id"]) for row in refused] == [(SECOND, lost["id"])]
    assert len(scenario.sandbox.dump(files=False)["images"]) == count - 1
    assert {key: value for key, value in scenario.state().items() if key != SECOND} == {
        key: value for key, value in before.items() if key != SECOND
    }


# Others at the same time


@pytest.fixture(scope="module")
def s3_address() -> Iterator[str]:
    with s3.server() as address:
        yield address


@pytest.fixture
def bucket(s3_address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The URL of a folder in a fresh bucket; the environment leads every S3 client to it."""
    for name, value in s3.environment(s3_address).items():
        monkeypatch.setenv(name, value)
    fsspec.filesystem("s3").mkdir(name := f"bucket-{tmp_path.name.replace('_', '-').lower()}")
    return f"s3://{name}/images"


def check(files: str) -> None:
    ended = commands.run("bc-images", "check", f"--file-store={files}")
    assert ended.code == 0, ended


def start_tap(config: dict[str, Any], folder: Path, name: str) -> tuple[subprocess.Popen[bytes], Path]:
    """Begin a run of the tap whose stdout goes to a file."""
    path, out = folder / f"{name}.json", folder / f"{name}.singer"
    path.write_text(json.dumps(config), encoding="utf-8")
    with out.open("wb") as stdout:
        return subprocess.Popen([*tap.COMMAND, "--config", str(path)], stdout=stdout, env=tap.environment()), out


def records_of(out: Path) -> dict[int, dict[str, Any]]:
    """Return the records that a tap has written, by id, up to a line that a kill has cut off."""
    lines = [line for line in out.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
    return {each["record"]["id"]: each["record"] for each in map(orjson.loads, lines) if each["type"] == "RECORD"}


@pytest.mark.slow
@pytest.mark.parametrize("place", ["folder", "bucket"])
def test_two_taps_and_a_target_on_one_file_store(tmp_path: Path, place: str, request: pytest.FixtureRequest) -> None:
    """The taps save a store of many pictures, in part the same, while another store is restored from the same files."""
    files = str(tmp_path / "files") if place == "folder" else request.getfixturevalue("bucket")
    with SandboxServer(products=30, images=3) as first, SandboxServer(products=5, images=3) as second:
        scenario = RestoreScenario(second, tmp_path)
        scenario.config["file_store"] = files
        before, backup = scenario.state(), tmp_path / "backup.singer"
        backup.write_bytes(scenario.backup())
        lose_everything(scenario)
        second.set_flags(latency_ms=10)
        first.set_flags(latency_ms=10)
        config = tap.settings(first.url, file_store=files)
        taps = [start_tap(config, tmp_path, name) for name in ("one", "two")]
        assert killable_process.wait_until(lambda: len(first.requests()) > 0)
        path = tmp_path / "target.json"
        path.write_text(json.dumps(scenario.config), encoding="utf-8")
        command = [str(Path(sys.executable).with_name("target-bc-images")), "--config", str(path)]
        with backup.open("rb") as stdin:
            target = subprocess.run(command, stdin=stdin, env=tap.environment(), capture_output=True, check=False)
        assert [process.wait(killable_process.LONG) for process, _ in taps] == [0, 0]
        assert (target.returncode, scenario.state()) == (0, before), target.stderr
        images = {image["id"]: image["sha256"] for image in first.dump()["images"]}
        for _, out in taps:
            assert {key: record["file_sha256"] for key, record in records_of(out).items()} == images
        check(files)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["folder", "bucket"])
def test_a_tap_that_is_killed_leaves_a_file_store_that_the_next_run_completes(
    tmp_path: Path, place: str, request: pytest.FixtureRequest
) -> None:
    files = str(tmp_path / "files") if place == "folder" else request.getfixturevalue("bucket")
    dice, killed = random.Random(20_261_125), 0
    with SandboxServer(products=20, images=3) as sandbox:
        images = {image["id"]: image["sha256"] for image in sandbox.dump()["images"]}
        config = tap.settings(sandbox.url, concurrency=4)
        for number in range(12):
            mine = f"{files}/{number}"
            sandbox.clear_requests()
            sandbox.set_flags(latency_ms=5)
            process, _ = start_tap({**config, "file_store": mine}, tmp_path, f"killed-{number}")
            wanted = dice.randrange(2, 60)
            while len(sandbox.requests()) < wanted and process.poll() is None:
                time.sleep(0.002)
            time.sleep(dice.random() * 0.02)
            killed += process.poll() is None
            process.kill()
            process.wait(killable_process.LONG)
            sandbox.set_flags(latency_ms=0)
            output = tap.sync({**config, "file_store": mine})
            assert {record["id"]: record["file_sha256"] for record in output.records()} == images
            check(mine)
    assert killed > 6, "most of them ended before they could be killed"


# Who can read what


@pytest.mark.parametrize("way", ["config file", "environment"])
@pytest.mark.parametrize("command", ["tap-bc-images", "target-bc-images"])
def test_no_process_shows_a_secret(scenario_v3: RestoreScenario, command: str, way: str) -> None:
    """Neither its command line nor its log, under the ways in which the documents let it be run."""
    secrets = {"access_token": TOKEN, "webdav_password": DAV_PASSWORD}
    backup = scenario_v3.folder / "backup.singer"
    backup.write_bytes(scenario_v3.backup())
    lose_everything(scenario_v3)
    scenario_v3.sandbox.clear_requests()
    scenario_v3.sandbox.faults("P", match=PATH)
    path = scenario_v3.folder / "config.json"
    variables, arguments = {}, ["--config", str(path)]
    names = ("store_hash", "api_url", "store_url", "file_store", "webdav_username")
    config = {name: scenario_v3.config[name] for name in names} | secrets
    path.write_text(json.dumps(config), encoding="utf-8")
    if way == "environment":
        prefix, arguments = command.replace("-", "_").upper(), ["--config=ENV"]
        variables = {f"{prefix}_{name}".upper(): value for name, value in config.items()}
    process = subprocess.Popen(
        [str(Path(sys.executable).with_name(command)), *arguments],
        stdin=backup.open("rb"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=tap.environment(**variables, LOGLEVEL="DEBUG"),
        start_new_session=True,
    )
    try:
        assert killable_process.wait_until(lambda: bool(scenario_v3.sandbox.requests()))
        shown = b"".join(each.read_bytes() for each in Path("/proc").glob("[0-9]*/cmdline") if is_in(each, process.pid))
        assert command.encode() in shown
    finally:
        process.terminate()
        output = process.communicate(timeout=killable_process.LONG)[0]
    for secret in secrets.values():
        assert secret.encode() not in shown
        assert secret.encode() not in output
    assert output


def is_in(cmdline: Path, session: int) -> bool:
    """Whether a process belongs to a session."""
    with suppress(OSError, IndexError):
        return int(cmdline.with_name("stat").read_text().rpartition(")")[2].split()[3]) == session
    return False
