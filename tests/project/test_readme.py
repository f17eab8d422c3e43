"""The README's tours run as they stand there: every block, one after the other, in an empty folder."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.project import ROOT

pytestmark = pytest.mark.slow

BLOCKS: list[str] = re.findall(
    r"^<!-- tour -->\n```sh\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
)
PORT = "8100"

BEFORE = """\
set -e
trap 'kill $(jobs -p)' EXIT  # the sandbox, which the first block starts
"""
# A reader's second paste comes later than ours.
WAIT = """\
for i in $(seq 100); do
  curl -s -o /dev/null http://127.0.0.1:8100/stores/sandbox/v2/time && break
  sleep 0.1
done
"""


@dataclass
class Walk:
    """What a walk through the tours has left: its folder, what it printed, and how it ended."""

    folder: Path
    out: str
    err: str
    code: int


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Walk:
    folder = tmp_path_factory.mktemp("tour")
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = str(listening.getsockname()[1])
    script = "\n".join([BEFORE, BLOCKS[0], WAIT, *BLOCKS[1:]]).replace(PORT, port)
    env = {name: value for name, value in os.environ.items() if not name.startswith(("TAP_", "TARGET_", "BC_"))}
    env["XDG_STATE_HOME"] = str(folder / "state")
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    with (folder / "out").open("w") as out, (folder / "err").open("w") as err:
        done = subprocess.run(["bash", "-c", script], cwd=folder, env=env, stdout=out, stderr=err, timeout=600)
    return Walk(folder, (folder / "out").read_text(), (folder / "err").read_text(), done.returncode)


def test_the_tours_run_to_their_end(walk: Walk) -> None:
    assert len(BLOCKS) == 8
    assert walk.code == 0, walk.out + walk.err
    assert "Traceback" not in walk.err


def test_a_snapshot_is_made_proved_and_restored(walk: Walk) -> None:
    assert "200 products, 600 images, 600 new pictures" in walk.out
    assert "proved: 200 of 200 products, 600 of 600 pictures" in walk.out
    assert "Nothing to do: the store is as the snapshot" in walk.out
    assert re.search(r"^\d{8}T\d{6}\.\d+Z  2 products, 3 images$", walk.out, re.MULTILINE)


def test_the_warehouse_has_every_image(walk: Walk) -> None:
    assert re.search(r"│\s+600 │\s+200 │", walk.out), walk.out


def test_the_pictures_are_saved(walk: Walk) -> None:
    assert len([path for path in (walk.folder / "pictures/sha256").rglob("*") if path.is_file()]) == 600
    assert "600 files" in walk.out


def test_the_damage_is_planned_then_repaired(walk: Walk) -> None:
    tables = re.findall(r"^create +(\d+|-).*\nupdate +(\d+|-)", walk.err, re.MULTILINE)
    assert tables == 3 * [("3", "1")]  # restore, then plan and repair by the target
    assert "0 differences (600 same)" in walk.out
    assert list((walk.folder / "state" / "bc-images" / "sandbox").glob("ledger-*")), "the ledger"
    assert (walk.folder / "report.jsonl").stat().st_size
