"""An object store that refuses, lies or is gone: one clear line, and never a wrong object under a digest."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any

import fsspec
import pytest

from bc_images.errors import FileStoreError
from bc_images.files import FileInfo, FileStore, open_files
from bc_images.files.layout import object_key
from tests.support.file_host import closed_port
from tests.support.file_stores import keys
from tests.support.move_filesystem import Elsewhere
from tests.support.pictures import picture, png


class Gateway:
    """Stands between an S3 client and the test's server, and answers itself when told to."""

    def __init__(self, upstream: str) -> None:
        self.refuse: dict[str, tuple[int, str]] = {}
        """Method -> status and S3 error code."""
        self.seen: list[str] = []
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _pass(self) -> None:
                import requests

                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                gateway.seen.append(self.command)
                if self.command in gateway.refuse:
                    status, code = gateway.refuse[self.command]
                    reply = f"<Error><Code>{code}</Code><Message>{code} it is</Message></Error>".encode()
                    headers = {"Content-Type": "application/xml"}
                else:
                    answer = requests.request(
                        self.command,
                        upstream + self.path,
                        data=body,
                        headers={**self.headers, "Host": self.headers["Host"]},
                        timeout=30,
                        stream=True,
                    )
                    status, reply = answer.status_code, answer.raw.read()
                    headers = {
                        name: value
                        for name, value in answer.headers.items()
                        if name.lower() not in {"connection", "transfer-encoding", "date", "server"}
                    }
                self.send_response(status)
                if "Content-Length" not in headers:
                    headers["Content-Length"] = str(len(reply))
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(reply)

            do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _pass  # noqa: N815 - the base class names them so

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()


@pytest.fixture
def gateway(s3: str, s3_address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    made = Gateway(s3_address)
    monkeypatch.setenv("AWS_ENDPOINT_URL", made.url)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    fs = fsspec.get_filesystem_class("s3")
    fs.clear_instance_cache()
    yield made
    made.server.shutdown()
    made.server.server_close()
    fs.clear_instance_cache()


REFUSALS = [
    (403, "AccessDenied", "Permission denied: cannot"),
    (403, "InvalidAccessKeyId", "Permission denied: cannot"),
    (500, "InternalError", "Cannot "),
    (400, "SomethingElse", "Cannot "),
]


@pytest.mark.parametrize("method", ["PUT", "HEAD"])
def test_a_refused_write(s3: str, gateway: Gateway, method: str) -> None:
    files = open_files(s3)
    files.add([picture("png")])
    for status, code, words in REFUSALS:
        gateway.refuse[method] = (status, code)
        with pytest.raises(FileStoreError, match=words) as caught:
            files.add([picture("gif")])
        assert "\n" not in str(caught.value)
        assert "secret" not in str(caught.value)
    gateway.refuse.clear()
    found = keys(files)
    assert len(found) == (1 if method == "PUT" else 2)  # before a refused HEAD, the object was taken whole
    for key in found:
        files.inspect(key.rpartition("/")[2])


def test_a_refused_read(s3: str, gateway: Gateway) -> None:
    files = open_files(s3)
    stored = files.add([picture("png")])
    for status, code, words in REFUSALS:
        gateway.refuse["GET"] = (status, code)
        with pytest.raises(FileStoreError, match=words):
            files.read(stored.sha256)
        with pytest.raises(FileStoreError, match=words):
            files.refs("abc")
    gateway.refuse.clear()
    assert files.read(stored.sha256) == picture("png")


def test_a_refused_ref(s3: str, gateway: Gateway) -> None:
    files = open_files(s3)
    stored = files.add([picture("png")])
    refs = files.refs("abc")
    gateway.refuse["PUT"] = (403, "AccessDenied")
    with pytest.raises(FileStoreError, match="Permission denied: cannot"):
        refs.put("a/b.png", stored)
    assert refs.get("a/b.png") is None


def test_a_bucket_that_is_not_there(s3: str) -> None:
    with pytest.raises(FileStoreError, match="Create the bucket"):
        open_files("s3://no-such-bucket/x").add([picture("png")])
    with pytest.raises(FileStoreError, match="Create the bucket"):
        open_files("s3://no-such-bucket/x").refs("abc").put("a/b.png", FileInfo("0" * 64, 9, "image/png", "original"))


def test_a_bucket_that_is_deleted_while_it_is_listed(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    files = open_files(s3)
    files.add([picture("png")])
    fs: Any = files.backend._fs  # type: ignore[attr-defined]
    ls = fs.ls

    def last(path: str, **kwargs: Any) -> Any:
        found = ls(path, **kwargs)
        fs.rm(s3.split("/")[2], recursive=True)
        return found

    monkeypatch.setattr(fs, "ls", last)
    with pytest.raises(FileStoreError, match="Create the bucket"):
        files.refs("abc")


def test_a_bucket_that_is_deleted_meanwhile(s3: str) -> None:
    files = open_files(s3)
    stored = files.add([picture("png")])
    fs = fsspec.filesystem("s3")
    fs.rm(s3.split("/")[2], recursive=True)  # with all that is in it
    assert not fs.exists(s3.split("/")[2])
    with pytest.raises(FileStoreError, match="No file store found at s3://"):
        files.read(stored.sha256)


def test_nobody_listens(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed_port()}")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    fs = fsspec.get_filesystem_class("s3")
    fs.clear_instance_cache()
    monkeypatch.setattr(fs, "retries", 1)
    with pytest.raises(FileStoreError, match=r"Cannot list .*connection refused \(127\.0\.0\.1:\d+\)"):
        open_files(s3).refs("abc")
    fs.clear_instance_cache()


def test_listings_are_bulk(s3: str, gateway: Gateway) -> None:
    """Many refs in one folder cost one request for each thousand, not one each."""
    files = open_files(s3)
    stored = files.add([picture("png")])
    refs = files.refs("abc")
    for number in range(9):
        refs.put(f"a/{number % 3:03d}/x{number}.png", stored)
    gateway.seen.clear()
    again = open_files(s3).refs("abc")
    assert again.get("a/000/x6.png")
    # each of sha256/ and refs/abc/: its own folders, then what is in the only one
    assert gateway.seen == ["GET"] * 4


class Lossy(Elsewhere):
    """Cuts what it is given, or changes it, and says nothing."""

    protocol = "lossy"
    cachable = False
    damage = "cut"

    def put_file(self, lpath: Any, rpath: str, *args: Any, **kwargs: Any) -> None:
        super().put_file(lpath, rpath, *args, **kwargs)
        path = self._strip_protocol(rpath)
        content = self.cat_file(path)
        self.pipe_file(path, content[:-1] if self.damage == "cut" else content[:-1] + b"?")

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        import hashlib

        found: dict[str, Any] = super().info(path, **kwargs)
        if found["type"] == "file":
            found["ETag"] = f'"{hashlib.md5(self.cat_file(path)).hexdigest()}"'
        return found


@pytest.fixture
def lossy(tmp_path: Path) -> FileStore:
    fsspec.register_implementation("lossy", Lossy, clobber=True)
    return open_files(f"lossy://{tmp_path}")


def test_a_store_that_cuts_in_silence(lossy: FileStore) -> None:
    with pytest.raises(FileStoreError, match=r"kept \d+ of \d+ bytes"):
        lossy.add([picture("png")])


def test_a_store_that_changes_bytes_in_silence(lossy: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lossy, "damage", "change")
    with pytest.raises(FileStoreError, match="returned other bytes than were written"):
        lossy.add([picture("png")])


def test_an_etag_that_is_no_md5_is_seen_through(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket that encrypts has other ETags: the first one is read back, and then no ETag is asked any more."""
    files = open_files(s3)
    fs: Any = files.backend._fs  # type: ignore[attr-defined]
    reads: list[str] = []
    info, cat = fs.info, fs.cat_file

    def other(path: str, **kwargs: Any) -> dict[str, Any]:
        return {**info(path, **kwargs), "ETag": '"0123456789abcdef0123456789abcdef"'}

    def counted(path: str, **kwargs: Any) -> Any:
        reads.append(path)
        return cat(path, **kwargs)

    monkeypatch.setattr(fs, "info", other)
    monkeypatch.setattr(fs, "cat_file", counted)
    for seed in range(5):
        files.add([png(3000, seed)])
    assert len(reads) == 1


def test_a_file_system_without_atomic_puts(tmp_path: Path) -> None:
    """An object gets its name by a move, so that it is never seen half-written; also where it exists already."""
    events: list[str] = []

    class Plain(Elsewhere):
        protocol = "plainfs"
        cachable = False

        def put_file(self, lpath: Any, rpath: str, *args: Any, **kwargs: Any) -> None:
            events.append(f"put {rpath.split('/')[-2]}")
            super().put_file(lpath, rpath, *args, **kwargs)

        def mv(self, path1: str, path2: str, **kwargs: Any) -> None:
            assert not self.exists(path2)
            events.append(f"mv {path2.split('/')[-3]}")
            super().mv(path1, path2, **kwargs)

    fsspec.register_implementation("plainfs", Plain, clobber=True)
    files = open_files(f"plainfs://{tmp_path}")
    for _ in range(2):
        stored = files.add([picture("png")])
    assert events == ["put tmp", "mv sha256", "put tmp"]
    place: Any = files.backend
    place._fs.pipe_file(f"{place._root}/{object_key(stored.sha256)}", b"damaged")
    files.add([picture("png")])
    assert events[3:] == ["put tmp", "mv sha256"]
    assert files.read(stored.sha256) == picture("png")
    assert keys(files) == {object_key(stored.sha256)}
    files.refs("abc").put("a/b.png", stored)
    assert open_files(f"plainfs://{tmp_path}").refs("abc").get("a/b.png")


def test_no_room_for_collecting(s3: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    files = open_files(s3)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(FileStoreError, match=r"Cannot write a picture to upload .*set TMPDIR"):
        files.add([picture("png")])
    if Path("/dev/full").exists():

        def full(**_kwargs: Any) -> IO[bytes]:
            return open("/dev/full", "wb")  # noqa: PTH123 - as the real one, it is closed by its user

        monkeypatch.setattr(tempfile, "NamedTemporaryFile", full)
        monkeypatch.setattr(Path, "unlink", lambda _path: None)
        with pytest.raises(FileStoreError, match=r"Cannot write a picture to upload .*: No space left"):
            files.add([png(200_000)])
    monkeypatch.undo()
