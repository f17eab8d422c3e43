"""``bc-images verify --archive`` compares with the archive that ``tap-singer-archive`` would give back."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from bc_images.cli.verify import verify
from bc_images.errors import FatalError, SettingsError
from bc_images.files import open_files
from bc_images.snapshots import SnapshotStore
from bigcommerce_sandbox import STORE_HASH, TOKEN, SandboxServer
from tests.support.commands import restored_handlers, run

ARCHIVES = {"shop1": {"20250110": 0, "20250112": 1}, "store": {"20250111": 2}}
"""Of each archive how many images the store has lost since."""


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Path]:
    """Settings for a store that has lost an image between any two of its archives."""
    settings = tmp_path / "config.json"
    with SandboxServer(products=2, images=2) as store:
        here = {"store_hash": STORE_HASH, "access_token": TOKEN, "api_url": store.url, "store_url": store.url}
        settings.write_text(json.dumps({**here, "file_store": str(tmp_path / "files")}))
        most_lost_first = sorted(
            ((lost, name, day) for name, days in ARCHIVES.items() for day, lost in days.items()), reverse=True
        )
        for lost, name, day in most_lost_first:
            scanned = run("tap-bc-images", "--config", settings)
            assert scanned.code == 0, scanned.err
            path = tmp_path / "files" / "archives" / name / f"{day}T020000Z.singer.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(gzip.compress(scanned.out.encode()))
            if lost:
                store.delete_image(store.dump(files=False)["images"][0]["id"])
        yield settings


def lost(config: Path, *arguments: str, **environment: str) -> int:
    """Return how many images of the archive are missing from the store."""
    clean = {"TAP_SINGER_ARCHIVE_NAME": None, "TAP_SINGER_ARCHIVE_AT": None}
    with restored_handlers():
        done = CliRunner().invoke(verify, ["--config", str(config), *arguments, "--json"], env={**clean, **environment})
    if done.exception is not None and not done.stdout:
        raise done.exception
    missing: int = json.loads(done.stdout.splitlines()[-1])["summary"]["missing"]
    return missing


def test_name_and_time_are_those_of_the_tap(config: Path) -> None:
    shop1 = {"TAP_SINGER_ARCHIVE_NAME": "shop1"}
    assert lost(config, "--archive") == ARCHIVES["store"]["20250111"]
    assert lost(config, "--archive", **shop1) == ARCHIVES["shop1"]["20250112"]
    assert lost(config, "--archive", **shop1, TAP_SINGER_ARCHIVE_AT="2025-01-10") == ARCHIVES["shop1"]["20250110"]


def test_what_is_said_on_the_command_line_wins(config: Path) -> None:
    elsewhere = {"TAP_SINGER_ARCHIVE_NAME": "nowhere", "TAP_SINGER_ARCHIVE_AT": "2020-01-01"}
    assert lost(config, "--archive", "shop1", "--at", "2025-01-10", **elsewhere) == ARCHIVES["shop1"]["20250110"]
    with pytest.raises(FatalError, match="o complete archive found that is not later than 2020"):
        lost(config, "--archive", "shop1", **elsewhere)


def test_they_say_nothing_of_a_backup_in_a_file(config: Path) -> None:
    backup = config.with_name("backup.singer")
    backup.write_text(run("tap-bc-images", "--config", config).out)
    assert lost(config, "--backup", str(backup), TAP_SINGER_ARCHIVE_AT="2020-01-01") == 0
    with pytest.raises(SettingsError, match="either --backup or --archive"):
        lost(config, "--backup", str(backup), "--archive")


def test_a_snapshot_is_named_by_its_id(config: Path) -> None:
    snapshots = SnapshotStore(open_files(str(config.parent / "files")), "shop1")
    for snapshot in snapshots.list():
        identifier = snapshots.manifest(snapshot).short_id
        assert lost(config, "--archive", f"shop1/{identifier}") == ARCHIVES["shop1"][snapshot[:8]]
    assert lost(config, "--archive", "/latest") == ARCHIVES["store"]["20250111"]
    with pytest.raises(SettingsError, match="give one of them"):
        lost(config, "--archive", "shop1/latest", "--at", "2025-01-10")
