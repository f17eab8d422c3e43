"""A PostgreSQL server of our own: made, started and stopped by the tests."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

__all__ = ["Postgres", "free_port", "postgres"]

PASSWORD = "a 'quoted' \"word\" & %40/:?"


def free_port() -> int:
    """Return a TCP port of this machine that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _programs() -> Path | None:
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    on_path = shutil.which("initdb")
    if folders:
        return folders[-1]
    return Path(on_path).resolve().parent if on_path else None


def _as_postgres() -> list[str]:
    """Return what stands before a command: PostgreSQL refuses to run as root."""
    if os.getuid():
        return []
    user = pwd.getpwnam("postgres")
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--init-groups"]


@dataclass(frozen=True)
class Postgres:
    """A running server; `database` is empty until somebody fills it."""

    port: int
    programs: Path
    database: str = "warehouse"
    user: str = "postgres"
    password: str = PASSWORD

    @property
    def environment(self) -> dict[str, str]:
        """What psql needs."""
        return {
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.port),
            "PGUSER": self.user,
            "PGPASSWORD": self.password,
            "PGDATABASE": self.database,
        }

    def settings(self, plugin: str) -> dict[str, str]:
        """Return the settings of a Meltano plugin for this server, as environment variables."""
        values = {
            "host": "127.0.0.1",
            "port": self.port,
            "user": self.user,
            "password": self.password,
            "database": self.database,
        }
        return {f"{plugin.upper().replace('-', '_')}_{name.upper()}": str(value) for name, value in values.items()}

    def psql(self, sql: str, *options: str) -> str:
        """Run SQL and return what psql prints."""
        command: list[Path | str] = [self.programs / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", *options]
        done = subprocess.run(
            command, input=sql, env={**os.environ, **self.environment}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """Return the rows of a query."""
        text = self.psql(f"SELECT coalesce(json_agg(found), '[]') FROM ({sql}) found", "-tA")
        rows: list[dict[str, Any]] = json.loads(text)
        return rows

    def value(self, sql: str) -> Any:
        """Return the one value of a query."""
        (row,) = self.rows(sql)
        (value,) = row.values()
        return value

    def empty(self) -> None:
        """Forget all tables."""
        self.psql("DROP SCHEMA IF EXISTS raw CASCADE; DROP SCHEMA public CASCADE; CREATE SCHEMA public")


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Start a server on a free port, with its data in a temporary folder; stop it and remove all at the end."""
    programs = _programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="bc-images-pg-"))
    data, port = folder / "data", free_port()
    try:
        secret = folder / "password"
        secret.write_text(PASSWORD, encoding="utf-8")
        for path in (folder, secret):
            if not os.getuid():
                shutil.chown(path, "postgres", "postgres")
        _call(
            programs / "initdb",
            "-D",
            data,
            "-U",
            "postgres",
            "-A",
            "scram-sha-256",
            "--pwfile",
            secret,
            "-N",
            "-E",
            "UTF8",
        )
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        _call(programs / "pg_ctl", "-D", data, "-w", "-s", "-l", folder / "log", "-o", options, "start")
        try:
            server = Postgres(port, programs)
            Postgres(port, programs, "postgres").psql(f"CREATE DATABASE {server.database}")
            yield server
        finally:
            _call(programs / "pg_ctl", "-D", data, "-w", "-s", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


def _call(*command: Path | str) -> None:
    words: Sequence[str] = [*_as_postgres(), *map(str, command)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
