"""Virtual environments for the real parts: made once, kept in ``.venv-pipelines``, which git ignores."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.project import ROOT

__all__ = [
    "CACHE",
    "MELTANO",
    "PYTHON",
    "UV_CERTIFICATES",
    "bin_of",
    "made_once",
    "meltano",
    "plugins",
    "project_file",
    "uv",
]

CACHE = ROOT / ".venv-pipelines"
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"

MELTANO = "meltano[s3]==4.4.1"

UV_CERTIFICATES = {"UV_SYSTEM_CERTS": "true", "UV_NATIVE_TLS": "true"}
"""Lets uv trust what the machine trusts, as pip does, by its new and its old name."""


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """Let one process at a time look whether an environment is there, and make it: tests run side by side."""
    CACHE.mkdir(exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def bin_of(name: str, *requirements: str) -> Path:
    """Return the folder of the commands of an environment with these requirements; the first call makes it."""
    folder = CACHE / f"{name}-{PYTHON}"
    with made_once(folder, "\n".join(requirements)) as is_made:
        if not is_made:
            venv.create(folder, with_pip=name == "meltano")
            python = folder / "bin" / "python"
            # Meltano brings uv, which is ten times as fast as pip.
            by_pip: list[Path | str] = [python, "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
            by_uv: list[Path | str] = [] if name == "meltano" else [uv(), "pip", "install", "-q", "--python", python]
            subprocess.run([*(by_uv or by_pip), *requirements], check=True, env={**os.environ, **UV_CERTIFICATES})
    return folder / "bin"


@contextmanager
def made_once(folder: Path, wanted: str) -> Iterator[bool]:
    """Let the first caller make a folder: yields whether it has been made for `wanted` already.

    One whose making was interrupted has no stamp, and is made anew.
    """
    stamp = folder / "requirements"
    with _alone(folder.name):
        is_made = stamp.exists() and stamp.read_text(encoding="utf-8") == wanted
        if not is_made:
            shutil.rmtree(folder, ignore_errors=True)
        yield is_made
        if not is_made:
            stamp.write_text(wanted, encoding="utf-8")


def meltano() -> Path:
    """Return the command ``meltano``."""
    return bin_of("meltano", MELTANO) / "meltano"


def uv() -> Path:
    """Return the command ``uv``."""
    return meltano().with_name("uv")


def project_file() -> str:
    """Return meltano.yml as it stands, but for ``-e .``, the folder of the project, which is elsewhere in a test."""
    text = (ROOT / "meltano.yml").read_text(encoding="utf-8")
    return text.replace("pip_url: -e .", f"pip_url: -e {ROOT}")


def plugins() -> Path:
    """Return a Meltano folder with the environments of all plugins installed; shared by all tests, changed by none.

    What they are made from is in its name: another pyproject.toml means another set.
    """
    made_from = (ROOT / "pyproject.toml").read_text(encoding="utf-8") + project_file()
    folder = CACHE / f"plugins-{PYTHON}-{hashlib.sha256(made_from.encode()).hexdigest()[:12]}"
    stamp = folder / "installed"
    with _alone(f"plugins-{PYTHON}"):
        if not stamp.exists():
            for old in CACHE.glob(f"plugins-{PYTHON}-*"):
                shutil.rmtree(old)
            folder.mkdir(parents=True)
            (folder / "meltano.yml").write_text(project_file(), encoding="utf-8")
            environment = {**os.environ, **UV_CERTIFICATES, "MELTANO_SEND_ANONYMOUS_USAGE_STATS": "false"}
            done = subprocess.run(
                [meltano(), "install"], cwd=folder, env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stdout + done.stderr
            stamp.touch()
    return folder / ".meltano"
