"""Shows progress on stderr: a bar on a terminal, else a log line every few seconds.

Nothing is counted here: a thread of its own asks for the numbers now and then, so the work itself is not slowed.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

from bc_images.text import byte_size, counted

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

__all__ = ["Progress", "Sample", "describe"]

LINE_EVERY = 5.0  # seconds
REDRAW_EVERY = 0.25  # seconds


@dataclass(frozen=True, slots=True)
class Sample:
    """The numbers of one moment, counted from the start of the run.

    Attributes:
        done: what is counted, such as images.
        files: files transferred.
        bytes: bytes transferred.
        quota_left: how many requests the store still grants in this window.
        known_files: files that needed no transfer.
    """

    done: int
    files: int = 0
    bytes: int = 0
    quota_left: int | None = None
    known_files: int = 0


def describe(sample: Sample, total: int | None, elapsed: float, unit: str = "image") -> str:
    """Say a sample in words, `elapsed` seconds after the start; `total` is how many there are to do, where known.

    A total that turns out too small, since more came meanwhile, grows with what is done.
    """
    rate = sample.done / elapsed if elapsed > 0 else 0.0
    parts = [counted(sample.done, unit)]
    if total:
        total = max(total, sample.done)
        parts = [f"{sample.done:,} of {counted(total, unit)} ({100 * sample.done // total} %)"]
    if sample.files:
        parts.append(f"{counted(sample.files, 'file')} ({byte_size(sample.bytes)})")
    elif sample.bytes:
        parts.append(byte_size(sample.bytes))
    if sample.known_files:
        parts.append(f"{counted(sample.known_files, 'file')} already saved")
    parts.append(f"{rate:,.0f}/s")
    if sample.quota_left is not None:
        parts.append(f"{counted(sample.quota_left, 'request')} left")
    if total and rate > 0 and sample.done < total:
        parts.append(f"{_clock((total - sample.done) / rate)} to go")
    return ", ".join(parts)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Progress:
    """Shows how far a run is, from entering to leaving the context.

    Args:
        label: what runs, such as the name of a stream.
        total: how many there are to do, or None where nobody knows.
        sample: returns the present numbers; called from another thread.
        logger: takes the lines, at level INFO, where there is no bar. A level above INFO switches both off.
        every: seconds between two lines.
        unit: what is counted, in the singular.
        prints_text: what the command prints to stdout is text for people, so that on a terminal it may appear above
            the bar.
    """

    def __init__(
        self,
        label: str,
        total: int | None,
        sample: Callable[[], Sample],
        logger: logging.Logger,
        every: float = LINE_EVERY,
        *,
        unit: str = "image",
        prints_text: bool = False,
    ) -> None:
        self._label = label
        self._total = total
        self._sample = sample
        self._logger = logger
        self._every = every
        self._unit = unit
        self._prints_text = prints_text
        self._started = 0.0
        self._done = threading.Event()
        self._open = ExitStack()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        if self._logger.isEnabledFor(logging.INFO):
            # Where stdout is a terminal too, a bar would be drawn into the messages that are printed there.
            if _is_terminal(sys.stderr) and (self._prints_text or not _is_terminal(sys.stdout)):
                job = (self._start_bar(), REDRAW_EVERY)
            else:
                job = (self._log, self._every)
            self._thread = threading.Thread(target=self._run, args=job, name="progress", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._done.set()
        if self._thread is not None:
            self._thread.join()
        self._open.close()

    def words(self) -> str:
        """Say how far the run is now."""
        return describe(self._sample(), self._total, time.monotonic() - self._started, self._unit)

    def _run(self, show: Callable[[], None], every: float) -> None:
        while not self._done.wait(every):
            with suppress(RuntimeError):  # what is counted has just changed its size; the next look will do
                show()

    def _log(self) -> None:
        self._logger.info("%s", self.words())

    def _start_bar(self) -> Callable[[], None]:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bar

        bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[words]}"),
            console=Console(stderr=True, force_terminal=True),
            auto_refresh=False,
            transient=self._prints_text,
            redirect_stdout=_is_terminal(sys.stdout),  # else it carries what another program reads
        )
        self._open.enter_context(bar)
        self._open.enter_context(_log_above_the_bar())
        task = bar.add_task(self._label, total=self._total, words="")
        self._open.callback(self._draw, bar, task)  # the last numbers stay on the screen
        return lambda: self._draw(bar, task)

    def _draw(self, bar: Bar, task: TaskID) -> None:
        done = self._sample().done
        total = None if self._total is None else max(self._total, done)
        bar.update(task, completed=done, total=total, words=self.words(), refresh=True)


def _is_terminal(stream: TextIO | None) -> bool:
    """Whether a bar can be drawn there: not on a closed stream, nor on a terminal that cannot move its cursor."""
    return stream is not None and stream.isatty() and os.environ.get("TERM") not in {"dumb", "unknown"}


@contextmanager
def _log_above_the_bar() -> Iterator[None]:
    """Let log lines pass through what rich has put in the place of stderr: else they would be drawn over."""
    handlers = [handler for handler in logging.getLogger().handlers if type(handler) is logging.StreamHandler]
    before = [handler.setStream(sys.stderr) for handler in handlers]
    try:
        yield
    finally:
        for handler, stream in zip(handlers, before, strict=True):
            if stream is not None:
                handler.setStream(stream)
