"""Every setting: in --about, from --config, from the environment, and checked before the first request."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any, ClassVar

import pytest

from bc_images.config import checked, from_environment, json_object, settings_files
from bc_images.errors import SettingsError
from bc_images.settings import PROPERTIES as SHARED
from tap_bc_images.settings import PROPERTIES as OWN
from tap_bc_images.settings import TapSettings, to_utc
from tap_bc_images.tap import TapBCImages
from tests.support.tap import run, settings

HERE = settings("http://127.0.0.1:1")
SDK = {"stream_maps", "stream_map_config", "faker_config", "flattening_enabled", "flattening_max_depth"}

VALUES: dict[str, Any] = {
    "store_hash": "other",
    "access_token": "t0ken",
    "api_url": "https://eu.bigcommerce.com",
    "allow_other_api_host": True,
    "api_version": "v2",
    "store_url": "https://shop.example.com",
    "concurrency": 3,
    "request_timeout": 2.5,
    "max_retries": 1,
    "rate_limit_reserve": 0.25,
    "file_store": "s3://bucket/prefix",
    "webdav_username": "owner@example.com",
    "webdav_password": "a-password",
    "user_agent": "nightly",
    "start_date": "2025-01-01T00:00:00+00:00",
    "product_id_min": 5,
    "product_id_max": 9,
    "activate_version": False,
    "recheck_files": "5%",
}


def value_of(tap: TapBCImages, name: str) -> Any:
    return getattr(tap.settings if name in SHARED else tap.session.options, name)


def test_about_lists_them_all() -> None:
    ended = run("--about", "--format", "json")
    assert ended.code == 0
    listed = json.loads(ended.out)["settings"]["properties"]
    assert set(listed) >= set(VALUES) | SDK
    assert "batch_config" not in listed
    assert all(listed[name]["description"] for name in VALUES)


def test_no_setting_is_left_out_here() -> None:
    assert set(VALUES) == {*SHARED, *OWN}


@pytest.mark.parametrize("name", VALUES)
class TestEachSetting:
    def test_from_config(self, name: str) -> None:
        tap = TapBCImages(config=HERE | {name: VALUES[name]})
        assert value_of(tap, name) == VALUES[name]

    def test_from_the_environment(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        value = VALUES[name]
        monkeypatch.setenv(f"TAP_BC_IMAGES_{name.upper()}", str(value).lower() if value is False else str(value))
        tap = TapBCImages(config=HERE)
        assert value_of(tap, name) == value

    def test_of_a_wrong_type(self, name: str) -> None:
        with pytest.raises(SettingsError, match=name) as raised:
            TapBCImages(config=HERE | {name: ["s3cr3t"]})
        if name == "access_token":
            assert "s3cr3t" not in str(raised.value)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"concurency": 4}, "did you mean concurrency"),
        ({"emit_activate_version_messages": True}, "Unknown setting"),
        ({"batch_config": {}}, "Unknown setting"),
        ({"api_version": "v4"}, "api_version"),
        ({"concurrency": 0}, "concurrency"),
        ({"concurrency": 8, "rate_limit_reserve": 1}, "rate_limit_reserve"),
        ({"access_token": "line\nbreak"}, "access_token"),
        ({"access_token": ""}, "access_token"),
        ({"store_hash": None}, "store_hash is missing"),
        ({"store_hash": "https://store"}, "store_hash"),
        ({"api_url": "api.bigcommerce.com"}, "api_url"),
        ({"start_date": "last week"}, "start_date"),
        ({"start_date": "0001-01-01T00:00:00+14:00"}, "start_date"),
        ({"start_date": "9999-12-31T23:00:00-02:00"}, "start_date"),
        ({"product_id_min": 9, "product_id_max": 8}, "contains no product"),
        ({"product_id_min": 0}, "product_id_min"),
        ({"flattening_enabled": True}, "flattening_max_depth"),
        ({"stream_maps": {"product_images": {"x": "1 +"}}}, "stream_maps"),
        ({"stream_maps": {"product_images": {"id": None}}}, "stream_maps"),
        ({"stream_maps": 7}, "stream_maps"),
        ({"concurrency": 0, "max_retries": -1}, "concurrency.*max_retries"),
    ],
    ids=str,
)
def test_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said) as raised:
        TapBCImages(config=HERE | wrong)
    assert "\n" not in str(raised.value)


def test_what_the_sdk_offers_is_known() -> None:
    TapBCImages(config=HERE | {"stream_maps": {}, "stream_map_config": {}, "flattening_enabled": False})


def test_null_means_not_set() -> None:
    tap = TapBCImages(config=HERE | {"concurrency": None, "start_date": None})
    assert tap.settings.concurrency == 8
    assert tap.session.options == TapSettings()


class TestEnvironment:
    PROPERTIES: ClassVar[dict[str, Any]] = {
        "text": {"type": "string"},
        "count": {"type": ["integer", "null"]},
        "share": {"type": "number"},
        "on": {"type": "boolean"},
        "maps": {"type": ["object", "null"]},
        "list": {"type": "array"},
    }

    def read(self, **environ: str) -> dict[str, Any]:
        return from_environment("X_", self.PROPERTIES, {f"X_{name}": value for name, value in environ.items()})

    @pytest.mark.parametrize(
        ("name", "text", "value"),
        [
            ("TEXT", "12", "12"),
            ("COUNT", "12", 12),
            ("SHARE", "0.25", 0.25),
            ("SHARE", "3", 3.0),
            ("ON", "TRUE", True),
            ("ON", "1", True),
            ("ON", "no", False),
            ("MAPS", '{"a": null}', {"a": None}),
            ("LIST", "[1]", [1]),
        ],
    )
    def test_types(self, name: str, text: str, value: Any) -> None:
        found = self.read(**{name: text})
        assert found == {name.lower(): value}
        assert type(found[name.lower()]) is type(value)

    @pytest.mark.parametrize(
        ("name", "text"), [("COUNT", "1.5"), ("COUNT", "s3cr3t"), ("SHARE", "s3cr3t"), ("ON", "flase"), ("MAPS", "{")]
    )
    def test_wrong_values(self, name: str, text: str) -> None:
        with pytest.raises(SettingsError, match=f"X_{name} must be an? ") as raised:
            self.read(**{name: text})
        assert text not in str(raised.value)

    def test_empty_means_not_set(self) -> None:
        assert self.read(COUNT="", TEXT="") == {}

    def test_unknown_names_are_told(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.WARNING):
            assert self.read(CUONT="1", LOGLEVEL="debug", _SELECT="*") == {}
        (record,) = caplog.records
        assert "X_CUONT" in record.getMessage()
        assert "X_COUNT" in record.getMessage()


class TestFiles:
    def test_the_later_file_counts(self, tmp_path: Path) -> None:
        for name, content in (("a", {"x": 1, "y": 1}), ("b", {"y": 2})):
            (tmp_path / name).write_text(json.dumps(content), encoding="utf-8")
        assert settings_files([str(tmp_path / "a"), "ENV", str(tmp_path / "b")]) == {"x": 1, "y": 2}

    @pytest.mark.parametrize("content", [b"{", b"[]", b"", b"\xff\xfe", b'"text"'])
    def test_damaged(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "a").write_bytes(content)
        with pytest.raises(SettingsError, match="--config"):
            settings_files([str(tmp_path / "a")])

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match="cannot be read"):
            settings_files([str(tmp_path / "none")])
        with pytest.raises(SettingsError, match="cannot be read"):
            settings_files([str(tmp_path)])

    def test_json_object(self) -> None:
        assert json_object('{"a": 1}', "it") == {"a": 1}
        with pytest.raises(SettingsError, match="it is not valid"):
            json_object("nonsense", "it")


def test_checked_adds_defaults() -> None:
    schema = {"properties": {"a": {"type": "integer", "default": 1}, "b": {"type": "string"}}, "required": ["b"]}
    assert checked({}, schema) == {"a": 1}
    assert checked({"a": 2, "b": "x"}, schema) == {"a": 2, "b": "x"}


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2025-01-31", "2025-01-31T00:00:00+00:00"),
        ("2025-01-31T10:00:00Z", "2025-01-31T10:00:00+00:00"),
        ("2025-01-31T10:00:00-05:00", "2025-01-31T15:00:00+00:00"),
        ("2025-01-31 10:00", "2025-01-31T10:00:00+00:00"),
    ],
)
def test_utc(text: str, moment: str) -> None:
    assert to_utc(text, "it") == moment
