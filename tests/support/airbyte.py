"""A connector, called as Airbyte calls it; each message is held against the protocol's published models."""

from __future__ import annotations

import dataclasses
import json
import sys
import types
import typing
from enum import Enum
from pathlib import Path
from typing import Any

from airbyte_protocol_dataclasses import models

from bigcommerce_sandbox import SandboxServer
from tests.support.commands import run

__all__ = ["Connector", "Messages", "configured"]

BIN = Path(sys.executable).parent


class Messages(list[dict[str, Any]]):
    """What a connector has said."""

    code: int
    err: str

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Return the messages of one type, without their envelope."""
        names = {"CONNECTION_STATUS": "connectionStatus"}
        return [each[names.get(kind, kind.lower())] for each in self if each["type"] == kind]

    def only(self, kind: str) -> dict[str, Any]:
        """Return the one message that there is."""
        assert [each["type"] for each in self] == [kind], list(self)
        return self.of(kind)[0]

    def records(self, stream: str = "product_images") -> list[dict[str, Any]]:
        """Return the data of a stream's records."""
        return [each["data"] for each in self.of("RECORD") if each["stream"] == stream]

    def statuses(self, stream: str = "product_images") -> list[str]:
        """Return what was said of a stream's progress."""
        statuses = [each["stream_status"] for each in self.of("TRACE") if each["type"] == "STREAM_STATUS"]
        return [each["status"] for each in statuses if each["stream_descriptor"]["name"] == stream]

    def errors(self) -> list[dict[str, Any]]:
        """Return the traces of errors."""
        return [each["error"] for each in self.of("TRACE") if each["type"] == "ERROR"]

    def state(self) -> list[dict[str, Any]]:
        """Return the last state of each stream, as Airbyte hands it to the next run."""
        latest = {each["stream"]["stream_descriptor"]["name"]: each for each in self.of("STATE")}
        return [{name: each[name] for name in ("type", "stream")} for each in latest.values()]


class Connector:
    """One of the two commands, with its settings for a store."""

    def __init__(self, prog: str, store: SandboxServer, folder: Path, **settings: Any) -> None:
        self.prog = prog
        self.folder = folder
        here = {"store_hash": "sandbox", "access_token": "sandbox-token", "api_url": store.url, "store_url": store.url}
        self.settings = {**here, **settings}

    def __call__(self, command: str, stdin: bytes = b"", **files: Any) -> Messages:
        """Run a command with files for its options; what is not said in ``--config`` is not set."""
        words: list[Path | str] = [command]
        if command != "spec":
            files = {"config": self.settings, **files}
        for name, content in files.items():
            path = self.folder / f"{name}.json"
            path.write_text(json.dumps(content))
            words += [f"--{name}", path]
        done = run(self.prog, *words, stdin=stdin, cwd=self.folder)
        said = Messages(json.loads(line) for line in done.out.splitlines())
        said.code, said.err = done.code, done.err
        for message in said:
            fit(message, models.AirbyteMessage)
        assert "Traceback" not in said.err
        return said


def configured(catalog: dict[str, Any], mode: str = "full_refresh", **stream_settings: Any) -> dict[str, Any]:
    """Select every stream of a catalog; each with these settings."""
    usual = {"sync_mode": mode, "destination_sync_mode": "append_dedup"}
    return {"streams": [{"stream": each, **usual, **stream_settings} for each in catalog["streams"]]}


def fit(value: Any, kind: Any) -> None:
    """Fail unless a value is what a model says: no unknown field, none missing, every type and word right."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any or kind is models.AirbyteStateBlob:  # a blob is any object, though its model has no field
        return
    if origin in {typing.Union, types.UnionType}:
        (only,) = (each for each in arguments if each is not type(None))
        if value is not None:
            fit(value, only)
    elif origin is list:
        assert isinstance(value, list)
        for each in value:
            fit(each, arguments[0])
    elif dataclasses.is_dataclass(kind):
        _fit_fields(value, kind)
    elif isinstance(kind, type) and issubclass(kind, Enum):
        kind(value)
    else:
        assert isinstance(value, int | float if kind is float else origin or kind), (value, kind)


def _fit_fields(value: dict[str, Any], kind: Any) -> None:
    hints = typing.get_type_hints(kind)
    needed = {field.name for field in dataclasses.fields(kind) if field.default is dataclasses.MISSING}
    assert needed <= value.keys() <= hints.keys(), (kind, value.keys())
    for name, each in value.items():
        fit(each, hints[name])
