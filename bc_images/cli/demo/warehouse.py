"""Loads DuckDB with a public Singer loader in a virtual environment of its own."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from bc_images.cli.demo.shell import DemoShell
from bc_images.errors import FatalError, SettingsError

__all__ = ["FOLDER", "SQL", "count", "install"]

FOLDER = "warehouse-venv"
LOCK = Path(__file__).with_name("warehouse.lock")
NEWEST = (3, 13)  # the newest Python that has wheels of the pinned DuckDB

SQL = """\
import sys, duckdb
rows = duckdb.connect("warehouse.duckdb", read_only=True)
rows.sql(sys.argv[1]).show()
"""


def install(stage: DemoShell) -> None:
    """Make the virtual environment, or keep the one that an earlier demo made.

    Raises:
        SettingsError: this Python is newer than the pinned DuckDB.
        FatalError: the installation failed; it is begun anew the next time.
    """
    if sys.version_info[:2] > NEWEST:
        raise SettingsError(f"The demo's warehouse needs Python 3.11 to {NEWEST[0]}.{NEWEST[1]}: use one of these.")
    lock = shlex.quote(str(LOCK))
    ready = stage.folder / FOLDER / "ready"
    if ready.exists() and ready.read_bytes() == LOCK.read_bytes():
        stage.say(f"The warehouse is installed already, in {FOLDER}.")
        return
    stage.run(f"{shlex.quote(sys.executable)} -m venv {FOLDER}")
    stage.run(f"{FOLDER}/bin/python -m pip install -qq --disable-pip-version-check --require-hashes -r {lock}")
    ready.write_bytes(LOCK.read_bytes())


def count(stage: DemoShell, table: str, wanted: int) -> None:
    """Compare the rows of a table with the records that were sent.

    Raises:
        FatalError: the loader lost rows, or made some up.
    """
    script = SQL.replace("rows.sql(sys.argv[1]).show()", f"print(rows.table('{table}').count('*').fetchone()[0])")
    rows = int(stage.read(f"{FOLDER}/bin/python -c {shlex.quote(script)}"))
    if rows != wanted:
        raise FatalError(f"The warehouse has {rows} rows in {table}, and {wanted} records were sent: rows were lost.")
    stage.say(f"Every record arrived: {rows} rows in {table}.")
