"""The settings of ``bc-images``: which place counts, where each value came from, and what is refused."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from bc_images.cli.sources import load
from bc_images.errors import SettingsError
from bc_images.redaction import redact
from tap_bc_images.tap import TapBCImages
from target_bc_images.target import TargetBCImages


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_nothing_is_given() -> None:
    settings = load()
    assert settings.values == {}
    with pytest.raises(SettingsError, match="file_store is missing"):
        settings.archive()


def test_the_later_place_counts_and_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "bc-images.toml").write_text('store_hash = "a"\naccess_token = "b"\nfile_store = "c"\nconcurrency = 3\n')
    (folder / ".env").write_text("# a comment\nBC_IMAGES_ACCESS_TOKEN='secret-of-dotenv'\nBC_IMAGES_NAME=shop\n")
    monkeypatch.setenv("BC_IMAGES_FILE_STORE", "d")
    settings = load()
    assert settings.values == {
        "store_hash": "a",
        "access_token": "secret-of-dotenv",
        "file_store": "d",
        "concurrency": 3,
        "name": "shop",
    }
    assert settings.origins == {
        "store_hash": "file bc-images.toml",
        "access_token": ".env BC_IMAGES_ACCESS_TOKEN",
        "file_store": "environment BC_IMAGES_FILE_STORE",
        "concurrency": "file bc-images.toml",
        "name": ".env BC_IMAGES_NAME",
    }
    assert settings.archive() == {"file_store": "d", "name": "shop", "require_complete": True}
    assert redact("secret-of-dotenv") == "***"


def test_a_named_file_takes_the_place_of_the_default(folder: Path) -> None:
    (folder / "bc-images.toml").write_text('store_hash = "a"\nname = "x"')
    (folder / "one").write_text('{"store_hash": "b", "concurrency": 2}')
    (folder / "two").write_text('\n# TOML\nstore_hash = "c"')
    settings = load(["one", "two"])
    assert settings.values == {"store_hash": "c", "concurrency": 2}
    assert settings.origins == {"store_hash": "file two", "concurrency": "file one"}


def test_tap_and_target_get_their_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "bc-images.toml").write_text('store_hash = "a"\nname = "n"\nmode = "create_only"\nrecheck_files = "5%"')
    monkeypatch.setenv("TAP_BC_IMAGES_STORE_HASH", "t")
    (folder / ".env").write_text("TARGET_BC_IMAGES_MODE=update_only")
    settings = load()
    assert settings.of(TapBCImages) == {"store_hash": "t", "recheck_files": "5%"}
    assert settings.of(TargetBCImages) == {"store_hash": "a", "mode": "update_only"}
    assert settings.of(TargetBCImages, mode="mirror", max_deletes=None) == {"store_hash": "a", "mode": "mirror"}
    assert settings.overrides["tap-bc-images"] == {"store_hash": ("t", "environment TAP_BC_IMAGES_STORE_HASH")}
    assert settings.overrides["target-bc-images"] == {"mode": ("update_only", ".env TARGET_BC_IMAGES_MODE")}


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("bc-images.toml", b"store_hash = ", "bc-images.toml is not valid TOML"),
        ("bc-images.toml", b"store_hash", "bc-images.toml is not valid TOML"),
        ("bc-images.toml", b"\xff", "bc-images.toml cannot be read"),
        ("bc-images.toml", b'stor_hash = "a"', "did you mean store_hash?"),
        ("bc-images.toml", b"concurrency = 0", "concurrency: 0 is less than the minimum"),
        ("bc-images.toml", b"[store]\nhash = 1", "Unknown setting 'store'"),
        (".env", b"BC_IMAGES_CONCURRENCY=many", "BC_IMAGES_CONCURRENCY must be an integer"),
        (".env", b"\xff", ".env cannot be read"),
    ],
)
def test_refused_in_one_line(folder: Path, name: str, content: bytes, words: str) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(SettingsError) as refused:
        load()
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_refused_files(folder: Path) -> None:
    (folder / "x.json").write_text('a = "b"')
    for path, words in (
        ("x.json", "x.json is not valid"),
        ("none", "none cannot be read"),
        ('{"a": 1}', "takes the path"),
    ):
        with pytest.raises(SettingsError, match=words):
            load([path])


def test_a_secret_of_a_wrong_type_is_not_shown(folder: Path) -> None:
    (folder / "c.json").write_text(json.dumps({"access_token": 12345678}))
    with pytest.raises(SettingsError) as refused:
        load(["c.json"])
    assert "12345678" not in str(refused.value)


def test_a_misspelt_variable_is_warned_of(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("BC_IMAGES_STOREHASH", "x")
    with caplog.at_level(logging.WARNING):
        assert load().values == {}
    assert "Did you mean BC_IMAGES_STORE_HASH?" in caplog.text
