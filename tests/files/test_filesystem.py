"""Which places can hold a backup, which package each needs, and what a server that does not answer means."""

from __future__ import annotations

import http.server
import json
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.registry import _registry, known_implementations

from bc_images.errors import FileStoreError, SettingsError
from bc_images.files import open_files
from bigcommerce_sandbox import STORE_HASH, TOKEN, SandboxServer
from tests.support.commands import run
from tests.support.file_host import closed_port
from tests.support.move_filesystem import Elsewhere
from tests.support.pictures import picture


@pytest.fixture
def without_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """No library of any file system is installed."""
    for scheme, known in known_implementations.items():
        top = known["class"].partition(".")[0]
        if top != "fsspec":
            monkeypatch.setitem(sys.modules, top, None)
            monkeypatch.delitem(_registry, scheme, raising=False)
    for module in ("paramiko", "smbclient", "smbprotocol", "pyarrow", "pygit2", "distributed", "libarchive"):
        monkeypatch.setitem(sys.modules, module, None)
    for module in ("sftp", "smb", "git", "dask", "libarchive", "arrow"):
        monkeypatch.delitem(sys.modules, f"fsspec.implementations.{module}", raising=False)


@pytest.mark.parametrize(
    ("url", "package"),
    [
        ("s3://bucket", "'bc-images[s3]'"),
        ("gs://bucket", "'bc-images[gcs]'"),
        ("abfss://container@account.dfs.core.windows.net/x", "'bc-images[azure]'"),
        ("oss://bucket", "ossfs"),
        ("webdav://host/x", "'webdav4[fsspec]'"),
        ("smb://host/share/x", "smbprotocol"),
        ("sftp://host/x", "paramiko"),
        ("SSH://host/x", "paramiko"),
        ("simplecache::oss://bucket", "ossfs"),
    ],
)
@pytest.mark.usefixtures("without_libraries")
def test_the_package_of_a_scheme_is_named(url: str, package: str) -> None:
    with pytest.raises(SettingsError) as caught:
        open_files(url)
    assert str(caught.value).endswith(f"needs a library that is not installed. Run: pip install {package}")


@pytest.mark.parametrize("scheme", sorted(known_implementations))
@pytest.mark.usefixtures("without_libraries")
def test_no_scheme_is_named_as_a_package(scheme: str) -> None:
    """Anybody can register a package under a name that nobody has."""
    done = run("bc-images", "check", "--file-store", f"{scheme}://127.0.0.1:1/x")
    assert done.code in {2, 3}
    (line,) = done.err.splitlines()
    assert f"pip install {scheme} " not in f"{line} "
    assert "This is a bug" not in line


@pytest.mark.parametrize(
    ("url", "hint"), [("carrierpigeon://loft/3", "Give a folder"), ("sftpp://host/x", "Did you mean sftp://?")]
)
def test_an_unknown_scheme_is_one_line_that_lists_what_is_meant(url: str, hint: str, tmp_path: Path) -> None:
    done = run("bc-images", "check", "--file-store", url)
    (line,) = done.err.splitlines()
    assert done.code == 2
    assert "is not a known scheme" in line
    assert hint in line
    assert "s3://" in line
    assert "sftp://" in line


NOT_KEPT = [
    "memory://files",
    "MEMORY://files",
    "simplecache::memory://files",
    "filecache::memory://files",
    "dir::memory://files",
    "data://files",
]
READ_ONLY = ["http://127.0.0.1:9/files", "https://127.0.0.1:9/files", "zip:///no/such.zip", "reference://files"]


@pytest.mark.parametrize("place", NOT_KEPT + READ_ONLY)
def test_a_backup_to_nowhere_is_refused(place: str, tmp_path: Path) -> None:
    """By every command that writes a file store, before a request to the store."""
    with SandboxServer(products=1, images=1) as sandbox:
        common = {"store_hash": STORE_HASH, "access_token": TOKEN, "api_url": sandbox.url, "store_url": sandbox.url}
        tap = tmp_path / "tap.json"
        tap.write_text(json.dumps({**common, "file_store": place}))
        archive = tmp_path / "archive.json"
        archive.write_text(json.dumps({"file_store": place}))
        for done in (
            run("tap-bc-images", "--config", tap),
            run("target-singer-archive", "--config", archive, stdin=b'{"type": "STATE", "value": {}}\n'),
        ):
            assert done.code == 2, done.err
            assert done.out == ""
            assert "cannot hold a backup" in done.err.splitlines()[-1]
            assert "Traceback" not in done.err
        answer = json.loads(run("source-bc-images", "check", "--config", tap).out)
        assert answer["connectionStatus"]["status"] == "FAILED"
        assert sandbox.requests() == []


@pytest.mark.parametrize("place", NOT_KEPT[:-1])
@pytest.mark.parametrize(
    "command",
    [
        ["target-bc-images"],
        ["tap-singer-archive"],
        ["destination-bc-images", "check"],
    ],
    ids=lambda command: str(command[0]),
)
def test_what_ends_with_the_process_is_refused_for_reading_too(place: str, command: list[str], tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    settings = {"file_store": place}
    if "bc" in command[0]:
        settings |= {"store_hash": STORE_HASH, "access_token": TOKEN, "api_url": "http://127.0.0.1:9"}
        settings |= {"state_dir": str(tmp_path)}
    config.write_text(json.dumps(settings))
    done = run(command[0], *command[1:], "--config", config)
    if command[0] == "destination-bc-images":
        assert "cannot hold a backup" in json.loads(done.out)["connectionStatus"]["message"]
    else:
        assert done.code == 2, done.err
        assert "cannot hold a backup" in done.err.splitlines()[-1]


@pytest.mark.parametrize("form", ["simplecache::file://{}", "simplecache::{}", "dir::file://{}"])
def test_a_chain_that_ends_on_a_disk_is_kept(form: str, tmp_path: Path) -> None:
    place = form.format(tmp_path / "files")
    stored = open_files(place, writable=True).add([picture("png")])
    assert open_files(place).read(stored.sha256) == picture("png")
    assert any(path.name == stored.sha256 for path in tmp_path.rglob("*"))


class _SMB(Elsewhere):
    """Connects when it is made, and wraps what went wrong as the SMB library does."""

    protocol = "smblike"
    error: Exception = ValueError()
    cause: Exception | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise self.error from self.cause

    @staticmethod
    def _get_kwargs_from_urls(path: str) -> dict[str, Any]:
        return {"path": path}


class _AuthenticationException(Exception):
    pass


class _NoValidConnectionsError(OSError):
    """As paramiko's: the reasons stand in a dictionary."""

    def __init__(self) -> None:
        super().__init__(None, "Unable to connect to port 1445 on 10.0.0.1")
        self.errors = {("10.0.0.1", 1445): ConnectionRefusedError(111, "Connection refused")}


_AuthenticationException.__name__ = "AuthenticationException"


@pytest.mark.parametrize(
    ("error", "cause", "expected"),
    [
        (ConnectionRefusedError(111, "Connect call failed"), None, r"connection refused \(nas\.example:1445\)"),
        (ValueError("Failed to connect"), ConnectionRefusedError(111, "no"), "connection refused"),
        (OSError(113, "No route to host"), None, "no route to host"),
        (_NoValidConnectionsError(), None, r"connection refused \(nas\.example:1445\)"),
        (TimeoutError("timed out"), None, "no answer in time"),
        (EOFError(), None, "EOFError"),
        (_AuthenticationException("Authentication failed."), None, "Permission denied: cannot connect to"),
        (PermissionError("Permission denied for user root"), None, "Permission denied: cannot connect to"),
    ],
)
def test_a_server_that_is_not_there_is_no_wrong_setting(
    error: Exception, cause: Exception | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsspec.register_implementation("smblike", _SMB, clobber=True)
    monkeypatch.setattr(_SMB, "error", error)
    monkeypatch.setattr(_SMB, "cause", cause)
    done = run("bc-images", "check", "--file-store", "smblike://user:secret-word@nas.example:1445/share/x")
    (line,) = done.err.splitlines()
    assert done.code == 3
    assert "nas.example:1445" in line
    assert "secret-word" not in line
    with pytest.raises(FileStoreError, match=expected):
        open_files("smblike://user:secret-word@nas.example:1445/share/x")


def test_an_ftp_server_that_is_not_there(tmp_path: Path) -> None:
    port = closed_port()
    done = run("bc-images", "check", "--file-store", f"ftp://127.0.0.1:{port}/pictures")
    assert done.code == 3
    assert f"connection refused (127.0.0.1:{port})" in done.err


def test_an_argument_that_only_the_environment_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    class NeedsBase(Elsewhere):
        protocol = "needsbase"

        def __init__(self, base_url: str, **kwargs: Any) -> None:
            super().__init__(**kwargs)

    fsspec.register_implementation("needsbase", NeedsBase, clobber=True)
    with pytest.raises(SettingsError, match=r"needs base_url: set the environment variable FSSPEC_NEEDSBASE_BASE_URL"):
        open_files("needsbase://host/x")


@contextmanager
def refusing(status: int, body: str) -> Iterator[str]:
    """A server that answers every request alike."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body.encode())

        do_GET = do_PUT = do_HEAD = do_POST = _answer  # noqa: N815 - the base class names them so

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def s3_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in ("AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    fs = fsspec.get_filesystem_class("s3")
    fs.clear_instance_cache()
    yield
    fs.clear_instance_cache()


@pytest.mark.parametrize(
    ("status", "code"), [(403, "InvalidAccessKeyId"), (403, "SignatureDoesNotMatch"), (400, "ExpiredToken")]
)
@pytest.mark.usefixtures("s3_environment")
def test_wrong_credentials_of_s3(status: int, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "not-the-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret")
    with refusing(status, f"<Error><Code>{code}</Code><Message>Not with that.</Message></Error>") as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        done = run("bc-images", "check", "--file-store", "s3://shoe-pictures/2026")
    (line,) = done.err.splitlines()
    assert done.code == 3
    assert "Permission denied: cannot " in line
    assert "(bucket shoe-pictures)" in line
    assert "set: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY" in line
    assert "not set: AWS_SESSION_TOKEN, AWS_PROFILE" in line
    assert "not-the-" not in line


@pytest.mark.usefixtures("s3_environment")
def test_missing_credentials_of_s3(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    done = run("bc-images", "check", "--file-store", "s3://shoe-pictures/2026")
    (line,) = done.err.splitlines()
    assert done.code == 3
    assert "Unable to locate credentials" in line
    assert "(bucket shoe-pictures)" in line
    assert "not set: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY" in line


class _Noisy(Elsewhere):
    """Logs the traceback of every error before it raises it, as the library of GCS does."""

    protocol = "noisyfs"

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        error = OSError("Requested range not satisfiable, 416")
        logging.getLogger("gcsfs").error("_request non-retriable exception", exc_info=error)
        raise error


@pytest.mark.parametrize("content", [b"", b"something"])
def test_an_error_of_a_library_is_reported_once_without_its_traceback(content: bytes, tmp_path: Path) -> None:
    fsspec.register_implementation("noisyfs", _Noisy, clobber=True)
    digest = "ab" * 32
    (tmp_path / "sha256" / "ab").mkdir(parents=True)
    (tmp_path / "sha256" / "ab" / digest).write_bytes(content)
    (tmp_path / "refs" / "abc").mkdir(parents=True)
    (tmp_path / "refs" / "abc" / f"x.png={digest}=9=png=original").touch()
    done = run("bc-images", "check", "--file-store", f"noisyfs://{tmp_path}")
    assert done.code == (3 if content else 1)
    assert len(done.err.splitlines()) == (1 if content else 0)
    assert "Traceback" not in done.err
    if not content:
        assert "1 corrupt, 0 missing" in done.out
