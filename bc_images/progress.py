"""How far a run is, on stderr: a bar where that is a terminal, else one log line every few seconds.

Nothing is counted here: a thread of its own asks for the numbers now and then, so the work itself is not slowed.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

__all__ = ["Progress", "Sample", "describe"]

LINE_EVERY = 5.0  # seconds
REDRAW_EVERY = 0.25  # seconds


@dataclass(frozen=True, slots=True)
class Sample:
    """The numbers of one moment, counted from the start of the run.

    `images`, `files` and `bytes` are done; `quota_left` is how many requests the store still grants in this window.
    """

    images: int
    files: int = 0
    bytes: int = 0
    quota_left: int | None = None


def describe(sample: Sample, total: int | None, elapsed: float) -> str:
    """Say a sample in words, `elapsed` seconds after the start; `total` is the number of images, where known."""
    rate = sample.images / elapsed if elapsed > 0 else 0.0
    parts = [f"{sample.images:,} images"]
    if total:
        parts = [f"{sample.images:,} of {total:,} images ({min(100, 100 * sample.images // total)} %)"]
    if sample.files:
        parts.append(f"{sample.files:,} files ({_size(sample.bytes)})")
    parts.append(f"{rate:,.0f}/s")
    if sample.quota_left is not None:
        parts.append(f"{sample.quota_left:,} requests left")
    if total and rate > 0 and sample.images < total:
        parts.append(f"{_clock((total - sample.images) / rate)} to go")
    return ", ".join(parts)


def _size(number: float) -> str:
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} GB"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Progress:
    """Shows how far a run is, from entering to leaving the context.

    Args:
        label: what runs, such as the name of a stream.
        total: how many images there are, or None where nobody knows.
        sample: returns the present numbers; called from another thread.
        logger: takes the lines, at level INFO, where there is no bar. A level above INFO switches both off.
        every: seconds between two lines.
    """

    def __init__(
        self,
        label: str,
        total: int | None,
        sample: Callable[[], Sample],
        logger: logging.Logger,
        every: float = LINE_EVERY,
    ) -> None:
        self._label = label
        self._total = total
        self._sample = sample
        self._logger = logger
        self._every = every
        self._started = 0.0
        self._done = threading.Event()
        self._open = ExitStack()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        if self._logger.isEnabledFor(logging.INFO):
            # Where stdout is a terminal too, a bar would be drawn into what is printed there.
            if sys.stderr.isatty() and not sys.stdout.isatty():
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
        return describe(self._sample(), self._total, time.monotonic() - self._started)

    def _run(self, show: Callable[[], None], every: float) -> None:
        while not self._done.wait(every):
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
            console=Console(stderr=True),
            auto_refresh=False,
            redirect_stdout=False,  # stdout carries the messages
        )
        self._open.enter_context(bar)
        self._open.enter_context(_log_above_the_bar())
        task = bar.add_task(self._label, total=self._total, words="")
        self._open.callback(self._draw, bar, task)  # the last numbers stay on the screen
        return lambda: self._draw(bar, task)

    def _draw(self, bar: Bar, task: TaskID) -> None:
        bar.update(task, completed=self._sample().images, words=self.words(), refresh=True)


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
