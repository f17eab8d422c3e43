"""The tap: settings, catalog, state and signals; what it reads is in `tap_bc_images.streams`."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import IO, TYPE_CHECKING, Any, ClassVar

import click
from singer_sdk import Tap
from singer_sdk.exceptions import ConfigValidationError, MapExpressionError, StreamMapConfigError
from singer_sdk.helpers.capabilities import PluginCapabilities
from singer_sdk.singerlib import Catalog

from bc_images import logs
from bc_images.bigcommerce import Store, open_store
from bc_images.bigcommerce.mapping import InvalidImage
from bc_images.bigcommerce.transport import Client
from bc_images.cli.exit import run_and_exit
from bc_images.config import InputFile, checked, from_environment, json_object, settings_files
from bc_images.errors import PartialFailure, SettingsError
from bc_images.settings import PROPERTIES, REQUIRED, Settings
from bc_images.singer.writer import BufferedWriter, OutputClosedError
from bc_images.units import counted
from tap_bc_images.catalog import read_catalog
from tap_bc_images.inputs import check_state, read_state, read_text
from tap_bc_images.product_buffer import ProductBuffer
from tap_bc_images.settings import PROPERTIES as TAP_PROPERTIES
from tap_bc_images.settings import Options
from tap_bc_images.streams import ProductImagesStream, ProductsStream
from tap_bc_images.sync import CatalogStream

if TYPE_CHECKING:
    from types import FrameType

    from singer_sdk.helpers.capabilities import CapabilitiesEnum
    from singer_sdk.plugin_base import _ConfigInput

    from bc_images.files import FileStore

__all__ = ["TapBCImages", "main"]

PROG = "tap-bc-images"
_PREFIX = "TAP_BC_IMAGES_"
_FAREWELL = "stopped by a signal. What was written is whole; run again to go on."
_SIGNALLED = {128 + signal.SIGTERM, 128 + signal.SIGINT}
_GRACE = 2.0  # seconds for an orderly end after a signal
_WRITE_GRACE = 30.0  # seconds for a reader that is busy to take the block that is on its way
_TRIES_MORE = 0.05  # seconds between two looks


class TapBCImages(Tap):
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

    settings: Settings
    options: Options

    def __init__(
        self,
        *,
        config: Mapping[str, Any] | None = None,
        catalog: Catalog | Mapping[str, Any] | None = None,
        state: Mapping[str, Any] | None = None,
        parse_env_config: bool = True,  # noqa: ARG002 - the SDK's signature; the environment is always read
        **rest: Any,
    ) -> None:
        """Take the settings from `config` and, above it, from the environment (``TAP_BC_IMAGES_<NAME>``).

        Raises:
            SettingsError: settings, catalog or state cannot be used.
        """
        self.append_builtin_config(self.config_jsonschema)
        environment = from_environment(_PREFIX, self.config_jsonschema["properties"], os.environ)
        self._store: Store | None = None
        self._client: Client | None = None
        self.roster: ProductBuffer | None = None
        """The products, where the sweep for the images has already seen them all."""
        self.failed_files = 0
        self.invalid = 0
        """How many images were left out, since they cannot be records."""
        self.first_invalid: InvalidImage | None = None
        self._signal: int | None = None
        try:
            super().__init__(
                config={**(config or {}), **environment},
                catalog=None if catalog is None else read_catalog(catalog),
                state=dict(state or {}),
                parse_env_config=False,
                **rest,
            )
        except (StreamMapConfigError, MapExpressionError) as error:
            raise SettingsError(f"stream_maps cannot be: {error}") from error
        except ConfigValidationError as error:
            raise SettingsError(f"Settings that cannot be: {'; '.join(error.errors) or error}.") from error

    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        """Check every setting, in our own words: the SDK's would show a secret of a wrong type.

        ``--discover`` needs no settings, so it does not check them.
        """
        if raise_errors:
            self._config = checked(self._config, self.config_jsonschema)
            self.settings = Settings.from_config(self._config)
            self.options = Options.from_config(self._config)
        return []

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
    def client(self) -> Client:
        """The one client that all streams share, with its rate budget."""
        if self._client is None:
            self._client = Client(self.settings)
        return self._client

    @property
    def store(self) -> Store:
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
    def cb_config(cls, ctx: click.Context, param: click.Option, value: tuple[str, ...]) -> _ConfigInput:
        """Read the files of ``--config``.

        Raises:
            SettingsError: one of them is missing or damaged.
        """
        given = super().cb_config(ctx, param, ())
        given.config = settings_files(value)
        return given

    @classmethod
    def get_singer_command(cls) -> click.Command:
        """Return the command; what its options name is opened without waiting."""
        command = super().get_singer_command()
        for option in command.params:
            if isinstance(option.type, click.File):
                option.type = InputFile()
        return command

    @classmethod
    def invoke(  # type: ignore[override]
        cls,
        *,
        about: bool = False,
        about_format: str | None = None,
        config: _ConfigInput | None = None,
        state: IO[str] | None = None,
        catalog: IO[str] | None = None,
    ) -> None:
        """Run the tap as the command line asks.

        Raises:
            PartialFailure: the run is finished, but some images or pictures could not be had.
        """
        if about:
            cls.print_about(about_format)
            return
        cls.print_version(print_fn=cls.logger.info)
        tap = cls(
            config=config.config if config else None,
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

    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the SDK's signature
        """End with 128 + `signum`, never with the SDK's 0: a backup cut short must not look complete.

        What is written stays whole lines; a STATE among them is true. A second signal ends the program at once.
        """
        code = 128 + signum
        if self._signal is not None:
            os._exit(code)
        self._signal = signum
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
        os.write(2, f"{PROG}: {_FAREWELL}\n".encode())
        os._exit(code)


def _run() -> object:
    command = logs.configure(_PREFIX, lambda: TapBCImages.cli)
    return command.main(prog_name=PROG, standalone_mode=False)


def main() -> None:
    """Run ``tap-bc-images``: every way it can end is one line on stderr and a documented exit code."""
    # A sweep makes and frees millions of objects, none of them in a cycle: to look for cycles took 6 % of its time.
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    try:
        run_and_exit(
            PROG,
            _run,
            farewell=_FAREWELL,
            reader_gone=(OutputClosedError,),
        )
    except SystemExit as leaving:
        if leaving.code in _SIGNALLED:  # all is said and tidied up; the interpreter would wait for the other threads
            os._exit(int(leaving.code))
        raise
