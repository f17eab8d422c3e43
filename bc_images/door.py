"""How a command ends: one line on stderr and a documented exit code, whatever happens behind it.

Knows nothing of Singer, so that tap, target and the rest end alike.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

import click

from bc_images.errors import BcImagesError, SettingsError, Stopped
from bc_images.redaction import redact

__all__ = ["quieten", "run", "say"]

logger = logging.getLogger(__name__)

READER_GONE = 128 + 13  # what a shell shows for a program that SIGPIPE ended

_SAID_AGAIN = {"An unhandled error occurred while syncing '%s'"}  # the error itself follows, as the last line
_INTERNAL = {"METRIC: %s", "Skipping parse of env var settings..."}


class _Drop(logging.Filter):
    def __init__(self, messages: set[str]) -> None:
        super().__init__()
        self._messages = messages

    def filter(self, record: logging.LogRecord) -> bool:
        return record.msg not in self._messages


class _Discreet(logging.Formatter):
    """Writes what another formatter does, tracebacks too, but no secret."""

    def __init__(self, formatter: logging.Formatter | None) -> None:
        super().__init__()
        self._formatter = formatter or logging.Formatter()

    def format(self, record: logging.LogRecord) -> str:
        return redact(self._formatter.format(record))


def quieten(prefix: str) -> None:
    """Let each event be one log line without secrets; call it once the logging is set up.

    Where ``LOGLEVEL`` or ``<prefix>LOGLEVEL`` is set, the SDK's metrics pass too.
    """
    asked = os.environ.get(f"{prefix}LOGLEVEL") or os.environ.get("LOGLEVEL")
    dropped = _Drop(_SAID_AGAIN if asked else _SAID_AGAIN | _INTERNAL)
    for handler in logging.getLogger().handlers:
        handler.addFilter(dropped)
        _hush(handler)


def _hush(handler: logging.Handler | None) -> None:
    if handler is not None and not isinstance(handler.formatter, _Discreet):
        handler.setFormatter(_Discreet(handler.formatter))


def say(prog: str, message: str) -> None:
    """Write one line to stderr, without credentials."""
    click.echo(f"{prog}: {' '.join(redact(message).split())}", err=True)


def run(
    prog: str,
    work: Callable[[], object],
    *,
    farewell: str,
    bad_settings: tuple[type[Exception], ...] = (),
    reader_gone: tuple[type[Exception], ...] = (),
) -> NoReturn:
    """Do the work and leave the program with the exit code of how it ended.

    Args:
        prog: the command's name, before every line.
        work: an integer that it returns is the exit code.
        farewell: what to say after SIGTERM or SIGINT.
        bad_settings: exceptions of libraries that mean a bad setting.
        reader_gone: exceptions that mean that nobody reads our output any more.
    """

    def tell(message: str, code: int) -> int:
        say(prog, message)
        return code

    _hush(logging.lastResort)  # it writes the log where nobody has set that up
    gone: tuple[type[BaseException], ...] = (*reader_gone, BrokenPipeError)
    code: object
    try:
        code = work()
        sys.stdout.flush()
    except BcImagesError as error:
        code = tell(str(error), error.exit_code)
    except click.ClickException as error:
        code = tell(f"{error.format_message()} See {prog} --help.", SettingsError.exit_code)
    except bad_settings as error:
        code = tell(str(error), SettingsError.exit_code)
    except gone:
        code = READER_GONE
    except (click.Abort, KeyboardInterrupt):
        code = tell(farewell, 128 + signal.SIGINT)
    except SystemExit as leaving:
        code = leaving.code
        if code in {128 + signal.SIGTERM, 128 + signal.SIGINT}:
            tell(farewell, 0)
    except Exception as error:  # the last line of defence: a user never sees a traceback
        logger.debug("The traceback:", exc_info=True)
        text = f"Unexpected {type(error).__name__}: {error}".rstrip(".")
        text += ". This is a bug: please report it, with LOGLEVEL=DEBUG."
        code = tell(text, Stopped.exit_code)
    sys.exit(code if isinstance(code, int) else 0)
