"""Ends every command with one line on stderr and a documented exit code."""

from __future__ import annotations

import errno
import io
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn, TextIO

import click

from bc_images.errors import BcImagesError, FatalError, PartialFailure, SettingsError
from bc_images.logs import redact_handler, write_error
from bc_images.redaction import keep_secret_arguments, keep_secret_proxies

__all__ = ["EXIT_SIGPIPE", "InterruptedRun", "OutputClosedError", "run_and_exit"]

logger = logging.getLogger(__name__)

EXIT_SIGPIPE = 128 + signal.SIGPIPE  # what a shell shows for a program that SIGPIPE ended
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


class OutputClosedError(Exception):
    """Whoever read our output has closed it (``tap | head``).

    Not an OSError, of which click would make exit code 1, as if records had failed.
    """


class InterruptedRun(SystemExit):
    """A signal has ended the run; `message` says what became of it."""

    def __init__(self, code: object, message: str) -> None:
        super().__init__(code)
        self.message = message


def run_and_exit(
    prog: str, work: Callable[[], object], *, interrupted_message: str, bad_settings: tuple[type[Exception], ...] = ()
) -> NoReturn:
    """Do the work and exit with the documented code: 141 where the reader of stdout has gone, 143 after SIGTERM.

    Args:
        prog: the command's name, before every line on stderr.
        work: an integer that it returns is the exit code.
        interrupted_message: written after SIGTERM or SIGINT.
        bad_settings: exceptions of libraries that mean an invalid setting.
    """

    def fail(message: str, code: int) -> int:
        write_error(prog, message)
        return code

    _open_closed_streams()
    keep_secret_arguments(sys.argv[1:])
    keep_secret_proxies(os.environ)
    redact_handler(logging.lastResort)  # it writes the log where nobody has set that up
    stdout, stderr = sys.stdout, sys.stderr
    code: object
    try:
        _require_stdout()
        code = work()
    except BcImagesError as error:
        code = fail(str(error), error.exit_code)
    except click.ClickException as error:
        code = fail(f"{error.format_message()} See {prog} --help.", SettingsError.exit_code)
    except bad_settings as error:
        code = fail(str(error), SettingsError.exit_code)
    except (OutputClosedError, BrokenPipeError):
        code = EXIT_SIGPIPE
    except (click.Abort, KeyboardInterrupt):
        code = fail(interrupted_message, 128 + signal.SIGINT)
    except SystemExit as exiting:
        # click makes exit code 1 of a broken pipe, and leaves a wrapper in the place of stdout.
        code = exiting.code if sys.stdout is stdout else EXIT_SIGPIPE
        if code in {128 + signal.SIGTERM, 128 + signal.SIGINT}:
            fail(exiting.message if isinstance(exiting, InterruptedRun) else interrupted_message, 0)
    except Exception as error:  # the last line of defence: a user never sees a traceback
        logger.debug("The traceback:", exc_info=True)
        code = fail(_unexpected(error), FatalError.exit_code)
    sys.exit(_flush(stdout, stderr, code if isinstance(code, int) else 0, fail))


def _open_closed_streams() -> None:
    """Open /dev/null for a closed stdin or stderr.

    Python has None for them, which ``print`` takes for stdout; and the next file or connection that is opened
    would get their number.
    """
    if sys.stdin is None:
        sys.stdin = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115 - open to the end
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - open to the end


def _require_stdout() -> None:
    if sys.stdout is None:  # how Python starts where the file descriptor is closed
        raise SettingsError("Standard output is closed. Redirect it to /dev/null if nobody needs it.")


def _unexpected(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno in _DISK_FULL and error.filename is None:
        return _write_failed(error)
    text = f"Unexpected {type(error).__name__}: {error}".rstrip(".")
    return f"{text}. This is a bug: please report it, with LOGLEVEL=DEBUG."


def _write_failed(error: OSError) -> str:
    return f"The output cannot be written: {error.strerror or error}."


def _flush(stdout: TextIO | None, stderr: TextIO | None, code: int, fail: Callable[[str, int], int]) -> int:
    """Write what is still buffered, and return the exit code: that of a failed write, unless the run failed worse.

    What cannot be written is discarded: the interpreter would try again at its end, complain, and exit with 120.
    """
    sys.stdout, sys.stderr = stdout, stderr
    error = None if code == EXIT_SIGPIPE else _flush_stream(stdout)
    if error is not None and code in {0, PartialFailure.exit_code}:
        is_closed = isinstance(error, BrokenPipeError)
        code = EXIT_SIGPIPE if is_closed else fail(_write_failed(error), FatalError.exit_code)
    if error is not None or code == EXIT_SIGPIPE:
        _discard(stdout)
    if _flush_stream(stderr) is not None:  # nobody reads it: that changes nothing in what was done
        _discard(stderr)
    return code


def _flush_stream(stream: TextIO | None) -> OSError | None:
    """Flush a stream; return the error."""
    try:
        if stream is not None:
            stream.flush()
    except OSError as error:
        return error
    except ValueError:  # it is closed
        pass
    return None


def _discard(stream: TextIO | None) -> None:
    """Send what is buffered, and all that is still written, to /dev/null."""
    with suppress(OSError, ValueError, io.UnsupportedOperation):  # a stream in memory has no file
        if stream is not None:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)
