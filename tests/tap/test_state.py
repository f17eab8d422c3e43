"""State that is not true of this store, tap and time: said, ignored, and never the reason for an empty run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bigcommerce_sandbox import SandboxServer
from tests.support.commands import CommandResult
from tests.support.tap import catalog_of, run, settings, stored, sync

FAR = "2099-01-01T00:00:00+00:00"
FULL_TABLE = {
    "store_hash": "sandbox",
    "product_id_min": None,
    "product_id_max": None,
    "version": 1_700_000_000_000,
    "last_product_id": 105,
}


@pytest.fixture(autouse=True)
def _stock(sandbox: SandboxServer) -> None:
    sandbox.reset(products=10, images=2)


def incremental(sandbox: SandboxServer, bookmark: Any, **more: Any) -> CommandResult:
    config = settings(sandbox.url, **more)
    catalog = catalog_of(config, "product_images", replication_method="INCREMENTAL")
    return sync(config, catalog=catalog, state={"bookmarks": {"product_images": bookmark}})


def full(sandbox: SandboxServer, **change: Any) -> CommandResult:
    state = {"bookmarks": {"product_images": {"full_table": {**FULL_TABLE, **change}}}}
    return sync(settings(sandbox.url), state=state)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


@pytest.mark.parametrize(
    ("bookmark", "why"),
    [
        ({"replication_key_value": FAR}, f"{FAR} lies in the future, by the store's clock, which says 2"),
        ({"replication_key_value": FAR, "store_hash": "other"}, "it is of the store 'other', not of 'sandbox'"),
        (
            {"replication_key_value": FAR, "store_hash": "sandbox", "product_id_min": -5},
            "it is of another shard: its product_id_min is -5, not None",
        ),
        ({"replication_key": "id", "replication_key_value": 10**9}, "it goes by 'id', not by date_modified"),
        ({"date_modified": FAR}, "it has no replication_key_value, only date_modified"),
        ({"partitions": []}, "it has no replication_key_value, only partitions"),
    ],
)
def test_a_bookmark_that_is_not_true(
    sandbox: SandboxServer, caplog: pytest.LogCaptureFixture, bookmark: dict[str, Any], why: str
) -> None:
    output = incremental(sandbox, bookmark)
    assert output.ids() == stored(sandbox)
    (warning,) = warnings(caplog)
    assert warning.startswith(f"The bookmark in the state is ignored: {why}")
    assert warning.endswith("All images are emitted.")
    after = output.states[-1]["bookmarks"]["product_images"]
    assert after["replication_key_value"] < FAR
    caplog.clear()
    incremental(sandbox, after)
    assert not warnings(caplog)


def test_without_the_bookmark_the_start_date_counts(sandbox: SandboxServer, caplog: pytest.LogCaptureFixture) -> None:
    image = stored(sandbox)[3]
    sandbox.set_image(image, date_modified="2024-05-05T00:00:00+00:00")
    output = incremental(sandbox, {"replication_key_value": FAR}, start_date="2024-05-01")
    assert output.ids() == stored(sandbox)[2:4]
    (warning,) = warnings(caplog)
    assert warning.endswith("Images count as changed from start_date on, 2024-05-01T00:00:00+00:00.")


def test_a_start_date_in_the_future_is_named(sandbox: SandboxServer, caplog: pytest.LogCaptureFixture) -> None:
    assert not incremental(sandbox, {}, start_date="2099-01-01").records()
    (warning,) = warnings(caplog)
    assert warning.startswith("start_date lies in the future")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"store_hash": "other"}, "it is of the store 'other', not of 'sandbox'"),
        ({"product_id_max": 9}, "it is of another shard: its product_id_max is 9, not None"),
        ({"version": 10**15}, "its version 1000000000000000 is not a time before now"),
        ({"version": -1}, "its version -1 is not a time before now"),
        ({"last_product_id": -7}, "its last_product_id is -7"),
        ({"last_product_id": 0}, "its last_product_id is 0"),
    ],
)
def test_an_interrupted_full_sync_that_is_not_true(
    sandbox: SandboxServer, caplog: pytest.LogCaptureFixture, change: dict[str, Any], why: str
) -> None:
    output = full(sandbox, **change)
    assert output.ids() == stored(sandbox)
    assert output.versions().isdisjoint({FULL_TABLE["version"], change.get("version")})
    assert output.of("ACTIVATE_VERSION")[0]["version"] in output.versions()
    assert warnings(caplog) == [
        f"The interrupted full sync in the state is ignored: {why}. This one begins afresh.",
    ]


@pytest.mark.parametrize("last", [10**6, 10**18])
def test_a_full_sync_with_nothing_left_begins_afresh(
    sandbox: SandboxServer, caplog: pytest.LogCaptureFixture, version: str, last: int
) -> None:
    """No product after the last: nothing shows that those before it are in the table."""
    state = {"bookmarks": {"product_images": {"full_table": {**FULL_TABLE, "last_product_id": last}}}}
    output = sync(settings(sandbox.url, api_version=version), state=state)
    assert output.ids() == stored(sandbox)
    assert output.versions().isdisjoint({FULL_TABLE["version"]})
    assert len(output.of("ACTIVATE_VERSION")) == 1
    assert output.states[-1] == {"bookmarks": {"product_images": {}}}
    (warning,) = warnings(caplog)
    assert f"product {last} was the last one written, and the store has none after it" in warning


def test_one_that_is_true_is_gone_on_with(sandbox: SandboxServer, caplog: pytest.LogCaptureFixture) -> None:
    output = full(sandbox)
    assert output.versions() == {FULL_TABLE["version"]}
    assert 0 < len(output.records()) < len(stored(sandbox))
    assert not warnings(caplog)


def test_of_the_products_too(sandbox: SandboxServer, caplog: pytest.LogCaptureFixture) -> None:
    config = settings(sandbox.url)
    state = {"bookmarks": {"products": {"full_table": {**FULL_TABLE, "store_hash": "other"}}}}
    output = sync(config, catalog=catalog_of(config, "products"), state=state)
    assert len(output.records("products")) == 10
    assert [each for each in warnings(caplog) if "of the store 'other'" in each]


def test_of_another_tap(sandbox: SandboxServer, tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text(json.dumps({"bookmarks": {"orders": {"replication_key_value": 5}, "customers": {}}}))
    ended = run("--state", str(path), config=settings(sandbox.url), folder=tmp_path)
    assert ended.code == 0
    assert ended.ids() == stored(sandbox)
    assert ended.err.count("The state has bookmarks of unknown streams, which are ignored: customers, orders.") == 1
