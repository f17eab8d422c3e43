"""Through real databases and data frames, in the types that they like, and back: the store is as it was.

Each script reads records, a JSON object a line, on stdin, and writes them again, as its tool gives them back.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bc_images import schema
from bc_images.bigcommerce.mapping import Record
from bigcommerce_sandbox import SandboxServer
from tests.support.environments import bin_of
from tests.support.postgres import Postgres
from tests.support.stores import looks, make_odd, wreck
from tests.support.target import RestoreScenario, head, row, singer

pytestmark = pytest.mark.slow

DUCKDB, PANDAS = "duckdb==1.4.1", "pandas==2.3.3"
COLUMNS = tuple(schema.load("product_images")["properties"])

READ = """
import json, sys
records = [json.loads(line) for line in sys.stdin]
columns = list(records[0])
def put(rows):
    for row in rows:
        print(json.dumps(row, default=str))
"""
DUCKDB_TABLE = """
import duckdb
database = duckdb.connect()
types = dict(id="DECIMAL(38, 3)", product_id="HUGEINT", sort_order="DOUBLE", is_thumbnail="UTINYINT",
             file_size="DOUBLE", date_created="TIMESTAMPTZ", date_modified="TIMESTAMPTZ")
database.execute("CREATE TABLE images (" + ", ".join(f"{n} {types.get(n, 'VARCHAR')}" for n in columns) + ")")
for record in records:
    database.execute(f"INSERT INTO images VALUES ({', '.join('?' * len(columns))})", [record[n] for n in columns])
"""
FRAME = """
import pandas
frame = pandas.DataFrame(records)
frame["date_created"] = pandas.to_datetime(frame["date_created"], utc=True)
frame["date_modified"] = pandas.to_datetime(frame["date_modified"], utc=True)
frame["_sdc_deleted_at"] = pandas.NaT
"""

SCRIPTS = {
    "DuckDB, rows": DUCKDB_TABLE + """
found = database.execute("SELECT * FROM images ORDER BY random()").fetchall()
put(dict(zip(columns, row)) for row in found)
""",
    "DuckDB, JSON": DUCKDB_TABLE + """
database.execute("COPY (SELECT *, NULL::TIMESTAMP AS _sdc_deleted_at FROM images) TO 'out.json' (FORMAT json)")
print(open("out.json").read(), end="")
""",
    "DuckDB, CSV": DUCKDB_TABLE + """
import csv
database.execute("COPY images TO 'out.csv' (FORMAT csv, HEADER)")
put(csv.DictReader(open("out.csv", newline="", encoding="utf-8")))
""",
    "DuckDB, CSV by its own types": DUCKDB_TABLE + """
database.execute("COPY images TO 'out.csv' (FORMAT csv, HEADER, FORCE_QUOTE (description))")
found = database.execute("SELECT * FROM read_csv('out.csv', nullstr='', header=true)")
names = [name for name, *_ in found.description]
put(dict(zip(names, row)) for row in found.fetchall())
""",
    "pandas, JSON": FRAME + """
print(frame.to_json(orient="records", lines=True), end="")
""",
    "pandas, JSON with dates": FRAME + """
print(frame.to_json(orient="records", lines=True, date_format="iso", double_precision=15), end="")
""",
    "pandas, dictionaries": FRAME + """
put(frame.to_dict(orient="records"))
""",
    "pandas, numbers as floats": FRAME + """
for name in ("id", "product_id", "sort_order", "file_size", "is_thumbnail"):
    frame[name] = frame[name].astype(float)
put(frame.to_dict(orient="records"))
""",
    "pandas, CSV": FRAME + """
frame.to_csv("out.csv", index=False, encoding="utf-8-sig")
put(pandas.read_csv("out.csv", keep_default_na=True).to_dict(orient="records"))
""",
    "pandas, CSV as text": FRAME + """
frame.to_csv("out.csv", index=False)
put(pandas.read_csv("out.csv", dtype=str, keep_default_na=False).to_dict(orient="records"))
""",
    "pandas, upper case": FRAME + """
frame.columns = frame.columns.str.upper()
put(frame.to_dict(orient="records"))
""",
}  # fmt: skip


@pytest.fixture
def scenario(store: SandboxServer, tmp_path: Path) -> RestoreScenario:
    return RestoreScenario(store, tmp_path)


def records_of(scenario: RestoreScenario, *, plain_texts: bool) -> list[Record]:
    """Return the records of a store with odd texts; plain ones where the way itself would change odd ones."""
    make_odd(scenario.sandbox)
    for image in scenario.sandbox.dump(files=False)["images"] if plain_texts else ():
        if image["description"]:
            scenario.sandbox.set_image(image["id"], description=f'Größe "{image["id"]}", 日本')
    return scenario.records()


def restored(scenario: RestoreScenario, lines: list[str], stream: str = "raw-product_images") -> None:
    """Wreck the store and restore it from records as they came back; then it is as it was."""
    before = looks(scenario.sandbox)
    wreck(scenario.sandbox)
    assert looks(scenario.sandbox) != before
    schema_ = head(stream) | {"schema": {"properties": {}}}
    start, end = json.dumps(row({}, stream, None)).encode().split(b"{}")
    data = singer(schema_) + b"".join(start + line.encode() + end + b"\n" for line in lines)
    run = scenario.restore(data)
    assert run.code == 0, run.err
    assert looks(scenario.sandbox) == before
    assert scenario.restore(data).actions == []


@pytest.mark.parametrize("name", SCRIPTS)
def test_through_python(scenario: RestoreScenario, name: str) -> None:
    python = bin_of("spellings", DUCKDB, PANDAS) / "python"
    records = records_of(scenario, plain_texts="CSV" in name)
    done = subprocess.run(
        [python, "-c", READ + SCRIPTS[name]],
        input="".join(json.dumps(each) + "\n" for each in records),
        cwd=scenario.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(records)
    restored(scenario, lines)


POSTGRES_TYPES = {
    "usual": {"id": "bigint", "product_id": "bigint", "sort_order": "integer", "is_thumbnail": "boolean"},
    "numeric": {"id": "numeric(20, 5)", "product_id": "numeric", "sort_order": "numeric", "is_thumbnail": "smallint"},
    "floating": {"id": "double precision", "product_id": "real", "sort_order": "float8", "is_thumbnail": "real"},
    "text": {},
}


@pytest.mark.parametrize("types", POSTGRES_TYPES)
@pytest.mark.parametrize("way", ["JSON", "CSV", "COPY"])
def test_through_postgresql(scenario: RestoreScenario, warehouse: Postgres, types: str, way: str) -> None:
    records = records_of(scenario, plain_texts=way != "JSON")
    dates = {"date_created": "timestamptz", "date_modified": "timestamptz", "file_size": "numeric"}
    kinds = POSTGRES_TYPES[types] | (dates if types != "text" else {})
    columns = ", ".join(f"{name} {kinds.get(name, 'text')}" for name in COLUMNS)

    def literal(name: str, value: Any) -> str:
        if value is None:
            return "NULL"
        if isinstance(value, bool) and kinds.get(name) in {"smallint", "real"}:
            value = int(value)
        return "'" + str(value).replace("'", "''") + "'"

    rows = ",\n".join(f"({', '.join(literal(name, each[name]) for name in COLUMNS)})" for each in records)
    warehouse.psql(f"CREATE TABLE images ({columns}); INSERT INTO images VALUES {rows}")
    if way == "JSON":
        lines = [json.dumps(each) for each in warehouse.rows("SELECT * FROM images")]
    elif way == "CSV":
        lines = as_json(warehouse.psql("COPY images TO STDOUT (FORMAT csv, HEADER)"))
    else:  # with null written out, as dumps have it
        lines = as_json(warehouse.psql("COPY images TO STDOUT (FORMAT csv, HEADER, NULL '\\N', FORCE_QUOTE *)"))
        lines = [json.dumps({n: None if n == "description" and v == "\\N" else v for n, v in json.loads(line).items()})
                 for line in lines]  # fmt: skip
    restored(scenario, lines, "public-product_images")


def as_json(text: str) -> list[str]:
    import csv
    import io

    return [json.dumps(each) for each in csv.DictReader(io.StringIO(text, newline=""))]
