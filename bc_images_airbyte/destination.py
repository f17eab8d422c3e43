"""``destination-bc-images``: the target as an Airbyte destination."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import IO, Any, NoReturn

import click
from airbyte_protocol_dataclasses.models import ConnectorSpecification, DestinationSyncMode, SyncMode

from bc_images.bigcommerce import StoreClient
from bc_images.errors import SettingsError
from bc_images.settings import PROPERTIES, REQUIRED
from bc_images.singer.reader import MessageSource
from bc_images.text import shortened
from bc_images_airbyte import messages
from bc_images_airbyte.connector import PROTOCOL, answer_check, connection_form, read_json, run
from bc_images_airbyte.reader import AirbyteSource, Stream
from target_bc_images.settings import PROPERTIES as TARGET_PROPERTIES
from target_bc_images.target import TargetBCImages

__all__ = ["DestinationBCImages", "main"]

PROG = "destination-bc-images"


class DestinationBCImages(TargetBCImages):
    """The target as an Airbyte destination.

    Args:
        streams: the configured streams.
        rest: as for the target.

    Raises:
        SettingsError: a stream is to overwrite, but the settings do not say how much that may delete.
    """

    def __init__(self, streams: list[Stream], **rest: Any) -> None:
        super().__init__(**rest)
        if any(stream.overwrites for stream in streams) and self.target_settings.mode != "mirror":
            raise SettingsError(
                "The sync mode overwrite deletes images: set mode to mirror and max_deletes to the most it may delete, "
                "or choose append_dedup."
            )
        self._streams = streams
        self._source: AirbyteSource

    def source(self, file: IO[bytes] | None) -> MessageSource:
        """Return the messages of a file, or of standard input."""
        self._source = AirbyteSource(file, self._streams)
        return self._source

    def write_state(self, state: dict[str, Any]) -> None:  # noqa: ARG002 - the source has Airbyte's own
        """Give back every STATE: all records before them are in the store."""
        for message in self._source.states:
            messages.emit_raw(message)


def configured_streams(catalog: dict[str, Any]) -> list[Stream]:
    """Return what the configured catalog says of each stream.

    Raises:
        SettingsError: it is damaged, or asks for a sync mode that there is not.
    """
    found = []
    try:
        for each in catalog["streams"]:
            mode = DestinationSyncMode(each.get("destination_sync_mode", "append_dedup"))
            if mode not in SYNC_MODES:
                raise SettingsError(
                    f"The sync mode {mode.value} is not supported: use append_dedup, append or overwrite."
                )
            stream = each["stream"]
            found.append(Stream(str.strip(stream["name"]), stream.get("namespace"), _overwrites(mode, each)))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise SettingsError(f"--catalog is not valid: {type(error).__name__} {shortened(str(error), 200)}.") from error
    for name, times in Counter(stream.name for stream in found).items():
        if times > 1:
            raise SettingsError(f"The stream {name} is configured in {times} namespaces: choose one of them.")
    return found


def _overwrites(mode: DestinationSyncMode, configured: dict[str, Any]) -> bool:
    """Whether a stream stands for all that the store should have.

    A destination that supports refreshes is never told ``overwrite``: it is told ``append``, and that nothing older
    than the generation it is being sent may stay; a least generation of 0 means that everything stays. It is not taken
    at that word where a stream is read incrementally, for what has not changed is not sent, nor with ``append_dedup``,
    for PyAirbyte says it of every stream.
    """
    if mode is not DestinationSyncMode.append or configured.get("sync_mode") != SyncMode.full_refresh.value:
        return mode is DestinationSyncMode.overwrite
    least = configured.get("minimum_generation_id")
    return bool(least) and least == configured.get("generation_id")


SYNC_MODES = [DestinationSyncMode.append_dedup, DestinationSyncMode.append, DestinationSyncMode.overwrite]


@click.group(PROG)
def cli() -> None:
    """Product images back into a BigCommerce store, as an Airbyte destination."""


_CONFIG = click.option("--config", type=click.Path(path_type=Path), required=True, help="Settings, a JSON file.")


@cli.command()
def spec() -> None:
    """Tell which settings there are."""
    form = connection_form("BigCommerce product images", {**PROPERTIES, **TARGET_PROPERTIES}, REQUIRED)
    specification = ConnectorSpecification(
        form, supportsIncremental=True, supported_destination_sync_modes=SYNC_MODES, protocol_version=PROTOCOL
    )
    messages.emit(messages.specification(specification))


@cli.command()
@_CONFIG
def check(config: Path) -> None:
    """Check the settings and the connection to the store."""

    def connect() -> StoreClient:
        return DestinationBCImages([], config={**read_json(config, "--config"), "report": None}).session.store

    answer_check(connect)


@cli.command()
@_CONFIG
@click.option("--catalog", type=click.Path(path_type=Path), required=True, help="The configured catalog.")
def write(config: Path, catalog: Path) -> None:
    """Restore the records on standard input; give back each STATE once all before it is in the store."""
    streams = configured_streams(read_json(catalog, "--catalog"))
    with closing(DestinationBCImages(streams, config=read_json(config, "--config"))) as destination:
        destination.restore()


def main() -> NoReturn:
    """Run ``destination-bc-images``."""
    run(PROG, cli, DestinationBCImages, "TARGET_BC_IMAGES_")
