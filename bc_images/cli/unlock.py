"""``bc-images unlock``: remove the locks that restores have left behind in the file store."""

from __future__ import annotations

from contextlib import closing

import click

from bc_images.cli.options import DEFAULT_FILE, file_store_option, from_settings
from bc_images.errors import FileStoreError
from bc_images.files.locks import Lock, StoreLock
from bc_images.files.store import open_files
from bc_images.text import printable

__all__ = ["unlock"]


@click.command()
@file_store_option("TARGET", "TAP")
@click.option(
    "--store-hash",
    metavar="HASH",
    envvar=["TARGET_BC_IMAGES_STORE_HASH", "TAP_BC_IMAGES_STORE_HASH"],
    callback=from_settings,
    help="The store. Else TARGET_BC_IMAGES_STORE_HASH or TAP_BC_IMAGES_STORE_HASH of the environment, or store_hash in "
    f"{DEFAULT_FILE}.",
)
@click.option("--all", "everything", is_flag=True, help="Remove the locks of restores that may still be running, too.")
@click.pass_context
def unlock(ctx: click.Context, file_store: str, store_hash: str, *, everything: bool) -> None:
    """Remove the locks that ended restores have left behind.

    A lock is stale when its process has ended, or when it has not been renewed for 30 minutes; a restore removes stale
    locks by itself. With --all, a restore that is still running notices within minutes that its lock is gone, and
    stops.

    Exit code 0: no lock is left. 1: locks of restores that may be running were kept. 2: wrong settings. 3: the file
    store is not usable.
    """
    with closing(open_files(file_store)) as files:
        files.must_exist()
        try:
            removed, kept = StoreLock(files.backend, store_hash).remove(everything=everything)
        except NotImplementedError as error:
            raise FileStoreError(
                f"The file store {files.display_name} is read-only: no lock was removed. Give a writable URL of it."
            ) from error
    for lock in removed:
        click.echo(f"removed: {_described(lock)}")
    for lock in kept:
        click.echo(f"kept: {_described(lock)}. It may be running; to remove its lock all the same, add --all.")
    if not removed and not kept:
        click.echo("There are no locks.")
    if kept:
        ctx.exit(1)


def _described(lock: Lock) -> str:
    return printable(f"{lock}, renewed {max(0, round(lock.age(None) / 60))} min ago")
