"""Both connectors in the hands of PyAirbyte, which holds every message against the protocol."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bigcommerce_sandbox import SandboxServer
from tests.pipelines.test_recipes import recipe
from tests.support.airbyte import BIN
from tests.support.environments import bin_of
from tests.support.stores import looks, make_odd, wreck, writes

pytestmark = pytest.mark.slow

PYAIRBYTE = "airbyte==0.71.3"

# The parent says what to do next, one line each; PyAirbyte takes half a minute to start.
SCRIPT = """
import json, sys
import airbyte as ab
from airbyte.caches import DuckDBCache

bin_folder, settings = sys.argv[1], json.loads(sys.argv[2])
source = ab.get_source(
    "source-bc-images", config=settings, local_executable=f"{bin_folder}/source-bc-images", install_if_missing=False
)
source.check()
source.select_all_streams()
cache = DuckDBCache(db_path="cache.duckdb", schema_name="raw")

def read(full):
    global result
    result = source.read(cache=cache, force_full_refresh=full)
    return {"records": result.processed_records, "streams": sorted(result.streams)}

def rows():
    frame = cache["product_images"].to_pandas()[["id", "product_id", "image_file", "sort_order", "is_thumbnail"]]
    return json.loads(frame.sort_values("id").to_json(orient="records"))

def write():
    destination = ab.get_destination(
        "destination-bc-images",
        config={**settings, "report": "report.jsonl"},
        local_executable=f"{bin_folder}/destination-bc-images",
        install_if_missing=False,
    )
    destination.check()
    return {"records": destination.write(result, cache=False, state_cache=False).processed_records}

steps = {"read": lambda: read(False), "read all": lambda: read(True), "rows": rows, "write": write}
for line in sys.stdin:
    print("ANSWER " + json.dumps(steps[line.strip()]()), flush=True)
"""


needs_pyairbyte = pytest.mark.skipif(sys.version_info >= (3, 13), reason="PyAirbyte has no release for Python 3.13")


def offline(folder: Path) -> dict[str, str]:
    """Return the environment of a PyAirbyte that asks no registry, tells nobody, and writes into `folder`."""
    here = {"PATH": f"{BIN}:/usr/bin:/bin", "HOME": str(folder), "TMPDIR": str(folder)}
    return {**here, "AIRBYTE_OFFLINE_MODE": "1", "DO_NOT_TRACK": "1"}


class PyAirbyte:
    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        python = bin_of("pyairbyte", PYAIRBYTE) / "python"
        self.log = (folder / "log").open("w+")
        self.process = subprocess.Popen(
            [python, "-c", SCRIPT, BIN, json.dumps(settings)],
            cwd=folder,
            env=offline(folder),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )

    def __call__(self, step: str) -> Any:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(step + "\n")
        self.process.stdin.flush()
        said = []
        for line in self.process.stdout:
            said.append(line)
            if line.startswith("ANSWER "):
                return json.loads(line.removeprefix("ANSWER "))
        self.log.seek(0)
        raise AssertionError("".join(said[-40:]) + self.log.read()[-4000:])

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()
        self.log.close()


@needs_pyairbyte
def test_through_pyairbyte(tmp_path: Path) -> None:
    with SandboxServer(products=20, images=3) as store:
        make_odd(store)
        settings = {
            "store_hash": "sandbox",
            "access_token": "sandbox-token",
            "api_url": store.url,
            "store_url": store.url,
            "file_store": str(tmp_path / "files"),
        }
        airbyte = PyAirbyte(tmp_path, settings)
        try:
            assert airbyte("read") == {"records": 80, "streams": ["product_images", "products"]}
            stock = store.dump(files=False)["images"]
            wanted = ("id", "product_id", "image_file", "sort_order", "is_thumbnail")
            assert airbyte("rows") == [{name: each[name] for name in wanted} for each in stock]

            store.set_image(stock[3]["id"], description="new", date_modified="2025-01-01T00:00:00Z")
            again = airbyte("read")["records"]
            assert 20 < again < 30, "every product, but of the images only what has changed since"
            assert airbyte("read all")["records"] == 80

            before = looks(store)
            wreck(store)
            assert looks(store) != before
            assert airbyte("write")["records"] == 80, "out of the DuckDB cache"
            assert looks(store) == before
            store.clear_requests()
            airbyte("write")
            assert not writes(store)
        finally:
            airbyte.close()


@needs_pyairbyte
def test_what_the_documentation_shows(tmp_path: Path) -> None:
    with SandboxServer(products=20, images=3) as store:
        token = f'"sandbox-token", "api_url": "{store.url}"'
        script = recipe("pyairbyte", {"abc123": "sandbox", '"replace-me"': token})
        python = bin_of("pyairbyte", PYAIRBYTE) / "python"
        done = subprocess.run(
            [python, "-c", script], cwd=tmp_path, env=offline(tmp_path), capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.splitlines()[-1] == "60 images of 20 products"
