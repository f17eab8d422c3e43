"""What holds for the whole suite."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from typing import Any, TypeVar

import pytest

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)

NO_SKIPS = os.environ.get("BC_IMAGES_NO_SKIPS", "") not in {"", "0"}
"""CI sets this: there a skipped test is a failed one, since every part it could miss is installed."""


@pytest.fixture(autouse=True, scope="session")
def state_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what a run without `state_dir` remembers out of the home of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail what skipped itself while it ran."""
    return _fail_skip((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Fail a whole module that skipped itself, as ``pytest.importorskip`` does."""
    return _fail_skip((yield))


def _fail_skip(report: Report) -> Report:
    if NO_SKIPS and report.skipped and not hasattr(report, "wasxfail"):
        longrepr: Any = report.longrepr
        reason = longrepr[2] if isinstance(longrepr, tuple) else longrepr
        report.outcome = "failed"
        report.longrepr = f"BC_IMAGES_NO_SKIPS is set, and this was skipped: {reason}"
    return report
