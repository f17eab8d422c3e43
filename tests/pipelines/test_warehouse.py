"""What a warehouse gets: every value exactly, and a deletion only after the next complete run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bigcommerce_sandbox import SandboxServer
from tests.support.meltano_project import Project
from tests.support.postgres import Postgres
from tests.support.stores import make_odd

pytestmark = pytest.mark.slow

LIVE = "SELECT id FROM raw.product_images WHERE _sdc_deleted_at IS NULL ORDER BY id"


def ids(rows: list[dict[str, Any]]) -> list[int]:
    return [row["id"] for row in rows]


def in_store(store: SandboxServer) -> list[int]:
    return ids(store.dump(files=False)["images"])


def read_by_hand(store: SandboxServer, folder: Path, version: str) -> list[dict[str, Any]]:
    settings = {"store_hash": "sandbox", "access_token": "sandbox-token", "api_url": store.url, "store_url": store.url}
    (folder / "tap.json").write_text(json.dumps({**settings, "api_version": version}))
    tap: list[Path | str] = [Path(sys.executable).parent / "tap-bc-images", "--config", "tap.json"]
    done = subprocess.run(tap, cwd=folder, capture_output=True, check=True)
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    return [message["record"] for message in messages if message["type"] == "RECORD"]


@pytest.mark.parametrize("version", ["v3", "v2"])
def test_every_value_arrives(
    with_postgres: Project, store: SandboxServer, warehouse: Postgres, tmp_path: Path, version: str
) -> None:
    make_odd(store)
    with_postgres.run("warehouse", TAP_BC_IMAGES_API_VERSION=version)
    rows = warehouse.rows("SELECT * FROM raw.product_images ORDER BY id")
    records = read_by_hand(store, tmp_path, version)
    assert len(records) == len(in_store(store))
    assert "" in {record["description"] for record in records}
    assert None in {record["description" if version == "v2" else "date_created"] for record in records}
    for row, record in zip(rows, sorted(records, key=lambda each: int(each["id"])), strict=True):
        for name, value in record.items():
            found = row[name]
            if name.startswith("date_") and found is not None:
                found += "+00:00"  # the loader's columns are UTC, without saying so
            assert (found, type(found)) == (value, type(value)), name


def test_deletions_arrive_with_the_next_complete_run(
    with_postgres: Project, store: SandboxServer, warehouse: Postgres
) -> None:
    project = with_postgres
    project.run("warehouse")
    assert ids(warehouse.rows(LIVE)) == in_store(store)
    everything = in_store(store)

    first, *_, last = store.dump(files=False)["images"]
    store.delete_image(first["id"])
    store.delete_product(last["product_id"])

    # A tap that dies, by either signal, half-way: slow V2, so that there is a half.
    for number in (signal.SIGTERM, signal.SIGKILL):
        store.set_flags(latency_ms=200)
        store.clear_requests()
        process = project.start("run", "warehouse", TAP_BC_IMAGES_API_VERSION="v2", TAP_BC_IMAGES_CONCURRENCY="1")
        wait_until(lambda: len(store.requests()) > 10, process)
        os.kill(pid_of("tap-bc-images", process.pid), number)
        output, _ = process.communicate()
        assert process.returncode == 1, output
        assert "failed" in output
        assert ids(warehouse.rows(LIVE)) == everything, "nothing is removed by a run that was cut short"

    # Nor does one that the store ends.
    store.set_flags(latency_ms=0)
    store.faults("....s", match="/v2/products/[0-9]+/images")
    output = project.run("warehouse", code=1, TAP_BC_IMAGES_API_VERSION="v2")
    assert "suspended" in output
    assert ids(warehouse.rows(LIVE)) == everything
    store.faults("")

    project.run("warehouse")
    assert ids(warehouse.rows(LIVE)) == in_store(store)
    assert len(warehouse.rows("SELECT id FROM raw.product_images")) == len(everything), "they are marked, not gone"

    project.run("warehouse", TARGET_POSTGRES_HARD_DELETE="true")
    assert ids(warehouse.rows("SELECT id FROM raw.product_images ORDER BY id")) == in_store(store)


def test_an_interrupted_run_goes_on_where_it_stopped(
    with_postgres: Project, warehouse: Postgres, tmp_path: Path
) -> None:
    """The loader passes on the STATE of what it has loaded; the next run reads the rest, under the same version."""
    with SandboxServer(products=900, images=1) as store:
        project = Project(tmp_path / "large", store.url, warehouse.settings("target-postgres"))
        store.faults("...s", match="/v3/catalog/products")
        project.run("warehouse", code=1, TAP_BC_IMAGES_CONCURRENCY="1")
        loaded = warehouse.value("SELECT count(*) FROM raw.product_images")
        assert 0 < loaded < 900
        store.faults("")
        output = project.run("warehouse")
        assert "Resuming after product" in output
        assert warehouse.value("SELECT count(*) FROM raw.product_images WHERE _sdc_deleted_at IS NULL") == 900
        assert warehouse.value("SELECT count(DISTINCT _sdc_table_version) FROM raw.product_images") == 1


def wait_until(is_so: Any, process: subprocess.Popen[str]) -> None:
    while not is_so():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)


def pid_of(name: str, ancestor: int) -> int:
    """Return the process of that command below another one."""
    parents: dict[int, int] = {}
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            stat = (folder / "stat").read_text()
        except OSError:  # it has ended meanwhile
            continue
        parents[int(folder.name)] = int(stat.rpartition(")")[2].split()[1])
        if any(Path(word.decode(errors="replace")).name == name for word in words):
            found.append(int(folder.name))
    for pid in found:
        above = pid
        while above in parents and above != ancestor:
            above = parents[above]
        if above == ancestor:
            return pid
    raise AssertionError(f"{name} does not run")
