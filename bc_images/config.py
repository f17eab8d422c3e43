"""Reads settings: JSON and TOML files, the environment, defaults.

Knows JSON Schema and nothing of Singer, so that tap and target read their settings alike.
"""

from __future__ import annotations

import difflib
import io
import json
import logging
import tomllib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import click

from bc_images.errors import SettingsError
from bc_images.redaction import keep_secret_settings
from bc_images.regular_files import open_input, read_input
from bc_images.settings import check_known
from bc_images.text import shortened

__all__ = ["InputFile", "checked", "from_environment", "json_object", "require_path", "settings_file", "settings_files"]

logger = logging.getLogger(__name__)

_BOOLEANS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


class InputFile(click.File):
    """A file that an option names, or a pipe, or ``-`` for stdin; never waits for a FIFO that nobody writes to."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> IO[Any]:
        """Open it."""
        if not isinstance(value, str) or value == "-":
            return super().convert(value, param, ctx)
        try:
            opened = open_input(value)
        except OSError as error:
            self.fail(f"'{value}': {error.strerror}", param, ctx)
        if ctx is not None:
            ctx.call_on_close(opened.close)
        return opened if "b" in self.mode else io.TextIOWrapper(opened, encoding="utf-8")


def json_object(text: str, name: str) -> dict[str, Any]:
    """Return the JSON object in `text`; `name` is what messages call it, such as ``--state``.

    Raises:
        SettingsError: it is not a JSON object.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = error if isinstance(error, ValueError) else "nested too deeply"
        raise SettingsError(f"{name} is not valid: {reason}. Give a file with one JSON object.") from error
    if not isinstance(value, dict):
        raise SettingsError(
            f"{name} is not valid: it is {type(value).__name__}, not an object. Give a file with one JSON object."
        )
    return value


def require_path(text: str, option: str) -> None:
    """Make sure that what an option gives is a path.

    Raises:
        SettingsError: it is no path but the settings themselves, which are not shown: there may be secrets in them.
    """
    with suppress(OSError, ValueError):  # too long, or not text that a path can have
        if Path(text).exists():
            return
    if any(sign in text for sign in '{}"\n\0'):
        raise SettingsError(
            f"{option} takes the path of a file, not its content. Write the settings to a file that only you may "
            "read, or give secrets in the environment."
        )


def settings_files(paths: Iterable[str]) -> dict[str, Any]:
    """Return the settings of several files, JSON or TOML, the later above the earlier.

    ``ENV``, the SDK's word for the environment, is passed over: that is always read.

    Raises:
        SettingsError: a file is missing or damaged, or it is no path at all.
    """
    config: dict[str, Any] = {}
    for path in paths:
        if path != "ENV":
            config |= settings_file(path)
    return config


def settings_file(path: str) -> dict[str, Any]:
    """Return the settings of one file: TOML where its name or its content says so, else JSON.

    Raises:
        SettingsError: it is missing or damaged, or it is no path at all.
    """
    require_path(path, "--config")
    try:
        text = read_input(path)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"--config {path} cannot be read: {error}.") from error
    is_toml = path.endswith(".toml") or not (
        path.endswith(".json") or text.lstrip("\ufeff \t\r\n")[:1] in {"{", "[", ""}
    )
    config = _toml_table(text, f"--config {path}") if is_toml else json_object(text, f"--config {path}")
    keep_secret_settings(config)
    return config


def _toml_table(text: str, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:  # it tells the place, and nothing of the values
        raise SettingsError(
            f'{name} is not valid TOML: {error}. Give a file of lines such as name = "value".'
        ) from error
    except RecursionError as error:
        raise SettingsError(f"{name} is not valid: nested too deeply.") from error


def from_environment(prefix: str, properties: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings that the environment gives as ``<prefix><NAME>``, each as the type its schema asks for.

    A variable that is empty counts as not set. One that starts with the prefix and names no setting is warned of:
    the prefix may be shared with the program that starts us, so it cannot be refused.

    Raises:
        SettingsError: a value is not of the type; the value itself is not shown.
    """
    config: dict[str, Any] = {}
    known = {prefix + name.upper(): name for name in properties}
    for variable, text in environ.items():
        if not variable.startswith(prefix) or not text:
            continue
        if name := known.get(variable):
            keep_secret_settings({name: text})
            config[name] = _parsed(variable, text, properties[name])
        elif variable != f"{prefix}LOGLEVEL" and not variable.startswith(f"{prefix}_"):
            close = difflib.get_close_matches(variable, known, n=1)
            hint = f" Did you mean {close[0]}?" if close else ""
            logger.warning("The environment variable %s is not a setting and was ignored.%s", variable, hint)
    return config


def _parsed(variable: str, text: str, schema: Mapping[str, Any]) -> Any:
    kind = schema.get("type", "string")
    kinds = {kind} if isinstance(kind, str) else set(kind)
    try:
        if "string" in kinds:
            return text
        if "boolean" in kinds:
            return _BOOLEANS[text.strip().lower()]
        if "integer" in kinds:
            return int(text)
        if "number" in kinds:
            return float(text)
        return json.loads(text)
    except (ValueError, KeyError, RecursionError) as error:
        expected = " or ".join(f"a{'n' if kind[0] in 'aio' else ''} {kind}" for kind in sorted(kinds - {"null"}))
        raise SettingsError(f"{variable} must be {expected}. Correct this environment variable.") from error


def checked(config: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return `config` with the defaults of `schema` added, after checking names, types and ranges.

    What is null counts as not set. What is required is left to the caller, who can say more about it.

    Raises:
        SettingsError: names every setting that is wrong in one line; a secret's value is not shown.
    """
    from jsonschema import Draft202012Validator

    keep_secret_settings(config)
    properties = schema["properties"]
    present = {name: value for name, value in config.items() if value is not None}
    check_known(present, properties)
    errors = sorted(Draft202012Validator(schema).iter_errors(present), key=lambda error: list(map(str, error.path)))
    problems = []
    for error in errors:
        if not error.path:  # "required" is the only rule above the settings themselves
            continue
        name = str(error.path[0])
        if properties[name].get("secret"):
            problems.append(f"{name} is not valid ({error.validator}: {error.validator_value})")
        else:
            problems.append(f"{name}: {shortened(error.message, 300)}")
    if problems:
        raise SettingsError(f"Invalid settings: {'; '.join(problems)}. See --about for what each may be.")
    defaults = {name: rule["default"] for name, rule in properties.items() if rule.get("default") is not None}
    return {**defaults, **present}
