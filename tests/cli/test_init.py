"""``bc-images init`` and ``bc-images doctor``: what is asked, tried, written and shown."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from bigcommerce_sandbox import DAV_PASSWORD, DAV_USERNAME, STORE_HASH, TOKEN, SandboxServer
from tests.support import terminal
from tests.support.commands import BIN, CommandResult, run
from tests.support.stores import looks
from tests.support.tap import settings as tap_settings


@pytest.fixture(params=["v3", "v2"])
def options(sandbox: SandboxServer, request: pytest.FixtureRequest) -> list[str]:
    """The options of `init` for the sandbox."""
    values = tap_settings(sandbox.url, file_store="files", api_version=request.param)
    values |= {"webdav_username": DAV_USERNAME, "webdav_password": DAV_PASSWORD}
    del values["max_retries"]
    return [text for name, value in values.items() for text in (f"--{name.replace('_', '-')}", str(value))]


@pytest.fixture
def folder(sandbox: SandboxServer, tmp_path: Path) -> Path:
    """A folder with the settings of the sandbox."""
    settings = tap_settings(sandbox.url, file_store="files", state_dir="state")
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    (tmp_path / "bc-images.toml").write_text("\n".join(lines))
    return tmp_path


def init(folder: Path, *arguments: str) -> CommandResult:
    return run("bc-images", "init", *arguments, cwd=folder)


def signs(result: CommandResult) -> dict[str, str]:
    return {line[2:].split("  ")[0].strip(): line[0] for line in result.lines if line[:2] in {"+ ", "~ ", "! "}}


def test_what_init_writes_is_all_that_a_backup_needs(
    tmp_path: Path, sandbox: SandboxServer, options: list[str]
) -> None:
    before = looks(sandbox)
    done = init(tmp_path, *options)
    assert done.code == 0, done.out + done.err
    file = tmp_path / "bc-images.toml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert set(signs(done).values()) == {"+"}
    assert TOKEN not in done.out + done.err
    assert looks(sandbox) == before
    assert run("bc-images", "doctor", cwd=tmp_path).code == 0
    assert run("bc-images", "backup", cwd=tmp_path).code == 0

    written = file.read_bytes()
    again = init(tmp_path, *options)
    assert (again.code, "--force" in again.last_line, file.read_bytes()) == (2, True, written)
    file.chmod(0o644)
    assert init(tmp_path, *options, "--force").code == 0
    assert (stat.S_IMODE(file.stat().st_mode), file.read_bytes()) == (0o600, written)


def test_what_is_missing_is_asked_for(tmp_path: Path, sandbox: SandboxServer) -> None:
    command = [str(BIN / "bc-images"), "init", "--api-url", sandbox.url, "--store-url", sandbox.url]
    command += ["--store-hash", STORE_HASH, "--access-token", TOKEN]
    done = terminal.answer(command, b"\n", after=b"[pictures]", cwd=tmp_path)
    assert done.code == 0, done.err
    assert 'file_store = "pictures"' in (tmp_path / "bc-images.toml").read_text()


def test_without_a_terminal_nothing_is_asked(tmp_path: Path) -> None:
    done = init(tmp_path, "--store-hash", "abc")
    assert done.code == 2
    assert "give --access-token, --file-store, or the same in BC_IMAGES_" in done.last_line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "failed"),
    [
        (["--access-token", "wrong"], "store"),
        (["--api-url", "http://127.0.0.1:9"], "store"),
        (["--webdav-password", "wrong"], "webdav"),
        (["--file-store", "memory://x"], "file store"),
        (["--file-store", "/proc/nowhere"], "file store"),
    ],
)
def test_nothing_is_written_where_a_check_fails(
    tmp_path: Path, options: list[str], change: list[str], failed: str
) -> None:
    done = init(tmp_path, *options, *change)
    assert done.code == 2, done.out + done.err
    assert signs(done)[failed] == "!"
    assert "bc-images.toml was not written" in done.last_line
    assert not (tmp_path / "bc-images.toml").exists()
    assert "Traceback" not in done.err


def test_doctor_says_where_settings_come_from(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / ".env").write_text("BC_IMAGES_CONCURRENCY=3\nTAP_BC_IMAGES_CONCURRENCY=4\n")
    monkeypatch.setenv("BC_IMAGES_API_VERSION", "v3")
    done = run("bc-images", "doctor", cwd=folder)
    assert done.code == 0, done.out
    assert "access_token = *** (file bc-images.toml)" in done.out
    assert TOKEN not in done.out
    assert "concurrency = 3 (.env BC_IMAGES_CONCURRENCY)" in done.out
    assert "concurrency = 4 (.env TAP_BC_IMAGES_CONCURRENCY)" in done.out
    assert "api_version = v3 (environment BC_IMAGES_API_VERSION)" in done.out


def test_doctor_leaves_nothing_in_the_file_store(folder: Path) -> None:
    assert run("bc-images", "doctor", cwd=folder).code == 0
    assert [path for path in (folder / "files").rglob("*") if path.name != "tmp"] == []


def test_doctor_as_json(folder: Path) -> None:
    done = run("bc-images", "doctor", "--json", cwd=folder)
    rows = [json.loads(line) for line in done.lines]
    assert done.code == 0
    assert {row["sign"] for row in rows} <= {"+", "~"}
    assert {"versions", "store", "token", "quota", "clock", "picture", "webdav", "file store", "room"} <= {
        row["check"] for row in rows
    }
    assert not [path for path in (folder / "files").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("change", "failed"),
    [
        ({"access_token": "wrong"}, "store"),
        ({"api_url": "http://127.0.0.1:9"}, "store"),
        ({"store_url": "http://127.0.0.1:9"}, "picture"),
        ({"file_store": ""}, "file store"),
        ({"store_hash": ""}, "settings"),
        ({"webdav_username": "a@b.c", "webdav_password": "wrong-one"}, "webdav"),
    ],
)
def test_doctor_fails_by_one_line(folder: Path, change: dict[str, str], failed: str) -> None:
    (folder / "more.json").write_text(json.dumps(change))
    done = run("bc-images", "doctor", "--config", "bc-images.toml", "--config", "more.json", cwd=folder)
    assert done.code == 1, done.out + done.err
    assert signs(done)[failed] == "!"
    assert "wrong-one" not in done.out + done.err
    assert "Traceback" not in done.err


def test_doctor_sees_a_cdn_that_alters_pictures(folder: Path, sandbox: SandboxServer) -> None:
    sandbox.set_flags(cdn="altered")
    done = run("bc-images", "doctor", cwd=folder)
    assert signs(done)["picture"] == "~", done.out
