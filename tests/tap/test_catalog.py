"""Discovery, selection, stream maps and flattening: what the SDK offers, and that the quick way changes none of it."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from typing import Any

import pytest

from bc_images.errors import SettingsError
from bc_images.sandbox import SandboxServer
from bc_images.schema import load
from tap_bc_images.sweep_stream import SweepStream
from tap_bc_images.tap import TapBCImages
from tests.tap.harness import Output, catalog_of, settings, stored, sync

BOTH = ("product_images", "products")


def select(catalog: dict[str, Any], stream: str, **fields: bool) -> dict[str, Any]:
    """Select or deselect fields of a stream in a catalog."""
    (entry,) = [each for each in catalog["streams"] if each["tap_stream_id"] == stream]
    for each in entry["metadata"]:
        if each["breadcrumb"] and each["breadcrumb"][-1] in fields:
            each["metadata"]["selected"] = fields[each["breadcrumb"][-1]]
    return catalog


def without_times(output: Output) -> list[dict[str, Any]]:
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
    def test_a_deselected_field_is_in_neither_schema_nor_records(self, shop: SandboxServer) -> None:
        shop.reset(products=5, images=2)
        config = settings(shop.url)
        catalog = select(catalog_of(config, *BOTH), "product_images", zoom_url=False, file_sha256=False, id=False)
        catalog = select(catalog, "products", name=False)
        output = sync(config, catalog=catalog)
        for stream, gone in (("product_images", {"zoom_url", "file_sha256"}), ("products", {"name"})):
            declared = set(output.of("SCHEMA", stream)[0]["schema"]["properties"])
            assert declared == set(load(stream)["properties"]) - gone
            assert all(set(record) == declared for record in output.records(stream))
        assert output.ids() == stored(shop)  # a key cannot be deselected

    def test_a_field_that_the_catalog_does_not_know(self, shop: SandboxServer) -> None:
        """An older catalog goes on working after we have learnt a new field."""
        shop.reset(products=5, images=2)
        config = settings(shop.url)
        catalog = catalog_of(config, "product_images")
        del catalog["streams"][0]["schema"]["properties"]["file_source"]
        output = sync(config, catalog=catalog)
        assert set(output.of("SCHEMA")[0]["schema"]["properties"]) == set(output.records()[0])
        assert "file_source" not in output.records()[0]

    def test_a_catalog_without_metadata_and_keys(self, shop: SandboxServer) -> None:
        shop.reset(products=5, images=2)
        catalog = catalog_of(settings(shop.url))
        bare = {name: catalog["streams"][0][name] for name in ("tap_stream_id", "stream", "schema")}
        output = sync(settings(shop.url), catalog={"streams": [bare]})
        assert output.ids() == stored(shop)
        assert output.of("SCHEMA")[0]["key_properties"] == ["store_hash", "id"]

    def test_nothing_selected(self, shop: SandboxServer) -> None:
        config = settings(shop.url)
        assert not sync(config, catalog=catalog_of(config)).messages
        assert not shop.requests()

    @pytest.mark.parametrize("where", ["replication-method", "forced-replication-method"])
    def test_the_users_metadata_counts_more_than_what_discovery_wrote(self, shop: SandboxServer, where: str) -> None:
        shop.reset(products=5, images=2)
        config = settings(shop.url)
        output = sync(config, catalog=catalog_of(config, "product_images", **{where: "INCREMENTAL"}))
        assert not output.of("ACTIVATE_VERSION")
        assert output.versions() == {None}


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
    ],
    ids=range(8),
)
def test_a_damaged_catalog(shop: SandboxServer, damage: Any) -> None:
    with pytest.raises(SettingsError, match=r"--discover"):
        sync(settings(shop.url), catalog=damage)
    assert not shop.requests()


class TestPlainWay:
    """Records that nothing changes are written past the SDK's machinery; the outcome is the same."""

    @pytest.fixture(autouse=True)
    def _stock(self, shop: SandboxServer) -> None:
        shop.reset(products=40, images=3)

    def both_ways(self, monkeypatch: pytest.MonkeyPatch, config: dict[str, Any], catalog: Any) -> tuple[Output, Output]:
        quick = sync(config, catalog=catalog)
        with monkeypatch.context() as patched:
            patched.setattr(SweepStream, "_is_plain", lambda _: False)
            slow = sync(config, catalog=catalog)
        return quick, slow

    @pytest.mark.parametrize("deselected", [(), ("zoom_url", "description", "date_modified")], ids=["all", "some"])
    def test_same_messages(
        self, shop: SandboxServer, monkeypatch: pytest.MonkeyPatch, version: str, deselected: tuple[str, ...]
    ) -> None:
        config = settings(shop.url, api_version=version)
        catalog = select(catalog_of(config, *BOTH), "product_images", **dict.fromkeys(deselected, False))
        quick, slow = self.both_ways(monkeypatch, config, catalog)
        assert without_times(quick) == without_times(slow)
        assert len(quick.records()) == 120
        for output in (quick, slow):
            for message in output.of("RECORD"):
                assert list(message) == ["type", "stream", "record", "version", "time_extracted"]
                assert message["time_extracted"].endswith("+00:00")

    def test_same_messages_incremental(self, shop: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> None:
        config = settings(shop.url)
        catalog = catalog_of(config, "product_images", replication_method="INCREMENTAL")
        quick, slow = self.both_ways(monkeypatch, config, catalog)
        assert without_times(quick) == without_times(slow)
        assert quick.versions() == {None}

    def test_taken_only_where_nothing_is_configured(self, shop: SandboxServer) -> None:
        def plain(**more: Any) -> bool:
            tap = TapBCImages(config=settings(shop.url, **more))
            stream = tap.streams["product_images"]
            assert isinstance(stream, SweepStream)
            return stream._is_plain()

        assert plain()
        assert not plain(stream_maps={"product_images": {"description": "'x'"}})
        assert not plain(stream_maps={"product_images": {"__alias__": "pictures"}})
        assert not plain(flattening_enabled=True, flattening_max_depth=1)


class TestStreamMaps:
    @pytest.fixture(autouse=True)
    def _stock(self, shop: SandboxServer) -> None:
        shop.reset(products=4, images=2)

    def test_fields(self, shop: SandboxServer) -> None:
        maps = {"product_images": {"tiny_url": None, "half": "float(sort_order) / 2", "day": "str(date_modified)[:10]"}}
        output = sync(settings(shop.url, stream_maps=maps))
        assert {"half", "day"} <= set(output.of("SCHEMA")[0]["schema"]["properties"])
        for record in output.records():
            assert "tiny_url" not in record
            assert record["half"] == record["sort_order"] / 2
            assert record["day"] == record["date_modified"][:10]

    def test_alias(self, shop: SandboxServer) -> None:
        output = sync(settings(shop.url, stream_maps={"product_images": {"__alias__": "pictures"}}))
        assert output.ids("pictures") == stored(shop)
        assert [each["stream"] for each in output.of("ACTIVATE_VERSION")] == ["pictures"]

    def test_filter(self, shop: SandboxServer) -> None:
        output = sync(settings(shop.url, stream_maps={"product_images": {"__filter__": "is_thumbnail"}}))
        assert len(output.records()) == 4
        assert all(record["is_thumbnail"] for record in output.records())

    def test_removed(self, shop: SandboxServer) -> None:
        assert not sync(settings(shop.url, stream_maps={"product_images": None})).records()

    def test_what_only_the_sdk_can_serialise(self, shop: SandboxServer) -> None:
        maps = {"product_images": {"big": "sort_order + 10 ** 30"}}
        output = sync(settings(shop.url, stream_maps=maps))
        assert output.records()[0]["big"] >= 10**30

    def test_flattening(self, shop: SandboxServer) -> None:
        output = sync(settings(shop.url, flattening_enabled=True, flattening_max_depth=2))
        plain = sync(settings(shop.url))
        assert output.records() == plain.records()
