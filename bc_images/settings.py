"""The settings that tap and target share: their definition, their checks, and their values as one object.

`PROPERTIES` is plain JSON Schema, so that ``--about``, meltano.yml and the README's table all come from it.
"""

from __future__ import annotations

import difflib
import ipaddress
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlsplit

from bc_images.errors import SettingsError
from bc_images.redaction import keep_secret
from bc_images.text import shortened

__all__ = ["PROPERTIES", "REQUIRED", "Sample", "Settings", "check_known", "env_prefix", "setting"]

REQUIRED = ["store_hash", "access_token"]


def setting(
    title: str, description: str, kind: str = "string", *, secret: bool = False, **rules: Any
) -> dict[str, Any]:
    """Return the JSON Schema of a setting; `rules` are its keywords, such as ``minimum=1``."""
    hidden = {"secret": True, "writeOnly": True} if secret else {}
    return {"type": kind, **hidden, **rules, "title": title, "description": description}


PROPERTIES: dict[str, dict[str, Any]] = {
    "store_hash": setting("Store hash", "The store's hash: the part after /stores/ in its API path."),
    "access_token": setting(
        "Access token",
        "API token (X-Auth-Token) with the scope store_v2_products, or its read-only form for the tap.",
        secret=True,
    ),
    "api_url": setting(
        "API address",
        "Address of the API, without /stores/ and what follows it.",
        default="https://api.bigcommerce.com",
    ),
    "allow_other_api_host": setting(
        "Allow another API host",
        "Send the token to an api_url that is not BigCommerce's (https, and a host of bigcommerce.com), "
        "such as a proxy of your own. Not needed for this machine (localhost).",
        "boolean",
        default=False,
    ),
    "api_version": setting(
        "API version",
        "Which API is used: v3 (one request per 250 products) or v2 (one request per product).",
        enum=["v3", "v2"],
        default="v3",
    ),
    "store_url": setting(
        "Store address",
        "Address of the store itself: originals are below product_images/, WebDAV at dav.",
        default="https://store-{store_hash}.mybigcommerce.com",
    ),
    "concurrency": setting(
        "Concurrency", "How many requests may be under way at once.", "integer", default=8, minimum=1, maximum=100
    ),
    "request_timeout": setting(
        "Request timeout",
        "Seconds for a request to be sent, as many for its response, and one more for every 4 KiB of either.",
        "number",
        default=60,
        exclusiveMinimum=0,
        maximum=3600,
    ),
    "max_retries": setting(
        "Retries",
        "How often a failed request that is safe to repeat is sent again before the run stops. With "
        "growing pauses of at most 30 seconds, 14 outlast an outage of 3 minutes, 6 one of 20 seconds. A host "
        "that refuses every connection from the start is given up after a few seconds.",
        "integer",
        default=14,
        minimum=0,
        maximum=20,
    ),
    "rate_limit_reserve": setting(
        "Rate limit reserve",
        "Share of the store's request quota that is left to other apps.",
        "number",
        default=0.1,
        minimum=0,
        exclusiveMaximum=1,
    ),
    "file_store": setting(
        "File store",
        "Where picture bytes are kept: a folder or an fsspec URL such as s3://bucket/prefix. Empty: no files.",
        default="",
    ),
    "webdav_username": setting(
        "WebDAV user",
        "User (an e-mail address) of the store's WebDAV: the tap reads an original by it where a CDN "
        "alters what the public address serves; the target sends pictures by it (upload_method: webdav).",
        default="",
    ),
    "webdav_password": setting(
        "WebDAV password", "Password of the store's WebDAV; it is not the API token.", default="", secret=True
    ),
    "user_agent": setting("User agent", "How requests name themselves.", default="bc-images"),
}


def env_prefix(name: str) -> str:
    """Return what the environment variables of a command begin with, such as ``TAP_BC_IMAGES_``."""
    return f"{name.upper().replace('-', '_')}_"


def check_known(config: Mapping[str, Any], known: Iterable[str]) -> None:
    """Refuse a setting that does not exist: a misspelt name must never be ignored.

    Raises:
        SettingsError: names the setting and the closest known one.
    """
    names = set(known)
    for name in config:
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {close[0]}?" if close else "see --about for all settings."
            raise SettingsError(f"Unknown setting {shortened(repr(name), 80)}: {hint}")


@dataclass(frozen=True, slots=True)
class Settings:
    """The shared settings, checked. Times are in seconds; addresses carry no trailing slash."""

    store_hash: str
    access_token: str = field(repr=False)
    api_url: str = "https://api.bigcommerce.com"
    allow_other_api_host: bool = False
    api_version: str = "v3"
    store_url: str = "https://store-{store_hash}.mybigcommerce.com"
    concurrency: int = 8
    request_timeout: float = 60.0
    max_retries: int = 14
    rate_limit_reserve: float = 0.1
    file_store: str = field(default="", repr=False)  # an fsspec URL may carry credentials
    webdav_username: str = ""
    webdav_password: str = field(default="", repr=False)
    user_agent: str = "bc-images"

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Take the shared settings out of a plugin's configuration, already valid by its JSON Schema.

        Raises:
            SettingsError: a value that JSON Schema cannot judge is unusable.
        """
        values: dict[str, Any] = {name: rule.get("default") for name, rule in PROPERTIES.items()}
        values |= {name: config[name] for name in PROPERTIES if config.get(name) is not None}
        keep_secret(values["access_token"], values["webdav_password"])
        for name in REQUIRED:
            if not values[name]:
                raise SettingsError(f"The setting {name} is missing: give it in --config or in the environment.")
        if not re.fullmatch(r"[A-Za-z0-9_-]+", values["store_hash"]):
            raise SettingsError("store_hash may contain letters, digits, '-' and '_' only: give the hash, not a URL.")
        if not re.fullmatch(r"[\x21-\x7e]+", values["access_token"]):
            raise SettingsError("access_token contains a space, a line break or a character not allowed in a header.")
        if not re.fullmatch(r"[\x20-\x7e]*", values["webdav_username"] + values["webdav_password"]):
            raise SettingsError("webdav_username or webdav_password contains a line break or is not ASCII.")
        if not re.fullmatch(r"[\x21-\x7e][\x20-\x7e]*", values["user_agent"]):
            raise SettingsError("user_agent starts with a space, or contains a character not allowed in a header.")
        for name in ("request_timeout", "rate_limit_reserve"):
            if not math.isfinite(values[name]):  # JSON Schema lets NaN pass every range
                raise SettingsError(f"{name} is {values[name]}: give a number.")
        # A JSON file may have been read with decimals, which the libraries below do not take.
        values |= {name: float(values[name]) for name in ("request_timeout", "rate_limit_reserve")}
        values |= {name: int(values[name]) for name in ("concurrency", "max_retries")}  # 8.0 is an integer to it
        values["api_url"] = _api_address(values["api_url"], allow_other=values["allow_other_api_host"])
        values["store_url"] = _address("store_url", values["store_url"].replace("{store_hash}", values["store_hash"]))
        return cls(**values)

    @staticmethod
    def default(name: str) -> Any:
        """Return the documented default of a shared setting."""
        return PROPERTIES[name]["default"]


def _api_address(value: str, *, allow_other: bool) -> str:
    address = _address("api_url", value)
    if "/stores/" in f"{address}/":  # with it, the store would seem to refuse the token
        raise SettingsError("api_url ends before /stores/: give something like https://api.bigcommerce.com.")
    parts = urlsplit(address)
    host = (parts.hostname or "").rstrip(".")
    is_own = parts.scheme == "https" and f".{host}".endswith(".bigcommerce.com")
    if not (is_own or allow_other or _is_loopback(host)):
        raise SettingsError(
            f"api_url leads to {parts.scheme}://{host}, which is not BigCommerce's: the token would be sent there. "
            "Correct it, or set allow_other_api_host to true if it is what you mean. Nothing was sent."
        )
    return address


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _address(name: str, value: str) -> str:
    """Return an address without its trailing slash; the value itself is never shown, for it may carry a password."""
    wrong = SettingsError(f"{name} is not an http(s) URL: give something like https://example.com.")
    if not value.isprintable() or any(sign in value for sign in " {}\\"):  # urlsplit drops line breaks in silence
        raise wrong
    import requests

    try:
        parts = urlsplit(value)
        requests.Request("GET", value).prepare()  # what it cannot prepare, it could not send either
    except ValueError:
        raise wrong from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise wrong
    if parts.username is not None or parts.password is not None:
        raise SettingsError(f"{name} must not carry a user name or password: use the settings meant for them.")
    if parts.scheme == "http" and parts.hostname.endswith("bigcommerce.com"):
        raise SettingsError(f"{name} must begin with https: over http what it is sent travels unencrypted.")
    return value.rstrip("/")


_PERCENTAGE = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,6})?%", re.ASCII)


@dataclass(frozen=True, slots=True)
class Sample:
    """A number of files, or a share of them (0 to 1)."""

    files: int | None = None
    share: float | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``500`` or ``5%``.

        Raises:
            ValueError: it is neither a positive number nor a percentage above 0 and up to 100.
        """
        if _PERCENTAGE.fullmatch(text) and 0 < (share := float(text[:-1]) / 100) <= 1:
            return cls(share=share)
        if text.isascii() and text.isdecimal() and int(text[:19]) > 0:
            return cls(files=int(text[:19]))
        raise ValueError(f"{text!r} is neither a number of files nor a percentage such as 5%.")

    def of(self, total: int) -> int:
        """Return how many of `total` files that is; a share is rounded up."""
        wanted = self.files if self.files is not None else -int(-total * (1 if self.share is None else self.share) // 1)
        return min(total, wanted)
