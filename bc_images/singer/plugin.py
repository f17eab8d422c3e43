"""The base of tap and target as Singer plugins: settings, command line, signals, exit."""

from __future__ import annotations

import gc
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import click
from singer_sdk.exceptions import ConfigValidationError, MapExpressionError, StreamMapConfigError
from singer_sdk.plugin_base import PluginBase

from bc_images import logs
from bc_images.cli.exit import run_and_exit
from bc_images.config import InputFile, checked, from_environment, settings_files
from bc_images.errors import SettingsError
from bc_images.settings import Settings, env_prefix

if TYPE_CHECKING:
    from types import FrameType

    from singer_sdk.plugin_base import _ConfigInput

__all__ = ["SingerPlugin", "run_plugin"]

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class SingerPlugin(PluginBase):
    """Mixin, before `Tap` or `Target` among the bases.

    Attributes:
        settings: the settings that tap and target share, checked.
        signal_exit_code: 143 or 130 once SIGTERM or SIGINT has arrived, else None.
    """

    input_mode: ClassVar[str] = "r"
    """How the files that the command line names are opened."""

    settings: Settings

    def __init__(
        self,
        *,
        config: Mapping[str, Any] | None = None,
        parse_env_config: bool = True,  # noqa: ARG002 - the SDK's signature; the environment is always read
        validate_config: bool = True,
        **rest: Any,
    ) -> None:
        """Take the settings from `config` and, above it, from the environment (``<PLUGIN>_<NAME>``).

        They are not checked where `validate_config` is false: ``--discover`` needs none. `rest` is as for the SDK.

        Raises:
            SettingsError: a setting, or what else is given, cannot be used.
        """
        schema = self.config_jsonschema
        self.append_builtin_config(schema)
        merged = {**(config or {}), **from_environment(env_prefix(self.name), schema["properties"], os.environ)}
        if validate_config:
            merged = checked(merged, schema)
            self.load_settings(merged)
        # The SDK's own check has nothing left to find: it would show a secret of a wrong type.
        self.config_jsonschema = {"properties": {}}  # type: ignore[misc]
        self.signal_exit_code: int | None = None
        try:
            with _handled_from_here(self._handle_signal):
                super().__init__(config=merged, validate_config=False, **rest)
        except (StreamMapConfigError, MapExpressionError) as error:
            raise SettingsError(f"Invalid stream_maps: {error}") from error
        except ConfigValidationError as error:  # flattening without its depth
            raise SettingsError(f"Invalid settings: {'; '.join(error.errors) or error}.") from error

    def load_settings(self, config: Mapping[str, Any]) -> None:
        """Read the settings out of `config`, which is valid by the plugin's JSON Schema.

        Raises:
            SettingsError: they contradict each other, or one is missing.
        """
        self.settings = Settings.from_config(config)

    def interrupt(self, code: int) -> None:
        """End the run with this exit code, in a signal handler.

        The SDK would exit with 0, and a backup that was cut short would look complete.
        """
        raise SystemExit(code)

    def _handle_signal(self, signum: int, _frame: FrameType | None) -> None:
        """Interrupt the run; a second signal ends the program at once."""
        code = 128 + signum
        if self.signal_exit_code is not None:
            os._exit(code)
        self.signal_exit_code = code
        self.interrupt(code)

    # The command line

    @classmethod
    def cb_config(cls, ctx: click.Context, param: click.Option, value: tuple[str, ...]) -> _ConfigInput:
        """Read the files of ``--config``.

        Raises:
            SettingsError: one of them is missing or not valid.
        """
        result = super().cb_config(ctx, param, ())
        result.config = settings_files(value)
        return result

    @classmethod
    def get_singer_command(cls) -> click.Command:
        """Return the command; the files that its options name are opened without waiting for a FIFO's writer."""
        command = super().get_singer_command()
        for option in command.params:
            if isinstance(option.type, click.File):
                option.type = InputFile(cls.input_mode)
        return command

    @classmethod
    def invoke(
        cls, *, about: bool = False, about_format: str | None = None, config: _ConfigInput | None = None, **inputs: Any
    ) -> None:
        """Run the plugin as the command line asks."""
        if about:
            cls.print_about(about_format)
            return
        cls.print_version(print_fn=cls.logger.info)
        cls.run(config.config if config else {}, **inputs)

    @classmethod
    def run(cls, config: Mapping[str, Any], **inputs: Any) -> None:
        """Do the plugin's work; `inputs` are the opened files of the command line, by option."""
        raise NotImplementedError


def run_plugin(
    plugin: type[SingerPlugin], interrupted_message: str, bad_settings: tuple[type[Exception], ...] = ()
) -> NoReturn:
    """Run a plugin's command: every way it can end is one line on stderr and a documented exit code."""
    # A full scan makes and frees millions of objects, none of them in a cycle: looking for cycles took 6 % of its time.
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)

    def work() -> object:
        command = logs.configure_logging(env_prefix(plugin.name), lambda: plugin.cli)
        return command.main(prog_name=plugin.name, standalone_mode=False)

    run_and_exit(plugin.name, work, interrupted_message=interrupted_message, bad_settings=bad_settings)


@contextmanager
def _handled_from_here(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Handle SIGTERM and SIGINT by `handler` after the block; within it they wait.

    The SDK sets handlers of its own in a plugin's constructor, which would end the program with exit code 0.
    """
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        yield
        return
    handlers: dict[signal.Signals, Any] = {signum: signal.getsignal(signum) for signum in _SIGNALS}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
        handlers = dict.fromkeys(_SIGNALS, handler)
    finally:
        for signum, chosen in handlers.items():
            signal.signal(signum, chosen)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
