"""Progress: in words, as log lines, or as a bar on a terminal; never on stdout."""

from __future__ import annotations

import io
import logging
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bc_images.progress import Progress, Sample, describe
from bigcommerce_sandbox import SandboxServer
from tests.support.commands import CommandResult
from tests.support.tap import COMMAND, environment, settings, stored

logger = logging.getLogger("progress-under-test")


@pytest.mark.parametrize(
    ("sample", "total", "elapsed", "words"),
    [
        (Sample(0), None, 0.0, "0 images, 0/s"),
        (Sample(1500), 3000, 10.0, "1,500 of 3,000 images (50 %), 150/s, 0:10 to go"),
        (Sample(3000), 3000, 10.0, "3,000 of 3,000 images (100 %), 300/s"),
        (Sample(3010), 3000, 10.0, "3,010 of 3,010 images (100 %), 301/s"),
        (Sample(10, 8, 999), 0, 1.0, "10 images, 8 files (999 B), 10/s"),
        (Sample(10, 8, 1_500_000, 140), None, 1.0, "10 images, 8 files (1.5 MB), 10/s, 140 requests left"),
        (Sample(1, 1, 2_340_000_000), 7201, 1.0, "1 of 7,201 images (0 %), 1 file (2.3 GB), 1/s, 2:00:00 to go"),
        (Sample(600, known_files=600), 600, 1.0, "600 of 600 images (100 %), 600 files already saved, 600/s"),
        (Sample(1, 0, 0, 1, known_files=1), 1, 1.0, "1 of 1 image (100 %), 1 file already saved, 1/s, 1 request left"),
        (Sample(54, 54, 100), 41, 1.0, "54 of 54 images (100 %), 54 files (100 B), 54/s"),
        (Sample(1, quota_left=0), None, 1.0, "1 image, 1/s, 0 requests left"),
    ],
)
def test_words(sample: Sample, total: int | None, elapsed: float, words: str) -> None:
    assert describe(sample, total, elapsed) == words


@pytest.fixture
def seen(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.INFO, logger.name):
        yield caplog


def test_lines_where_there_is_no_terminal(seen: pytest.LogCaptureFixture) -> None:
    asked = threading.Semaphore(0)

    def sample() -> Sample:
        asked.release()
        return Sample(12)

    with Progress("it", 24, sample, logger, every=0.01):
        assert all(asked.acquire(timeout=10) for _ in range(3))
    assert {record.getMessage().split(",")[0] for record in seen.records} == {"12 of 24 images (50 %)"}
    assert len(seen.records) >= 2


def test_silent_above_info(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger.name), Progress("it", 1, lambda: Sample(1), logger, every=0.001) as it:
        assert it._thread is None
    assert not caplog.records


def test_its_thread_ends_with_it() -> None:
    with pytest.raises(KeyError), Progress("it", 1, lambda: Sample(1), logger, every=60):
        raise KeyError
    assert "progress" not in {thread.name for thread in threading.enumerate()}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    screen, out = Terminal(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    handler = logging.StreamHandler(screen)
    logging.getLogger().addHandler(handler)
    try:
        logger.setLevel(logging.INFO)
        with Progress("product_images", 100, lambda: Sample(40), logger):
            logger.warning("a line meanwhile")
        assert handler.stream is screen
    finally:
        logging.getLogger().removeHandler(handler)
        logger.setLevel(logging.NOTSET)
    assert sys.stderr is screen
    shown = screen.getvalue()
    assert "a line meanwhile" in shown
    assert "40 of 100 images (40 %)" in shown
    assert "━" in shown
    assert out.getvalue() == ""


def test_the_command_on_a_terminal(sandbox: SandboxServer, tmp_path: Path) -> None:
    """stderr is a terminal, stdout a pipe: the bar is drawn there, and no sign of it is in the messages."""
    sandbox.reset(products=300, images=2)
    terminal, theirs = pty.openpty()
    variables = {f"TAP_BC_IMAGES_{name.upper()}": str(value) for name, value in settings(sandbox.url).items()}
    process = subprocess.Popen(
        COMMAND, stdout=subprocess.PIPE, stderr=theirs, env=environment(TERM="xterm", COLUMNS="120", **variables)
    )
    os.close(theirs)
    shown = b""

    def watch() -> None:
        nonlocal shown
        try:
            while piece := os.read(terminal, 4096):
                shown += piece
        except OSError:  # how Linux says that the other side is closed
            return

    watcher = threading.Thread(target=watch)
    watcher.start()
    out, _ = process.communicate(timeout=60)
    watcher.join()
    os.close(terminal)
    assert process.returncode == 0
    assert CommandResult(0, out.decode()).ids() == stored(sandbox)
    assert "600 of 600 images (100 %)" in shown.decode()
