"""Out of the store and back in, by ``meltano run`` and through real loaders: the store is as it was."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bigcommerce_sandbox import DAV_PASSWORD, DAV_USERNAME, SandboxServer
from tests.support.environments import plugins
from tests.support.meltano_project import Project
from tests.support.postgres import Postgres
from tests.support.stores import looks, make_odd, wreck, writes

pytestmark = pytest.mark.slow

VERSIONS = {
    "v3": {"TAP_BC_IMAGES_API_VERSION": "v3", "TARGET_BC_IMAGES_API_VERSION": "v3"},
    "v2": {
        "TAP_BC_IMAGES_API_VERSION": "v2",
        "TARGET_BC_IMAGES_API_VERSION": "v2",
        "TARGET_BC_IMAGES_WEBDAV_USERNAME": DAV_USERNAME,
        "TARGET_BC_IMAGES_WEBDAV_PASSWORD": DAV_PASSWORD,
    },
}


def only_keeps(project: Project) -> bool:
    actions = {line["action"] for line in project.report()}
    return actions == {"keep"}


@pytest.mark.parametrize("version", VERSIONS)
def test_through_the_archive(project: Project, store: SandboxServer, version: str) -> None:
    project.environment |= VERSIONS[version]
    make_odd(store)
    before = looks(store)
    project.run("backup")
    (archive,) = project.archives()
    assert archive.name.count(".") == 2, "a whole one"
    project.run("verify")

    wreck(store)
    assert looks(store) != before
    assert "differences" in project.run("verify", code=1)
    store.clear_requests()
    project.run("restore-plan")
    planned = {line["action"] for line in project.report("restore-plan")}
    assert {"create", "update", "replace", "keep"} <= planned
    assert not writes(store), "a plan writes nothing"

    project.run("restore")
    assert looks(store) == before
    project.run("verify")

    store.clear_requests()
    project.run("restore")
    assert not writes(store)
    assert only_keeps(project)


# The same products and images, by their ids, and nothing else is the same.
OF_ANOTHER_STORE = """
CREATE TEMPORARY TABLE theirs AS SELECT * FROM raw.product_images;
UPDATE theirs SET store_hash = 'another', description = 'of another store', sort_order = 9;
INSERT INTO raw.product_images SELECT * FROM theirs;
"""


@pytest.mark.parametrize("version", VERSIONS)
def test_through_postgresql(with_postgres: Project, store: SandboxServer, warehouse: Postgres, version: str) -> None:
    """The warehouse holds no pictures: the nightly backup's are found by their path. And it holds another store."""
    project = with_postgres
    project.environment |= VERSIONS[version]
    gone = store.dump(files=False)["images"][0]["id"]
    project.run("warehouse")
    store.delete_image(gone)
    make_odd(store)
    before = looks(store)
    project.run("warehouse", "backup")
    assert warehouse.value("SELECT count(file_sha256) FROM raw.product_images") == 0
    assert warehouse.rows("SELECT id FROM raw.product_images WHERE _sdc_deleted_at IS NOT NULL") == [{"id": gone}]

    wreck(store, seed=2)
    assert looks(store) != before
    warehouse.psql(OF_ANOTHER_STORE)
    project.run("restore-from-warehouse")
    assert looks(store) == before, "what had left the store before stays away"
    assert "reject" not in {line["action"] for line in project.report()}, "the other store's rows were not even read"

    store.clear_requests()
    project.forget_the_ledger()
    project.run("restore-from-warehouse")
    assert not writes(store)
    assert only_keeps(project)


SELECT = """
COPY (
  SELECT 'RECORD' AS type, 'product_images' AS stream, images AS record
  FROM raw.product_images AS images ORDER BY product_id, id
) TO '%s' (FORMAT json)
"""


@pytest.mark.parametrize("version", VERSIONS)
def test_through_duckdb(project: Project, store: SandboxServer, tmp_path: Path, version: str) -> None:
    project.environment |= VERSIONS[version]
    make_odd(store)
    before = looks(store)
    project.run("warehouse-duckdb", TAP_BC_IMAGES_FILE_STORE="output/files")
    wreck(store, seed=3)
    assert looks(store) != before

    exported = tmp_path / "exported.json"
    python = plugins() / "loaders" / "target-duckdb" / "venv" / "bin" / "python"
    script = f"import duckdb; duckdb.connect('warehouse.duckdb').sql('''{SELECT % exported}''')"
    subprocess.run([python, "-c", script], cwd=project.folder, check=True)
    rows = [json.loads(line) for line in exported.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == before.total()
    head = '{"type": "SCHEMA", "stream": "product_images", "schema": {"properties": {}}, "key_properties": ["id"]}\n'
    singer = head.encode() + exported.read_bytes()

    settings = {
        "store_hash": "sandbox",
        "access_token": "sandbox-token",
        "api_url": store.url,
        "store_url": store.url,
        "file_store": "output/files",
    }
    (project.folder / "target.json").write_text(json.dumps(settings))
    target: list[Path | str] = [Path(sys.executable).parent / "target-bc-images", "--config", "target.json"]
    subprocess.run(target, input=singer, cwd=project.folder, env=project.environment, check=True)
    assert looks(store) == before

    store.clear_requests()
    subprocess.run(target, input=singer, cwd=project.folder, env=project.environment, check=True)
    assert not writes(store)
