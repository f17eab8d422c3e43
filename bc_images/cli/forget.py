"""``bc-images forget``: take old snapshots off the list, by the rules of restic."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from bc_images.cli.options import config_option
from bc_images.errors import FatalError, InvalidInput, SettingsError
from bc_images.files import open_files
from bc_images.snapshots import Manifest, Snapshot, SnapshotStore, snapshot_stores
from bc_images.snapshots.retention import PERIODS, Decision, Policy, decide, parse_duration
from bc_images.text import counted

__all__ = ["forget"]

logger = logging.getLogger(__name__)

_UNTOUCHED = "Nothing was forgotten."


def _duration(ctx: click.Context, param: click.Parameter, text: str | None) -> timedelta | None:
    try:
        return parse_duration(text) if text is not None else None
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from error


def _keep_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option ``--keep-<period>`` of every period."""
    for period in reversed(tuple(PERIODS)):
        what = "snapshots" if period == "last" else f"{period} snapshots"
        command = click.option(
            f"--keep-{period}", default=0, type=click.IntRange(min=-1), metavar="N", help=f"Keep the last N {what}."
        )(command)
    return command


@click.command()
@config_option
@click.option("--name", help="Only the snapshots of this name. Default: all, each by itself.")
@_keep_options
@click.option(
    "--keep-within",
    callback=_duration,
    metavar="DURATION",
    help="Keep all so close to the newest, such as 30d or 1y6m.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be forgotten, and do nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a snapshot.")
def forget(
    configs: tuple[str, ...],
    name: str | None,
    keep_within: timedelta | None,
    *,
    dry_run: bool,
    as_json: bool,
    **counts: int,
) -> None:
    """Take old snapshots off the list.

    The options say what is kept, as restic's do; N may be -1 for all, and the oldest snapshot fills a period that is
    not full. What is forgotten is moved to trash/ in the file store, with the time; no picture is removed.

    Always kept: the newest complete snapshot, and the last one that a drill has proved as a whole. Nothing is forgotten
    while a snapshot cannot be read, or the last check has found missing or corrupt pictures.

    Exit code 0: done. 2: wrong settings. 3: nothing was forgotten, or the file store cannot be used.
    """
    policy = Policy({period: counts[f"keep_{period}"] for period in PERIODS}, keep_within)
    if policy.is_empty:
        raise SettingsError(f"Give at least one --keep-… option: without one, nothing would be kept. {_UNTOUCHED}")
    from bc_images.cli.sources import load  # with the SDK, which --help does without

    moment = datetime.now(UTC)
    number = 0
    with closing(open_files(load(configs).archive()["file_store"], writable=not dry_run)) as files:
        files.must_exist()
        histories = [store for store in snapshot_stores(files) if name in {None, store.name}]
        # All of them are read before the first one is touched.
        decisions = [(store, decide(policy, _manifests(store))) for store in histories]
        if not any(made for _, made in decisions):
            raise InvalidInput(f"There are no snapshots in {files.display_name}. {_UNTOUCHED}")
        for store, made in decisions:
            _require_sound(store, made)
        for store, made in decisions:
            for decision in made:
                click.echo(_line(store, decision, as_json=as_json))
                if not decision.reasons:
                    number += 1
                    if not dry_run:
                        store.discard(Snapshot(decision.manifest.file), moment)
    if not as_json:
        click.echo(f"{counted(number, 'snapshot')} {'would be forgotten' if dry_run else 'forgotten'}.")


def _manifests(store: SnapshotStore) -> list[Manifest]:
    """Return the manifests of all snapshots of a history.

    Raises:
        FatalError: one cannot be read: which pictures it names is not known.
    """
    try:
        return [store.manifest(snapshot) for snapshot in store.list()]
    except InvalidInput as error:
        raise FatalError(f"{error} {_UNTOUCHED}") from error


def _require_sound(store: SnapshotStore, decisions: Sequence[Decision]) -> None:
    """Check the result of the last check.

    Raises:
        FatalError: it has found damage: the snapshots that are to be forgotten may be needed.
    """
    checks = [check for made in decisions if (check := made.manifest.last_check) is not None]
    last = max(checks, key=lambda check: str(check.get("time")), default=None)
    if last is not None and last.get("is_sound") is not True:
        raise FatalError(
            f"The check of {last.get('time')} has found damage in {store.display_name}. {_UNTOUCHED} Run bc-images "
            "backup, which downloads pictures again that are lost, then bc-images check."
        )


def _line(store: SnapshotStore, decision: Decision, *, as_json: bool) -> str:
    manifest = decision.manifest
    if as_json:
        row = {"name": store.name, "file": manifest.file, "id": manifest.id, "time": manifest.time}
        return json.dumps({**row, "kept": bool(decision.reasons), "reasons": decision.reasons})
    time = manifest.time[:16].replace("T", " ") if manifest.time else manifest.file
    what = f"keep    ({', '.join(decision.reasons)})" if decision.reasons else "forget"
    return f"{manifest.short_id}  {store.name}  {time}  {what}"
