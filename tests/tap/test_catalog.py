"""Discovery, selection, stream maps and flattening: what the SDK offers, and that the quick way changes none of it."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from copy import deepcopy
from typing import Any

import pytest
from singer_sdk.singerlib import Catalog

from bc_images.errors import SettingsError
from bc_images.schema import load
from bigcommerce_sandbox import SandboxServer
from tap_bc_images.catalog_stream import CatalogStream
from tap_bc_images.tap import TapBCImages
from tests.support.commands import CommandResult
from tests.support.tap import catalog_of, settings, stored, sync

BOTH = ("product_images", "products")


def select(catalog: dict[str, Any], stream: str, **fields: bool) -> dict[str, Any]:
    """Select or deselect fields of a stream in a catalog."""
    (entry,) = [each for each in catalog["streams"] if each["tap_stream_id"] == stream]
    for each in entry["metadata"]:
        if each["breadcrumb"] and each["breadcrumb"][-1] in fields:
            each["metadata"]["selected"] = fields[each["breadcrumb"][-1]]
    return catalog


def without_times(output: CommandResult) -> list[dict[str, Any]]:
    """Return all messages as they are, but for what differs from run to run."""
    moving = {"time_extracted", "version"}
    return [{name: value for name, value in each.items() if name not in moving} for each in output.messages]


class TestDiscovery:
    def test_streams_and_schemas(self) -> None:
        catalog = catalog_of(settings("http://127.0.0.1:1"))
        assert [each["tap_stream_id"] for each in catalog["streams"]] == ["product_images", "products"]
        for each in catalog["streams"]:
            assert set(each["schema"]["properties"]) == set(load(each["tap_stream_id"])["properties"])
            assert each["key_properties"] == ["store_hash", "id"]
            assert each["replication_method"] == "FULL_TABLE"

    @pytest.mark.parametrize(("version", "keys"), [("v3", ["date_modified"]), ("v2", None)])
    def test_replication_keys(self, version: str, keys: list[str] | None) -> None:
        catalog = catalog_of({"api_version": version})
        (root,) = [each["metadata"] for each in catalog["streams"][0]["metadata"] if not each["breadcrumb"]]
        assert root.get("valid-replication-keys") == keys

    def test_products_are_not_selected(self) -> None:
        out = io.StringIO()
        with redirect_stdout(out):
            TapBCImages(validate_config=False).run_discovery()
        roots = {
            each["tap_stream_id"]: entry["metadata"]["selected"]
            for each in json.loads(out.getvalue())["streams"]
            for entry in each["metadata"]
            if not entry["breadcrumb"]
        }
        assert roots == {"product_images": True, "products": False}


class TestSelection:
    def test_a_deselected_field_is_in_neither_schema_nor_records(self, sandbox: SandboxServer) -> None:
        sandbox.reset(products=5, images=2)
        config = settings(sandbox.url)
        catalog = select(catalog_of(config, *BOTH), "product_images", zoom_url=False, file_sha256=False, id=False)
        catalog = select(catalog, "products", name=False)
        output = sync(config, catalog=catalog)
        for stream, gone in (("product_images", {"zoom_url", "file_sha256"}), ("products", {"name"})):
            declared = set(output.of("SCHEMA", stream)[0]["schema"]["properties"])
            assert declared == set(load(stream)["properties"]) - gone
            assert all(set(record) == declared for record in output.records(stream))
        assert output.ids() == stored(sandbox)  # a key cannot be deselected

    def test_a_field_that_the_catalog_does_not_know(self, sandbox: SandboxServer) -> None:
        """An older catalog goes on working after we have learnt a new field."""
        sandbox.reset(products=5, images=2)
        config = settings(sandbox.url)
        catalog = catalog_of(config, "product_images")
        del catalog["streams"][0]["schema"]["properties"]["file_source"]
        output = sync(config, catalog=catalog)
        assert set(output.of("SCHEMA")[0]["schema"]["properties"]) == set(output.records()[0])
        assert "file_source" not in output.records()[0]

    def test_a_catalog_without_metadata_and_keys(self, sandbox: SandboxServer) -> None:
        sandbox.reset(products=5, images=2)
        catalog = catalog_of(settings(sandbox.url))
        bare = {name: catalog["streams"][0][name] for name in ("tap_stream_id", "stream", "schema")}
        output = sync(settings(sandbox.url), catalog={"streams": [bare]})
        assert output.ids() == stored(sandbox)
        assert output.of("SCHEMA")[0]["key_properties"] == ["store_hash", "id"]

    def test_nothing_selected(self, sandbox: SandboxServer) -> None:
        config = settings(sandbox.url)
        assert not sync(config, catalog=catalog_of(config)).messages
        assert not sandbox.requests()

    @pytest.mark.parametrize("where", ["replication-method", "forced-replication-method"])
    def test_the_users_metadata_counts_more_than_what_discovery_wrote(self, sandbox: SandboxServer, where: str) -> None:
        sandbox.reset(products=5, images=2)
        config = settings(sandbox.url)
        output = sync(config, catalog=catalog_of(config, "product_images", **{where: "INCREMENTAL"}))
        assert not output.of("ACTIVATE_VERSION")
        assert output.versions() == {None}


def entry_of(catalog: dict[str, Any], stream: str = "product_images") -> dict[str, Any]:
    (entry,) = [each for each in catalog["streams"] if each["tap_stream_id"] == stream]
    found: dict[str, Any] = entry
    return found


class TestNames:
    """A ``stream`` that differs from its ``tap_stream_id`` is the name that the messages carry."""

    @pytest.fixture(autouse=True)
    def _stock(self, sandbox: SandboxServer) -> None:
        sandbox.reset(products=5, images=2)

    def renamed(self, sandbox: SandboxServer, name: str | None = "pictures", **more: Any) -> CommandResult:
        config = settings(sandbox.url, **more)
        catalog = catalog_of(config, *BOTH)
        entry_of(catalog)["stream"] = name
        return sync(config, catalog=catalog)

    def test_every_message_carries_the_new_name(self, sandbox: SandboxServer) -> None:
        output = self.renamed(sandbox)
        assert {each["stream"] for each in output.messages if "stream" in each} == {"pictures", "products"}
        assert output.ids("pictures") == stored(sandbox)
        assert len(output.of("ACTIVATE_VERSION", "pictures")) == len(output.of("SCHEMA", "pictures")) == 1
        assert set(output.states[-1]["bookmarks"]) == set(BOTH)  # a bookmark belongs to the tap's own name

    @pytest.mark.parametrize("name", [None, "", "product_images"])
    def test_no_other_name(self, sandbox: SandboxServer, name: str | None) -> None:
        assert self.renamed(sandbox, name).ids() == stored(sandbox)

    def test_stream_maps_go_by_the_taps_own_name(self, sandbox: SandboxServer) -> None:
        output = self.renamed(sandbox, stream_maps={"product_images": {"half": "float(sort_order) / 2"}})
        assert all("half" in record for record in output.records("pictures"))
        assert len(output.records("pictures")) == 10

    def test_an_alias_counts_more(self, sandbox: SandboxServer) -> None:
        output = self.renamed(sandbox, stream_maps={"product_images": {"__alias__": "photos"}})
        assert output.ids("photos") == stored(sandbox)

    def test_a_flattened_stream(self, sandbox: SandboxServer) -> None:
        output = self.renamed(sandbox, flattening_enabled=True, flattening_max_depth=2)
        assert output.ids("pictures") == stored(sandbox)

    def test_a_resumed_full_sync(self, sandbox: SandboxServer) -> None:
        config = settings(sandbox.url)
        catalog = catalog_of(config, "product_images")
        entry_of(catalog)["stream"] = "pictures"
        own = {"store_hash": "sandbox", "product_id_min": None, "product_id_max": None}
        first = sandbox.dump(files=False)["products"][0]["id"]
        state = {"bookmarks": {"product_images": {"full_table": {**own, "version": 7, "last_product_id": first}}}}
        output = sync(config, catalog=catalog, state=state)
        assert output.versions("pictures") == {7}
        assert output.ids("pictures") == stored(sandbox)[2:]

    def test_two_streams_of_one_name(self, sandbox: SandboxServer) -> None:
        with pytest.raises(SettingsError, match="gives two streams the name products: give each a name of its own"):
            self.renamed(sandbox, "products")


class TestLegalCatalogs:
    """What the Singer specification allows, and other tools write."""

    @pytest.fixture(autouse=True)
    def _stock(self, sandbox: SandboxServer) -> None:
        sandbox.reset(products=5, images=2)

    def synced(self, sandbox: SandboxServer, catalog: dict[str, Any]) -> CommandResult:
        return sync(settings(sandbox.url), catalog=catalog)

    @pytest.fixture
    def catalog(self, sandbox: SandboxServer) -> dict[str, Any]:
        return catalog_of(settings(sandbox.url), "product_images")

    @pytest.mark.parametrize("metadata", [None, []])
    def test_no_metadata(self, sandbox: SandboxServer, catalog: dict[str, Any], metadata: Any) -> None:
        entry_of(catalog)["metadata"] = metadata
        assert self.synced(sandbox, catalog).ids() == stored(sandbox)

    def test_breadcrumbs_as_tuples(self, sandbox: SandboxServer, catalog: dict[str, Any]) -> None:
        for each in entry_of(catalog)["metadata"]:
            each["breadcrumb"] = tuple(each["breadcrumb"])
        assert self.synced(sandbox, catalog).ids() == stored(sandbox)

    def test_an_object_in_place_of_json(self, sandbox: SandboxServer, catalog: dict[str, Any]) -> None:
        entry_of(catalog)["stream"] = "pictures"
        assert sync(settings(sandbox.url), catalog=Catalog.from_dict(catalog)).ids("pictures") == stored(sandbox)

    def test_the_same_entry_twice(self, sandbox: SandboxServer, catalog: dict[str, Any]) -> None:
        catalog["streams"].append(deepcopy(entry_of(catalog)))
        assert self.synced(sandbox, catalog).ids() == stored(sandbox)

    def test_two_entries_that_differ(self, sandbox: SandboxServer, catalog: dict[str, Any]) -> None:
        catalog["streams"].append({**deepcopy(entry_of(catalog)), "replication_method": "INCREMENTAL", "metadata": []})
        with pytest.raises(SettingsError, match="two entries for product_images that differ: leave one"):
            self.synced(sandbox, catalog)

    @pytest.mark.parametrize("chosen", [True, False])
    def test_selected_by_default(self, sandbox: SandboxServer, catalog: dict[str, Any], *, chosen: bool) -> None:
        for each in entry_of(catalog)["metadata"]:
            if not each["breadcrumb"]:
                del each["metadata"]["selected"]
                each["metadata"]["selected-by-default"] = chosen
        assert self.synced(sandbox, catalog).ids() == (stored(sandbox) if chosen else [])

    @pytest.mark.parametrize("inclusion", ["available", "unsupported", None])
    def test_a_key_is_never_left_out(
        self, sandbox: SandboxServer, catalog: dict[str, Any], inclusion: str | None
    ) -> None:
        for each in entry_of(catalog)["metadata"]:
            if each["breadcrumb"]:
                each["metadata"] = {"selected": False, "inclusion": inclusion}
        output = self.synced(sandbox, catalog)
        assert set(output.of("SCHEMA")[0]["schema"]["properties"]) == {"store_hash", "id"}
        assert {frozenset(record) for record in output.records()} == {frozenset({"store_hash", "id"})}
        assert output.ids() == stored(sandbox)

    def test_the_field_that_incremental_goes_by_is_never_left_out(self, sandbox: SandboxServer) -> None:
        catalog = catalog_of(settings(sandbox.url), "product_images", replication_method="INCREMENTAL")
        select(catalog, "product_images", date_modified=False, tiny_url=False)
        output = self.synced(sandbox, catalog)
        (schema,) = output.of("SCHEMA")
        assert schema["bookmark_properties"] == ["date_modified"]
        assert "date_modified" in schema["schema"]["properties"]
        assert all("date_modified" in record and "tiny_url" not in record for record in output.records())

    def test_a_key_that_is_no_field(self, sandbox: SandboxServer, catalog: dict[str, Any]) -> None:
        entry_of(catalog)["key_properties"] = ["store_hash", "uuid"]
        with pytest.raises(SettingsError, match="The catalog's key of product_images is not in its schema: uuid"):
            self.synced(sandbox, catalog)

    def test_a_stream_that_does_not_exist(
        self, sandbox: SandboxServer, catalog: dict[str, Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        catalog["streams"].append({"tap_stream_id": "orders", "stream": "product_images"})
        assert self.synced(sandbox, catalog).ids() == stored(sandbox)
        assert "names streams that do not exist: orders" in caplog.text


@pytest.mark.parametrize(
    "damage",
    [
        {"streams": [{"stream": "product_images"}]},
        {"streams": {"product_images": {}}},
        {"streams": 7},
        {},
        {"streams": [{"tap_stream_id": "product_images", "metadata": [{"breadcrumb": []}]}]},
        {"streams": [{"tap_stream_id": "product_images", "schema": [1, 2]}]},
        {"streams": [{"tap_stream_id": "product_images", "schema": {"properties": {"id": {"type": "integer"}}}}]},
        {"streams": [{"tap_stream_id": "product_images"}]},
        {"streams": [None]},
        {"streams": [{"tap_stream_id": 7}]},
        {"streams": [{"tap_stream_id": "product_images", "stream": 7}]},
        {"streams": [{"tap_stream_id": "product_images", "schema": None}]},
        {"streams": [{"tap_stream_id": "product_images", "key_properties": "id"}]},
        {"streams": [{"tap_stream_id": "product_images", "metadata": {"a": 1}}]},
        {"streams": [{"tap_stream_id": "product_images", "metadata": [{"breadcrumb": None, "metadata": {}}]}]},
    ],
    ids=range(15),
)
def test_a_damaged_catalog(sandbox: SandboxServer, damage: Any) -> None:
    with pytest.raises(SettingsError, match=r"--discover"):
        sync(settings(sandbox.url), catalog=damage)
    assert not sandbox.requests()


class TestPlainWay:
    """Records that nothing changes are written past the SDK's machinery; the outcome is the same."""

    @pytest.fixture(autouse=True)
    def _stock(self, sandbox: SandboxServer) -> None:
        sandbox.reset(products=40, images=3)

    def both_ways(
        self, monkeypatch: pytest.MonkeyPatch, config: dict[str, Any], catalog: Any
    ) -> tuple[CommandResult, CommandResult]:
        quick = sync(config, catalog=catalog)
        with monkeypatch.context() as patched:
            patched.setattr(CatalogStream, "_has_no_maps", lambda _: False)
            slow = sync(config, catalog=catalog)
        return quick, slow

    @pytest.mark.parametrize("deselected", [(), ("zoom_url", "description", "date_modified")], ids=["all", "some"])
    def test_same_messages(
        self, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch, version: str, deselected: tuple[str, ...]
    ) -> None:
        config = settings(sandbox.url, api_version=version)
        catalog = select(catalog_of(config, *BOTH), "product_images", **dict.fromkeys(deselected, False))
        quick, slow = self.both_ways(monkeypatch, config, catalog)
        assert without_times(quick) == without_times(slow)
        assert len(quick.records()) == 120
        for output in (quick, slow):
            for message in output.of("RECORD"):
                assert list(message) == ["type", "stream", "record", "version", "time_extracted"]
                assert message["time_extracted"].endswith("+00:00")

    def test_same_messages_incremental(self, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> None:
        config = settings(sandbox.url)
        catalog = catalog_of(config, "product_images", replication_method="INCREMENTAL")
        quick, slow = self.both_ways(monkeypatch, config, catalog)
        assert without_times(quick) == without_times(slow)
        assert quick.versions() == {None}

    def test_taken_only_where_nothing_is_configured(self, sandbox: SandboxServer) -> None:
        def plain(**more: Any) -> bool:
            tap = TapBCImages(config=settings(sandbox.url, **more))
            stream = tap.streams["product_images"]
            assert isinstance(stream, CatalogStream)
            return stream._has_no_maps()

        assert plain()
        assert not plain(stream_maps={"product_images": {"description": "'x'"}})
        assert not plain(stream_maps={"product_images": {"__alias__": "pictures"}})
        assert not plain(flattening_enabled=True, flattening_max_depth=1)


class TestStreamMaps:
    @pytest.fixture(autouse=True)
    def _stock(self, sandbox: SandboxServer) -> None:
        sandbox.reset(products=4, images=2)

    def test_fields(self, sandbox: SandboxServer) -> None:
        maps = {"product_images": {"tiny_url": None, "half": "float(sort_order) / 2", "day": "str(date_modified)[:10]"}}
        output = sync(settings(sandbox.url, stream_maps=maps))
        assert {"half", "day"} <= set(output.of("SCHEMA")[0]["schema"]["properties"])
        for record in output.records():
            assert "tiny_url" not in record
            assert record["half"] == record["sort_order"] / 2
            assert record["day"] == record["date_modified"][:10]

    def test_alias(self, sandbox: SandboxServer) -> None:
        output = sync(settings(sandbox.url, stream_maps={"product_images": {"__alias__": "pictures"}}))
        assert output.ids("pictures") == stored(sandbox)
        assert [each["stream"] for each in output.of("ACTIVATE_VERSION")] == ["pictures"]

    def test_filter(self, sandbox: SandboxServer) -> None:
        output = sync(settings(sandbox.url, stream_maps={"product_images": {"__filter__": "is_thumbnail"}}))
        assert len(output.records()) == 4
        assert all(record["is_thumbnail"] for record in output.records())

    def test_removed(self, sandbox: SandboxServer) -> None:
        assert not sync(settings(sandbox.url, stream_maps={"product_images": None})).records()

    def test_what_only_the_sdk_can_serialise(self, sandbox: SandboxServer) -> None:
        maps = {"product_images": {"big": "sort_order + 10 ** 30"}}
        output = sync(settings(sandbox.url, stream_maps=maps))
        assert output.records()[0]["big"] >= 10**30

    def test_flattening(self, sandbox: SandboxServer) -> None:
        output = sync(settings(sandbox.url, flattening_enabled=True, flattening_max_depth=2))
        plain = sync(settings(sandbox.url))
        assert output.records() == plain.records()
