"""make says in one line what a machine lacks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from tests.support.project import ROOT


def make(tmp_path: Path, python: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "--no-print-directory", *options, "install", f"PYTHON={python}", f"VENV={tmp_path / 'venv'}"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={"PATH": os.environ["PATH"]})


def pretend(tmp_path: Path, script: str) -> str:
    """Return a command that stands in for a Python which a machine might have."""
    path = tmp_path / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_no_python(tmp_path: Path) -> None:
    done = make(tmp_path, "python3.99")
    assert done.returncode == 2
    assert done.stderr.startswith("make: python3.99 is not there. Install Python 3.11 or newer, or name one:")


def test_what_is_installed_is_said(tmp_path: Path) -> None:
    """In the environment of the tests, which counts as up to date: nothing is installed here."""
    (tmp_path / "venv").symlink_to(sys.prefix)
    done = make(tmp_path, sys.executable, "-o", str(tmp_path / "venv" / ".installed"))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"Installed in .*venv, with Python 3\.1\d\.\d+:", lines[0])
    commands = [Path(line.split()[0].rstrip(",")).name for line in lines[1:-1]]
    assert commands == ["tap-bc-images", "target-bc-images", "bc-images"]
    assert all(version("bc-images") in line for line in lines[1:-1])
    assert lines[-1].startswith("Next: make demo")


def test_an_old_python(tmp_path: Path) -> None:
    python = pretend(tmp_path, 'case "$2" in *version_info*) exit 1;; esac')
    done = make(tmp_path, python)
    assert done.returncode == 2
    assert f"make: {python} is too old; Python 3.11 or newer is needed." in done.stderr


def test_a_debian_python_without_venv(tmp_path: Path) -> None:
    python = pretend(tmp_path, 'case "$2" in *ensurepip*) echo "No module named ensurepip" >&2; exit 1;; esac')
    done = make(tmp_path, python)
    assert done.returncode == 2
    assert "On Debian: apt-get install python3-venv" in done.stderr
    assert "No module" not in done.stderr
    assert not (tmp_path / "venv").exists()
