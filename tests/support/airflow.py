"""A real Airflow with its scheduler, for the time of a test."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.support.environments import bin_of
from tests.support.postgres import free_port

__all__ = ["Airflow"]

AIRFLOW = "apache-airflow==3.3.2"
PATIENCE = 300.0  # seconds after which a machine under load has failed


class Airflow:
    """Airflow with a folder of DAG files; everything it writes stays in `home`."""

    def __init__(self, home: Path, dags: Path, environment: Mapping[str, str]) -> None:
        self.home = home
        self.bin = bin_of("airflow", AIRFLOW)
        port = free_port()
        self.environment = {
            **environment,
            "PATH": f"{self.bin}:{environment['PATH']}",
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
        }

    def call(self, *arguments: str) -> str:
        """Run a command of Airflow's."""
        return self.python("-m", "airflow", *arguments)

    def python(self, *arguments: Path | str) -> str:
        """Run Airflow's Python; return what it printed."""
        command: list[Path | str] = [self.bin / "python", *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False, cwd=self.home)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run scheduler, DAG processor and API server."""
        with (self.home / "standalone.log").open("w") as log:
            process = subprocess.Popen(
                [self.bin / "airflow", "standalone"],
                env=self.environment,
                cwd=self.home,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                yield
            finally:
                self._end(process)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        with suppress(subprocess.TimeoutExpired):
            process.terminate()
            process.wait(timeout=20)
        # The end of the first does not reach all that it has started; they have its process group, and no other has.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask Airflow's own database."""
        with closing(sqlite3.connect(f"file:{self.home / 'airflow.db'}?mode=ro", uri=True, timeout=30)) as database:
            return database.execute(sql).fetchall()

    def wait(self, is_so: Callable[[], bool]) -> None:
        """Wait until something is so."""
        end = time.monotonic() + PATIENCE
        while not is_so():
            assert time.monotonic() < end, (self.home / "standalone.log").read_text()[-5000:]
            time.sleep(0.2)
