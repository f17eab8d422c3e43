"""Logging of every command: filters, redaction, and the last line of a failed run.

Records go to stderr, or to where ``SINGER_SDK_LOG_CONFIG`` (a file in the form of `logging.config.dictConfig`, as
Meltano writes one for structured logging) sends them.
"""

from __future__ import annotations

import logging
import logging.config
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from copy import copy
from pathlib import Path
from typing import TypeVar

from bc_images.errors import SettingsError
from bc_images.redaction import redact
from bc_images.text import printable

__all__ = ["configure_logging", "redact_handler", "set_up_console", "write_error", "write_text"]

T = TypeVar("T")

_LOG_CONFIG = "SINGER_SDK_LOG_CONFIG"
_OUR_LOGGERS = {
    "bc_images",
    "bc_images_airbyte",
    "destination-bc-images",
    "py",  # py.warnings, and what a user may switch on for Python itself
    "singer_sdk",
    "source-bc-images",
    "tap-bc-images",
    "tap_bc_images",
    "target-bc-images",
    "target_bc_images",
}
_METRICS = "singer_sdk.metrics"  # the logger of the SDK's metrics
_DROPPED = {
    "An unhandled error occurred while syncing '%s'",  # the last line says more
    "Skipping parse of env var settings...",  # it is not skipped: `SingerPlugin` reads the environment itself
}
"""Lines of the SDK's for which it has no switch."""
_MAX_WARNINGS = 1000  # warnings that are remembered, to leave out their repetitions


class _NoiseFilter(logging.Filter):
    """Drops what tells a user nothing: some lines of the SDK, and what libraries say of their daily work.

    Azure's client, for one, writes a hundred lines at level INFO for every picture.
    """

    def __init__(self, library_level: int, *, metrics: bool) -> None:
        super().__init__()
        self._library_level = library_level
        self._metrics = metrics

    def filter(self, record: logging.LogRecord) -> bool:
        if record.msg in _DROPPED or (record.name == _METRICS and not self._metrics):
            return False
        return record.levelno >= self._library_level or record.name.partition(".")[0] in _OUR_LOGGERS


class _RepetitionFilter(logging.Filter):
    """Passes a warning once. Errors always pass, and so do warnings that differ in anything that is shown of them."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[int, None] = {}  # hashes, the oldest first

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno != logging.WARNING:
            return True
        try:
            message = record.getMessage()
        except (TypeError, ValueError, KeyError):  # arguments that do not fit: the handler says so
            return True
        error = record.exc_info[1] if record.exc_info else None
        key = hash((record.name, message, repr(error)))
        if key in self._seen:
            return False
        if len(self._seen) >= _MAX_WARNINGS:
            del self._seen[next(iter(self._seen))]
        self._seen[key] = None
        return True


class _RedactingFormatter(logging.Formatter):
    """Writes what another formatter does, tracebacks too, but no secret and no character that controls a terminal."""

    def __init__(self, formatter: logging.Formatter | None) -> None:
        super().__init__()
        self._formatter = formatter or logging.Formatter()

    def format(self, record: logging.LogRecord) -> str:
        return redact(self._formatter.format(_printable(record)))


def _printable(record: logging.LogRecord) -> logging.LogRecord:
    """Return a copy of a record whose message is one line; a formatter may still add colours of its own."""
    shown = copy(record)
    shown.name = printable(record.name)  # the SDK names a logger after a stream
    with suppress(TypeError, ValueError, KeyError):  # arguments that do not fit: the handler says so
        message = record.getMessage()
        if not message.isprintable():  # else the SDK's formatter still finds its metrics in the arguments
            shown.msg, shown.args = printable(message), ()
    if record.exc_info:
        traceback = logging.Formatter().formatException(record.exc_info)
        shown.exc_text = "\n".join(map(printable, traceback.split("\n")))
    return shown


def configure_logging(prefix: str, set_up: Callable[[], T]) -> T:
    """Set up the logging, and let each event be one line without secrets.

    Libraries are heard from level WARNING on, or wholly where DEBUG is asked for. Where ``LOGLEVEL`` or
    ``<prefix>LOGLEVEL`` is set, the SDK's metrics pass too.

    Args:
        prefix: of the environment variables of this command, such as ``TAP_BC_IMAGES_``.
        set_up: attaches handlers to the root logger; what it returns is returned.

    Raises:
        SettingsError: the environment asks for a level or a configuration that is not valid.
    """
    try:
        result = set_up()
    except Exception as error:  # what YAML, dictConfig and the classes that it names may raise
        raise SettingsError(
            f"Invalid logging configuration ({type(error).__name__}: {error}). Check LOGLEVEL and {_LOG_CONFIG}."
        ) from error
    root = logging.getLogger()
    library_level = logging.NOTSET if root.level in range(logging.NOTSET, logging.INFO) else logging.WARNING
    noise = _NoiseFilter(library_level, metrics=bool(_level(prefix)))
    for handler in root.handlers:
        handler.addFilter(noise)
        handler.addFilter(_RepetitionFilter())
        redact_handler(handler)
    return result


def _level(prefix: str) -> str | None:
    return os.environ.get(f"{prefix}LOGLEVEL") or os.environ.get("LOGLEVEL")


def set_up_console(prog: str, prefix: str) -> None:
    """Attach what a command that is no plugin of the SDK's writes its records with: lines that begin with its name."""
    root = logging.getLogger()
    root.setLevel((_level(prefix) or "INFO").upper())
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(f"{prog.replace('%', '%%')}: %(message)s"))
    root.addHandler(handler)
    if path := os.environ.get(_LOG_CONFIG):
        import yaml

        logging.config.dictConfig(yaml.safe_load(Path(path).read_text(encoding="utf-8")))


def redact_handler(handler: logging.Handler | None) -> None:
    """Keep secrets out of what a handler writes."""
    if handler is not None and not isinstance(handler.formatter, _RedactingFormatter):
        handler.setFormatter(_RedactingFormatter(handler.formatter))


def write_error(prog: str, message: str) -> None:
    """Write the one line that says why a command failed, without secrets: as JSON where the logs are JSON."""
    message = printable(" ".join(redact(message).split()))
    _write(prog, logging.ERROR, message, f"{prog}: {message}")


def write_text(prog: str, text: str) -> None:
    """Write what a command has to say to people, such as a table: one record where the logs are JSON."""
    _write(prog, logging.INFO, text, text)


def _write(prog: str, level: int, message: str, text: str) -> None:
    """Write a message to the handlers that write JSON, and the text to stderr if none of them writes there.

    It appears whatever the level, and a stderr that nobody reads is no error.
    """
    record = logging.LogRecord(prog, level, __file__, 0, "%s", (message,), None)
    is_written = False
    for handler in logging.getLogger().handlers:
        if handler.formatter is not None and handler.format(record).startswith("{"):
            handler.handle(record)
            is_written |= getattr(handler, "stream", None) in (sys.stderr, sys.__stderr__)
    if not is_written:
        with suppress(OSError, ValueError):
            print(text, file=sys.stderr, flush=True)
