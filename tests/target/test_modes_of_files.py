"""What a restore and an archive leave on the disk, and who may read it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from bc_images.private_files import create_private, make_private_folder, write_private
from tests.singer.test_archive import DONE, RECORD, SCHEMA, keep, text
from tests.support.target import RestoreScenario


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def modes(folder: Path) -> dict[str, int]:
    """Return the mode of a folder and of everything in it."""
    return {path.name: mode(path) for path in [folder, *folder.rglob("*")]}


def test_a_restore_leaves_nothing_that_others_may_read(scenario_v3: RestoreScenario, umask: int) -> None:
    scenario_v3.config["state_dir"] = str(scenario_v3.folder / "deep" / "state")
    scenario_v3.config["report"] = str(scenario_v3.folder / "reports" / "of today" / "report.jsonl")
    backup = scenario_v3.backup()
    scenario_v3.sandbox.set_image(scenario_v3.images(101)[0]["id"], description="damage")
    assert scenario_v3.restore(backup).code == 0
    for folder in ("deep", "reports"):
        left = modes(scenario_v3.folder / folder)
        assert {name: left[name] for name in left if name.startswith(("ledger", "undo", "report.jsonl"))}
        for path in [scenario_v3.folder / folder, *(scenario_v3.folder / folder).rglob("*")]:
            assert mode(path) == (0o700 if path.is_dir() else 0o600), path


def test_what_exists_is_not_changed(scenario_v3: RestoreScenario) -> None:
    state, reports = scenario_v3.state_dir, scenario_v3.folder / "reports"
    for folder, wanted in ((state, 0o750), (reports, 0o755)):
        folder.mkdir()
        folder.chmod(wanted)
    scenario_v3.config["report"] = str(reports / "report.jsonl")
    (reports / "report.jsonl").write_text("an older one")
    (reports / "report.jsonl").chmod(0o644)
    assert scenario_v3.restore(scenario_v3.backup()).code == 0
    assert (mode(state), mode(reports)) == (0o750, 0o755)
    assert mode(reports / "report.jsonl") == 0o600


def test_a_device_that_takes_the_report_stays_as_it_is(scenario_v3: RestoreScenario) -> None:
    before = mode(Path(os.devnull))
    scenario_v3.config["report"] = os.devnull
    assert scenario_v3.restore(scenario_v3.backup()).code == 0
    assert (mode(Path(os.devnull)), Path(os.devnull).is_char_device()) == (before, True)


def test_archives_are_for_their_owner(tmp_path: Path, umask: int) -> None:
    assert keep(tmp_path, text(SCHEMA, RECORD, DONE)).code == 0
    folder = tmp_path / "files" / "archives"
    assert sorted(modes(folder).values()) == [0o600, 0o600, 0o700, 0o700]


def test_folders_are_made_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    make_private_folder(tmp_path / "a" / "b")
    make_private_folder(tmp_path / "a" / "b")
    with create_private(tmp_path / "a" / "file") as file:
        file.write(b"x")
    with pytest.raises(FileExistsError):
        create_private(tmp_path / "a" / "file")
    (tmp_path / "a" / "file").chmod(0o666)
    write_private(tmp_path / "a" / "file", b"y")
    assert modes(tmp_path / "a") == {"a": 0o700, "b": 0o700, "file": 0o600}
    assert (tmp_path / "a" / "file").read_bytes() == b"y"
    with pytest.raises(OSError, match="file"):
        make_private_folder(tmp_path / "a" / "file" / "c")
