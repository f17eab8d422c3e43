"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from bc_images.settings import Sample

__all__ = ["file_store_option", "parse_sample"]


def file_store_option(*plugins: str) -> Callable[[Any], Any]:
    """Return the option ``--file-store``.

    Args:
        plugins: ``TAP`` and ``TARGET``, whose environment is read after that of the command itself, in this order.
    """
    names = ["BC_IMAGES_FILE_STORE", *(f"{plugin}_BC_IMAGES_FILE_STORE" for plugin in plugins)]
    return click.option(
        "--file-store",
        required=True,
        metavar="URL",
        envvar=names,
        help="The file store: a folder or an fsspec URL such as s3://bucket/prefix. "
        f"Else {', '.join(names[:-1])} or {names[-1]} of the environment.",
    )


def parse_sample(ctx: click.Context, param: click.Parameter, text: str | None) -> Sample | None:
    """Return the number or percentage of files that an option gives: a callback of click's."""
    try:
        return Sample.parse(text) if text is not None else None
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from error
