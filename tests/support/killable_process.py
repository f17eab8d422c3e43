"""Runs of the target in processes of their own, made to be killed."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from bc_images.bigcommerce.retry import RetryPolicy
from bigcommerce_sandbox import SandboxServer
from target_bc_images import executor
from tests.support.target import run_target

POLL_DELAYS = (0.0, 0.05, 0.2, 0.5)
LONG = 60.0  # seconds after which a test gives up


def backoff(_policy: RetryPolicy, attempt: int) -> float:
    """Wait a hundredth of what a real run waits."""
    return float(min(0.3, 0.005 * 2**attempt))


def impatience() -> None:
    """Wait as often as a real run does, and not as long."""
    executor.POLL_DELAYS = POLL_DELAYS
    setattr(RetryPolicy, "backoff", backoff)  # noqa: B010 - mypy takes no other method


def _body(config: dict[str, Any], backup: Path) -> None:
    impatience()
    os._exit(run_target(config, backup.read_bytes()).code)


def _context() -> ForkServerContext:
    """Return what forks from a process of one thread, in which everything is imported already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def start(config: dict[str, Any], backup: Path) -> BaseProcess:
    """Begin a run of the target in a process of its own."""
    process = _context().Process(target=_body, args=(config, backup))
    process.start()
    return process


def kill(process: BaseProcess) -> None:
    """End it at once (SIGKILL): it can do nothing about it."""
    process.kill()
    process.join(LONG)


def wait_for_request(sandbox: SandboxServer, number: int, process: BaseProcess) -> bool:
    """Wait until the store has been sent so many requests; false if the process ends before."""
    patience = time.monotonic() + LONG
    while len(sandbox.requests()) < number:
        if not process.is_alive():
            return False
        if time.monotonic() > patience:
            raise AssertionError(f"request {number} never came")
        time.sleep(0.002)
    return True


def wait_until(is_so: Callable[[], bool]) -> bool:
    """Wait until something is so; false if it never is."""
    patience = time.monotonic() + LONG
    while not is_so():
        if time.monotonic() > patience:
            return False
        time.sleep(0.002)
    return True


def settled(sandbox: SandboxServer) -> None:
    """Wait until the store has finished what its killed client had asked for."""
    before: object = None
    while before != (now := sandbox.dump(files=False)):
        before = now
        time.sleep(0.03)
