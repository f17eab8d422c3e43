"""What every backend of a file store promises: uploads appear whole or not at all, and errors have types.

A new backend is added to `BACKENDS` of `tests/support/file_stores.py`; one for reading alone to `READ_ONLY` here.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bc_images.errors import FileStoreError, SettingsError
from bc_images.files import open_files
from bc_images.files.backends.base import Backend
from bc_images.files.backends.fsspec import FsspecBackend
from bc_images.files.layout import OBJECTS, REFS, TEMPORARY, object_key
from bc_images.regular_files import FileProblem
from tests.support.file_stores import BACKENDS, everywhere, keys

KEY = object_key("ab" * 32)
OTHER = object_key("cd" * 32)
REF = f"{REFS}/abc/a/größe=1.png"
MIB = 1024 * 1024
LENGTHS = [1, 1000, MIB, 16 * MIB - 1, 16 * MIB, 16 * MIB + 1]
"""About one request of a backend that reads in ranges."""


@pytest.fixture
def backend(place: str) -> Backend:
    return open_files(place, writable=True).backend


def upload(backend: Backend, key: str, content: bytes) -> None:
    with backend.begin() as begun:
        begun.write(content[: len(content) // 2])
        begun.write(content[len(content) // 2 :])
        begun.commit(key, len(content))


def read(backend: Backend, key: str) -> bytes:
    return b"".join(backend.chunks(key))


def everything(backend: Backend) -> set[str]:
    return {key for folder in (OBJECTS, REFS, TEMPORARY) for key in backend.keys(folder)}


class Server(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Say nothing."""


READ_ONLY = ["web"]


@pytest.fixture(params=[*BACKENDS, *READ_ONLY])
def filled(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    """A backend, read-only ones among them, in which two objects and a ref were written."""
    kind = request.param
    url = BACKENDS["folder" if kind == "web" else kind](request, tmp_path)
    backend = open_files(url, writable=True).backend
    upload(backend, KEY, b"first")
    upload(backend, OTHER, b"the other")
    backend.touch(REF)
    if kind != "web":
        yield backend
        return
    handler = functools.partial(Server, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield open_files(f"http://127.0.0.1:{server.server_address[1]}/files").backend
        server.shutdown()


class TestReading:
    def test_bytes(self, filled: Backend) -> None:
        assert read(filled, KEY) == b"first"
        assert read(filled, OTHER) == b"the other"

    def test_sizes(self, filled: Backend) -> None:
        assert (filled.size(KEY), filled.size(OTHER)) == (5, 9)

    def test_listings(self, filled: Backend) -> None:
        entries = {entry.key: entry for entry in filled.listing(OBJECTS)}
        assert set(entries) == set(filled.keys(OBJECTS)) == {KEY, OTHER}
        assert all(entry.size in {None, filled.size(key)} for key, entry in entries.items())
        assert all(entry.problem is None for entry in entries.values())
        assert set(filled.keys(REFS)) == {REF}
        assert set(filled.keys(f"{OBJECTS}/ab")) == {KEY}
        assert set(filled.folders(OBJECTS)) == {f"{OBJECTS}/ab", f"{OBJECTS}/cd"}
        assert {problem for _, problem in filled.irregular(OBJECTS)} <= {FileProblem.DIRECTORY}

    def test_missing_keys(self, filled: Backend) -> None:
        missing = object_key("ef" * 32)
        with pytest.raises(FileNotFoundError):
            read(filled, missing)
        assert filled.size(missing) is None
        assert filled.modified(missing) is None

    def test_missing_folders(self, filled: Backend) -> None:
        assert list(filled.listing("missing")) == []
        assert list(filled.keys("missing")) == filled.folders("missing") == []
        assert list(filled.stale_temporaries()) == []

    def test_it_exists(self, filled: Backend) -> None:
        assert filled.exists()
        assert "secret" not in filled.display_name


@everywhere
class TestWriting:
    @pytest.mark.parametrize("length", LENGTHS)
    def test_an_upload(self, backend: Backend, length: int) -> None:
        content = bytes(range(251)) * (length // 251 + 1)
        upload(backend, KEY, content[:length])
        assert read(backend, KEY) == content[:length]
        assert backend.size(KEY) == length
        assert everything(backend) == {KEY}

    def test_an_upload_is_not_there_before_it_is_committed(self, backend: Backend) -> None:
        with backend.begin() as begun:
            begun.write(b"content")
            assert backend.size(KEY) is None
            assert not backend.exists()
            begun.commit(KEY, 7)
            assert backend.size(KEY) == 7

    def test_an_upload_without_commit_leaves_nothing(self, backend: Backend) -> None:
        with backend.begin() as begun:
            begun.write(b"content")
        assert everything(backend) == set()

    def test_an_upload_that_fails_leaves_nothing(self, backend: Backend) -> None:
        with suppress(ZeroDivisionError), backend.begin() as begun:
            begun.write(b"content")
            raise ZeroDivisionError
        assert everything(backend) == set()

    @pytest.mark.parametrize("size", [0, 6, 8])
    def test_an_upload_of_another_length_is_refused(self, backend: Backend, size: int) -> None:
        with backend.begin() as begun:
            begun.write(b"content")
            with pytest.raises(FileStoreError, match=rf"kept 7 of {size} bytes"):
                begun.commit(KEY, size)
        assert everything(backend) == set()

    def test_an_upload_replaces_what_is_there(self, backend: Backend) -> None:
        upload(backend, KEY, b"corrupt")
        upload(backend, KEY, b"content")
        assert read(backend, KEY) == b"content"
        assert everything(backend) == {KEY}

    def test_touch(self, backend: Backend) -> None:
        for _ in range(2):
            backend.touch(REF)
        assert set(backend.keys(REFS)) == {REF}
        assert backend.size(REF) == 0
        assert read(backend, REF) == b""

    def test_remove(self, backend: Backend) -> None:
        upload(backend, KEY, b"content")
        for _ in range(2):
            backend.remove(KEY)
        assert everything(backend) == set()
        with pytest.raises(FileNotFoundError):
            read(backend, KEY)

    def test_an_empty_file_store(self, place: str) -> None:
        files = open_files(place)
        assert keys(files) == set()
        assert not files.backend.exists()
        assert list(files.backend.stale_temporaries()) == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/files", "https://127.0.0.1:1/files"])
def test_a_read_only_backend_is_refused_where_it_is_to_be_written(url: str) -> None:
    with pytest.raises(SettingsError, match="read-only"):
        open_files(url, writable=True)


def test_every_other_backend_is_reached_through_fsspec(place: str, s3: str) -> None:
    """So that the three of `everywhere` stand for all: a folder, an object store, and what is neither."""
    assert not isinstance(open_files(place).backend, FsspecBackend)
    assert isinstance(open_files(s3).backend, FsspecBackend)
