"""``source-bc-images``, message by message."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from bigcommerce_sandbox import SandboxServer
from tests.support.airbyte import BIN, Connector, Messages, configured
from tests.support.commands import run, run_process


@pytest.fixture
def store() -> Iterator[SandboxServer]:
    with SandboxServer(products=9, images=3) as running:
        yield running


@pytest.fixture
def source(store: SandboxServer, tmp_path: Path) -> Connector:
    return Connector("source-bc-images", store, tmp_path)


def catalog_of(source: Connector) -> dict[str, Any]:
    return source("discover").only("CATALOG")


def read(source: Connector, mode: str = "full_refresh", **files: Any) -> Messages:
    return source("read", catalog=configured(catalog_of(source), mode), **files)


def test_spec_is_a_form_with_its_secrets_marked(source: Connector) -> None:
    spec = source("spec").only("SPEC")
    form = spec["connectionSpecification"]
    jsonschema.Draft7Validator.check_schema(form)
    jsonschema.validate(source.settings, form)
    assert spec["supportsIncremental"] is True
    assert form["required"] == ["store_hash", "access_token"]
    secrets = [name for name, field in form["properties"].items() if field.get("airbyte_secret")]
    assert secrets == ["access_token", "webdav_password"]
    assert [field["order"] for field in form["properties"].values()] == list(range(len(form["properties"])))
    assert {"title", "description", "type"} <= form["properties"]["concurrency"].keys()
    assert "secret" not in json.dumps(form["properties"]["file_store"])


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"access_token": "nope"}, "token"),
        ({"api_url": "http://127.0.0.1:9", "max_retries": 0}, "refused"),
        ({"concurrency": 0}, "concurrency"),
        ({"store_hsah": "x"}, "store_hsah"),
        ({"file_store": "no-such://place"}, "no-such"),
    ],
)
def test_check_says_what_is_wrong(source: Connector, wrong: dict[str, Any], word: str) -> None:
    assert source("check").only("CONNECTION_STATUS") == {"status": "SUCCEEDED"}
    source.settings |= wrong
    result = source("check")
    status = result.only("CONNECTION_STATUS")
    assert (result.code, status["status"]) == (0, "FAILED"), "a failure is an answer"
    assert word in status["message"]
    assert "\n" not in status["message"]


def test_discover_tells_both_streams(source: Connector) -> None:
    streams = {each["name"]: each for each in catalog_of(source)["streams"]}
    images, products = streams["product_images"], streams["products"]
    assert images["supported_sync_modes"] == ["full_refresh", "incremental"]
    assert images["source_defined_cursor"] is True
    assert images["default_cursor_field"] == ["date_modified"]
    assert products["supported_sync_modes"] == ["full_refresh"]
    for stream in (images, products):
        assert stream["source_defined_primary_key"] == [["store_hash"], ["id"]]
        assert stream["is_resumable"] is True
    dates = [field for field in images["json_schema"]["properties"].values() if field.get("format") == "date-time"]
    assert len(dates) == 2
    assert all(field["airbyte_type"] == "timestamp_with_timezone" for field in dates)


def test_v2_cannot_tell_what_has_changed(source: Connector) -> None:
    source.settings["api_version"] = "v2"
    assert catalog_of(source)["streams"][0]["supported_sync_modes"] == ["full_refresh"]


def test_a_full_refresh(source: Connector, store: SandboxServer) -> None:
    catalog = catalog_of(source)
    result = source("read", catalog=configured(catalog))
    assert result.code == 0
    stock = store.dump(files=False)
    assert [each["id"] for each in result.records()] == [each["id"] for each in stock["images"]]
    assert [each["id"] for each in result.records("products")] == [each["id"] for each in stock["products"]]
    for stream in catalog["streams"]:
        validator = jsonschema.Draft7Validator(stream["json_schema"])
        for record in result.records(stream["name"]):
            validator.validate(record)
        assert result.statuses(stream["name"]) == ["STARTED", "RUNNING", "COMPLETE"]
    assert sum(each["sourceStats"]["recordCount"] for each in result.of("STATE")) == len(result.of("RECORD"))
    kinds = [each["type"] for each in result if each["type"] in {"RECORD", "STATE", "TRACE"}]
    assert kinds[-2:] == ["STATE", "TRACE"], "the last state comes before COMPLETE"
    assert all(abs(each["emitted_at"] / 1000 - time.time()) < 600 for each in result.of("RECORD"))


def test_the_records_are_those_of_the_tap(source: Connector, tmp_path: Path) -> None:
    result = read(source)
    (tmp_path / "tap.json").write_text(json.dumps(source.settings))
    tap = subprocess.run([BIN / "tap-bc-images", "--config", tmp_path / "tap.json"], capture_output=True, check=True)
    messages = [json.loads(line) for line in tap.stdout.splitlines()]
    assert result.records() == [each["record"] for each in messages if each["type"] == "RECORD"]


def test_only_what_is_selected_is_read(source: Connector) -> None:
    catalog = catalog_of(source)
    del catalog["streams"][1]
    properties = catalog["streams"][0]["json_schema"]["properties"]
    for name in [*properties]:
        if name not in {"image_file", "sort_order"}:
            del properties[name]
    result = source("read", catalog=configured(catalog))
    assert set(result.records()[0]) == {"store_hash", "id", "image_file", "sort_order"}, "the key is always there"
    assert result.statuses("products") == []


def test_incremental_reads_what_has_changed_since(source: Connector, store: SandboxServer) -> None:
    catalog = catalog_of(source)
    first = source("read", catalog=configured(catalog, "incremental"))
    assert len(first.records()) == 27
    (bookmark,) = [each for each in first.state() if each["stream"]["stream_descriptor"]["name"] == "product_images"]
    assert bookmark["stream"]["stream_state"]["replication_key_value"]

    changed = store.dump(files=False)["images"][4]["id"]
    store.set_image(changed, description="new", date_modified="2024-01-01T00:00:00Z")
    second = source("read", catalog=configured(catalog, "incremental"), state=first.state())
    assert {each["id"] for each in second.records()} >= {changed}
    assert len(second.records()) == 6  # that product, and the one on the bookmark
    assert second.statuses() == ["STARTED", "RUNNING", "COMPLETE"]

    third = source("read", catalog=configured(catalog, "incremental"), state=second.state())
    assert third.state() == second.state(), "where nothing has changed, the bookmark stays"


def test_a_stream_that_cannot_be_read_incrementally_is_read_whole(source: Connector) -> None:
    first = read(source, "incremental")
    second = read(source, "incremental", state=first.state())
    assert len(second.records("products")) == 9
    assert second.statuses("products") == ["STARTED", "RUNNING", "COMPLETE"]


@pytest.mark.parametrize("mode", ["full_refresh", "incremental"])
def test_a_run_that_fails_says_so_and_loses_no_bookmark(source: Connector, store: SandboxServer, mode: str) -> None:
    before = read(source, mode)
    store.faults("s", match="/v3/catalog/products")
    failed = source("read", catalog=configured(catalog_of(source), mode), state=before.state())
    assert failed.code == 3
    assert failed.statuses() == ["STARTED", "INCOMPLETE"]
    (error,) = failed.errors()
    assert error["failure_type"] == "transient_error"
    assert "suspended" in error["message"]
    assert failed.of("STATE") == []


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        ({"access_token": "nope"}, "config_error"),
        ({"concurrency": 0}, "config_error"),
        ({"api_url": "http://127.0.0.1:9", "max_retries": 0}, "transient_error"),
    ],
)
def test_the_failure_type_says_who_can_help(source: Connector, wrong: dict[str, Any], kind: str) -> None:
    catalog = configured(catalog_of(source))
    source.settings |= wrong
    result = source("read", catalog=catalog)
    assert result.code in {2, 3}
    assert [each["failure_type"] for each in result.errors()] == [kind]
    assert "nope" not in json.dumps(result) + result.err


def test_an_answer_that_does_not_fit_is_for_us_to_look_at(source: Connector, store: SandboxServer) -> None:
    catalog = configured(catalog_of(source))
    store.faults("h", match="/v3/catalog/products")
    result = source("read", catalog=catalog)
    assert [each["failure_type"] for each in result.errors()] == ["system_error"]


def test_an_interrupted_full_sync_resumes_where_it_stopped(tmp_path: Path) -> None:
    with SandboxServer(products=900, images=1) as store:
        source = Connector("source-bc-images", store, tmp_path, concurrency=1)
        catalog = configured(catalog_of(source))
        store.faults("...s", match="/v3/catalog/products")
        first = source("read", catalog=catalog)
        assert first.code == 3
        assert first.statuses() == ["STARTED", "RUNNING", "INCOMPLETE"]
        store.faults("")
        second = source("read", catalog=catalog, state=first.state())
        assert second.code == 0
        counted = sum(each["sourceStats"]["recordCount"] for each in first.of("STATE"))
        assert counted == len(first.records())
        ids = [each["id"] for each in first.records() + second.records()]
        assert ids == [each["id"] for each in store.dump(files=False)["images"]]


def test_pictures_that_cannot_be_had_make_a_stream_incomplete(source: Connector, store: SandboxServer) -> None:
    source.settings["file_store"] = "files"
    catalog = configured(catalog_of(source))
    store.faults("5" * 99, match="^GET /product_images/.*view-1")
    source.settings["max_retries"] = 0
    result = source("read", catalog=catalog)
    assert result.code == 1
    assert result.statuses() == ["STARTED", "RUNNING", "INCOMPLETE"]
    assert result.statuses("products") == ["STARTED", "RUNNING", "COMPLETE"]
    assert any(each["file_sha256"] for each in result.records())
    assert [each["failure_type"] for each in result.errors()] == ["transient_error"]
    store.faults("")
    again = source("read", catalog=catalog)
    assert again.code == 0
    assert all(each["file_sha256"] for each in again.records())


def test_an_image_that_cannot_be_a_record_makes_its_stream_incomplete(source: Connector, store: SandboxServer) -> None:
    catalog, odd = configured(catalog_of(source)), store.dump(files=False)["images"][4]["id"]
    store.override("images", odd, sort_order=None)
    result = source("read", catalog=catalog)
    assert result.code == 1
    assert result.statuses() == ["STARTED", "RUNNING", "INCOMPLETE"]
    assert result.statuses("products") == ["STARTED", "RUNNING", "COMPLETE"]
    assert len(result.records()) == 26
    assert odd not in {each["id"] for each in result.records()}
    store.override("images", odd)
    assert source("read", catalog=catalog, state=result.state()).code == 0


@pytest.mark.parametrize(
    ("files", "word"),
    [
        ({"catalog": {}}, "catalog"),
        ({"catalog": {"streams": [{"stream": {"name": "orders"}, "sync_mode": "full_refresh"}]}}, "orders"),
        ({"catalog": {"streams": ["x"]}}, "catalog"),
        ({"catalog": {"streams": []}, "state": [{"type": "LEGACY"}]}, "state"),
        ({"catalog": {"streams": []}, "state": {"product_images": {}}}, "state"),
    ],
)
def test_damaged_files_are_named(source: Connector, files: dict[str, Any], word: str) -> None:
    result = source("read", **files)
    assert result.code == 2
    (error,) = result.errors()
    assert error["failure_type"] == "config_error"
    assert word in error["message"]


@pytest.mark.parametrize("words", [[], ["read"], ["sing"], ["read", "--config", "no-such.json", "--catalog", "x"]])
def test_a_wrong_call_is_one_line_and_a_trace(words: list[str]) -> None:
    ended = run_process("source-bc-images") if not words else run("source-bc-images", *words)
    assert ended.code == 2
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_is_no_success(source: Connector, store: SandboxServer, number: int, code: int) -> None:
    (source.folder / "catalog.json").write_text(json.dumps(configured(catalog_of(source))))
    (source.folder / "config.json").write_text(json.dumps({**source.settings, "api_version": "v2", "concurrency": 1}))
    store.set_flags(latency_ms=200)
    store.clear_requests()
    words: list[Path | str] = [BIN / "source-bc-images", "read", "--config", "config.json", "--catalog", "catalog.json"]
    process = subprocess.Popen(words, cwd=source.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while len(store.requests()) < 5:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(number)
    output, errors = process.communicate()
    assert process.returncode == code, errors
    assert not any(b"COMPLETE" in line and b"INCOMPLETE" not in line for line in output.splitlines())
    for line in output.splitlines():
        json.loads(line)
