"""``destination-bc-images``, message by message: what the source has read goes back in, exactly once."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from bigcommerce_sandbox import SandboxServer
from tests.support.airbyte import Connector, Messages, configured
from tests.support.stores import looks, make_odd, wreck, writes


@pytest.fixture
def store() -> Iterator[SandboxServer]:
    with SandboxServer(products=9, images=3) as running:
        yield running


@pytest.fixture
def destination(store: SandboxServer, tmp_path: Path) -> Connector:
    return Connector("destination-bc-images", store, tmp_path, file_store="files", report="report.jsonl")


class Backup:
    """All that the source said of a store, and the catalog it was asked with."""

    def __init__(self, store: SandboxServer, folder: Path, **stream_settings: Any) -> None:
        source = Connector("source-bc-images", store, folder, file_store="files")
        self.catalog = configured(source("discover").only("CATALOG"), **stream_settings)
        self.said = source("read", catalog=self.catalog)
        assert self.said.code == 0

    def lines(self, *, without: tuple[str, ...] = ()) -> bytes:
        return b"".join(json.dumps(each).encode() + b"\n" for each in self.said if each["type"] not in without)


def write(destination: Connector, backup: Backup, stdin: bytes | None = None) -> Messages:
    return destination("write", stdin=backup.lines() if stdin is None else stdin, catalog=backup.catalog)


def report(destination: Connector) -> list[dict[str, Any]]:
    lines = (destination.folder / "report.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines[:-1]]


def test_spec_and_check(destination: Connector) -> None:
    spec = destination("spec").only("SPEC")
    form = spec["connectionSpecification"]
    jsonschema.Draft7Validator.check_schema(form)
    jsonschema.validate(destination.settings, form)
    secrets = [name for name, field in form["properties"].items() if field.get("airbyte_secret")]
    assert secrets == ["access_token", "webdav_password"]
    assert spec["supported_destination_sync_modes"] == ["append_dedup", "append", "overwrite"]
    assert destination("check").only("CONNECTION_STATUS") == {"status": "SUCCEEDED"}
    assert not (destination.folder / "report.jsonl").exists(), "a check leaves nothing behind"
    assert not (destination.folder / ".bc_images").exists()
    for wrong in ({"access_token": "nope"}, {"mode": "mirror"}, {"upload_method": "webdav"}):
        other = Connector.__new__(Connector)
        other.prog, other.folder, other.settings = destination.prog, destination.folder, destination.settings | wrong
        assert other("check").only("CONNECTION_STATUS")["status"] == "FAILED"


def test_what_was_read_goes_back_in(destination: Connector, store: SandboxServer, tmp_path: Path) -> None:
    make_odd(store)
    before = looks(store)
    backup = Backup(store, tmp_path)
    wreck(store)
    assert looks(store) != before
    said = write(destination, backup)
    assert said.code == 0
    assert looks(store) == before
    assert said.of("STATE") == backup.said.of("STATE"), "every STATE comes back, in order, as it was"
    assert [each["type"] for each in said] == ["STATE"] * len(said)

    store.clear_requests()
    assert write(destination, backup).code == 0
    assert not writes(store)
    assert {line["action"] for line in report(destination)} == {"keep"}


def test_a_state_comes_back_only_if_all_before_it_is_done(
    destination: Connector, store: SandboxServer, tmp_path: Path
) -> None:
    backup = Backup(store, tmp_path)
    store.delete_product(store.dump(files=False)["products"][0]["id"])
    said = write(destination, backup)
    assert said.code == 1
    assert said.of("STATE") == []
    assert [each["failure_type"] for each in said.errors()] == ["transient_error"]
    assert "report.jsonl" in said.errors()[0]["message"]


@pytest.mark.parametrize(
    ("damage", "word"),
    [
        (lambda lines: lines[:-20], "truncated"),
        (lambda lines: b"oops\n" + lines, "Line 1"),
        (lambda lines: lines + b'{"type": "RECORD"}\n', "Airbyte message"),
        (
            lambda lines: lines + b'{"type": "RECORD", "record": {"stream": "orders", "data": {}, "emitted_at": 1}}\n',
            "orders",
        ),
    ],
)
def test_damaged_input_changes_nothing(
    destination: Connector, store: SandboxServer, tmp_path: Path, damage: Any, word: str
) -> None:
    backup = Backup(store, tmp_path)
    wreck(store)
    damaged = looks(store)
    said = write(destination, backup, damage(backup.lines()))
    assert said.code == 3
    assert said.of("STATE") == []
    assert word in said.errors()[0]["message"]
    assert looks(store) == damaged


# What Airbyte says where a stream is to be overwritten: to a destination without refreshes, and to one that knows them.
OVERWRITE = {
    "by mode": {"destination_sync_mode": "overwrite"},
    "by generation": {"destination_sync_mode": "append", "generation_id": 3, "minimum_generation_id": 3, "sync_id": 7},
}


@pytest.mark.parametrize("stream_settings", OVERWRITE.values(), ids=OVERWRITE)
def test_overwrite_makes_the_store_the_same(
    destination: Connector, store: SandboxServer, tmp_path: Path, stream_settings: dict[str, Any]
) -> None:
    before = looks(store)
    backup = Backup(store, tmp_path, **stream_settings)
    intruder = store.dump(files=False)["products"][0]["id"]
    store.add_image(intruder, b"GIF89a\x01\x00\x01\x00\x00\x00\x00;", "intruder.gif")

    refused = write(destination, backup)
    assert refused.code == 2
    assert "max_deletes" in refused.errors()[0]["message"]
    assert looks(store) != before

    destination.settings |= {"mode": "mirror", "max_deletes": 1}
    incomplete = write(destination, backup, backup.lines(without=("TRACE",)))
    assert incomplete.code == 1, "without COMPLETE nobody knows whether that was all"
    assert looks(store) != before

    assert write(destination, backup).code == 0
    assert looks(store) == before


@pytest.mark.parametrize(
    "stream_settings",
    [
        {"destination_sync_mode": "append"},
        {"destination_sync_mode": "append_dedup"},
        {"destination_sync_mode": "append", "generation_id": 3, "minimum_generation_id": 0},
        {"destination_sync_mode": "append", "generation_id": 3, "minimum_generation_id": 2},
        {"destination_sync_mode": "append", "generation_id": 0, "minimum_generation_id": 0},
        {"destination_sync_mode": "append", "generation_id": 3},
        {"destination_sync_mode": "append", "generation_id": 1, "minimum_generation_id": 1, "sync_mode": "incremental"},
        {"destination_sync_mode": "append_dedup", "generation_id": 1, "minimum_generation_id": 1},
    ],
)
def test_nothing_is_deleted_unless_asked_for(
    destination: Connector, store: SandboxServer, tmp_path: Path, stream_settings: dict[str, Any]
) -> None:
    backup = Backup(store, tmp_path, **stream_settings)
    product = store.dump(files=False)["products"][0]["id"]
    store.add_image(product, b"GIF89a\x01\x00\x01\x00\x00\x00\x00;", "intruder.gif")
    more = looks(store)
    destination.settings |= {"mode": "mirror", "max_deletes": 99}
    said = write(destination, backup)
    assert said.code == 1
    assert "deleted nothing" in said.errors()[0]["message"]
    assert looks(store) == more


def test_logs_and_other_words_are_passed_over(destination: Connector, store: SandboxServer, tmp_path: Path) -> None:
    before = looks(store)
    backup = Backup(store, tmp_path)
    wreck(store)
    other = [
        {"type": "LOG", "log": {"level": "INFO", "message": "hello"}},
        {"type": "TRACE", "trace": {"type": "ANALYTICS", "emitted_at": 1.0, "analytics": {"type": "x"}}},
        {"type": "CONTROL", "control": {"type": "CONNECTOR_CONFIG", "emitted_at": 1.0}},
    ]
    lines = b"".join(json.dumps(each).encode() + b"\n\n" for each in other)
    assert write(destination, backup, lines + backup.lines()).code == 0
    assert looks(store) == before


@pytest.mark.parametrize("pack", [gzip.compress, lambda lines: b"\xef\xbb\xbf" + lines])
def test_input_that_is_packed(destination: Connector, store: SandboxServer, tmp_path: Path, pack: Any) -> None:
    before = looks(store)
    backup = Backup(store, tmp_path)
    wreck(store)
    assert write(destination, backup, pack(backup.lines())).code == 0
    assert looks(store) == before


def test_an_empty_input_is_damaged(destination: Connector, store: SandboxServer, tmp_path: Path) -> None:
    backup = Backup(store, tmp_path)
    said = write(destination, backup, b"")
    assert (said.code, "The input is empty" in said.errors()[0]["message"]) == (3, True)
    log = json.dumps({"type": "LOG", "log": {"level": "INFO", "message": "hello"}}).encode()
    assert write(destination, backup, log).code == 0


def renamed(backup: Backup, name: str) -> tuple[dict[str, Any], bytes]:
    """Return catalog and lines with another name for the stream of images, and upper-case columns."""
    streams = [
        {**each, "stream": {**each["stream"], "name": name}} if each["stream"]["name"] == "product_images" else each
        for each in backup.catalog["streams"]
    ]
    said = []
    for each in backup.said:
        record = each.get("record")
        if record and record["stream"] == "product_images":
            data = {column.upper(): value for column, value in record["data"].items()}
            each = {**each, "record": {**record, "stream": name, "data": data}}  # noqa: PLW2901
        said.append(json.dumps(each).encode() + b"\n")
    return {"streams": streams}, b"".join(said)


def test_names_in_upper_case(destination: Connector, store: SandboxServer, tmp_path: Path) -> None:
    before = looks(store)
    catalog, lines = renamed(Backup(store, tmp_path), "PRODUCT_IMAGES")
    wreck(store)
    said = destination("write", stdin=lines, catalog=catalog)
    assert (said.code, looks(store)) == (0, before), said.err


def test_streams_of_which_none_is_ours(destination: Connector, store: SandboxServer, tmp_path: Path) -> None:
    catalog, lines = renamed(Backup(store, tmp_path), "pictures")
    wreck(store)
    damaged = looks(store)
    said = destination("write", stdin=lines, catalog=catalog)
    assert (said.code, said.of("STATE"), looks(store)) == (1, [], damaged)
    assert '{"pictures": {"__alias__": "product_images"}}' in said.errors()[0]["message"]


TWICE = [
    {"stream": {"name": "product_images", "namespace": name}, "destination_sync_mode": "append"} for name in ("a", "b")
]


@pytest.mark.parametrize(
    ("catalog", "word"),
    [
        ({"streams": TWICE}, "The stream product_images is configured in 2 namespaces"),
        ({}, "catalog"),
        ({"streams": [{"stream": {"name": "product_images"}, "destination_sync_mode": "soft_delete"}]}, "soft_delete"),
        ({"streams": [{"stream": {"name": "product_images"}, "destination_sync_mode": "other"}]}, "other"),
    ],
)
def test_a_catalog_that_cannot_be(destination: Connector, catalog: dict[str, Any], word: str) -> None:
    said = destination("write", catalog=catalog)
    assert said.code == 2
    assert word in said.errors()[0]["message"]
    assert said.errors()[0]["failure_type"] == "config_error"
