"""Regular expressions from outside, searched with a bound: some take longer than anybody waits, such as ``(a+)+$``.

Python can neither limit nor interrupt a search, so it is made in a process of its own, which the system ends when the
search has used up its time.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from threading import Lock
from typing import Final

SECONDS: Final = 1.0  # of processor time

_PROGRAM: Final = """
import json, re, resource, signal, sys
resource.setrlimit(resource.RLIMIT_AS, (2**29, 2**29))
signal.signal(signal.SIGVTALRM, signal.SIG_DFL)
for request in sys.stdin:
    pattern, line, seconds = json.loads(request)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        answer = re.search(pattern, line) is not None
    except (re.error, OverflowError, RecursionError, MemoryError) as error:
        answer = str(error) or type(error).__name__
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    print(json.dumps(answer), flush=True)
"""


class BadPattern(ValueError):
    """No regular expression, or one that takes too long."""


class Patterns:
    """Searches; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._process: subprocess.Popen[str] | None = None

    def search(self, pattern: str, line: str) -> bool:
        """Whether a regular expression is found in a line. Raises `BadPattern`."""
        with self._lock:
            answer = self._ask(json.dumps([pattern, line, SECONDS]))
            if answer is None:
                self._end()
                raise BadPattern(f"it takes more than {SECONDS:g} s")
        if isinstance(answer, str):
            raise BadPattern(answer)
        return bool(answer)

    def _ask(self, request: str) -> object:
        """The answer of the process; None where it has been ended."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _PROGRAM],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                start_new_session=True,  # Ctrl-C is for the sandbox, which ends this process itself
            )
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            return None
        with contextlib.suppress(BrokenPipeError):
            stdin.write(f"{request}\n")
            stdin.flush()
            return json.loads(stdout.readline() or "null")
        return None

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._end()
