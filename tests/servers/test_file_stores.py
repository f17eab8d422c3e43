"""Backup, check and restore with the file store on an SSH server and in Azurite, by the libraries that users have."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from bigcommerce_sandbox import STORE_HASH, TOKEN, SandboxServer
from tests.support.azurite import Azurite, azurite
from tests.support.environments import bin_of
from tests.support.file_host import closed_port
from tests.support.openssh import SSH, openssh
from tests.support.project import ROOT

pytestmark = pytest.mark.slow

Environment = dict[str, str]


@pytest.fixture(scope="module")
def programs() -> Path:
    """Our commands as they stand here, with paramiko and the extra `azure`; another pyproject.toml means a new set."""
    made_from = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()[:12]
    return bin_of(f"file-stores-{made_from}", "paramiko==4.0.0", "-e", f"{ROOT}[azure]")


@pytest.fixture(scope="module")
def ssh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SSH]:
    with openssh(tmp_path_factory.mktemp("ssh")) as running:
        yield running


@pytest.fixture(scope="module")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    with azurite(tmp_path_factory.mktemp("azurite")) as running:
        yield running


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    with SandboxServer(products=4, images=3) as running:
        yield running


class Stage:
    """A store, a file store, and the commands as a user runs them."""

    def __init__(
        self, programs: Path, sandbox: SandboxServer, folder: Path, files: str, env: Mapping[str, str]
    ) -> None:
        self.programs, self.sandbox, self.files = programs, sandbox, files
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("AZURE_", "FSSPEC_"))}
        self.env: Environment = {**clean, **env}
        common = {"store_hash": STORE_HASH, "access_token": TOKEN, "api_url": sandbox.url, "store_url": sandbox.url}
        self.config = folder / "config.json"
        self.config.write_text(json.dumps({**common, "file_store": files}))
        self.target = folder / "target.json"
        self.target.write_text(json.dumps({**common, "file_store": files, "state_dir": str(folder / "state")}))

    def __call__(self, *command: str | Path, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        words = [str(self.programs / str(command[0])), *map(str, command[1:])]
        return subprocess.run(words, input=data, env=self.env, capture_output=True, timeout=120)

    def check(self) -> subprocess.CompletedProcess[bytes]:
        return self("bc-images", "check", "--file-store", self.files)

    def pictures(self) -> list[Any]:
        """What a restore must bring back."""
        facts = ("product_id", "sort_order", "is_thumbnail", "description", "sha256")
        images = self.sandbox.dump()["images"]
        return sorted(([image.get(name) or "" for name in facts] for image in images), key=str)


def round_trip(stage: Stage) -> None:
    before = stage.pictures()
    backup = stage("tap-bc-images", "--config", stage.config)
    assert backup.returncode == 0, backup.stderr.decode()
    checked = stage.check()
    assert checked.returncode == 0, checked.stdout.decode() + checked.stderr.decode()
    for image in stage.sandbox.dump()["images"]:
        stage.sandbox.delete_image(image["id"])
    restored = stage("target-bc-images", "--config", stage.target, data=backup.stdout)
    assert restored.returncode == 0, restored.stderr.decode()
    assert stage.pictures() == before
    for done in (backup, restored):
        assert b"Traceback" not in done.stderr
        assert len(done.stderr.splitlines()) < 40  # a library that logs each request is not heard


def refused(stage: Stage, code: int, *expected: str) -> None:
    """Both the check and the backup end with one line that says so, and the store is not asked for anything."""
    stage.sandbox.clear_requests()
    for done in (stage.check(), stage("tap-bc-images", "--config", stage.config)):
        assert done.returncode == code, done.stderr.decode()
        line = done.stderr.decode().splitlines()[-1]
        for text in expected:
            assert text in line
        assert b"Traceback" not in done.stderr
        assert done.stdout == b""
    assert stage.sandbox.requests() == []


class TestSFTP:
    @pytest.fixture
    def stage(self, programs: Path, sandbox: SandboxServer, tmp_path: Path, ssh: SSH) -> Stage:
        (tmp_path / "remote").mkdir()
        env = {"FSSPEC_SFTP_KEY_FILENAME": str(ssh.key), "FSSPEC_SFTP_LOOK_FOR_KEYS": ""}
        return Stage(programs, sandbox, tmp_path, ssh.url(tmp_path / "remote" / "pictures"), env)

    def test_round_trip(self, stage: Stage) -> None:
        round_trip(stage)

    def test_a_key_that_the_server_does_not_accept(self, stage: Stage, ssh: SSH) -> None:
        stage.env["FSSPEC_SFTP_KEY_FILENAME"] = str(ssh.other_key)
        refused(stage, 3, "Permission denied: cannot connect to the file store sftp://", f"@127.0.0.1:{ssh.port}/")

    def test_a_server_that_is_not_there(self, programs: Path, sandbox: SandboxServer, tmp_path: Path) -> None:
        port = closed_port()
        stage = Stage(programs, sandbox, tmp_path, f"sftp://somebody@127.0.0.1:{port}/pictures", {})
        refused(stage, 3, "Cannot connect to the file store sftp://", f"connection refused (127.0.0.1:{port})")

    def test_a_folder_that_may_not_be_written(self, stage: Stage, programs: Path, tmp_path: Path, ssh: SSH) -> None:
        unwritable = Stage(programs, stage.sandbox, tmp_path, ssh.url(Path("/proc/pictures")), stage.env)
        done = unwritable("tap-bc-images", "--config", unwritable.config)
        assert done.returncode == 3, done.stderr.decode()
        assert b"file store sftp://" in done.stderr.splitlines()[-1]

    def test_a_fifo_in_the_place_of_a_picture(self, stage: Stage, tmp_path: Path) -> None:
        assert stage("tap-bc-images", "--config", stage.config).returncode == 0
        path = next(path for path in (tmp_path / "remote" / "pictures" / "sha256").rglob("*") if path.is_file())
        path.unlink()
        os.mkfifo(path)
        done = stage.check()
        assert done.returncode == 1, done.stderr.decode()
        assert any(line.startswith("! ") and path.name in line for line in done.stdout.decode().splitlines())
        assert stage("tap-bc-images", "--config", stage.config).returncode == 0
        assert path.is_file()
        assert stage.check().returncode == 0


class TestAzure:
    @pytest.fixture
    def stage(self, programs: Path, sandbox: SandboxServer, tmp_path: Path, azure: Azurite) -> Stage:
        env = {"AZURE_STORAGE_CONNECTION_STRING": azure.connection_string()}
        stage = Stage(programs, sandbox, tmp_path, "az://shoe-pictures/2026", env)
        script = "import fsspec; fs = fsspec.filesystem('az'); fs.exists('shoe-pictures') or fs.mkdir('shoe-pictures')"
        assert stage("python", "-c", script).returncode == 0
        return stage

    def test_round_trip(self, stage: Stage) -> None:
        round_trip(stage)

    def test_a_wrong_key(self, stage: Stage, azure: Azurite) -> None:
        stage.env["AZURE_STORAGE_CONNECTION_STRING"] = azure.connection_string(azure.wrong_key)
        expected = "Permission denied: cannot list the file store az://shoe-pictures/2026 (container shoe-pictures)"
        refused(stage, 3, expected, "set: AZURE_STORAGE_CONNECTION_STRING; not set: AZURE_STORAGE_ACCOUNT_NAME")

    def test_no_credentials(self, stage: Stage) -> None:
        del stage.env["AZURE_STORAGE_CONNECTION_STRING"]
        refused(stage, 2, "cannot connect to az://shoe-pictures/2026", "not set: AZURE_STORAGE_CONNECTION_STRING")

    def test_a_container_that_is_not_there(self, stage: Stage, programs: Path, tmp_path: Path) -> None:
        missing = Stage(programs, stage.sandbox, tmp_path, "az://no-such-container/2026", stage.env)
        done = missing("tap-bc-images", "--config", missing.config)
        assert done.returncode == 3, done.stderr.decode()
        line = done.stderr.decode().splitlines()[-1]
        assert "(container no-such-container): it does not exist. Create the container" in line

    def test_an_empty_object(self, stage: Stage) -> None:
        """Of nothing, no part can be read: the check names it, and nothing else is said."""
        assert stage("tap-bc-images", "--config", stage.config).returncode == 0
        script = (
            "import fsspec; fs = fsspec.filesystem('az'); "
            "path = next(p for p in fs.find('shoe-pictures/2026/sha256') if fs.size(p)); fs.pipe_file(path, b''); "
            "print(path)"
        )
        emptied = stage("python", "-c", script)
        assert emptied.returncode == 0, emptied.stderr.decode()
        digest = emptied.stdout.decode().strip().rpartition("/")[2]
        done = stage.check()
        assert done.returncode == 1
        assert done.stderr == b""
        assert any(digest in line for line in done.stdout.decode().splitlines())
