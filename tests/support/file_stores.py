"""Fixtures: file stores of every kind, and a host of pictures."""

from __future__ import annotations

import itertools
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from bc_images import schema
from bc_images.bigcommerce.mapping import Record
from bc_images.bigcommerce.retry import RetryPolicy
from bc_images.files import FileStore, open_files
from bc_images.settings import Settings
from tests.support import move_filesystem as _elsewhere  # noqa: F401 - registers its file system
from tests.support import s3 as s3_server
from tests.support.file_host import Host

_numbers = itertools.count()


@pytest.fixture
def host() -> Iterator[Host]:
    with Host() as running:
        yield running


@pytest.fixture
def over() -> Iterator[threading.Event]:
    """Set when the test is over, so that a host that keeps a client waiting lets go."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries follow at once."""
    monkeypatch.setattr(RetryPolicy, "backoff", lambda _policy, _attempt: 0.0)


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk of temporary files has room for a few pages of a listing, and no more."""
    connect = sqlite3.connect

    def cramped(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        made: sqlite3.Connection = connect(*args, **kwargs)
        made.execute("PRAGMA max_page_count = 8")
        return made

    monkeypatch.setattr(sqlite3, "connect", cramped)


def settings_for(url: str, **changed: Any) -> Settings:
    """Settings whose store and API are at one address of this machine."""
    given = {"store_hash": "abc", "access_token": "a-token", "api_url": url, "store_url": url, "max_retries": 2}
    return Settings.from_config(given | {"allow_other_api_host": True} | changed)


def record_of(image_file: str, **changed: Any) -> Record:
    """A record as a scan yields it."""
    record: Record = dict.fromkeys(schema.load("product_images")["properties"])
    ids = {"store_hash": "abc", "id": 1, "product_id": 7, "product_sku": "S"}
    return record | ids | {"image_file": image_file, "is_thumbnail": False, "sort_order": 0} | changed


@pytest.fixture(scope="session")
def s3_address() -> Iterator[str]:
    with s3_server.server() as address:
        yield address


@pytest.fixture
def s3(s3_address: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a fresh bucket's folder; the environment leads every S3 client to the test's server."""
    for name, value in s3_server.environment(s3_address).items():
        monkeypatch.setenv(name, value)
    bucket = f"bucket-{next(_numbers)}"
    fsspec.filesystem("s3").mkdir(bucket)
    return f"s3://{bucket}/some/prefix"


BACKENDS: dict[str, Callable[[pytest.FixtureRequest, Path], str]] = {
    "folder": lambda _request, tmp_path: str(tmp_path / "files"),
    "s3": lambda request, _tmp_path: str(request.getfixturevalue("s3")),
    "elsewhere": lambda _request, tmp_path: f"elsewhere://{tmp_path}/files",
}
"""Kind -> what makes the URL of an empty file store: a folder, over the S3 protocol, and no object store."""

everywhere = pytest.mark.parametrize("place", BACKENDS, indirect=True)
"""Runs a test on every one of `BACKENDS`."""


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty file store: a folder, unless the test runs `everywhere`."""
    return BACKENDS[getattr(request, "param", "folder")](request, tmp_path)


@pytest.fixture
def files(place: str) -> FileStore:
    return open_files(place)


Tamper = Callable[[str, bytes | None], None]


@pytest.fixture
def tamper(place: str) -> Tamper:
    """Overwrites an object behind the file store's back, or removes it (None)."""

    def change(key: str, content: bytes | None) -> None:
        fs, root = fsspec.url_to_fs(place)
        if content is None:
            fs.rm_file(f"{root}/{key}")
        else:
            fs.makedirs(f"{root}/{key}".rpartition("/")[0], exist_ok=True)
            fs.pipe_file(f"{root}/{key}", content)

    return change


def keys(files: FileStore, prefix: str = "") -> set[str]:
    """Everything below a folder of a file store."""
    folders = [prefix] if prefix else ["sha256", "refs", "tmp"]
    return {entry.key for folder in folders for entry in files.backend.listing(folder)}
