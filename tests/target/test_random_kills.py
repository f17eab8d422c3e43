"""Two hundred restores, killed at random moments: nothing twice, nothing lost."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from bigcommerce_sandbox import SandboxServer
from target_bc_images import executor
from tests.support import killable_process
from tests.support.target import ImageState, RestoreScenario, head, row, singer

PRODUCTS, IMAGES, KILLS = 100, 3, 200
SEED = 20_261_123


@pytest.fixture(autouse=True)
def poll_delays(impatient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed client's create is decided by the clock of the store, which counts whole seconds."""
    monkeypatch.setattr(executor, "POLL_DELAYS", killable_process.POLL_DELAYS)


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with SandboxServer(products=PRODUCTS, images=IMAGES) as sandbox:
        yield sandbox


class RandomStore:
    """A store of a hundred products, its backup, and what of it is broken anew for each kill."""

    def __init__(self, sandbox: SandboxServer, folder: Path, api_version: str) -> None:
        self.sandbox = sandbox
        self.folder = folder
        self.version = api_version
        self.saved = RestoreScenario(sandbox, folder / "saved", api_version)
        sandbox.reset()
        records = self.saved.records()
        self.backup = folder / "backup.singer"
        self.backup.write_bytes(singer(head(), *map(row, records)))
        self.digests = {record["image_file"]: record["file_sha256"] for record in records}
        self.wanted = self.state()

    def state(self) -> Counter[tuple[int, ImageState]]:
        """Return every image of the store as what it is, and how often it is there."""
        found: Counter[tuple[int, ImageState]] = Counter()
        for image in self.sandbox.dump(files=False)["images"]:
            path = image["image_file"]
            digest = self.digests.get(path) or hashlib.sha256(self.sandbox.original(path) or b"").hexdigest()
            shape = image["sort_order"], image["is_thumbnail"], image["description"] or "", digest
            found[image["product_id"], shape] += 1
        return found

    def broken(self, dice: random.Random, number: int) -> RestoreScenario:
        """Break a third of the store, and begin with a file store and a state folder as after the backup."""
        self.sandbox.reset()
        self.sandbox.set_flags(sort_order_shift=dice.choice(["none", "shift"]))
        for image in self.sandbox.dump(files=False)["images"]:
            chance = dice.random()
            if chance < 0.25:
                self.sandbox.delete_image(image["id"])
            elif chance < 0.32:
                self.sandbox.set_image(image["id"], description="overwritten", sort_order=dice.randrange(9))
        folder = self.folder / str(number)
        shutil.copytree(self.folder / "saved", folder, copy_function=os.link)
        self.sandbox.clear_requests()
        return RestoreScenario(self.sandbox, folder, self.version)


@pytest.mark.slow
@pytest.mark.parametrize("forgets", [False, True], ids=["ledger", "no ledger"])
def test_nothing_twice_nothing_lost(
    server: SandboxServer,
    tmp_path: Path,
    api_version: str,
    forgets: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    dice = random.Random(f"{SEED} {api_version} {forgets}")
    random_store = RandomStore(server, tmp_path, api_version)
    lost = twice = cut = 0
    began = time.monotonic()
    for number in range(KILLS // 4):
        scenario = random_store.broken(dice, number)
        config = {**scenario.config, "concurrency": 8, "report": None}
        process = killable_process.start(config, random_store.backup)
        if killable_process.wait_for_request(server, dice.randrange(1, 140), process):
            time.sleep(dice.random() * 0.03)
        cut += process.is_alive()
        killable_process.kill(process)
        killable_process.settled(server)
        if forgets:
            shutil.rmtree(scenario.state_dir, ignore_errors=True)
        run = scenario.restore(random_store.backup.read_bytes(), **config)
        assert run.code == 0, f"kill {number}: {run.err}"
        state = random_store.state()
        lost += (random_store.wanted - state).total()
        twice += (state - random_store.wanted).total()
        shutil.rmtree(scenario.folder)
    with capsys.disabled():
        seconds = time.monotonic() - began
        how = f"{api_version}, {'without' if forgets else 'with'} the ledger"
        print(f"\n{how}: {cut} restores killed: {twice} images too many, {lost} lost ({seconds:.0f} s)")
    assert (lost, twice) == (0, 0)
    assert cut > KILLS // 8, "most of them ended before they could be killed"
