"""``bc-images verify``: compare a backup with the live store, without writing."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from bc_images.cli.options import config_option, parse_sample
from bc_images.config import from_environment
from bc_images.errors import InvalidInput, PartialFailure, SettingsError
from bc_images.files import open_files
from bc_images.files.backup import ADVICE, opened_backup
from bc_images.settings import Sample, Settings
from bc_images.singer.archive.settings import EXTRACTOR
from bc_images.singer.reader import MessageSource, SingerFile
from bc_images.snapshots import open_snapshot
from bc_images.text import counted
from target_bc_images.changes import Action, Mode
from target_bc_images.context import GONE, NO_PICTURE
from target_bc_images.lines import change_line
from target_bc_images.planning import UNPROVEN
from target_bc_images.report import rejection
from target_bc_images.settings import TargetSettings

__all__ = ["differences", "print_differences", "verify"]

_GONE = {GONE, NO_PICTURE}
_WORDS = {"=": "same", "*": "different", "-": "missing", "+": "extra", "!": "unreadable"}


@click.command()
@click.option("--backup", "backups", multiple=True, help="Singer file, plain or .gz. Repeatable.")
@click.option(
    "--archive",
    is_flag=False,
    flag_value="",
    metavar="[NAME][/SNAPSHOT]",
    help="In place of a file: the newest snapshot of this name in the file store, or the one of an id, as in "
    "store/1a2b3c4d. Without a name, that of TAP_SINGER_ARCHIVE_NAME, or store.",
)
@click.option(
    "--at", help="With --archive: the newest that is not later than this date or time. Else TAP_SINGER_ARCHIVE_AT."
)
@config_option
@click.option(
    "--pictures",
    is_flag=False,
    flag_value="100%",
    callback=parse_sample,
    metavar="[N|P%]",
    help="Read the live pictures, too: all of them, so many, or such a share, chosen at random. Else rows alone are "
    "compared, and pictures only where a row has another path than the backup's.",
)
@click.option("--all", "show_all", is_flag=True, help="List the images that are the same, too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def verify(
    backups: tuple[str, ...],
    archive: str | None,
    at: str | None,
    configs: tuple[str, ...],
    pictures: Sample | None,
    *,
    show_all: bool,
    as_json: bool,
) -> None:
    """Compare a backup with the live store, and write nothing.

    A line an image, with SKU, file and what differs (field: store -> backup): = same, * different, - missing from the
    store, + extra in the store, ! unreadable, without a product, or with a picture that is gone from the store.
    The settings product_ids and match_products_by count; TARGET_BC_IMAGES_… of the environment is above all others.
    Exit code 0 only if all are the same, else 1; a backup without anything to compare is not valid.
    """
    if archive is not None:  # what tap-singer-archive would give back
        usual = from_environment("TAP_SINGER_ARCHIVE_", EXTRACTOR, os.environ)
        name, slash, snapshot = archive.partition("/")
        archive = f"{name or usual.get('name') or EXTRACTOR['name']['default']}{slash}{snapshot}"
        at = at or (None if snapshot else usual.get("at"))
        if at and snapshot:
            raise SettingsError("--at and the SNAPSHOT of --archive both say which one is meant: give one of them.")
    if bool(backups) == bool(archive) or (at and not archive):
        raise SettingsError("Give either --backup or --archive; --at goes with --archive.")
    from bc_images.cli.sources import load  # with the SDK, which --help does without
    from target_bc_images.target import TargetBCImages

    pairs = differences(load(configs).of(TargetBCImages), backups, archive, at, pictures)
    print_differences(pairs, show_all=show_all, as_json=as_json)


def print_differences(pairs: Iterable[tuple[str, Action]], *, show_all: bool, as_json: bool) -> None:
    """Print what `differences` yields, then a summary; end the command with exit code 1 if anything differs."""
    counts: Counter[str] = Counter()
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    unproven = 0
    for sign, action in pairs:
        counts[sign] += 1
        unproven += sign == "=" and action.reason in UNPROVEN
        if sign != "=" or show_all or action.reason in UNPROVEN:
            click.echo(_as_json(sign, action) if as_json else change_line(action, sign=sign, width=width))
    _summarise(counts, unproven, as_json=as_json)
    if counts.total() > counts["="]:
        click.get_current_context().exit(1)


def _summarise(counts: Counter[str], unproven: int, *, as_json: bool) -> None:
    words = ", ".join(f"{counts[sign]} {word}" for sign, word in _WORDS.items() if counts[sign]) or "no images"
    unlike = counts.total() - counts["="]
    if as_json:
        summary = {word: counts[sign] for sign, word in _WORDS.items()}
        if unproven:
            summary["same_unproven"] = unproven
        click.echo(json.dumps({"summary": summary}))
        return
    click.echo(f"{counted(unlike, 'difference')} ({words})")
    if unproven:
        click.echo(f"Not compared byte for byte: {unproven} of the {counts['=']} that count as same; see their lines.")


def differences(
    config: Mapping[str, Any],
    backups: tuple[str, ...],
    archive: str | None = None,
    at: str | None = None,
    pictures: Sample | None = None,
) -> Iterator[tuple[str, Action]]:
    """Yield a sign and what it stands for, for every image of the backup and every image that only the store has.

    `config` holds settings of the target. The backup is some files, or a snapshot in the file store: the newest of the
    name `archive` (not later than `at`), or the one of an id in ``<name>/<id>``.
    Of `pictures` live pictures the bytes are compared, too; None: as check_pictures says.

    Raises:
        SettingsError: a setting is missing or not valid.
        FatalError: the backup is damaged, or the store cannot be read.
    """

    def adapt(settings: TargetSettings) -> TargetSettings:
        sample = pictures or settings.picture_sample
        return replace(
            settings, mode=Mode.UPSERT, dry_run=True, on_error="continue", picture_sample=sample, report=None
        )

    from target_bc_images.target import TargetBCImages

    target = TargetBCImages(config={**config, "mode": "upsert"}, adapt=adapt)
    with closing(target):
        try:
            restore_input = target.read(_sources(target.settings, backups, archive, at))
        except PartialFailure as error:  # two streams of one meaning: nothing was compared, so nothing differs
            raise InvalidInput(str(error)) from error
        has_content = restore_input.count or restore_input.rejected_count or restore_input.is_complete
        if not restore_input.streams.has_images or not (has_content or target.target_settings.product_ids):
            streams = "" if restore_input.streams.has_images else f" {restore_input.streams.no_images_reason()}"
            raise InvalidInput(
                "The backup contains no images and does not end with ACTIVATE_VERSION, the message of a complete full "
                f"sync: nothing was compared. Give another backup.{streams}"
            )
        for record, reason in restore_input.rejected:
            yield "!", rejection(record, reason)
        for action in target.session.restore.compare(restore_input):
            yield "!" if action.reason in _GONE else action.sign, action


def _sources(
    settings: Settings, backups: tuple[str, ...], archive: str | None, at: str | None
) -> Iterator[MessageSource]:
    """Open one backup after the other."""
    if archive:
        name, _, word = archive.partition("/")
        name, file = open_snapshot(open_files(settings.file_store), name, word or None, at)
        yield SingerFile(file, name, ADVICE)
    for path in backups:
        with opened_backup(Path(path)) as file:
            yield SingerFile(file, path, ADVICE)


def _as_json(sign: str, action: Action) -> str:
    return json.dumps(
        {
            "sign": sign,
            "product_id": action.product_id,
            "source_id": action.desired["id"] if action.desired else None,
            "target_id": action.existing["id"] if action.existing else None,
            "reason": action.reason,
            "fields": dict(action.fields),
        }
    )
