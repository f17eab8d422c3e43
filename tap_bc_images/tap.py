"""The tap: settings, catalog, state and signals; what it reads is in `tap_bc_images.streams`."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import IO, TYPE_CHECKING, Any, ClassVar

from singer_sdk import Tap
from singer_sdk.helpers.capabilities import PluginCapabilities
from singer_sdk.singerlib import Catalog

from bc_images.bigcommerce import StoreClient, open_store
from bc_images.bigcommerce.mapping import InvalidImage
from bc_images.bigcommerce.transport import HttpClient
from bc_images.config import json_object
from bc_images.errors import PartialFailure
from bc_images.settings import PROPERTIES, REQUIRED
from bc_images.singer.plugin import SingerPlugin, run_plugin
from bc_images.singer.writer import BufferedWriter
from bc_images.units import counted
from tap_bc_images.catalog import read_catalog
from tap_bc_images.inputs import check_state, read_state, read_text
from tap_bc_images.product_buffer import ProductBuffer
from tap_bc_images.settings import PROPERTIES as TAP_PROPERTIES
from tap_bc_images.settings import Options
from tap_bc_images.streams import ProductImagesStream, ProductsStream
from tap_bc_images.sync import CatalogStream

if TYPE_CHECKING:
    from singer_sdk.helpers.capabilities import CapabilitiesEnum

    from bc_images.files import FileStore

__all__ = ["TapBCImages", "main"]

PROG = "tap-bc-images"
_INTERRUPTED = "stopped by a signal. What was written is whole; run again to go on."
_SIGNALLED = {128 + signal.SIGTERM, 128 + signal.SIGINT}
_GRACE = 2.0  # seconds for an orderly end after a signal
_WRITE_GRACE = 30.0  # seconds for a reader that is busy to take the block that is on its way
_TRIES_MORE = 0.05  # seconds between two looks


class TapBCImages(SingerPlugin, Tap):
    """Every image of every product of a BigCommerce store: complete, in order, with the picture bytes on request."""

    name = PROG
    package_name = "bc-images"
    message_writer_class = BufferedWriter
    message_writer: BufferedWriter
    # No BATCH: its messages carry no version, so that the ACTIVATE_VERSION behind them would empty the table.
    capabilities: ClassVar[list[CapabilitiesEnum]] = [
        each for each in Tap.capabilities if each is not PluginCapabilities.BATCH
    ]
    config_jsonschema: ClassVar[dict[str, Any]] = {
        "type": "object",
        "properties": {**PROPERTIES, **TAP_PROPERTIES},
        "required": REQUIRED,
    }

    options: Options

    def __init__(
        self,
        *,
        catalog: Catalog | Mapping[str, Any] | None = None,
        state: Mapping[str, Any] | None = None,
        **rest: Any,
    ) -> None:
        """Take settings, catalog and state.

        Raises:
            SettingsError: one of them cannot be used.
        """
        self._store: StoreClient | None = None
        self._client: HttpClient | None = None
        self.roster: ProductBuffer | None = None
        """The products, where the sweep for the images has already seen them all."""
        self.failed_files = 0
        self.invalid = 0
        """How many images were left out, since they cannot be records."""
        self.first_invalid: InvalidImage | None = None
        super().__init__(catalog=None if catalog is None else read_catalog(catalog), state=dict(state or {}), **rest)

    def load_settings(self, config: Mapping[str, Any]) -> None:
        """Read the settings."""
        super().load_settings(config)
        self.options = Options.from_config(config)

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over the state of an earlier run.

        Raises:
            SettingsError: it is damaged.
        """
        checked_state = check_state(state)
        super().load_state(checked_state)
        if foreign := sorted(checked_state.get("bookmarks", {}).keys() - self.streams.keys()):
            self.logger.warning(
                "The state has bookmarks of unknown streams, which are ignored: %s.", ", ".join(foreign)
            )
        if state:
            for stream in self.streams.values():
                if isinstance(stream, CatalogStream) and stream.selected:
                    stream.check()

    def discover_streams(self) -> Sequence[CatalogStream]:
        """Return both streams."""
        return [ProductImagesStream(self), ProductsStream(self)]

    @property
    def client(self) -> HttpClient:
        """The one client that all streams share, with its rate budget."""
        if self._client is None:
            self._client = HttpClient(self.settings)
        return self._client

    @property
    def store(self) -> StoreClient:
        """The store that the settings name."""
        if self._store is None:
            self._store = open_store(self.settings, self.client)
        return self._store

    @cached_property
    def files(self) -> FileStore:
        """The file store; opened when first needed.

        Raises:
            BcImagesError: it cannot be used.
        """
        from bc_images.files import open_files

        return open_files(self.settings.file_store, writable=True)

    @property
    def speaks_for_the_table(self) -> bool:
        """Whether a complete sweep may say which rows there are: not where it is one part of several."""
        return self.options.activate_version and not self.options.is_shard

    def check_complete(self) -> None:
        """Make sure that nothing was left out.

        Raises:
            PartialFailure: the run is finished, but some images or pictures could not be had.
        """
        parts = []
        if self.first_invalid is not None:
            parts.append(
                f"{counted(self.invalid, 'image')} of the store cannot be read as records and were left out, the first "
                f"of them {self.first_invalid.text}. All others are written, without ACTIVATE_VERSION and without a "
                "bookmark. Correct or delete them in the store, then run again."
            )
        if self.failed_files:
            parts.append(
                f"{counted(self.failed_files, 'picture')} could not be downloaded: see the warnings above. Their "
                "records carry no digest; all else is complete. Run again: only what is missing is fetched."
            )
        if parts:
            raise PartialFailure(" ".join(parts))

    def close(self) -> None:
        """Send nothing more, and wake every thread that waits."""
        if self._client is not None:
            self._client.close()
        if self.roster is not None:
            self.roster.close()
        if "files" in self.__dict__:
            self.files.close()

    # The command line

    @classmethod
    def run(  # type: ignore[override]
        cls, config: Mapping[str, Any], state: IO[str] | None = None, catalog: IO[str] | None = None
    ) -> None:
        """Read the selected streams.

        Raises:
            PartialFailure: the run is finished, but some images or pictures could not be downloaded.
        """
        tap = cls(
            config=config,
            state=None if state is None else read_state(read_text(state, "--state")),
            catalog=None if catalog is None else json_object(read_text(catalog, "--catalog"), "--catalog"),
        )
        if not any(stream.selected for stream in tap.streams.values()):
            cls.logger.warning("No stream is selected: nothing will be read. Select one in the catalog.")
        try:
            if tap.settings.file_store and tap.streams[ProductImagesStream.name].selected:
                tap.files.probe()  # what is wrong with it is said before the first request
            tap.sync_all()
        finally:
            tap.close()
        tap.check_complete()

    # Signals

    def interrupt(self, code: int) -> None:
        """Exit with this code. What is written stays whole lines; a STATE among them is true."""
        # A request that is under way cannot be called back, and the interpreter would wait for its thread.
        threading.Thread(target=self._leave_anyhow, args=(code,), daemon=True).start()
        if self._client is not None:
            self._client.stop.set()
        self.message_writer.leave(code)

    def _leave_anyhow(self, code: int) -> None:
        time.sleep(_GRACE)
        patience = time.monotonic() + _WRITE_GRACE
        while self.message_writer.writing and time.monotonic() < patience:
            time.sleep(_TRIES_MORE)
        os.write(2, f"{PROG}: {_INTERRUPTED}\n".encode())
        os._exit(code)


def main() -> None:
    """Run ``tap-bc-images``: every way it can end is one line on stderr and a documented exit code."""
    try:
        run_plugin(TapBCImages, _INTERRUPTED)
    except SystemExit as exiting:
        if exiting.code in _SIGNALLED:  # all is said and tidied up; the interpreter would wait for the other threads
            os._exit(int(exiting.code))
        raise
