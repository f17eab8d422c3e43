"""Settings of the two archive commands."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import click

from bc_images import logs
from bc_images.config import checked, from_environment, settings_files
from bc_images.errors import SettingsError
from bc_images.settings import PROPERTIES as SHARED
from bc_images.settings import env_prefix, setting

__all__ = ["EXTRACTOR", "LOADER", "command", "run_command", "values"]

Properties = dict[str, dict[str, Any]]

_COMMON: Properties = {
    "file_store": {
        **{name: value for name, value in SHARED["file_store"].items() if name != "default"},
        "description": "File store: a folder or an fsspec URL such as s3://bucket/prefix. Archives are kept in it "
        "under archives/, beside the pictures.",
    },
    "name": setting(
        "Name", "A word for what is archived, one for each store that shares the file store.", default="store"
    ),
}

LOADER: Properties = {
    **_COMMON,
    "require_complete": setting(
        "Require a complete sync",
        "An input in which a stream does not end with ACTIVATE_VERSION is kept as "
        "incomplete, and the run fails. Switch it off for taps that send no such mark.",
        "boolean",
        default=True,
    ),
}

EXTRACTOR: Properties = {
    **_COMMON,
    "at": setting(
        "Point in time",
        "A date or time such as 2025-01-31: the newest complete archive that is not later. Default: the newest.",
    ),
    "archive": setting(
        "Archive",
        "The id of one snapshot (or its beginning), or its file name, in place of the newest; the only way to an "
        "incomplete one.",
    ),
}


def command(prog: str, help_text: str, properties: Properties, run: Callable[[dict[str, Any]], None]) -> click.Command:
    """Return a Singer command: ``--config``, ``--about``, ``--version``, and the environment."""

    @click.command(prog, help=help_text)
    @click.version_option(package_name="bc-images", prog_name=prog)
    @click.option("--config", "configs", multiple=True, help="Settings, a JSON file; ENV is always read. Repeatable.")
    @click.option("--about", is_flag=True, help="Show the settings as JSON.")
    @click.option("--format", "_format", type=click.Choice(["json"]), default="json", help="Format of --about.")
    def run_it(configs: tuple[str, ...], *, about: bool, _format: str) -> None:
        if about:
            settings = {"type": "object", "properties": properties, "required": ["file_store"]}
            click.echo(json.dumps({"name": prog, "description": help_text, "settings": settings}, indent=2))
            return
        run(values(prog, configs, properties))

    return run_it


def run_command(prog: str, run: click.Command) -> object:
    """Set up the logging and run a command that `command` has made."""
    logs.configure_logging(env_prefix(prog), lambda: logs.set_up_console(prog, env_prefix(prog)))
    return run.main(prog_name=prog, standalone_mode=False)


def values(prog: str, configs: tuple[str, ...], properties: Properties) -> dict[str, Any]:
    """Return the checked settings of a run: the environment above the files.

    Raises:
        SettingsError: they cannot be used.
    """
    given = {**settings_files(configs), **from_environment(env_prefix(prog), properties, os.environ)}
    settings = checked(given, {"type": "object", "properties": properties})
    if not settings.get("file_store"):
        raise SettingsError(
            "The setting file_store is missing: give a folder or an fsspec URL such as s3://bucket/prefix."
        )
    return settings
