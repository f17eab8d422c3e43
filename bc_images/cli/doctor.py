"""``bc-images doctor``: everything that a run needs, checked without changing anything."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator
from importlib.metadata import version

import click

from bc_images.cli.diagnosis import Check, file_store_checks, guarded, room_checks, store_checks, webdav_checks
from bc_images.cli.sources import CommandSettings, config_option, load, properties
from bc_images.errors import SettingsError
from bc_images.redaction import redact
from bc_images.settings import Settings
from target_bc_images.settings import TargetSettings
from target_bc_images.target import TargetBCImages

__all__ = ["doctor"]


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_context
def doctor(ctx: click.Context, configs: tuple[str, ...], *, as_json: bool) -> None:
    """Check all that a backup or a restore needs.

    A line a check, with a sign: + good, ~ worth a look, ! a run would fail. Settings are shown with the place that each
    came from, secrets never. Nothing is changed: the file store gets one small object, which is removed again.

    Exit code 0: a run can begin. 1: a check failed. 2: the settings cannot be read.
    """
    settings = load(configs)
    has_failed = False
    for check in _checks(settings):
        has_failed |= check.sign == "!"
        line = {"check": check.name, "sign": check.sign, "text": redact(check.text)}
        click.echo(json.dumps(line) if as_json else str(check))
    ctx.exit(1 if has_failed else 0)


def _checks(settings: CommandSettings) -> Iterator[Check]:
    versions = f"bc-images {version('bc-images')}, Python {platform.python_version()}, "
    yield Check("versions", "+", f"{versions}singer-sdk {version('singer-sdk')}, {platform.system()}")
    yield from _setting_checks(settings)
    config = settings.of(TargetBCImages)
    try:
        shared = Settings.from_config(config)
        places = {"the ledger and undo files": str(TargetSettings.from_config(config).state_dir)}
    except SettingsError as error:
        yield Check("settings", "!", str(error))
        return
    yield from guarded("store", lambda: store_checks(shared))
    yield from guarded("webdav", lambda: webdav_checks(shared))
    if shared.file_store:
        yield from guarded("file store", lambda: file_store_checks(shared.file_store))
        places["pictures and snapshots"] = shared.file_store
    else:
        yield Check("file store", "!", "the setting file_store is missing: pictures and snapshots need a place")
    yield from room_checks(places)


def _setting_checks(settings: CommandSettings) -> Iterator[Check]:
    """Show every setting that was given, and from where."""
    given = [(name, value, settings.origins[name]) for name, value in settings.values.items()]
    for own in settings.overrides.values():
        given += [(name, value, origin) for name, (value, origin) in own.items()]
    for name, value, origin in given:
        shown = "***" if properties()[name].get("secret") else str(value)
        yield Check("setting", "+", f"{name} = {shown} ({origin})")
