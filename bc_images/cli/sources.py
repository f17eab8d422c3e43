"""The settings of the command ``bc-images``, and where each came from.

They are those of the tap, the target and the archive together. From the weakest to the strongest: a file (``--config``,
else ``bc-images.toml`` in the current folder), ``.env`` in the current folder, the environment (``BC_IMAGES_…``), and
the variables of tap and target themselves (``TAP_BC_IMAGES_…``, ``TARGET_BC_IMAGES_…``), each for its own.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from bc_images.cli.options import DEFAULT_FILE, PREFIX, config_option
from bc_images.config import checked, from_environment, settings_file
from bc_images.errors import SettingsError
from bc_images.regular_files import read_input
from bc_images.settings import env_prefix
from bc_images.singer.archive.settings import LOADER
from bc_images.singer.plugin import SingerPlugin
from tap_bc_images.tap import TapBCImages
from target_bc_images.target import TargetBCImages

__all__ = ["DEFAULT_FILE", "PREFIX", "CommandSettings", "config_option", "load", "properties"]

_DOTENV = ".env"
_PLUGINS: tuple[type[SingerPlugin], ...] = (TapBCImages, TargetBCImages)


@dataclass(frozen=True, slots=True)
class CommandSettings:
    """The settings of one run of the command.

    Attributes:
        values: what was given, by name, checked; defaults are left out.
        origins: where each value came from, such as ``file bc-images.toml`` or ``environment BC_IMAGES_STORE_HASH``.
        overrides: what the variables of a plugin say in place of it, by the plugin's name, with the variable's name.
    """

    values: Mapping[str, Any]
    origins: Mapping[str, str]
    overrides: Mapping[str, Mapping[str, tuple[Any, str]]]

    def of(self, plugin: type[SingerPlugin], **more: Any) -> dict[str, Any]:
        """Return the settings of tap or target; `more` are above all others, None among them says nothing."""
        known = _plugin_properties(plugin)
        own = {name: value for name, (value, _) in self.overrides[plugin.name].items()}
        given = {name: value for name, value in more.items() if value is not None}
        return {name: value for name, value in {**self.values, **own}.items() if name in known} | given

    def archive(self, plugin: type[SingerPlugin] = TapBCImages) -> dict[str, Any]:
        """Return the settings of the archive: its name, and the file store as `plugin` has it.

        Raises:
            SettingsError: no file store is given.
        """
        given = {**self.values, **self.of(plugin)}
        settings = checked({name: given.get(name) for name in LOADER}, {"type": "object", "properties": LOADER})
        if not settings.get("file_store"):
            raise SettingsError(
                f"The setting file_store is missing: write it into {DEFAULT_FILE}, or set {PREFIX}FILE_STORE. "
                "bc-images init asks for what is needed."
            )
        return settings


@cache
def _plugin_properties(plugin: type[SingerPlugin]) -> Mapping[str, Any]:
    schema = deepcopy(plugin.config_jsonschema)
    plugin.append_builtin_config(schema)
    settings: Mapping[str, Any] = schema["properties"]
    return settings


@cache
def properties() -> Mapping[str, Any]:
    """Return every setting of the command, as JSON Schema."""
    return {**LOADER, **{name: rule for plugin in _PLUGINS for name, rule in _plugin_properties(plugin).items()}}


def load(configs: Iterable[str] = ()) -> CommandSettings:
    """Read the settings.

    Args:
        configs: paths of ``--config``.

    Raises:
        SettingsError: a file cannot be read, or a setting has a name or a value that cannot be.
    """
    paths = [path for path in configs if path != "ENV"] or [path for path in (DEFAULT_FILE,) if Path(path).exists()]
    dotenv = _dotenv()
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for path in paths:
        given = settings_file(path)
        values |= given
        origins |= dict.fromkeys(given, f"file {path}")
    for environ, place in ((dotenv, _DOTENV), (os.environ, "environment")):
        given = from_environment(PREFIX, properties(), environ)
        values |= given
        origins |= {name: f"{place} {PREFIX}{name.upper()}" for name in given}
    valid = checked(values, {"type": "object", "properties": properties()})
    return CommandSettings(
        {name: valid[name] for name in values if name in valid},
        {name: origins[name] for name in values if name in valid},
        {plugin.name: _overrides(plugin, dotenv) for plugin in _PLUGINS},
    )


def _overrides(plugin: type[SingerPlugin], dotenv: Mapping[str, str]) -> dict[str, tuple[Any, str]]:
    """Return what the variables of a plugin say; those that are no settings are left to the plugin to warn of."""
    prefix = env_prefix(plugin.name)
    known = {prefix + name.upper() for name in _plugin_properties(plugin)}
    overrides: dict[str, tuple[Any, str]] = {}
    for environ, place in ((dotenv, _DOTENV), (os.environ, "environment")):
        given = {name: text for name, text in environ.items() if name in known}
        for name, value in from_environment(prefix, _plugin_properties(plugin), given).items():
            overrides[name] = value, f"{place} {prefix}{name.upper()}"
    return overrides


def _dotenv() -> dict[str, str]:
    """Return what ``.env`` of the current folder says.

    Raises:
        SettingsError: it cannot be read.
    """
    if not Path(_DOTENV).is_file():
        return {}
    try:
        text = read_input(_DOTENV)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{_DOTENV} cannot be read: {error}.") from error
    pairs = dotenv_values(stream=io.StringIO(text), interpolate=False)
    return {name: value for name, value in pairs.items() if value}
