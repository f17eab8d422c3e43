"""The shared settings."""

from __future__ import annotations

import dataclasses
from typing import Any

import jsonschema
import pytest

from bc_images.errors import SettingsError
from bc_images.settings import PROPERTIES, REQUIRED, Settings, check_known

SECRET = "s3cr3t"
GIVEN = {"store_hash": "abc123", "access_token": SECRET}


def test_defaults_are_those_documented() -> None:
    settings = Settings.from_config(GIVEN)
    fields = {field.name: field.default for field in dataclasses.fields(Settings)}
    assert list(fields) == list(PROPERTIES)
    for name, rule in PROPERTIES.items():
        if name not in REQUIRED:
            assert fields[name] == rule["default"] == Settings.default(name)
        if name not in {*REQUIRED, "store_url"}:
            assert getattr(settings, name) == rule["default"]
    assert settings.store_url == "https://store-abc123.mybigcommerce.com"


def test_every_definition_is_valid_and_described() -> None:
    jsonschema.Draft202012Validator.check_schema({"properties": PROPERTIES})
    for name, rule in PROPERTIES.items():
        assert rule["title"]
        assert rule["description"].endswith(".")
        assert (name in REQUIRED) != ("default" in rule)
        if "default" in rule:
            jsonschema.validate(rule["default"], rule)


def test_null_means_not_given() -> None:
    assert Settings.from_config({**GIVEN, "concurrency": None, "file_store": None}).concurrency == 8


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"api_url": "http://127.0.0.1:8100/"}, "http://127.0.0.1:8100"),
        ({"api_url": "https://proxy.example/bigcommerce//"}, "https://proxy.example/bigcommerce"),
        ({"api_url": "https://bücher.example"}, "https://bücher.example"),
        ({"api_url": "http://[::1]:80"}, "http://[::1]:80"),
    ],
)
def test_addresses_lose_their_trailing_slash(config: dict[str, Any], expected: str) -> None:
    assert Settings.from_config({**GIVEN, "allow_other_api_host": True, **config}).api_url == expected


def test_whole_numbers_may_be_written_as_floats() -> None:
    settings = Settings.from_config({**GIVEN, "concurrency": 4.0, "max_retries": 2.0})
    assert (settings.concurrency, settings.max_retries) == (4, 2)
    assert type(settings.concurrency) is type(settings.max_retries) is int


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"store_hash": ""}, "store_hash"),
        ({"store_hash": None}, "store_hash"),
        ({"store_hash": "https://api.bigcommerce.com/stores/abc"}, "store_hash"),
        ({"store_hash": "abc/../def"}, "store_hash"),
        ({"store_hash": "abc\n"}, "store_hash"),
        ({"api_url": "https://api.bigcommerce.com/stores/abc123/v3"}, "api_url ends before /stores/"),
        ({"api_url": "https://proxy.example/bigcommerce/stores/"}, "api_url ends before /stores/"),
        ({"access_token": ""}, "access_token"),
        ({"access_token": f"{SECRET}\n"}, "access_token"),
        ({"access_token": f"{SECRET} x"}, "access_token"),
        ({"access_token": f"{SECRET}\u00e9"}, "access_token"),
        ({"user_agent": "x\r\nX-Evil: 1"}, "user_agent"),
        ({"user_agent": " x"}, "user_agent"),
        ({"user_agent": "größe"}, "user_agent"),
        ({"request_timeout": float("nan")}, "request_timeout"),
        ({"rate_limit_reserve": float("nan")}, "rate_limit_reserve"),
    ],
)
def test_what_json_schema_cannot_judge_is_refused(config: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingsError, match=named) as caught:
        Settings.from_config({**GIVEN, **config})
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://api.bigcommerce.co",
        "https://api.bigcommerce.com.evil.example",
        "https://apibigcommerce.com",
        "https://store.example/stores-proxy",
        "http://store.example",
        "http://10.0.0.1:8100",
        "http://localhost.evil.example",
    ],
)
def test_the_token_goes_to_another_host_only_with_leave(url: str) -> None:
    with pytest.raises(SettingsError, match=r"api_url leads to .*allow_other_api_host.* Nothing was sent\.") as caught:
        Settings.from_config({**GIVEN, "api_url": url})
    assert SECRET not in str(caught.value)
    assert Settings.from_config({**GIVEN, "api_url": url, "allow_other_api_host": True}).api_url == url


@pytest.mark.parametrize(
    "url",
    [
        "https://api.bigcommerce.com",
        "https://API.BigCommerce.com.",
        "https://api-eu.bigcommerce.com",
        "https://bigcommerce.com",
        "http://localhost:8100",
        "http://127.0.0.1:8100",
        "http://127.9.9.9",
        "http://[::1]:8100",
    ],
)
def test_the_token_goes_to_bigcommerce_and_this_machine(url: str) -> None:
    assert Settings.from_config({**GIVEN, "api_url": url}).api_url == url


@pytest.mark.parametrize("name", ["api_url", "store_url"])
@pytest.mark.parametrize(
    "value",
    [
        "api.bigcommerce.com",
        "ftp://example.com",
        "https://",
        "https://example.com?x=1",
        "https://example.com#x",
        "https://example.com:99999",
        "https://example.com:x",
        "https://[::1",
        "https://exam ple.com",
        "https://exam\nple.com",
        "https://{hash}.example.com",
        "https://*.example.com",
        f"https://user:{SECRET}@example.com",
        f"https://{SECRET}@example.com",
        f"https://:{SECRET}@example.com",
        "http://api.bigcommerce.com",
        "http://store-abc123.mybigcommerce.com",
    ],
)
def test_unusable_addresses_are_refused_and_not_shown(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name) as caught:
        Settings.from_config({**GIVEN, name: value})
    assert SECRET not in str(caught.value)


def test_secrets_are_not_in_the_repr() -> None:
    settings = Settings.from_config({**GIVEN, "file_store": f"s3://key:{SECRET}@bucket/x"})
    assert SECRET not in repr(settings)


@pytest.mark.parametrize(
    ("name", "hint"), [("acces_token", "did you mean access_token"), ("frobnicate", "see --about")]
)
def test_unknown_settings_are_refused(name: str, hint: str) -> None:
    with pytest.raises(SettingsError, match=hint):
        check_known({name: SECRET}, PROPERTIES)


def test_known_settings_pass() -> None:
    check_known(dict.fromkeys(PROPERTIES), PROPERTIES)
