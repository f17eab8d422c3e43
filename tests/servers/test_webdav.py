"""Pictures on their way into the store by Apache's WebDAV, and a file store that Apache lists."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from requests.auth import HTTPDigestAuth

from bc_images.bigcommerce import WebDavSource
from bc_images.errors import AuthError
from bc_images.files import FileStore, open_files
from bc_images.files import webdav as webdav_module
from bc_images.files.upload import Uploader
from bc_images.settings import Settings
from tests.files.test_upload import saved
from tests.support.apache import PASSWORD, USER, Apache, apache
from tests.support.commands import run
from tests.support.pictures import picture, png

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[Apache]:
    with apache() as running:
        yield running


@pytest.fixture
def files(tmp_path: Path) -> FileStore:
    return open_files(str(tmp_path / "files"))


def uploader(url: str, files: FileStore, password: str = PASSWORD) -> Uploader:
    given = {"store_hash": "x", "access_token": "t", "api_version": "v2", "max_retries": 6}
    settings = Settings.from_config({**given, "api_url": url, "store_url": url})
    return Uploader(settings, files=files, webdav_username=USER, webdav_password=password)


def test_a_file_is_there_for_as_long_as_it_is_needed(server: Apache, files: FileStore) -> None:
    sender = uploader(server.url, files)
    for content in (picture("png"), png(3_000_000)):
        with sender.open_source(saved(files, content)) as source:
            assert isinstance(source, WebDavSource)
            (path,) = server.imports.iterdir()
            assert path.read_bytes() == content
        assert list(server.imports.iterdir()) == []
    sender.close()


def test_a_wrong_password(server: Apache, files: FileStore) -> None:
    with (
        pytest.raises(AuthError, match="refused the user or the password"),
        uploader(server.url, files, "wrong").open_source(saved(files, picture("png"))),
    ):
        pytest.fail("nothing was uploaded")


def test_a_server_that_offers_basic_alone(server: Apache, files: FileStore) -> None:
    with (
        pytest.raises(AuthError, match="the server offers Basic, digest is needed"),
        uploader(f"{server.url}/basic", files).open_source(saved(files, picture("png"))),
    ):
        pytest.fail("nothing was uploaded")


def test_a_lock_of_another_client_is_waited_for(
    server: Apache, files: FileStore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "bc_images.files.webdav")
    monkeypatch.setattr(webdav_module, "_unique", lambda _name: "locked.png")
    url = f"{server.url}/dav/product_images/import/locked.png"
    auth = HTTPDigestAuth(USER, PASSWORD)
    body = (
        '<?xml version="1.0"?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>'
        "<D:locktype><D:write/></D:locktype></D:lockinfo>"
    )
    locked = requests.request("LOCK", url, data=body, auth=auth, timeout=30)
    assert locked.status_code in {200, 201}, locked.text
    token = locked.headers["Lock-Token"]

    def unlock() -> None:
        requests.request("UNLOCK", url, headers={"Lock-Token": token}, auth=auth, timeout=30)

    threading.Timer(1.0, unlock).start()
    with uploader(server.url, files).open_source(saved(files, picture("png"))):
        assert (server.imports / "locked.png").read_bytes() == picture("png")
    assert "HTTP 423, the file or its folder is locked" in caplog.text


def test_a_file_store_that_apache_lists(server: Apache) -> None:
    made = open_files(str(server.folder / "public" / "my files"))
    for number, name in enumerate(["a/1.png", "größe und &mehr.png", "x%20y.png", "plain#1?.png"]):
        stored = made.add([png(2000, number)])
        made.refs("abc").put(name, stored)
    done = run("bc-images", "check", "--file-store", f"{server.url}/my%20files")
    assert (done.code, done.err) == (0, ""), done.out
    assert "4 files (8,000 bytes)" in done.out
