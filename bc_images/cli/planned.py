"""Restores with a plan first: the target run once without writing, a question, then the target again."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

import click

from bc_images.cli.exit import InterruptedRun
from bc_images.errors import InvalidInput, PartialFailure, SettingsError
from bc_images.singer.reader import MessageSource
from target_bc_images.changes import ACTIONS
from target_bc_images.restore_input import RestoreInput
from target_bc_images.settings import TargetSettings
from target_bc_images.target import TargetBCImages

__all__ = ["Adapt", "RestoreRefused", "planned_restore", "require_answer"]

logger = logging.getLogger(__name__)

Adapt = Callable[[TargetSettings], TargetSettings]

_WRITES = tuple(action.name for action in ACTIONS if action.writes)
_NOTHING_WRITTEN = "stopped by a signal: nothing was written to the store."
_STOPPED = "stopped by a signal. What was begun is finished and recorded; run again to go on."


class RestoreRefused(PartialFailure):
    """The answer was no: nothing was written."""


def require_answer(command: str, *, yes: bool) -> None:
    """Make sure that somebody can be asked, or need not be.

    Raises:
        SettingsError: nobody can.
    """
    if not (yes or (sys.stdin is not None and sys.stdin.isatty())):
        raise SettingsError(
            f"{command} asks before it writes, and standard input is no terminal: give --yes, or --dry-run to see the "
            "plan alone. Nothing was written."
        )


def planned_restore(
    config: dict[str, Any], adapt: Adapt, source: MessageSource, *, dry_run: bool, yes: bool
) -> str | None:
    """Restore what a source holds; show the plan and ask before it is written, unless `yes`.

    Args:
        config: the settings of the target.
        adapt: returns the target's own settings as the command changes them.
        source: what is to be restored; read once.
        dry_run: show the plan and write nothing.
        yes: write without a question.

    Returns:
        The path of the undo file; None where nothing was changed.

    Raises:
        RestoreRefused: the answer was no.
        PartialFailure: not all of it is in the store.
        InterruptedRun: a signal has ended the run.
    """
    if yes and not dry_run:
        with _interrupted(_STOPPED), closing(TargetBCImages(config=config, adapt=adapt)) as target:
            return _apply(target, _read(target, source))

    def plan_only(options: TargetSettings) -> TargetSettings:
        options = adapt(options)
        return replace(options, dry_run=True, report=options.report if dry_run else None)

    with _interrupted(_NOTHING_WRITTEN), closing(TargetBCImages(config=config, adapt=plan_only)) as planner:
        restore_input = _read(planner, source)
        failure: PartialFailure | None = None
        try:
            planner.apply(restore_input)
        except PartialFailure as error:
            failure = error
        planner.session.print_summary()
        changes = {name: planner.session.report[name] for name in _WRITES}
        if dry_run or not any(changes.values()):
            if not any(changes.values()) and failure is None:
                click.echo(f"Nothing to do: the store is as {source.name} has it.")
            if failure is not None:
                raise failure
            return None
        words = ", ".join(f"{name} {count:,}" for name, count in changes.items() if count)
        _ask(f"Write to the store {planner.settings.store_hash} ({words})?", failure)

        def as_planned(options: TargetSettings) -> TargetSettings:
            options = adapt(options)  # no more deletes than were shown
            return replace(options, max_deletes=changes["delete"] if options.mode.deletes else options.max_deletes)

        with _interrupted(_STOPPED), closing(TargetBCImages(config=config, adapt=as_planned)) as target:
            return _apply(target, restore_input)


def _ask(question: str, failure: PartialFailure | None) -> None:
    if failure is not None:
        logger.warning("%s", failure)
    try:
        is_wanted = click.confirm(question, err=True)
    except click.Abort:  # the end of the input, or Ctrl-C
        is_wanted = False
    if not is_wanted:
        raise RestoreRefused("Nothing was written: the plan was not confirmed.")


def _read(target: TargetBCImages, source: MessageSource) -> RestoreInput:
    restore_input = target.read([source])
    if not restore_input.streams.has_images:
        raise InvalidInput(
            f"{source.name} holds no images: nothing was written. {restore_input.streams.no_images_reason()}"
        )
    return restore_input


def _apply(target: TargetBCImages, restore_input: RestoreInput) -> str | None:
    try:
        target.apply(restore_input)
    finally:
        target.session.print_summary()
    return target.session.result.undo_path


@contextmanager
def _interrupted(message: str) -> Iterator[None]:
    """Let a signal within the block end the command with this message."""
    try:
        yield
    except InterruptedRun:
        raise
    except SystemExit as exiting:
        raise InterruptedRun(exiting.code, message) from exiting
