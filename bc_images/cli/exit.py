"""How a command ends: one line on stderr and a documented exit code, whatever happens behind it.

Knows nothing of Singer, so that tap, target and the rest end alike.
"""

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
from bc_images.logs import redact_last_resort, write_error
from bc_images.redaction import keep_secret_arguments, keep_secret_proxies

__all__ = ["run_and_exit"]

logger = logging.getLogger(__name__)

EXIT_SIGPIPE = 128 + signal.SIGPIPE  # what a shell shows for a program that SIGPIPE ended
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


def run_and_exit(
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
        write_error(prog, message)
        return code

    _open_closed_streams()
    keep_secret_arguments(sys.argv[1:])
    keep_secret_proxies(os.environ)
    redact_last_resort()  # it writes the log where nobody has set that up
    stdout, stderr = sys.stdout, sys.stderr
    gone: tuple[type[BaseException], ...] = (*reader_gone, BrokenPipeError)
    code: object
    try:
        _require_stdout()
        code = work()
    except BcImagesError as error:
        code = tell(str(error), error.exit_code)
    except click.ClickException as error:
        code = tell(f"{error.format_message()} See {prog} --help.", SettingsError.exit_code)
    except bad_settings as error:
        code = tell(str(error), SettingsError.exit_code)
    except gone:
        code = EXIT_SIGPIPE
    except (click.Abort, KeyboardInterrupt):
        code = tell(farewell, 128 + signal.SIGINT)
    except SystemExit as leaving:
        # click makes exit code 1 of a broken pipe, and leaves a wrapper in the place of stdout.
        code = leaving.code if sys.stdout is stdout else EXIT_SIGPIPE
        if code in {128 + signal.SIGTERM, 128 + signal.SIGINT}:
            tell(farewell, 0)
    except Exception as error:  # the last line of defence: a user never sees a traceback
        logger.debug("The traceback:", exc_info=True)
        code = tell(_unexpected(error), FatalError.exit_code)
    sys.exit(_flush(stdout, stderr, code if isinstance(code, int) else 0, tell))


def _open_closed_streams() -> None:
    """Let nothing be read from a closed stdin, and what is written to a closed stderr go nowhere.

    Python has None in their places, which ``print`` takes for stdout; and the next file or connection that is opened
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
    if isinstance(error, OSError) and error.errno in _NO_ROOM and error.filename is None:
        return _not_written(error)
    text = f"Unexpected {type(error).__name__}: {error}".rstrip(".")
    return f"{text}. This is a bug: please report it, with LOGLEVEL=DEBUG."


def _not_written(error: OSError) -> str:
    return f"The output cannot be written: {error.strerror or error}."


def _flush(stdout: TextIO | None, stderr: TextIO | None, code: int, tell: Callable[[str, int], int]) -> int:
    """Write what is still buffered, and return the exit code: that of a lost output, unless there was worse.

    What cannot be written is discarded: the interpreter would try again at its end, complain, and exit with 120.
    """
    sys.stdout, sys.stderr = stdout, stderr
    error = None if code == EXIT_SIGPIPE else _flushed(stdout)
    if error is not None and code in {0, PartialFailure.exit_code}:
        gone = isinstance(error, BrokenPipeError)
        code = EXIT_SIGPIPE if gone else tell(_not_written(error), FatalError.exit_code)
    if error is not None or code == EXIT_SIGPIPE:
        _discard(stdout)
    if _flushed(stderr) is not None:  # nobody reads it: that changes nothing in what was done
        _discard(stderr)
    return code


def _flushed(stream: TextIO | None) -> OSError | None:
    """Flush a stream; return what went wrong."""
    try:
        if stream is not None:
            stream.flush()
    except OSError as error:
        return error
    except ValueError:  # it is closed
        pass
    return None


def _discard(stream: TextIO | None) -> None:
    """Let what is buffered, and all that is still written, go nowhere."""
    with suppress(OSError, ValueError, io.UnsupportedOperation):  # a stream in memory has no file
        if stream is not None:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
