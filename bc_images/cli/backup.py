"""``bc-images backup``: one snapshot of the store's images, with their pictures, in the file store."""

from __future__ import annotations

import logging
from contextlib import closing
from dataclasses import dataclass
from typing import Any, ClassVar

import click

from bc_images.cli.exit import InterruptedRun
from bc_images.cli.pipe import Pipe, PipeWriter
from bc_images.cli.sources import CommandSettings, config_option, load
from bc_images.errors import BcImagesError, PartialFailure
from bc_images.files import open_files
from bc_images.singer.archive.loader import Kept, keep
from bc_images.snapshots import SnapshotStore
from bc_images.text import byte_size, counted
from tap_bc_images.tap import TapBCImages

__all__ = ["BackupResult", "back_up", "backup"]

logger = logging.getLogger(__name__)

_NO_SNAPSHOT = (
    "stopped by a signal: no snapshot was made. Pictures that were saved stay, and the next backup uses them."
)


@dataclass(frozen=True, slots=True)
class BackupResult:
    """What one backup has made.

    Attributes:
        snapshot: its archive and counts.
        new_files: pictures that were downloaded.
        new_bytes: their bytes.
        failure: why not all of it is there, though the snapshot is; None where all is.
    """

    snapshot: Kept
    new_files: int
    new_bytes: int
    failure: BcImagesError | None

    def __str__(self) -> str:
        records = self.snapshot.records
        parts = [counted(records["products"], "product"), counted(records["product_images"], "image")]
        new = f"{counted(self.new_files, 'new picture')} ({byte_size(self.new_bytes)})"
        return f"{self.snapshot.display_name}: {', '.join(parts)}, {new}"


class _SnapshotTap(TapBCImages):
    """The tap, writing into a pipe."""

    message_writer_class = PipeWriter
    message_writer: PipeWriter
    prog: ClassVar[str] = "bc-images"
    interrupted_message: ClassVar[str] = _NO_SNAPSHOT

    def interrupt(self, code: int) -> None:
        """End the run without a snapshot; one that is whole already is finished instead."""
        pipe = self.message_writer.pipe
        if pipe is not None and pipe.is_finished:
            self.signal_exit_code = None
            return
        super().interrupt(code)


@click.command()
@config_option
def backup(configs: tuple[str, ...]) -> None:
    """Save all images and pictures of the store as one snapshot.

    The snapshot is what the tap and target-singer-archive write together: products and images as they are now, and the
    pictures by digest, of which only new ones are downloaded. It counts as complete only if the whole store was read.

    Exit code 0: the snapshot is complete. 1: it is there, but some images or pictures are not in it. 2: wrong settings.
    3: the store or the file store cannot be used; what was read is kept as an incomplete snapshot, which is used
    only where it is named. 130 or 143, after a signal: there is no snapshot.
    """
    result = back_up(load(configs))
    click.echo(str(result))
    if result.failure is not None:
        raise result.failure


def back_up(settings: CommandSettings) -> BackupResult:
    """Make one snapshot.

    Raises:
        BcImagesError: there is no complete snapshot.
        InterruptedRun: a signal has ended the run; there is no snapshot at all.
    """
    archive = settings.archive()
    config = settings.of(TapBCImages)
    tap = _SnapshotTap(config=config, catalog=_catalog(config))
    pipe = Pipe(lambda lines: keep(lines, archive, shows_progress=False))
    tap.message_writer.pipe = pipe
    failure: BcImagesError | None = None
    try:
        try:
            tap.sync()
        except PartialFailure as error:
            failure = error
        except BcImagesError:
            _keep_incomplete(pipe)
            raise
        snapshot = pipe.finish()
    except SystemExit as exiting:
        raise InterruptedRun(exiting.code, _NO_SNAPSHOT) from exiting
    except PartialFailure as error:
        raise failure or error from error
    finally:
        pipe.abort()
        pipe.join()
    session = tap.session
    _note_new_pictures(archive, snapshot, session.downloaded_files)
    return BackupResult(snapshot, session.downloaded_files, session.downloaded_bytes, failure)


def _note_new_pictures(archive: dict[str, Any], snapshot: Kept, new_files: int) -> None:
    """Write the number of downloads into the manifest, which only this command knows; the snapshot is durable."""
    try:
        with closing(open_files(archive["file_store"], writable=True)) as files:
            SnapshotStore(files, archive["name"]).note(snapshot.archive, new_pictures=new_files)
    except BcImagesError as error:
        logger.warning("The manifest of %s does not say how many pictures are new: %s", snapshot.archive, error)


def _keep_incomplete(pipe: Pipe[Kept]) -> None:
    """Keep what came before the tap failed, as a loader behind it would; the tap's own error is the one to be told."""
    try:
        pipe.finish()
    except PartialFailure as error:
        logger.warning("%s", error)
    except BcImagesError as error:
        logger.debug("No snapshot: %s", error)


def _catalog(config: dict[str, Any]) -> Any:
    """Return the catalog with both streams selected."""
    catalog = TapBCImages(config=config).catalog
    for entry in catalog.values():
        entry.metadata.root.selected = True
    return catalog
