"""meltano.yml in the hands of Meltano itself."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from bigcommerce_sandbox import SandboxServer
from tests.pipelines.test_definitions import DEFINITIONS
from tests.support.environments import meltano
from tests.support.meltano_project import Project
from tests.support.project import ROOT
from tests.support.stores import looks, wreck, writes

pytestmark = pytest.mark.slow


def test_meltano_accepts_every_word_of_it() -> None:
    """By the JSON Schema that Meltano itself ships."""
    python = meltano().with_name("python")
    script = """
import json, sys
from importlib.resources import files
import jsonschema
schema = json.loads((files("meltano.schemas") / "meltano.schema.json").read_text())
validator = jsonschema.Draft202012Validator(schema)
errors = [f"{list(each.absolute_path)}: {each.message}" for each in validator.iter_errors(json.load(sys.stdin))]
print(json.dumps(errors))
"""
    text = json.dumps(yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8")))
    done = subprocess.run([python, "-c", script], input=text, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_a_schedule_runs_its_job(project: Project, store: SandboxServer) -> None:
    listed = project.json("schedule", "list", "--format=json")["schedules"]["job"]
    assert {each["name"]: each["job"]["name"] for each in listed} == {
        "nightly-warehouse": "warehouse",
        "nightly-backup": "backup",
        "weekly-drill": "drill",
    }
    project.call("schedule", "run", "nightly-backup")
    assert len(project.archives()) == 1
    count = len(store.dump(files=False)["images"])
    kept = [path for path in (project.folder / "output" / "files" / "sha256").rglob("*") if path.is_file()]
    assert len(kept) == count


def test_prod_takes_everything_from_the_environment(project: Project, store: SandboxServer) -> None:
    bare = project.call("--environment=prod", "run", "warehouse-duckdb", code=1)
    assert "store_hash is missing" in bare
    project.environment |= {
        "TAP_BC_IMAGES_STORE_HASH": "sandbox",
        "TAP_BC_IMAGES_ACCESS_TOKEN": "sandbox-token",
        "TAP_BC_IMAGES_WEBDAV_USERNAME": "somebody@example.com",
        "TAP_BC_IMAGES_WEBDAV_PASSWORD": "a-password",
    }
    output = project.call("--environment=prod", "run", "warehouse-duckdb")
    assert "prod:tap-bc-images-to-target-duckdb" in output
    assert "sandbox-token" not in output
    assert "a-password" not in output
    listed = project.call("--environment=prod", "config", "list", "tap-bc-images")
    assert "sandbox-token" not in listed
    assert "a-password" not in listed
    assert "is not a setting" not in output, "Meltano's own variables are no misspelt settings"


def test_definitions_can_be_added_to_another_project(tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "meltano.yml").write_text(
        "requires_meltano: '>=4'\ndefault_environment: dev\nenvironments: [{name: dev}]\n"
    )
    for name, path in DEFINITIONS.items():
        kind = path.parent.name.removesuffix("s")
        command: list[Path | str] = [
            meltano(),
            "add",
            "--no-install",
            f"--plugin-type={kind}",
            "--from-ref",
            path,
            name,
        ]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        listed = subprocess.run(
            [meltano(), "config", "list", name, "--all"], cwd=folder, capture_output=True, text=True, check=False
        )
        assert listed.returncode == 0, listed.stderr
        for setting in yaml.safe_load(path.read_text(encoding="utf-8"))["settings"]:
            assert setting["name"] in listed.stdout


def test_a_point_in_time_comes_back(project: Project, store: SandboxServer) -> None:
    """One product, as it was in an older archive; nothing else is touched."""
    before = looks(store)
    project.run("backup")
    (old,) = project.archives()
    old.rename(old.with_name("20250110T020000Z.singer.gz"))
    wreck(store)
    damaged = looks(store)
    project.run("backup")
    victim = next(key[0] for key in sorted(before - damaged))
    store.clear_requests()
    project.run("restore", TAP_SINGER_ARCHIVE_AT="2025-01-10", TARGET_BC_IMAGES_PRODUCT_IDS=f"[{victim}]")
    after = looks(store)
    assert {key for key in after if key[0] == victim} == {key for key in before if key[0] == victim}
    assert {key for key in after if key[0] != victim} == {key for key in damaged if key[0] != victim}
    assert all(f"/{victim}/" in write or write.endswith(f"/{victim}") for write in writes(store))


def test_verify_reads_the_archive_that_a_restore_would(project: Project, store: SandboxServer) -> None:
    """Name and time come from the variables of tap-singer-archive."""
    project.run("backup", TARGET_SINGER_ARCHIVE_NAME="shop1")
    (old,) = (project.folder / "output" / "files" / "archives" / "shop1").glob("*.singer.gz")
    old.rename(old.with_name("20250110T020000Z.singer.gz"))
    store.delete_image(store.dump(files=False)["images"][0]["id"])
    project.run("backup", TARGET_SINGER_ARCHIVE_NAME="shop1")
    (project.folder / ".env").write_text("TAP_SINGER_ARCHIVE_NAME=shop1\n")
    assert "0 differences" in project.run("verify")
    assert "proved: " in project.run("drill")
    assert "1 missing" in project.run("verify", code=1, TAP_SINGER_ARCHIVE_AT="2025-01-10")


def test_a_mirror_takes_away_what_the_backup_has_not(project: Project, store: SandboxServer) -> None:
    """The archive keeps the mark of a complete scan, and which products had no image."""
    before = looks(store)
    project.run("backup")
    stock = store.dump(files=False)
    bare = next(each["id"] for each in stock["products"] if all(i["product_id"] != each["id"] for i in stock["images"]))
    for product in (bare, stock["images"][0]["product_id"]):
        store.add_image(product, b"GIF89a\x01\x00\x01\x00\x00\x00\x00;", "intruder.gif")
    assert looks(store) != before
    project.run("restore", code=1, TARGET_BC_IMAGES_MODE="mirror", TARGET_BC_IMAGES_MAX_DELETES="1")
    assert looks(store) != before
    project.run("restore", TARGET_BC_IMAGES_MODE="mirror", TARGET_BC_IMAGES_MAX_DELETES="2")
    assert looks(store) == before


def test_a_table_of_several_stores_makes_no_backup_incomplete(project: Project) -> None:
    project.run("backup", TAP_BC_IMAGES_ACTIVATE_VERSION="false")
    (archive,) = project.archives()
    assert archive.name.count(".") == 2, "a whole one"
