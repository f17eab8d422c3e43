"""The project's own meltano.yml, run by the real Meltano in a folder of its own against a sandbox store."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.environments import UV_CERTIFICATES, meltano, plugins, project_file

__all__ = ["Project"]

OURS = ("TAP_BC_IMAGES", "TARGET_BC_IMAGES")


class Project:
    """A copy of meltano.yml in `folder`, with plugins that are installed once for all tests.

    Args:
        folder: where it is made.
        url: address of the sandbox store.
        more: environment variables.
        installed: False: without any plugin.
    """

    def __init__(
        self, folder: Path, url: str, more: Mapping[str, str] | None = None, *, installed: bool = True
    ) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "meltano.yml").write_text(project_file(), encoding="utf-8")
        own = folder / ".meltano"  # what Meltano writes during a run stays in it; two runs in one would collide
        own.mkdir()
        for kind in ("extractors", "loaders", "utilities") if installed else ():
            (own / kind).symlink_to(plugins() / kind)
        clean = {
            name: value for name, value in os.environ.items() if not name.startswith(("TAP_", "TARGET_", "MELTANO"))
        }
        self.environment = {
            **UV_CERTIFICATES,
            **clean,
            "MELTANO_SEND_ANONYMOUS_USAGE_STATS": "false",
            "NO_COLOR": "1",
            **{f"{name}_API_URL": url for name in OURS},
            **{f"{name}_STORE_URL": url for name in OURS},
            **(more or {}),
        }

    def start(self, *arguments: str, **settings: str) -> subprocess.Popen[str]:
        """Begin a Meltano command; its output is one text."""
        return subprocess.Popen(
            [meltano(), *arguments],
            cwd=self.folder,
            env={**self.environment, **settings},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )

    def call(self, *arguments: str, code: int = 0, **settings: str) -> str:
        """Run a Meltano command to its end and return its output."""
        with self.start(*arguments, **settings) as process:
            output, _ = process.communicate()
        assert process.returncode == code, f"meltano {' '.join(arguments)} ended with {process.returncode}:\n{output}"
        return output

    def run(self, *arguments: str, code: int = 0, **settings: str) -> str:
        """``meltano run``; upper-case settings become environment variables."""
        return self.call("run", *arguments, code=code, **settings)

    def json(self, *arguments: str) -> Any:
        """Return what a Meltano command prints as JSON."""
        done = subprocess.run(
            [meltano(), *arguments], cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def report(self, name: str = "restore") -> list[dict[str, Any]]:
        """Return the lines of a report of the target but the summary, which is the last."""
        lines = (self.folder / "output" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines[:-1]]

    def archives(self) -> list[Path]:
        """Return the archives that the job ``backup`` has made, the oldest first."""
        return sorted((self.folder / "output" / "files" / "archives" / "store").glob("*.singer.gz"))

    def forget_the_ledger(self) -> None:
        """Remove what the target remembers."""
        shutil.rmtree(self.folder / ".bc_images")
