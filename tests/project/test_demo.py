"""The demo: its exit code means what it says."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from bc_images.cli.demo import warehouse
from bc_images.cli.demo.compare import differences
from bc_images.cli.demo.shell import DemoShell
from bc_images.errors import FatalError, InvalidInput, SettingsError

BIN = Path(sys.executable).parent


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


def backup(path: Path, *images: dict[str, object]) -> Path:
    base = {"product_id": 1, "sort_order": 0, "is_thumbnail": True, "description": None, "file_sha256": "aa"}
    messages: list[dict[str, object]] = [{"type": "SCHEMA", "stream": "product_images"}]
    messages += [
        {"type": "RECORD", "stream": "product_images", "record": {"id": number, **base, **image}}
        for number, image in enumerate(images, 1)
    ]
    path.write_bytes(b"\n".join(map(orjson.dumps, messages)) + b"\n")
    return path


@pytest.mark.parametrize(
    ("after", "lines"),
    [
        ([{}], 0),
        ([{"id": 99, "description": ""}], 0),  # another id and an empty text are the same to a shopper
        ([], 1),
        ([{}, {}], 1),
        ([{"sort_order": 1}], 2),
        ([{"is_thumbnail": False}], 2),
        ([{"description": "other"}], 2),
        ([{"file_sha256": "bb"}], 2),
        ([{"product_id": 2}], 2),
    ],
)
def test_every_difference_is_seen(tmp_path: Path, after: list[dict[str, object]], lines: int) -> None:
    found = differences(backup(tmp_path / "before", {}), backup(tmp_path / "after", *after))
    assert len(found) == lines, found


def test_nothing_is_proved_about_an_image_without_its_file(tmp_path: Path) -> None:
    path = backup(tmp_path / "backup", {"file_sha256": None})
    with pytest.raises(InvalidInput, match="came without its file"):
        differences(path, path)


class TestDemoShell:
    def test_a_command_that_fails_ends_the_demo(self, tmp_path: Path) -> None:
        with DemoShell(tmp_path / "demo", keep=[]) as stage, pytest.raises(FatalError, match="ended with exit code 7"):
            stage.run("exit 7")

    def test_a_pipe_fails_where_any_part_fails(self, tmp_path: Path) -> None:
        with DemoShell(tmp_path / "demo", keep=[]) as stage, pytest.raises(FatalError, match="exit code 1"):
            stage.run("false | true")

    def test_a_server_that_ends_at_once_is_told(self, tmp_path: Path) -> None:
        with DemoShell(tmp_path / "demo", keep=[]) as stage, pytest.raises(FatalError, match="ended at once"):
            stage.serve("false", "http://127.0.0.1:9/")

    def test_a_server_ends_with_the_stage(self, tmp_path: Path) -> None:
        port = free_port()
        with DemoShell(tmp_path / "demo", keep=[]) as stage:
            # On an address of its own: another test may take the port as soon as the server has ended.
            stage.serve(f"{sys.executable} -m http.server {port} --bind 127.0.0.77", f"http://127.0.0.77:{port}/")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.77", port), timeout=1)

    def test_a_folder_of_someone_else_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "thesis.txt").write_text("years of work")
        with pytest.raises(SettingsError, match="holds files that are no demo's"):
            DemoShell(tmp_path, keep=[])
        assert (tmp_path / "thesis.txt").read_text() == "years of work"

    def test_an_earlier_demo_is_replaced_but_for_what_is_costly(self, tmp_path: Path) -> None:
        folder = tmp_path / "demo"
        DemoShell(folder, keep=["venv"])
        for name in ("venv/bin", "files/sha256"):
            (folder / name).mkdir(parents=True)
        (folder / "report.jsonl").write_text("old")
        DemoShell(folder, keep=["venv"])
        assert {path.name for path in folder.iterdir()} == {DemoShell.MARK, "venv"}

    def test_what_is_shown_can_be_pasted(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("FORCE_COLOR", raising=False)  # whoever wants colours has their signs in the text
        with DemoShell(tmp_path / "demo", keep=[]) as stage:
            stage.write("settings.json", {"text": "x" * 300, "markup": "[bold]"})
            stage.write("script.py", "import sys\nprint(sys.argv)\n")
            written = {name: (stage.folder / name).read_text() for name in ("settings.json", "script.py")}
        shown = capsys.readouterr().out.replace("$ ", "")
        subprocess.run(["bash", "-e", "-c", shown], cwd=tmp_path, check=True)
        assert {name: (tmp_path / name).read_text() for name in written} == written


def test_a_newer_python_is_told_before_anything_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warehouse, "NEWEST", (3, 10))
    with DemoShell(tmp_path / "demo", keep=[]) as stage, pytest.raises(SettingsError, match=r"Python 3\.11 to 3\.10"):
        warehouse.install(stage)


def demo(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [str(BIN / "bc-images"), "demo", "--folder", str(folder), "--port", str(free_port()), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


@pytest.mark.slow
def test_the_demo_ends_with_a_proof_and_can_be_seen_again(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    for _ in range(2):
        done = demo(folder, "--products", "160", "--images", "2")
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.splitlines()[-1] == "0 differences"
        assert "Traceback" not in done.stderr
        assert done.stdout.count("320 images, 0 differences.") == 2
    assert "The warehouse is installed already" in done.stdout


@pytest.mark.slow
def test_a_port_that_is_taken_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        command = [
            str(BIN / "bc-images"),
            "demo",
            "--folder",
            str(tmp_path / "demo"),
            "--port",
            str(taken.getsockname()[1]),
        ]
        done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 3
    assert all(line.startswith("bc-images: ") for line in done.stderr.splitlines()), done.stderr
    assert "ended at once, with exit code 2" in done.stderr
