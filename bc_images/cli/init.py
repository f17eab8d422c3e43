"""``bc-images init``: ask for what is needed, check it, and write a settings file."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from bc_images.cli.diagnosis import file_store_checks, guarded, store_checks, webdav_checks
from bc_images.cli.sources import DEFAULT_FILE
from bc_images.config import checked
from bc_images.errors import SettingsError
from bc_images.private_files import create_private, write_private
from bc_images.redaction import keep_secret
from bc_images.settings import PROPERTIES, Settings

__all__ = ["init"]

_QUESTIONS = {
    "store_hash": ("Store hash (the part after /stores/ in the API path)", None),
    "access_token": ("API token (not shown)", None),
    "file_store": ("File store (a folder, or an address such as s3://bucket/prefix)", "pictures"),
}


@click.command()
@click.option("--store-hash", envvar="BC_IMAGES_STORE_HASH", help="The store's hash.")
@click.option("--access-token", envvar="BC_IMAGES_ACCESS_TOKEN", help="API token; better in BC_IMAGES_ACCESS_TOKEN.")
@click.option("--file-store", envvar="BC_IMAGES_FILE_STORE", metavar="URL", help="Where pictures and snapshots go.")
@click.option("--api-version", type=click.Choice(["v3", "v2"]), help="Which API is used. Default: v3.")
@click.option("--api-url", envvar="BC_IMAGES_API_URL", help="Address of the API, such as that of a sandbox.")
@click.option("--store-url", envvar="BC_IMAGES_STORE_URL", help="Address of the store itself.")
@click.option("--webdav-username", envvar="BC_IMAGES_WEBDAV_USERNAME", help="User of the store's WebDAV.")
@click.option("--webdav-password", envvar="BC_IMAGES_WEBDAV_PASSWORD", help="Its password.")
@click.option("--config", "path", default=DEFAULT_FILE, show_default=True, metavar="FILE", help="The file to write.")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
def init(path: str, *, force: bool, **given: str | None) -> None:
    """Ask for the settings, check them, and write them to a file.

    What is given as an option, or in BC_IMAGES_… of the environment, is not asked for. Token, scope, file store and
    WebDAV are tried; the file, which only you can read, is written if nothing fails.

    Exit code 0: the file is written. 2: something is missing or wrong; it is not.
    """
    file = Path(path)
    if not force and (file.exists() or file.is_symlink()):
        raise SettingsError(f"{path} is there already and was left as it is. Give --force to write over it.")
    config: dict[str, Any] = {name: value for name, value in given.items() if value}
    keep_secret(config.get("access_token"), config.get("webdav_password"))
    config = _asked(config)
    settings = Settings.from_config(checked(config, {"type": "object", "properties": PROPERTIES}))
    failed = 0
    for checks in (
        guarded("store", lambda: store_checks(settings)),
        guarded("webdav", lambda: webdav_checks(settings)),
        file_store_checks(settings.file_store),
    ):
        for check in checks:
            click.echo(str(check))
            failed += check.sign == "!"
    if failed:
        raise SettingsError(f"{path} was not written, since a check failed: see the lines that begin with '!'.")
    # What JSON writes of a text is a text of TOML, too.
    lines = [f"{name} = {json.dumps(config[name], ensure_ascii=False)}\n" for name in PROPERTIES if name in config]
    _write(file, "".join(lines).encode(), force=force)
    click.echo(
        f"\nWrote {path}, which only you can read. Next:\n"
        "  bc-images doctor              check everything again, at any time\n"
        "  bc-images backup              save one snapshot\n"
        "  bc-images restore --dry-run   see what a restore would change"
    )


def _asked(config: dict[str, Any]) -> dict[str, Any]:
    """Ask for what is missing.

    Raises:
        SettingsError: there is nobody to ask.
    """
    missing = [name for name in _QUESTIONS if name not in config]
    if missing and not (sys.stdin is not None and sys.stdin.isatty()):
        options = ", ".join(f"--{name.replace('_', '-')}" for name in missing)
        raise SettingsError(
            f"Standard input is no terminal, so nothing can be asked: give {options}, or the same in BC_IMAGES_… of "
            "the environment. Nothing was written."
        )
    for name in missing:
        question, default = _QUESTIONS[name]
        answer = click.prompt(question, default=default, hide_input=name == "access_token", err=True)
        config[name] = answer.strip()
        if name == "access_token":
            keep_secret(config[name])
    return config


def _write(file: Path, content: bytes, *, force: bool) -> None:
    try:
        if force:
            write_private(file, content)
            return
        with create_private(file) as opened:
            opened.write(content)
    except OSError as error:
        raise SettingsError(f"{file} cannot be written: {error.strerror}.") from error
