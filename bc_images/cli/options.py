"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from bc_images.errors import SettingsError
from bc_images.settings import Sample

__all__ = ["DEFAULT_FILE", "PREFIX", "config_option", "file_store_option", "from_settings", "parse_sample"]

DEFAULT_FILE = "bc-images.toml"
PREFIX = "BC_IMAGES_"


def config_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option ``--config``, repeatable, as ``configs``."""
    return click.option(
        "--config",
        "configs",
        multiple=True,
        metavar="FILE",
        help=f"Settings, a TOML or JSON file; repeatable. Default: {DEFAULT_FILE} of the current folder. "
        f"Above it count .env of the current folder and {PREFIX}… of the environment.",
    )(command)


def from_settings(ctx: click.Context, param: click.Parameter, value: str | None) -> str:
    """Return the value of an option that is a setting, too: where it is not given, that of the settings' usual places.

    Raises:
        SettingsError: it is in none of them.
    """
    if value is not None or ctx.resilient_parsing or param.name is None:
        return value or ""
    from bc_images.cli.sources import load  # it takes the SDK to know all settings

    text: str | None = load().values.get(param.name)
    if not text:
        raise SettingsError(
            f"The setting {param.name} is missing: give {param.opts[0]}, write it into {DEFAULT_FILE}, or set "
            f"{PREFIX}{param.name.upper()}."
        )
    return text


def file_store_option(*plugins: str) -> Callable[[Any], Any]:
    """Return the option ``--file-store``.

    Args:
        plugins: ``TAP`` and ``TARGET``, whose environment is read after that of the command itself, in this order.
    """
    names = [f"{PREFIX}FILE_STORE", *(f"{plugin}_{PREFIX}FILE_STORE" for plugin in plugins)]
    return click.option(
        "--file-store",
        metavar="URL",
        envvar=names,
        callback=from_settings,
        help="The file store: a folder or an fsspec URL such as s3://bucket/prefix. "
        f"Else {', '.join(names)} of the environment, or file_store in {DEFAULT_FILE}.",
    )


def parse_sample(ctx: click.Context, param: click.Parameter, text: str | None) -> Sample | None:
    """Return the number or percentage of files that an option gives: a callback of click's."""
    try:
        return Sample.parse(text) if text is not None else None
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from error
