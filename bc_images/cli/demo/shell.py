"""Shows each command of the demo, then runs it, exactly as a reader would paste it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson
import requests
from rich.console import Console

from bc_images.errors import FatalError, SettingsError

__all__ = ["DemoShell"]

BIN = Path(sys.executable).parent
START_UP = 30.0  # seconds in which a server must answer


class DemoShell:
    """Runs shell commands in the demo's folder, with our commands on the path.

    Servers that were started are ended with the stage, however it ends.

    Args:
        folder: where everything is kept; made if it is missing. Must be empty or an earlier demo's.
        keep: names in `folder` that are costly to make and survive from one demo to the next.

    Raises:
        SettingsError: the folder holds something else.
    """

    MARK = ".bc-images-demo"

    def __init__(self, folder: Path, keep: Sequence[str]) -> None:
        self.folder = folder.absolute()
        self.console = Console(highlight=False, soft_wrap=True)
        self._servers: list[subprocess.Popen[bytes]] = []
        self._env = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "LOGLEVEL": "WARNING"}
        self._clear(set(keep))

    def _clear(self, keep: set[str]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        mark = self.folder / self.MARK
        found = [path for path in self.folder.iterdir() if path.name not in keep]
        if found and not mark.exists():
            raise SettingsError(f"{self.folder} holds files that are no demo's: give another folder with --folder.")
        mark.touch()
        for path in found:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path != mark:
                path.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for server in self._servers:
            server.terminate()
        for server in self._servers:
            try:
                server.wait(timeout=10)
            except subprocess.TimeoutExpired:
                server.kill()

    def heading(self, text: str) -> None:
        """Begin a scene."""
        self.console.print()
        self.console.rule(f"[bold]{text}", align="left")

    def say(self, text: str) -> None:
        """Tell the reader something."""
        self.console.print(text, markup=False)

    def show(self, command: str) -> None:
        """Show a command as it is to be pasted, in one unbroken line."""
        self.console.print(f"$ {command}", style="bold cyan", markup=False)
        sys.stdout.flush()

    def write(self, name: str, content: Mapping[str, Any] | str) -> None:
        """Write a file, settings or text, and show how."""
        if isinstance(content, str):
            self.show(f"cat > {name} <<'END'\n{content}END")
        else:
            content = f"{orjson.dumps(content).decode()}\n"
            self.show(f"echo '{content.strip()}' > {name}")
        (self.folder / name).write_text(content, encoding="utf-8")

    def run(self, command: str) -> None:
        """Show a command, and run it; its output goes where ours goes.

        Raises:
            FatalError: it ended with another exit code than 0.
        """
        self.show(command)
        self._finish(command, subprocess.run(self._bash(command), cwd=self.folder, env=self._env, check=False))

    def read(self, command: str) -> str:
        """Run a command without showing it, and return its standard output.

        Raises:
            FatalError: it ended with another exit code than 0.
        """
        done = subprocess.run(
            self._bash(command), cwd=self.folder, env=self._env, check=False, stdout=subprocess.PIPE, text=True
        )
        self._finish(command, done)
        return done.stdout

    def serve(self, command: str, url: str) -> None:
        """Show a command, start it in the background, and wait until `url` answers.

        Raises:
            FatalError: it ended, or did not answer in time.
        """
        self.show(f"{command} &")
        server = subprocess.Popen(
            self._bash(f"exec {command}"), cwd=self.folder, env=self._env, stdout=subprocess.DEVNULL
        )
        self._servers.append(server)
        deadline = time.monotonic() + START_UP
        while time.monotonic() < deadline:
            if server.poll() is not None:
                raise FatalError(
                    f"`{command}` ended at once, with exit code {server.returncode}: see its message above."
                )
            try:
                requests.get(url, timeout=1)
            except requests.RequestException:
                time.sleep(0.05)
            else:
                return
        raise FatalError(f"`{command}` did not answer within {START_UP:.0f} seconds.")

    @staticmethod
    def _bash(command: str) -> list[str]:
        return ["bash", "-o", "pipefail", "-c", command]

    @staticmethod
    def _finish(command: str, done: subprocess.CompletedProcess[Any]) -> None:
        if done.returncode:
            raise FatalError(f"`{command}` ended with exit code {done.returncode}: see its message above.")
