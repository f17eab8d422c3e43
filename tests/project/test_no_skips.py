"""The environment variable that turns skips into failures really does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CONFTEST = Path(__file__).parents[1] / "conftest.py"

SKIPPING = {
    "marked": "import pytest\n@pytest.mark.skip(reason='why marked')\ndef test_it(): pass\n",
    "running": "import pytest\ndef test_it(): pytest.skip('why running')\n",
    "module": "import pytest\npytest.skip('why module', allow_module_level=True)\n",
    "fixture": "import pytest\n@pytest.fixture\ndef absent(): pytest.skip('why fixture')\ndef test_it(absent): pass\n",
}
EXPECTED = "import pytest\n@pytest.mark.xfail(strict=True)\ndef test_it(): assert False\n"


def run(folder: Path, no_skips: str) -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_text(CONFTEST.read_text())
    for name, source in {**SKIPPING, "expected": EXPECTED}.items():
        (folder / f"test_{name}.py").write_text(source)
    command = [sys.executable, "-m", "pytest", "-ra", "-p", "no:cacheprovider", "--continue-on-collection-errors", "."]
    env = {
        "PATH": "/usr/bin:/bin",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "TESTS_NO_SKIPS": no_skips,
    }
    return subprocess.run(command, capture_output=True, text=True, env=env, cwd=folder)


def test_every_kind_of_skip_fails_when_asked(tmp_path: Path) -> None:
    done = run(tmp_path, "1")
    assert done.returncode != 0
    for name in SKIPPING:
        assert f"why {name}" in done.stdout
    assert " skipped" not in done.stdout.splitlines()[-1]
    assert "1 xfailed" in done.stdout.splitlines()[-1], "an expected failure is no skip"


def test_a_skip_is_a_skip_otherwise(tmp_path: Path) -> None:
    done = run(tmp_path, "")
    assert done.returncode == 0, done.stdout
    assert "4 skipped, 1 xfailed" in done.stdout.splitlines()[-1]
