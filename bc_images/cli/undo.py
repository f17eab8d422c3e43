"""``bc-images undo``: take the last restore back, or list what can be taken back."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, replace
from io import BufferedReader
from pathlib import Path
from typing import Any

import click

from bc_images import jsonl
from bc_images.cli.planned import planned_restore, require_answer
from bc_images.cli.sources import config_option, load
from bc_images.errors import FatalError, InvalidInput, SettingsError
from bc_images.private_files import write_private
from bc_images.regular_files import open_regular
from bc_images.settings import Settings
from bc_images.singer.reader import SingerFile
from bc_images.text import counted, printable, shortened
from target_bc_images.changes import Mode
from target_bc_images.settings import TargetSettings
from target_bc_images.target import TargetBCImages

__all__ = ["undo"]

_ADVICE = "nothing was written to the store."
_NO_LIMIT = 2**31
_JOURNAL = "undone.json"


@dataclass(frozen=True, slots=True)
class _Undone:
    """One undo that was run: of which undo file, whether to its end, and which undo file it has made itself."""

    file: str
    is_complete: bool
    made: str | None


class _UndoFiles:
    """The undo files of a state folder, and what became of them.

    Args:
        folder: `state_dir`; need not exist.

    Raises:
        FatalError: the folder or what is known of earlier undos cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._journal = folder / _JOURNAL
        try:
            self.names = sorted(path.name for path in folder.glob("undo-*.singer"))
            rows = json.loads(self._journal.read_bytes()) if self._journal.exists() else []
            self._undone = [_Undone(row["file"], row["complete"], row["made"]) for row in rows]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FatalError(
                f"{self._journal} cannot be read ({error}): nothing was written. Move this file away, then name the "
                "run that is to be taken back."
            ) from error

    def taken_back_by(self, name: str) -> _Undone | None:
        """Return the undo that has taken a file back, unless that was itself taken back."""
        for each in self._undone:
            if each.file == name and each.is_complete and not (each.made and self.taken_back_by(each.made)):
                return each
        return None

    def is_of_undo(self, name: str) -> bool:
        """Whether a file was made by an undo: feeding it would restore anew."""
        return any(each.made == name for each in self._undone)

    @property
    def last(self) -> str:
        """The file of the last restore that was not taken back.

        Raises:
            SettingsError: there is none.
        """
        for name in reversed(self.names):
            if not self.is_of_undo(name) and self.taken_back_by(name) is None:
                return name
        raise SettingsError(f"There is nothing to take back in {self._folder}. Nothing was written.")

    def resolve(self, run: str) -> str:
        """Return the file that a run's time, its beginning, or a path names.

        Raises:
            SettingsError: there is none, or more than one.
        """
        wanted = Path(run).name.removeprefix("undo-").removesuffix(".singer")
        matching = [name for name in self.names if name.startswith(f"undo-{wanted}")]
        if len(matching) != 1:
            shown = shortened(printable(run), 80)
            count = f"{len(matching)} runs begin" if matching else "no run begins"
            raise SettingsError(
                f"In {self._folder} {count} with {shown}: see bc-images undo --list. Nothing was written."
            )
        return matching[0]

    def path(self, name: str) -> Path:
        """Return where a file is."""
        return self._folder / name

    def note(self, name: str, *, is_complete: bool, made: str | None) -> None:
        """Remember that a file was taken back.

        Raises:
            FatalError: it cannot be written.
        """
        self._undone.append(_Undone(name, is_complete, made))
        rows = [{"file": each.file, "complete": each.is_complete, "made": each.made} for each in self._undone]
        try:
            write_private(self._journal, json.dumps(rows, indent=1).encode())
        except OSError as error:
            raise FatalError(
                f"{self._journal} cannot be written ({error.strerror}): the restore was taken back, and bc-images undo "
                "does not know of it. Name the run the next time."
            ) from error


@click.command()
@click.argument("run", required=False)
@config_option
@click.option("--list", "lists", is_flag=True, help="List what can be taken back, the oldest first.")
@click.option("--dry-run", is_flag=True, help="Show the plan and write nothing.")
@click.option("--yes", is_flag=True, help="Write without a question; needed where there is no terminal.")
def undo(run: str | None, configs: tuple[str, ...], *, lists: bool, dry_run: bool, yes: bool) -> None:
    """Take the last restore back.

    RUN names another one: its time as --list shows it, or the beginning of that. Images are again as they were right
    before that restore: what it changed or deleted is put back, and what it created is deleted. Several restores are
    taken back one after the other, the newest first. An undo can be taken back, too: name it.

    Exit codes are those of bc-images restore.
    """
    settings = load(configs)
    config = settings.of(TargetBCImages, mode="mirror", max_deletes=_NO_LIMIT)
    Settings.from_config(config)
    files = _UndoFiles(TargetSettings.from_config(config).state_dir)
    if lists:
        _print_list(files)
        return
    require_answer("undo", yes=yes or dry_run)
    name = files.resolve(run) if run is not None else files.last

    def adapt(options: TargetSettings) -> TargetSettings:
        whole: dict[str, Any] = {"mode": Mode.MIRROR, "max_deletes": _NO_LIMIT, "product_ids": None}
        return replace(options, dry_run=dry_run, **whole)

    try:
        with BufferedReader(open_regular(files.path(name))) as file:
            source = SingerFile(file, f"the undo file {name}", _ADVICE)
            _take_back(files, name, config, adapt, source, dry_run=dry_run, yes=yes)
    except OSError as error:
        raise InvalidInput(f"The undo file {files.path(name)} cannot be read ({error.strerror}): {_ADVICE}") from error


def _take_back(
    files: _UndoFiles, name: str, config: dict[str, Any], adapt: Any, source: SingerFile, *, dry_run: bool, yes: bool
) -> None:
    """Run the undo, and remember it however it ends."""
    before = set(files.names)
    is_complete = False
    try:
        planned_restore(config, adapt, source, dry_run=dry_run, yes=yes)
        is_complete = not dry_run
    finally:
        made = [path.name for path in files.path("").glob("undo-*.singer") if path.name not in before]
        if is_complete or made:
            files.note(name, is_complete=is_complete, made=made[0] if made else None)


def _print_list(files: _UndoFiles) -> None:
    for name in files.names:
        time = name.removeprefix("undo-").removesuffix(".singer")
        line = f"{time}  {_content(files.path(name))}"
        if files.is_of_undo(name):
            line += "  (an undo)"
        if (by := files.taken_back_by(name)) is not None:
            line += f"  (taken back{f' by {by.made}' if by.made else ''})"
        click.echo(printable(line))
    if not files.names:
        click.echo(f"There is nothing to take back in {files.path('')}.")


def _content(path: Path) -> str:
    """Say how many products and images an undo file holds."""
    products, images = set[Any](), 0
    try:
        with BufferedReader(open_regular(path)) as file:
            for _, _, message in jsonl.messages(file, f"the undo file {path.name}", _ADVICE):
                if message.get("type") == "RECORD":
                    images += message.get("stream") == "product_images"
                    if message.get("stream") == "products":
                        with suppress(AttributeError, TypeError):
                            products.add(message["record"].get("id"))
    except (OSError, InvalidInput) as error:
        return f"cannot be read: {error}"
    return f"{counted(len(products), 'product')}, {counted(images, 'image')}"
