"""Ends a command at any of its writes to a local file store, as a kill would."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bc_images.files.backends.local import LocalBackend

__all__ = ["Killed", "StoppedWrites"]


class Killed(BaseException):
    """Stands for the end of the process."""


class StoppedWrites:
    """Counts the calls of some methods of `LocalBackend`, and raises `Killed` at the one after `limit`.

    Args:
        monkeypatch: undoes it after the test.
        methods: their names.
        counts: whether the calls of a file store count.

    Attributes:
        calls: how many there were; set to 0 before each run.
        limit: how many are let through.
    """

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        *methods: str,
        counts: Callable[[LocalBackend], bool] = lambda _: True,
    ) -> None:
        self.calls = 0
        self.limit = 10**9
        for name in methods:
            monkeypatch.setattr(LocalBackend, name, self._counted(getattr(LocalBackend, name), counts))

    def _counted(self, real: Callable[..., Any], counts: Callable[[LocalBackend], bool]) -> Callable[..., Any]:
        def call(backend: LocalBackend, *args: Any, **kwargs: Any) -> Any:
            if counts(backend):
                self.calls += 1
                if self.calls > self.limit:
                    raise Killed
            return real(backend, *args, **kwargs)

        return call
