"""``bc-images extract``: pictures of a snapshot as ordinary files, with a CSV of what they are."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from bc_images.cli.sources import config_option, load
from bc_images.errors import FatalError, FileStoreError, FileUnavailable, InvalidInput, PartialFailure, SettingsError
from bc_images.files import FileStore, open_files
from bc_images.private_files import create_private, make_private_folder
from bc_images.snapshots import SnapshotStore
from bc_images.snapshots.compare import image_records
from bc_images.text import counted

__all__ = ["extract", "safe_name"]

_TABLE = "images.csv"
_FIELDS = ("product_id", "product_sku", "id", "image_file", "description", "sort_order", "is_thumbnail", "file_sha256")
_LONGEST = 100  # characters of a name: with a number before its ending it stays below what file systems allow
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # names that Windows keeps for itself


@click.command()
@click.argument("snapshot")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@config_option
@click.option("--name", help="Name of the snapshots. Default: the setting name.")
@click.option(
    "--product", "products", multiple=True, metavar="ID|SKU", help="Only the images of this product. Repeatable."
)
def extract(snapshot: str, folder: Path, configs: tuple[str, ...], name: str | None, products: tuple[str, ...]) -> None:
    """Write pictures of a snapshot as ordinary files.

    SNAPSHOT is an id, latest, or a file name. DIR must be new or empty. Pictures keep their own names as far as these
    are safe; where two have the same, the image id is added. images.csv says which image each file is.

    Exit code 0: all are there. 1: some pictures are not in the file store or corrupt; their rows have no file. 2: wrong
    settings, or DIR is not empty. 3: the snapshot or the file store cannot be read, or DIR cannot be written.
    """
    archive = load(configs).archive()
    with closing(open_files(archive["file_store"])) as files:
        store = SnapshotStore(files, name or archive["name"])
        messages = (message for _, _, message in store.messages(store.resolve(snapshot)))
        records = (record for record in image_records(messages) if not products or _is_of(record, products))
        try:
            make_private_folder(folder)
            if any(folder.iterdir()):
                raise SettingsError(f"{folder} is not empty: nothing was written. Give a new folder.")
            written, missing = _write(files, records, folder)
        except OSError as error:
            raise FatalError(f"{folder} cannot be written ({error.strerror or error}): give another folder.") from error
    if not written and not missing:
        raise InvalidInput("The snapshot has no such images: only an empty table was written. Check --product.")
    click.echo(f"{counted(written, 'picture')} in {folder}")
    if missing:
        raise PartialFailure(f"{counted(len(missing), 'picture')} could not be read, such as {missing[0]}.")


def _is_of(record: dict[str, Any], products: tuple[str, ...]) -> bool:
    return str(record["product_id"]) in products or record.get("product_sku") in products


def _write(files: FileStore, records: Iterator[dict[str, Any]], folder: Path) -> tuple[int, list[str]]:
    """Write the pictures and the table; return how many were written, and why others were not."""
    taken = {_TABLE}
    written = 0
    missing: list[str] = []
    with io.TextIOWrapper(create_private(folder / _TABLE), encoding="utf-8-sig", newline="") as text:
        table = csv.writer(text)
        table.writerow(["file", *_FIELDS])
        for record in records:
            file_name = ""
            try:
                content = files.read(str(record.get("file_sha256")))
            except FileUnavailable as error:
                missing.append(f"image {record['id']}: {error}")
            except FileStoreError as error:
                if not hasattr(error, "what"):  # not this file alone
                    raise
                missing.append(f"image {record['id']}: {error}")
            else:
                file_name = safe_name(record, taken)
                with create_private(folder / file_name) as file:
                    file.write(content)
                written += 1
            table.writerow([file_name, *("" if record.get(field) is None else record[field] for field in _FIELDS)])
    return written, missing


def safe_name(record: dict[str, Any], taken: set[str]) -> str:
    """Return a file name for the picture of a record, and add it, in small letters, to those that are taken.

    It has no folder, no hidden or reserved name and no character but letters of ASCII, digits, ``.``, ``_``, ``-``.
    """
    last = str(record.get("image_file") or "").replace("\\", "/").rpartition("/")[2]
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", last).strip("._-") or "image"
    if _DEVICES.fullmatch(plain):
        plain = f"_{plain}"
    stem, dot, ending = plain.rpartition(".")
    if not dot or len(ending) > 10:
        stem, ending = plain, ""
    ending = f".{ending}" if ending else ""
    stem = stem[: _LONGEST - len(ending)]
    name, number = f"{stem}{ending}", 0
    while name.lower() in taken:
        name = f"{stem}-{record['id']}{f'-{number}' if number else ''}{ending}"
        number += 1
    taken.add(name.lower())
    return name
