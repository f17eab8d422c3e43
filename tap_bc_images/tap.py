"""The tap: settings, catalog, state and signals; what it reads is in `tap_bc_images.streams`."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from typing import IO, TYPE_CHECKING, Any, ClassVar

from singer_sdk import Tap
from singer_sdk.helpers.capabilities import PluginCapabilities
from singer_sdk.singerlib import Catalog

from bc_images.config import json_object
from bc_images.errors import SettingsError
from bc_images.settings import PROPERTIES, REQUIRED
from bc_images.singer.plugin import SingerPlugin, run_plugin
from bc_images.singer.writer import BufferedWriter
from tap_bc_images.catalog import check_state, read_catalog, read_state, read_text
from tap_bc_images.catalog_stream import CatalogStream
from tap_bc_images.session import Session
from tap_bc_images.settings import PROPERTIES as TAP_PROPERTIES
from tap_bc_images.settings import TapSettings
from tap_bc_images.streams import ProductImagesStream, ProductsStream

if TYPE_CHECKING:
    import click
    from singer_sdk.helpers.capabilities import CapabilitiesEnum

__all__ = ["TapBCImages", "main"]

PROG = "tap-bc-images"
_INTERRUPTED = "stopped by a signal. What was written is complete up to its last line; run again to resume."
_SIGNALLED = {128 + signal.SIGTERM, 128 + signal.SIGINT}
_GRACE = 2.0  # seconds for an orderly end after a signal
_WRITE_GRACE = 30.0  # seconds for a reader that is busy to take the block that is on its way
_POLL = 0.05  # seconds
_M_MMAP_THRESHOLD = -3  # malloc.h


class TapBCImages(SingerPlugin, Tap):
    """Every image of every product of a BigCommerce store: complete, in order, with the picture bytes on request."""

    name = PROG
    package_name = "bc-images"
    message_writer_class = BufferedWriter
    message_writer: BufferedWriter
    # No BATCH: its messages carry no version, so that the ACTIVATE_VERSION behind them would empty the table.
    capabilities: ClassVar[list[CapabilitiesEnum]] = [
        capability for capability in Tap.capabilities if capability is not PluginCapabilities.BATCH
    ]
    config_jsonschema: ClassVar[dict[str, Any]] = {
        "type": "object",
        "properties": {**PROPERTIES, **TAP_PROPERTIES},
        "required": REQUIRED,
    }

    prog: ClassVar[str] = PROG
    """The command that a line on stderr is from."""
    interrupted_message: ClassVar[str] = _INTERRUPTED

    _session: Session | None = None  # --discover needs no settings

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
        super().__init__(catalog=None if catalog is None else read_catalog(catalog), state=dict(state or {}), **rest)

    def load_settings(self, config: Mapping[str, Any]) -> None:
        """Read the settings."""
        super().load_settings(config)
        self._session = Session(self.settings, TapSettings.from_config(config))

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over the state of an earlier run.

        Raises:
            SettingsError: it is not valid.
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
        return [ProductImagesStream(self, self._session), ProductsStream(self, self._session)]

    @property
    def session(self) -> Session:
        """What the streams share.

        Raises:
            SettingsError: the tap was made without settings.
        """
        if self._session is None:
            raise SettingsError("Nothing can be read without settings: give --config.")
        return self._session

    def sync(self) -> None:
        """Read the selected streams, and close the session.

        Raises:
            PartialFailure: the run is finished, but some images or pictures could not be downloaded.
        """
        if not any(stream.selected for stream in self.streams.values()):
            self.logger.warning("No stream is selected: nothing will be read. Select one in the catalog.")
        with closing(self.session) as session:
            if session.settings.file_store and self.streams[ProductImagesStream.name].selected:
                session.files.probe()  # an error in it ends the run before the first request
            self.sync_all()
        session.require_complete()

    def close(self) -> None:
        """Send nothing more, and wake every thread that waits."""
        if self._session is not None:
            self._session.close()

    # The command line

    @classmethod
    def cb_test(cls, ctx: click.Context, param: click.Option, value: str) -> None:  # noqa: ARG003 - click's signature
        """Run ``--test`` with every stream selected: the SDK would select them too late for their SCHEMAs."""
        if value == "disabled":
            return
        config = ctx.params["config"].config
        catalog = cls(config=config).catalog
        for entry in catalog.values():
            entry.metadata.root.selected = True
        with closing(cls(config=config, catalog=catalog)) as tap:
            if value == "schema":
                tap.write_schemas()
            else:
                tap.run_connection_test()
        ctx.exit()

    @classmethod
    def run(  # type: ignore[override]
        cls, config: Mapping[str, Any], state: IO[str] | None = None, catalog: IO[str] | None = None
    ) -> None:
        """Read the selected streams, as `sync` does."""
        tap = cls(
            config=config,
            state=None if state is None else read_state(read_text(state, "--state")),
            catalog=None if catalog is None else json_object(read_text(catalog, "--catalog"), "--catalog"),
        )
        tap.sync()

    # Signals

    def interrupt(self, code: int) -> None:
        """Exit with this code. What is written stays whole lines; a STATE among them is true."""
        # A request that is under way cannot be called back, and the interpreter would wait for its thread.
        threading.Thread(target=self._force_exit, args=(code,), daemon=True).start()
        if self._session is not None:
            self._session.stop()
        self.message_writer.exit(code)

    def _force_exit(self, code: int) -> None:
        time.sleep(_GRACE)
        deadline = time.monotonic() + _WRITE_GRACE
        while self.message_writer.writing and time.monotonic() < deadline:
            time.sleep(_POLL)
        os.write(2, f"{self.prog}: {self.interrupted_message}\n".encode())
        os._exit(code)


def main() -> None:
    """Run ``tap-bc-images``: every way it can end is one line on stderr and a documented exit code."""
    with suppress(OSError, AttributeError, TypeError):  # without glibc
        # Else it keeps the memory of freed pages for each thread: 70 MB of 160, where a page has 10 MB.
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, 2**20)
    try:
        run_plugin(TapBCImages, _INTERRUPTED)
    except SystemExit as exiting:
        if exiting.code in _SIGNALLED:  # everything is closed; the interpreter would wait for the other threads
            os._exit(int(exiting.code))
        raise
