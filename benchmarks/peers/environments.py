"""Peers from PyPI, each in a virtual environment of its own beside ours, made once (``.venv-<peer>``)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.harness import ROOT, environment

__all__ = ["DLT", "MSDK", "python_of"]

MSDK = "tap-rest-api-msdk==1.4.2"
DLT = "dlt==1.31.0"


def python_of(requirement: str) -> Path:
    """Return the Python of the environment that has this distribution, and make it first where it is not there."""
    home = ROOT / f".venv-{requirement.partition('==')[0]}"
    python = home / "bin/python"
    stamp = home / ".installed"
    if not stamp.exists() or stamp.read_text() != requirement:
        print(f"Installing {requirement} into {home.name} (once) ...", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True)
        pip = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check", requirement]
        subprocess.run(pip, check=True, env=environment())
        stamp.write_text(requirement)
    return python
