"""``source-bc-images``: the tap as an Airbyte source."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, NoReturn

import click
from airbyte_protocol_dataclasses.models import (
    AirbyteCatalog,
    AirbyteStream,
    ConnectorSpecification,
    SyncMode,
)

from bc_images.bigcommerce import StoreClient
from bc_images.errors import SettingsError
from bc_images.files import open_files
from bc_images.regular_files import read_input
from bc_images.settings import PROPERTIES, REQUIRED
from bc_images.text import shortened
from bc_images_airbyte import messages
from bc_images_airbyte.connector import PROTOCOL, answer_check, connection_form, read_json, run
from bc_images_airbyte.writer import AirbyteWriter
from tap_bc_images.settings import PROPERTIES as TAP_PROPERTIES
from tap_bc_images.streams import ProductImagesStream
from tap_bc_images.tap import TapBCImages

__all__ = ["SourceBCImages", "main"]

PROG = "source-bc-images"
# Airbyte knows by itself when a stream is complete, and what to drop then.
_SETTINGS = {name: schema for name, schema in {**PROPERTIES, **TAP_PROPERTIES}.items() if name != "activate_version"}


class SourceBCImages(TapBCImages):
    """The tap as an Airbyte source."""

    message_writer_class = AirbyteWriter
    message_writer: AirbyteWriter

    def read(self) -> None:
        """Read the selected streams, each from STARTED to COMPLETE or INCOMPLETE.

        Raises:
            BcImagesError: what the tap raises; what was read before it stays true.
            PartialFailure: all is read, but some images or pictures could not be had.
        """
        writer = self.message_writer
        writer.is_complete = lambda stream: (
            stream != ProductImagesStream.name or not (self.session.failed_files or self.session.invalid_images)
        )
        try:
            self.sync_all()
        except Exception:
            writer.end(failed=True)
            raise
        else:
            writer.end()
        finally:
            self.close()
        self.session.require_complete()


def streams(settings: Mapping[str, Any]) -> list[AirbyteStream]:
    """Return the streams as Airbyte describes them."""
    return [_stream(entry) for entry in TapBCImages(config=settings).catalog_dict["streams"]]


def _stream(entry: Mapping[str, Any]) -> AirbyteStream:
    schema = deepcopy(entry["schema"])
    for field in schema["properties"].values():
        if field.get("format") == "date-time":
            field["airbyte_type"] = "timestamp_with_timezone"
    keys = _of_the_stream(entry).get("valid-replication-keys")
    return AirbyteStream(
        name=entry["tap_stream_id"],
        json_schema=schema,
        supported_sync_modes=[SyncMode.full_refresh, *([SyncMode.incremental] if keys else [])],
        source_defined_cursor=bool(keys),
        default_cursor_field=keys,
        source_defined_primary_key=[[key] for key in entry["key_properties"]],
        is_resumable=True,
    )


def _of_the_stream(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata of a stream itself, which stands beside that of its fields."""
    (metadata,) = (each["metadata"] for each in entry["metadata"] if not each["breadcrumb"])
    result: dict[str, Any] = metadata
    return result


def singer_catalog(configured: Mapping[str, Any], discovered: Mapping[str, Any]) -> dict[str, Any]:
    """Turn a configured Airbyte catalog into the Singer catalog that the tap reads.

    As with other sources, a stream that cannot be read incrementally is read whole where incremental is asked for.

    Raises:
        SettingsError: it is damaged, or asks for what there is not.
    """
    catalog = deepcopy(dict(discovered))
    entries = {entry["tap_stream_id"]: entry for entry in catalog["streams"]}
    asked = {}
    try:
        for each in configured["streams"]:
            properties = (each["stream"].get("json_schema") or {}).get("properties") or {}
            asked[str.strip(each["stream"]["name"])] = (each["sync_mode"], {*properties})
    except (KeyError, TypeError, AttributeError) as error:
        problem = f"{type(error).__name__} {shortened(str(error), 200)}"
        raise SettingsError(f"--catalog is not valid: {problem}. Run discover again.") from error
    if unknown := sorted(asked.keys() - entries.keys()):
        names = shortened(", ".join(unknown), 200)
        raise SettingsError(f"--catalog names streams that do not exist: {names}. Run discover again.")
    for name, entry in entries.items():
        mode, wanted = asked.get(name, (None, set()))
        for each in entry["metadata"]:
            if wanted and each["breadcrumb"] and each["breadcrumb"][-1] not in wanted | {*entry["key_properties"]}:
                each["metadata"]["selected"] = False
        metadata = _of_the_stream(entry)
        can = mode == "incremental" and metadata.get("valid-replication-keys")
        metadata["selected"] = mode is not None
        metadata["replication-method"] = "INCREMENTAL" if can else "FULL_TABLE"
    return catalog


def singer_state(messages: object) -> dict[str, Any]:
    """Turn the state that Airbyte kept, one message for each stream, into Singer's.

    Raises:
        SettingsError: it is damaged.
    """
    bookmarks = {}
    try:
        for message in messages or []:  # type: ignore[attr-defined] # what it is comes out here
            if (kept := message["stream"]["stream_state"]) is not None:
                bookmarks[message["stream"]["stream_descriptor"]["name"]] = kept
    except (KeyError, TypeError, AttributeError) as error:
        raise SettingsError("--state is not valid: give the STATE messages of an earlier run, or none.") from error
    return {"bookmarks": bookmarks}


@click.group(PROG)
def cli() -> None:
    """Every image of every product of a BigCommerce store, as an Airbyte source."""


_CONFIG = click.option("--config", type=click.Path(path_type=Path), required=True, help="Settings, a JSON file.")


@cli.command()
def spec() -> None:
    """Tell which settings there are."""
    form = connection_form("BigCommerce product images", _SETTINGS, REQUIRED)
    specification = ConnectorSpecification(form, supportsIncremental=True, protocol_version=PROTOCOL)
    messages.emit(messages.specification(specification))


@cli.command()
@_CONFIG
def check(config: Path) -> None:
    """Check the settings and the connection to the store."""

    def connect() -> StoreClient:
        source = SourceBCImages(config=read_json(config, "--config"))
        if source.settings.file_store:
            open_files(source.settings.file_store, writable=True).close()
        return source.session.store

    answer_check(connect)


@cli.command()
@_CONFIG
def discover(config: Path) -> None:
    """Tell which streams there are."""
    messages.emit(messages.catalog(AirbyteCatalog(streams(read_json(config, "--config")))))


@cli.command()
@_CONFIG
@click.option("--catalog", type=click.Path(path_type=Path), required=True, help="The configured catalog.")
@click.option("--state", type=click.Path(path_type=Path), help="The STATE messages of an earlier run.")
def read(config: Path, catalog: Path, state: Path | None) -> None:
    """Read the streams of the configured catalog."""
    settings = read_json(config, "--config")
    discovered = TapBCImages(config=settings).catalog_dict
    source = SourceBCImages(
        config=settings,
        catalog=singer_catalog(read_json(catalog, "--catalog"), discovered),
        state=singer_state(_kept(state)) if state else None,
    )
    source.read()


def _kept(path: Path) -> object:
    try:
        return json.loads(read_input(path))
    except (OSError, ValueError) as error:
        raise SettingsError(f"--state cannot be read: {error}.") from error


def main() -> NoReturn:
    """Run ``source-bc-images``."""
    run(PROG, cli, SourceBCImages, "TAP_BC_IMAGES_")
