"""Shared by source and destination: the settings form, the check, exit codes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, NoReturn

import click
from airbyte_protocol_dataclasses.models import AirbyteConnectionStatus, Status

from bc_images import logs
from bc_images.bigcommerce import StoreClient
from bc_images.cli.exit import OutputClosedError, run_and_exit
from bc_images.config import json_object, require_path
from bc_images.errors import BcImagesError, SettingsError
from bc_images.redaction import redact
from bc_images.regular_files import read_input
from bc_images_airbyte import messages
from tap_bc_images.tap import TapBCImages
from target_bc_images.target import TargetBCImages

__all__ = ["PROTOCOL", "answer_check", "connection_form", "read_json", "run"]

PROTOCOL = "0.2.0"
"""The version of the protocol that these messages are of."""


def connection_form(title: str, properties: Mapping[str, Mapping[str, Any]], required: list[str]) -> dict[str, Any]:
    """Return settings as Airbyte shows them in a form."""
    shown: dict[str, Any] = {}
    for place, (name, schema) in enumerate(properties.items()):
        shown[name] = {**deepcopy(dict(schema)), "order": place}
        if shown[name].pop("secret", False):
            shown[name]["airbyte_secret"] = True
        shown[name].pop("writeOnly", None)
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": title,
        "type": "object",
        "required": required,
        "properties": shown,
        "additionalProperties": True,
    }


def read_json(path: Path, what: str) -> dict[str, Any]:
    """Return the JSON object in a file; `what` names it, such as ``--config``.

    Raises:
        SettingsError: it cannot be read, or holds something else.
    """
    require_path(str(path), what)
    try:
        return json_object(read_input(path), what)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{what} cannot be read: {error}.") from error


def answer_check(connect: Callable[[], StoreClient]) -> None:
    """Answer ``check``: whether the settings are good and the store lets us in. A failure is an answer, too."""
    try:
        store = connect()
        try:
            store.count_products()
        finally:
            store.close()
    except BcImagesError as error:
        status = AirbyteConnectionStatus(Status.FAILED, redact(str(error)))
    else:
        status = AirbyteConnectionStatus(Status.SUCCEEDED)
    messages.emit(messages.connection_status(status))


def run(
    prog: str,
    command: click.Command,
    plugin: type[TapBCImages | TargetBCImages],
    prefix: str,
) -> NoReturn:
    """Run a connector's command: what ends it is status on stdout as a trace, and on stderr as one line.

    Args:
        prog: the command's name.
        command: the command.
        plugin: what does the work.
        prefix: of the environment variables.
    """

    def work() -> object:
        try:
            logs.configure_logging(prefix, lambda: plugin.cli)
            return command.main(prog_name=prog, standalone_mode=False)
        except (OutputClosedError, BrokenPipeError):
            raise
        except click.ClickException as error:
            raised = SettingsError(f"{error.format_message()} See {prog} --help.")
            messages.emit(messages.error(raised, str(raised)))
            raise
        except Exception as error:
            text = str(error) if isinstance(error, BcImagesError) else f"Unexpected {type(error).__name__}: {error}"
            messages.emit(messages.error(error, redact(text)))
            raise

    run_and_exit(prog, work, interrupted_message="stopped by a signal; run again to go on.")
