"""Run, then ``retry`` until its exit code is 0: then ``verify`` finds no difference, however the runs were stopped."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bc_images.cli.retry import retry
from bc_images.cli.verify import verify
from bc_images.errors import BcImagesError
from bigcommerce_sandbox import SandboxServer
from tests.support.commands import CommandResult, restored_handlers
from tests.support.target import RestoreScenario, end, head, picture, row, singer

FIRST = 101
STOPS = {
    "reads": (r"^GET .*/(products|images)", "5s"),
    "creates": (r"^POST .*/images$", "5sW7lhEe"),
    "updates": (r"^(PUT|POST) .*/images/\d+$", "5sW7lhEen"),
    "any": (None, "5sWlu"),
}
ROUNDS = 8


def invoke(command: Any, *arguments: str, config: dict[str, Any], folder: Path) -> tuple[int, str]:
    """Return the exit code of a command, and what it has written."""
    settings = folder / "config.json"
    settings.write_text(json.dumps(config))
    with restored_handlers():
        result = CliRunner().invoke(command, [*arguments, "--config", str(settings)])
    if isinstance(result.exception, BcImagesError):
        return result.exception.exit_code, f"{result.output}{result.exception}"
    assert isinstance(result.exception, SystemExit | None), result.exception
    return result.exit_code, result.output


def stop_after(scenario: RestoreScenario, writes: int, ended: threading.Event) -> None:
    """Send this process a SIGTERM once the store has been written to so often."""

    def watch() -> None:
        while not ended.wait(0.002):
            if len(scenario.writes()) >= writes:
                os.kill(os.getpid(), signal.SIGTERM)
                return

    threading.Thread(target=watch, daemon=True).start()


def until_done(scenario: RestoreScenario, run: CommandResult, backup: bytes, **config: Any) -> None:
    """Retry until the exit code is 0, and compare."""
    (scenario.folder / "backup.singer").write_bytes(backup)
    settings = {**scenario.config, **config}
    code = run.code
    scenario.sandbox.faults("")
    for _ in range(ROUNDS):
        if code == 0:
            break
        code, output = invoke(retry, str(scenario.report), config=settings, folder=scenario.folder)
    assert code == 0, output
    arguments = "--backup", str(scenario.folder / "backup.singer")
    code, output = invoke(verify, *arguments, config=settings, folder=scenario.folder)
    assert code == 0, output


@pytest.mark.parametrize("seed", range(12))
def test_stops_of_every_kind(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    with SandboxServer(products=6, images=4) as sandbox:
        scenario = RestoreScenario(sandbox, tmp_path, chance.choice(["v3", "v2"]))
        backup = scenario.backup()
        sandbox.set_flags(sort_order_shift=chance.choice(["shift", "shift", "none"]))
        for image in scenario.records(files=False):
            match chance.choice(["delete", "delete", "change", "leave"]):
                case "delete":
                    sandbox.delete_image(image["id"])
                case "change":
                    sandbox.set_image(image["id"], sort_order=chance.randrange(9), description="changed")
        match, letters = STOPS[chance.choice(list(STOPS))]
        sandbox.faults(
            "." * chance.randrange(8) + "".join(chance.choices(letters, k=chance.randrange(1, 4))), match=match
        )
        sandbox.clear_requests()
        ended = threading.Event()
        if chance.random() < 0.4:
            stop_after(scenario, chance.randrange(1, 12), ended)
        run = scenario.restore(backup, max_retries=0, pending_write_timeout=0, concurrency=chance.choice([1, 4]))
        ended.set()
        until_done(scenario, run, backup, max_retries=0, pending_write_timeout=0)


def test_a_read_back_that_fails(scenario: RestoreScenario) -> None:
    """Everything is written, the store has shifted siblings, and nothing could be read back."""
    scenario.sandbox.set_flags(sort_order_shift="shift")
    backup = scenario.backup()
    count = len(scenario.records(files=False))
    for image in scenario.records(files=False):
        scenario.sandbox.delete_image(image["id"])
    is_v2 = scenario.config["api_version"] == "v2"
    match = r"^GET .*/images$" if is_v2 else "^GET .*/catalog/products$"
    scenario.sandbox.faults("..........55555" if is_v2 else "..5", match=match)
    run = scenario.restore(backup, max_retries=0)
    assert run.code == 3, run.err
    statuses = {each["status"] for each in run.rows[:-1]}
    assert "done" not in statuses
    assert run.summary["unverified"] + run.summary["not_reached"] == count
    assert run.summary["unverified"] > 0
    assert all(each["record"] for each in run.rows[:-1])
    until_done(scenario, run, backup)


@pytest.mark.parametrize("lost", ["ledger kept", "ledger lost"])
def test_a_sibling_that_could_not_be_put_back(scenario: RestoreScenario, lost: str) -> None:
    """Across stores by SKU: it is an image of the store itself, and no second product of the input."""
    sandbox = scenario.sandbox
    theirs = sandbox.add_product(sku="THEIRS")
    records = [
        {**each, "store_hash": "elsewhere", "product_id": 7, "product_sku": "THEIRS"}
        for each in scenario.records()
        if each["product_id"] == FIRST
    ]
    backup = singer(head(), *map(row, records), end())
    mine = sandbox.add_image(theirs, picture(1), "mine.png", sort_order=0)
    sandbox.set_flags(sort_order_shift="shift")
    sandbox.faults("5" * 50, match=f"PUT .*/images/{mine}$")
    run = scenario.restore(backup, match_products_by="sku", max_retries=0)
    assert run.code == 1, run.err
    assert [each["is_sibling"] for each in run.rows if each.get("status") == "failed"] == [True]
    sandbox.faults("")
    if lost == "ledger lost":
        scenario.lose_ledger()
    settings = {**scenario.config, "match_products_by": "sku"}
    code, output = invoke(retry, str(scenario.report), config=settings, folder=scenario.folder)
    assert code == 0, output
    images = {image["id"]: image for image in scenario.images(theirs)}
    assert (len(images), images[mine]["sort_order"]) == (4, 0)
    assert scenario.restore(backup, match_products_by="sku").code == 0
