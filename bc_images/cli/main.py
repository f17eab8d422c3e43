"""The command ``bc-images``: everything but the Singer commands.

A command is loaded when it is run and not before, so that ``--help`` is quick and works without any extra.
"""

from __future__ import annotations

import importlib
import os
import signal
import threading
from dataclasses import dataclass
from typing import NoReturn, cast

import click
from click.exceptions import NoArgsIsHelpError

from bc_images import logs
from bc_images.cli.exit import run_and_exit
from bc_images.errors import SettingsError

__all__ = ["COMMANDS", "cli", "main"]

PROG = "bc-images"
PREFIX = "BC_IMAGES_"
_SIGNALLED = {128 + signal.SIGTERM, 128 + signal.SIGINT}


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a command is found, what it does in one line, and the extra that it needs (empty: none)."""

    module: str
    attribute: str
    help: str
    extra: str = ""


COMMANDS: dict[str, Entry] = {
    "backup": Entry("bc_images.cli.backup", "backup", "Save all images and pictures of the store as one snapshot."),
    "check": Entry("bc_images.cli.check", "check", "Re-hash the file store and compare it with backups."),
    "copy": Entry("bc_images.cli.copy", "copy", "Copy snapshots and their pictures into another file store."),
    "demo": Entry(
        "bc_images.cli.demo.command", "demo", "Back up, damage and restore a store on this machine.", "sandbox"
    ),
    "diff": Entry(
        "bc_images.cli.diff", "diff", "Show what has changed from snapshot A to snapshot B, or to the live store."
    ),
    "drill": Entry(
        "bc_images.cli.drill", "drill", "Prove that a snapshot can be restored, on this machine.", "sandbox"
    ),
    "doctor": Entry("bc_images.cli.doctor", "doctor", "Check all that a backup or a restore needs."),
    "init": Entry("bc_images.cli.init", "init", "Ask for the settings, check them, and write them to a file."),
    "restore": Entry("bc_images.cli.restore", "restore", "Put back what SNAPSHOT has and the store has not."),
    "extract": Entry("bc_images.cli.extract", "extract", "Write pictures of a snapshot as ordinary files."),
    "history": Entry("bc_images.cli.history", "history", "Show what one product or image was in each snapshot."),
    "forget": Entry("bc_images.cli.forget", "forget", "Take old snapshots off the list."),
    "retry": Entry(
        "bc_images.cli.retry",
        "retry",
        "Restore once more what REPORT lists as not done or not verified.",
    ),
    "sandbox": Entry(
        "bigcommerce_sandbox.command",
        "sandbox",
        "Run a store that answers like BigCommerce, on this machine only.",
        "sandbox",
    ),
    "shards": Entry("bc_images.cli.shards", "shards", "Cut a store into shards of about equally many products."),
    "snapshots": Entry("bc_images.cli.snapshots", "snapshots", "List the snapshots in the file store."),
    "undo": Entry("bc_images.cli.undo", "undo", "Take the last restore back."),
    "unlock": Entry("bc_images.cli.unlock", "unlock", "Remove the locks that ended restores have left behind."),
    "verify": Entry("bc_images.cli.verify", "verify", "Compare a backup with the live store, and write nothing."),
}


class LazyGroup(click.Group):
    """A group whose commands are the table above: named at once, imported when used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of all commands."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import one command; None when there is none of that name.

        Raises:
            SettingsError: the command needs an extra that is not installed.
        """
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        try:
            module = importlib.import_module(entry.module)
        except ModuleNotFoundError as error:
            missing = error.name or ""
            if not entry.extra or missing.partition(".")[0] in {"bc_images", "target_bc_images"}:
                raise
            raise SettingsError(
                f"{cmd_name} needs {missing}, which is not installed. Run: pip install 'bc-images[{entry.extra}]'"
            ) from error
        return cast("click.Command", getattr(module, entry.attribute))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands without importing them, as click's own version would."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in sorted(COMMANDS.items())])


@click.group(cls=LazyGroup)
@click.version_option(package_name=PROG, prog_name=PROG)
def cli() -> None:
    """Product images out of a BigCommerce store, and back in: all but the Singer commands.

    The Singer commands are tap-bc-images and target-bc-images.
    """


def main() -> NoReturn:
    """Run ``bc-images``: every way it can end is one line on stderr and a documented exit code."""
    try:
        run_and_exit(PROG, _run, interrupted_message="stopped by a signal.")
    except SystemExit as exiting:
        if exiting.code in _SIGNALLED and threading.active_count() > 1:  # the interpreter would wait for their requests
            os._exit(int(exiting.code))
        raise


def _leave(signum: int, _frame: object) -> NoReturn:
    raise SystemExit(128 + signum)


def _run() -> object:
    logs.configure_logging(PREFIX, lambda: logs.set_up_console(PROG, PREFIX))
    signal.signal(signal.SIGTERM, _leave)  # a command that has more to do than to end sets its own
    try:
        return cli.main(prog_name=PROG, standalone_mode=False)
    except NoArgsIsHelpError as error:
        error.show()
        return SettingsError.exit_code
    except click.UsageError as error:
        asked = error.ctx.command_path if error.ctx else PROG
        raise SettingsError(f"{error.format_message()} See {asked} --help.") from error
    except click.ClickException as error:
        raise SettingsError(error.format_message()) from error
