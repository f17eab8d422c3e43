"""A store that carries out creates late, loses replies and lists late: no picture twice, none lost.

Time is told by a clock of the tests' own; nobody waits.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bc_images.bigcommerce.store_clock import StoreClock
from bc_images.bigcommerce.v2 import V2Client
from bc_images.bigcommerce.v3 import V3Client
from bigcommerce_sandbox import SandboxServer
from target_bc_images import executor
from target_bc_images.executor import Executor
from tests.support import killable_process
from tests.support.target import RestoreScenario, picture

FIRST, SECOND = 101, 102
MINUTE = 60.0
TIMEOUT = 900
CREATE = "POST .*/images$"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Return what moves the time forward, or back."""
    now = [1_800_000_000.0]
    monkeypatch.setattr(StoreClock, "now", lambda _: now[0])

    def move(seconds: float) -> None:
        now[0] += seconds

    return move


@pytest.fixture
def scenario(scenario: RestoreScenario) -> RestoreScenario:
    scenario.config["pending_write_timeout"] = TIMEOUT
    scenario.sandbox.set_flags(late_ms=0)
    return scenario


@pytest.fixture
def late3(scenario_v3: RestoreScenario) -> RestoreScenario:
    """The store over V3. Over V2 what is carried out late fails: the file is gone from the import folder by then."""
    scenario_v3.config["pending_write_timeout"] = TIMEOUT
    scenario_v3.sandbox.set_flags(late_ms=0)
    return scenario_v3


def lose(scenario: RestoreScenario, *places: int, product_id: int = FIRST) -> None:
    images = scenario.images(product_id)
    for place in places:
        scenario.sandbox.delete_image(images[place]["id"])


def creates(scenario: RestoreScenario) -> int:
    return sum(method == "POST" and path.endswith("/images") for method, path in scenario.writes())


class TestCarriedOutLate:
    def test_until_it_is_there_the_record_is_undecided(
        self, late3: RestoreScenario, clock: Callable[[float], None]
    ) -> None:
        before, backup = late3.state(), late3.backup()
        lose(late3, 0, 1)
        lose(late3, 0, product_id=SECOND)
        late3.sandbox.faults("L", match=f"POST .*{FIRST}/images$")
        run = late3.restore(backup)
        assert (run.code, run.states) == (1, [])
        assert run.actions == [("create", "done"), ("create", "not reached"), ("create", "undecided")]
        assert "1 undecided" in run.err
        assert "the store may still carry it out" in run.err
        assert "Run again after 2027-01-15 08:15:00 UTC" in run.err
        late3.sandbox.clear_requests()
        clock(5 * MINUTE)
        run = late3.restore(backup)
        assert (run.code, run.actions) == (1, [("create", "not reached"), ("create", "undecided")])
        assert late3.writes() == []
        late3.sandbox.carry_out_late()
        clock(5 * MINUTE)
        run = late3.restore(backup)
        assert (run.code, run.actions) == (0, [("create", "done")])
        assert late3.state() == before

    def test_after_the_timeout_it_is_created(self, scenario: RestoreScenario, clock: Callable[[float], None]) -> None:
        before, backup = scenario.state(), scenario.backup()
        lose(scenario, 0)
        scenario.sandbox.faults("d", match=CREATE)
        assert scenario.restore(backup).actions == [("create", "undecided")]
        clock(TIMEOUT + 1)
        assert scenario.restore(backup).actions == [("create", "done")]
        assert scenario.state() == before

    @pytest.mark.parametrize("letter", "5buWdLp")
    def test_whatever_hides_the_outcome(
        self, scenario: RestoreScenario, clock: Callable[[float], None], letter: str
    ) -> None:
        before, backup = scenario.state(), scenario.backup()
        lose(scenario, 0)
        scenario.sandbox.faults(letter, match=CREATE)
        run = scenario.restore(backup, request_timeout=0.3)
        assert (run.code, run.actions, creates(scenario)) == (1, [("create", "undecided")], 1)
        clock(10 * MINUTE)
        scenario.sandbox.carry_out_late()
        assert scenario.restore(backup).code == (0 if letter == "L" and scenario.config["api_version"] == "v3" else 1)
        clock(10 * MINUTE)
        assert scenario.restore(backup).code == 0
        assert scenario.state() == before

    def test_a_clock_that_is_put_back_does_not_wait_for_ever(
        self, scenario: RestoreScenario, clock: Callable[[float], None]
    ) -> None:
        backup = scenario.backup()
        lose(scenario, 0)
        scenario.sandbox.faults("d", match=CREATE)
        assert scenario.restore(backup).code == 1
        clock(-365 * 24 * 60 * MINUTE)
        assert scenario.restore(backup).code == 1
        clock(TIMEOUT + 1)
        assert scenario.restore(backup).code == 0

    def test_what_was_never_sent_needs_no_waiting(
        self, scenario: RestoreScenario, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before, backup = scenario.state(), scenario.backup()
        lose(scenario, 0)
        for kind in (V2Client, V3Client):
            create = kind.create

            def gone(self: Any, *rest: Any, create: Any = create) -> Any:
                base, self._http._base = self._http._base, "http://127.0.0.1:9/stores/sandbox"
                try:
                    return create(self, *rest)
                finally:
                    self._http._base = base

            monkeypatch.setattr(kind, "create", gone)
        run = scenario.restore(backup, max_retries=1)
        assert (run.code, run.actions) == (1, [("create", "failed")])
        monkeypatch.undo()
        scenario.config["pending_write_timeout"] = TIMEOUT
        monkeypatch.setattr(StoreClock, "now", lambda _: 1_800_000_000.0)
        assert scenario.restore(backup).code == 0
        assert scenario.state() == before

    def test_a_mirror_deletes_nothing_meanwhile(self, late3: RestoreScenario, clock: Callable[[float], None]) -> None:
        before, backup = late3.state(), late3.backup()
        lose(late3, 0)
        extra = late3.sandbox.add_image(SECOND, picture(7), "extra.png")
        late3.sandbox.faults("L", match=CREATE)
        run = late3.restore(backup, mode="mirror", max_deletes=1)
        assert (run.code, run.actions) == (1, [("create", "undecided"), ("delete", "not reached")])
        assert extra in {image["id"] for image in late3.images(SECOND)}
        clock(MINUTE)
        late3.sandbox.carry_out_late()
        assert late3.restore(backup, mode="mirror", max_deletes=1).code == 0
        assert late3.state() == before


class TestLostReplyUnderAnotherName:
    """The store keeps no file's name: what was created is found by its content."""

    @pytest.fixture(autouse=True)
    def nameless(self, monkeypatch: pytest.MonkeyPatch) -> None:
        number = [0]

        def stored_name(_: str, kind: str, __: int, serial: int) -> str:
            number[0] += 1
            return f"z/{serial % 1000:03d}/{hashlib.sha256(str(serial).encode()).hexdigest()[:12]}__{serial:05d}.{kind}"

        monkeypatch.setattr("bigcommerce_sandbox.media.stored_name", stored_name)

    @pytest.mark.parametrize("letter", "lwL")
    @pytest.mark.parametrize("recompress", ["off", "on"])
    def test_no_duplicate(
        self, late3: RestoreScenario, clock: Callable[[float], None], letter: str, recompress: str
    ) -> None:
        backup = late3.backup()
        late3.sandbox.set_flags(recompress_uploads=recompress)
        lose(late3, 0, 1, 2)
        late3.sandbox.faults(letter, match=CREATE)
        late3.restore(backup)
        late3.sandbox.carry_out_late()
        clock(MINUTE)
        run = late3.restore(backup)
        assert run.code == 0, run.err
        assert (len(late3.images(FIRST)), creates(late3)) == (3, 3)

    def test_a_strangers_picture_is_not_taken_for_it(
        self, late3: RestoreScenario, clock: Callable[[float], None]
    ) -> None:
        before, backup = late3.state(), late3.backup()
        name = late3.images(FIRST)[0]["image_file"].rpartition("/")[2]
        lose(late3, 0)
        late3.sandbox.faults("L", match=CREATE)
        assert late3.restore(backup).code == 1
        stranger = late3.sandbox.add_image(
            FIRST, picture(77), name, image_file=f"s/111/{name}", sort_order=90, is_thumbnail=False
        )
        assert late3.restore(backup).actions == [("create", "undecided")]
        late3.sandbox.carry_out_late()
        assert late3.restore(backup).code == 0
        late3.sandbox.delete_image(stranger)
        assert late3.state() == before


class TestConflict:
    """HTTP 409: the product is busy, or the image is there already."""

    @pytest.mark.parametrize("letters", ["c", "cc", "C", "cC"])
    def test_it_is_looked_into(self, scenario: RestoreScenario, letters: str) -> None:
        before, backup = scenario.state(), scenario.backup()
        lose(scenario, 0)
        scenario.sandbox.faults(letters, match=CREATE)
        run = scenario.restore(backup)
        assert run.code == 0, run.err
        assert scenario.state() == before

    def test_of_an_update_too(self, scenario: RestoreScenario) -> None:
        before, backup = scenario.state(), scenario.backup()
        scenario.sandbox.set_image(scenario.images(FIRST)[0]["id"], description="wrong")
        scenario.sandbox.faults("cc", match=r"PUT .*/images/\d+$")
        assert scenario.restore(backup).actions == [("update", "done")]
        assert scenario.state() == before

    def test_not_for_ever(self, scenario: RestoreScenario) -> None:
        backup = scenario.backup()
        lose(scenario, 0)
        scenario.sandbox.faults("c" * 100, match=CREATE)
        run = scenario.restore(backup)
        assert (run.code, run.actions) == (1, [("create", "failed")])
        assert "HTTP 409: Conflict" in run.err


class TestAnotherRun:
    def test_what_it_has_just_created_is_kept(self, scenario: RestoreScenario, monkeypatch: pytest.MonkeyPatch) -> None:
        """Somebody has restored the product under other names between this run's plan and its first create."""
        before, backup = scenario.state(), scenario.backup()
        lost = scenario.images(FIRST)[:2]
        contents = [scenario.sandbox.original(image["image_file"]) or b"" for image in lost]
        lose(scenario, 0, 1)
        run_batch = Executor.run

        def later(self: Any, batch: Any) -> Iterator[Any]:
            for image, content in zip(lost, contents, strict=True):
                fields = {name: image[name] for name in ("sort_order", "is_thumbnail", "description")}
                scenario.sandbox.add_image(FIRST, content, "x.jpg", **fields)
            yield from run_batch(self, batch)

        monkeypatch.setattr(Executor, "run", later)
        run = scenario.restore(backup)
        assert run.code == 0, run.err
        assert creates(scenario) == 0
        assert scenario.state() == before
        kept = [each for each in run.rows if each.get("reason") == "another run has created it meanwhile"]
        assert len(kept) == 2


# Killed


@pytest.mark.parametrize("letter", ["L", "P", "p"])
def test_killed_after_a_create_was_sent_and_run_again_at_once(
    sandbox: SandboxServer, tmp_path: Path, api_version: str, letter: str
) -> None:
    scenario = RestoreScenario(sandbox, tmp_path, api_version)
    scenario.config |= {"pending_write_timeout": TIMEOUT, "concurrency": 1}
    sandbox.set_flags(late_ms=0)
    before = scenario.state()
    backup = tmp_path / "backup.singer"
    backup.write_bytes(scenario.backup())
    lose(scenario, 0, 1, 2)
    sandbox.faults(letter, match=CREATE)
    sandbox.clear_requests()
    process = killable_process.start(scenario.config, backup)
    has_come: dict[str, Callable[[], object]] = {
        "L": sandbox.late_requests,
        "P": lambda: scenario.images(FIRST),
        "p": lambda: creates(scenario),
    }
    while not has_come[letter]():
        assert process.is_alive()
    killable_process.kill(process)
    killable_process.settled(sandbox)
    sandbox.faults("")
    again = scenario.restore(backup.read_bytes())
    assert again.code == (0 if letter == "P" else 1), again.err
    assert creates(scenario) == (3 if letter == "P" else 1)
    sandbox.carry_out_late()
    is_late = letter == "L" and api_version == "v3"
    last = scenario.restore(backup.read_bytes(), pending_write_timeout=TIMEOUT if is_late else 0)
    assert last.code == 0, last.err
    assert scenario.state() == before


@pytest.mark.parametrize(("left", "code"), [(1.5, 0), (30.0, 1)])
def test_what_is_decided_in_a_moment_is_waited_for(
    scenario: RestoreScenario, monkeypatch: pytest.MonkeyPatch, left: float, code: int
) -> None:
    """A run that is begun at the second its predecessor named, or a little early, need not be begun once more."""
    before, backup, sent = scenario.state(), scenario.backup(), 1_800_000_000.0
    lose(scenario, 0)
    scenario.sandbox.faults("d", match=CREATE)
    monkeypatch.setattr(StoreClock, "now", lambda _: sent)
    assert scenario.restore(backup).code == 1
    started = time.monotonic()
    monkeypatch.setattr(StoreClock, "now", lambda _: sent + TIMEOUT - left + time.monotonic() - started)
    monkeypatch.setattr(executor, "POLL_DELAYS", (0.0,))
    assert scenario.restore(backup).code == code
    assert (scenario.state() == before) is (code == 0)


# Everything at once


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with SandboxServer(products=3, images=3) as sandbox:
        yield sandbox


RUNS = st.lists(st.tuples(st.text("....LlwWd5bC", max_size=4), st.booleans(), st.booleans()), min_size=1, max_size=6)


def trip(sandbox: SandboxServer, folder: Path, runs: list[tuple[str, bool, bool]]) -> None:
    """Restore three minutes apart, each run with faults, perhaps with lists that lag and late work that is done then.

    The store carries out late what it still has to within nine minutes; lists lag by less than one run.
    """
    shutil.rmtree(folder, ignore_errors=True)
    sandbox.reset()
    sandbox.set_flags(late_ms=0)
    scenario = RestoreScenario(sandbox, folder)
    scenario.config["pending_write_timeout"] = TIMEOUT
    before, backup = scenario.state(), scenario.backup()
    for product in (FIRST, SECOND):
        lose(scenario, 0, 1, product_id=product)
    products, now, newest = V3Client.products, [1_800_000_000.0], [0]

    def lagging(self: Any, ids: Any) -> Iterator[Any]:
        for product in products(self, ids):
            product.images = [image for image in product.images if image["id"] <= newest[0]]
            yield product

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StoreClock, "now", lambda _: now[0])
        since = 0  # runs since late work was done
        for letters, is_late, lags in runs:
            newest[0] = max(image["id"] for image in sandbox.dump(files=False)["images"])
            patch.setattr(V3Client, "products", lagging if lags else products)
            # A store that refuses what it has done, and does not list it either, cannot be seen through.
            sandbox.faults(letters.replace("C", "c") if lags else letters, match=CREATE)
            scenario.restore(backup)
            now[0] += 3 * MINUTE
            since += 1
            if is_late or since == 3:
                sandbox.carry_out_late()
                since = 0
        patch.setattr(V3Client, "products", products)
        sandbox.faults("")
        sandbox.carry_out_late()
        for _ in range(4):
            if (run := scenario.restore(backup)).code == 0:
                break
            now[0] += TIMEOUT + 1
    assert run.code == 0, run.err
    assert scenario.state() == before


@settings(deadline=None, derandomize=True, max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(runs=RUNS)
def test_no_picture_twice_none_lost(server: SandboxServer, tmp_path: Path, runs: list[tuple[str, bool, bool]]) -> None:
    trip(server, tmp_path / "trip", runs)


@pytest.mark.slow
@settings(deadline=None, max_examples=100, print_blob=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(runs=RUNS)
def test_no_picture_twice_none_lost_at_length(
    server: SandboxServer, tmp_path: Path, runs: list[tuple[str, bool, bool]]
) -> None:
    trip(server, tmp_path / "trip", runs)
