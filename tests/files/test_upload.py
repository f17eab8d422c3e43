"""Every way back into the store, and what is refused before any request is made."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image

from bc_images.bigcommerce import FileSource, StoreClient, UrlSource, WebDavSource, open_store
from bc_images.bigcommerce.mapping import Record, comparable_stem, file_name
from bc_images.errors import (
    AuthError,
    FatalError,
    FileUnavailable,
    RequestRejected,
    SettingsError,
    StoreUnreachable,
    UnexpectedResponse,
)
from bc_images.files import FileStore, open_files
from bc_images.files.layout import object_key
from bc_images.files.upload import Uploader
from bc_images.settings import Settings
from bigcommerce_sandbox import DAV_PASSWORD, DAV_USERNAME, STORE_HASH, TOKEN, SandboxServer
from tests.support.file_host import Host, closed_port, content, status
from tests.support.file_stores import everywhere, record_of, settings_for
from tests.support.pictures import KINDS, picture, png

MAX = 8 * 1024 * 1024
DAV = {"webdav_username": DAV_USERNAME, "webdav_password": DAV_PASSWORD}
FIELDS = {"is_thumbnail": False, "sort_order": 4, "description": "put back"}


@pytest.fixture(scope="module")
def running() -> Iterator[SandboxServer]:
    with SandboxServer(products=1, images=0) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: SandboxServer) -> SandboxServer:
    running.reset()
    return running


@pytest.fixture
def files(tmp_path: Path) -> FileStore:
    return open_files(str(tmp_path / "files"))


def settings_of(sandbox: SandboxServer, **changed: Any) -> Settings:
    given = {"store_hash": STORE_HASH, "access_token": TOKEN, "api_url": sandbox.url, "store_url": sandbox.url}
    return Settings.from_config(given | {"max_retries": 1} | changed)


def saved(files: FileStore, body: bytes, image_file: str = "a/001/front__12345.png", **changed: Any) -> Record:
    """A record whose picture is in the file store."""
    stored = files.add([body])
    facts = {"file_sha256": stored.sha256, "file_size": stored.size, "file_type": stored.type}
    return record_of(image_file, **facts, **changed)


def create(store: StoreClient, sandbox: SandboxServer, uploader: Uploader, record: Record) -> dict[str, Any]:
    """Restore one record and return the image as the sandbox keeps it."""
    uploader.check(record)
    product = sandbox.dump()["products"][0]["id"]
    with uploader.open_source(record) as source:
        made = store.create(product, source, FIELDS)
    (image,) = [image for image in sandbox.dump()["images"] if image["id"] == made["id"]]
    return image


def imports(sandbox: SandboxServer) -> list[str]:
    """What lies in the WebDAV import folder."""
    answer = requests.request(
        "PROPFIND",
        f"{sandbox.url}/dav/product_images/import/",
        headers={"Depth": "1"},
        auth=requests.auth.HTTPDigestAuth(DAV_USERNAME, DAV_PASSWORD),
        timeout=10,
    )
    assert answer.status_code == 207
    return [href for href in re.findall(r"href>([^<]+)<", answer.text) if not href.endswith("import/")]


# ------------------------------------------------------------ the ways


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("version", "upload", "route"),
    [
        ("v3", "auto", "multipart"),
        ("v3", "webdav", "webdav"),
        ("v3", "url", "url"),
        ("v2", "auto", "webdav"),
        ("v2", "url", "url"),
    ],
)
def test_every_way_brings_the_same_bytes(
    sandbox: SandboxServer, files: FileStore, host: Host, kind: str, version: str, upload: str, route: str
) -> None:
    record = saved(files, picture(kind), f"c/123/front-view__36562.{kind}")
    host.on(f"/{object_key(record['file_sha256'])}", content(picture(kind)))
    settings = settings_of(sandbox, api_version=version)
    uploader = Uploader(settings, files=files, upload_method=upload, file_store_public_url=host.url, **DAV)
    assert uploader.method_for(record) == route
    image = create(open_store(settings), sandbox, uploader, record)
    assert image["sha256"] == record["file_sha256"]
    assert comparable_stem(image["image_file"]) == ("front-view" if route != "url" else record["file_sha256"])
    assert imports(sandbox) == []
    uploader.close()


@pytest.mark.parametrize("version", ["v2", "v3"])
def test_replacing(sandbox: SandboxServer, files: FileStore, version: str) -> None:
    settings = settings_of(sandbox, api_version=version)
    uploader, store = Uploader(settings, files=files, **DAV), open_store(settings)
    first = create(store, sandbox, uploader, saved(files, picture("png")))
    record = saved(files, picture("gif"), "a/001/front__12345.gif")
    with uploader.open_source(record) as source:
        store.replace(first["product_id"], first["id"], source, FIELDS)
    (image,) = sandbox.dump()["images"]
    assert (image["id"], image["sha256"]) == (first["id"], record["file_sha256"])


def test_auto_takes_the_first_that_can_work(sandbox: SandboxServer, files: FileStore) -> None:
    record = saved(files, picture("png"))
    v2, v3 = settings_of(sandbox, api_version="v2"), settings_of(sandbox)
    assert (
        Uploader(v3, files=files, file_store_public_url="https://f.example.com", **DAV).method_for(record)
        == "multipart"
    )
    assert (
        Uploader(v2, files=files, file_store_public_url="https://f.example.com", **DAV).method_for(record) == "webdav"
    )
    assert Uploader(v2, files=files, file_store_public_url="https://f.example.com").method_for(record) == "url"
    assert Uploader(v3, files=None).method_for(record) == "address"
    assert Uploader(v3, files=files).method_for(record_of("a/b.png")) == "address"


WAYS = r"set webdav_username and webdav_password, or file_store_public_url, or use api_version v3"


def test_v2_without_any_way_says_what_to_do(
    sandbox: SandboxServer, files: FileStore, caplog: pytest.LogCaptureFixture
) -> None:
    """At the start, and at every record that needs its picture; what needs none is restored all the same."""
    with caplog.at_level("INFO", "bc_images.files"):
        uploader = Uploader(settings_of(sandbox, api_version="v2"), files=files)
    (line,) = caplog.messages
    assert re.match(rf"Saved pictures cannot be uploaded .*: this file store cannot sign addresses\. .*{WAYS}\.", line)
    with pytest.raises(FileUnavailable, match=WAYS):
        uploader.check(saved(files, picture("png"), zoom_url=f"{sandbox.url}/other.png"))


@pytest.mark.parametrize("version", ["v2", "v3"])
def test_an_address_that_there_never_is(sandbox: SandboxServer, files: FileStore, version: str) -> None:
    sandbox.clear_requests()
    with pytest.raises(SettingsError, match="upload_method url needs file_store_public_url"):
        Uploader(settings_of(sandbox, api_version=version), files=files, upload_method="url", **DAV)
    Uploader(settings_of(sandbox, api_version=version), files=None, upload_method="url")  # the records carry their own
    assert sandbox.requests() == []


@pytest.mark.parametrize(
    ("version", "given", "way"),
    [
        ("v3", {}, "multipart"),
        ("v2", DAV, "webdav"),
        ("v2", {"file_store_public_url": "https://f.example.com"}, "url"),
        ("v3", {"upload_method": "url", "file_store_public_url": "https://f.example.com"}, "url"),
    ],
)
def test_the_way_is_said(
    sandbox: SandboxServer,
    files: FileStore,
    caplog: pytest.LogCaptureFixture,
    version: str,
    given: dict[str, str],
    way: str,
) -> None:
    with caplog.at_level("INFO", "bc_images.files"):
        Uploader(settings_of(sandbox, api_version=version), files=files, **given)
        Uploader(settings_of(sandbox, api_version=version), files=None, **given)
    assert caplog.messages == [f"Saved pictures are uploaded by {way}."]


@pytest.mark.parametrize(
    "form", [{"file_store_public_url": None, "webdav_username": None, "webdav_password": None}, {}]
)
def test_settings_that_are_not_set(sandbox: SandboxServer, form: dict[str, Any]) -> None:
    Uploader(settings_of(sandbox), files=None, **form)


@pytest.mark.parametrize(
    ("version", "given", "words"),
    [
        ("v2", {"upload_method": "multipart"}, "needs api_version v3"),
        ("v3", {"upload_method": "webdav"}, "webdav_username"),
        ("v3", {"upload_method": "webdav", "webdav_username": "x"}, "webdav_password"),
        ("v3", {"file_store_public_url": "ftp://example.com"}, "file_store_public_url"),
        ("v3", {"file_store_public_url": "https://example.com/?x=1"}, "file_store_public_url"),
        ("v3", {"file_store_public_url": "https://a:b@example.com/"}, "file_store_public_url"),
        ("v3", {"file_store_public_url": "example.com"}, "file_store_public_url"),
        ("v3", {"webdav_username": "größe", "webdav_password": "x"}, "not ASCII"),
        ("v3", {"webdav_username": "a\r\nX-Evil: 1", "webdav_password": "x"}, "line break"),
    ],
)
def test_settings_that_cannot_work(sandbox: SandboxServer, version: str, given: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        Uploader(settings_of(sandbox, api_version=version), files=None, **given)


def test_a_signed_address(sandbox: SandboxServer, s3: str, caplog: pytest.LogCaptureFixture) -> None:
    """The store fetches from a bucket that nobody may read without the signature's leave."""
    files = open_files(s3)
    record = saved(files, picture("png"))
    settings = settings_of(sandbox, api_version="v2")
    with caplog.at_level("INFO", "bc_images.files"):
        uploader = Uploader(settings, files=files)
    assert caplog.messages == ["Saved pictures are uploaded by signed."]
    assert uploader.method_for(record) == "signed"
    image = create(open_store(settings), sandbox, uploader, record)
    assert image["sha256"] == record["file_sha256"]
    with uploader.open_source(record) as source:
        assert isinstance(source, UrlSource)
        assert source.url.startswith("http://127.0.0.1:")
        assert "Signature=" in source.url


@pytest.mark.parametrize(("version", "upload"), [("v2", "auto"), ("v3", "url")])
def test_a_signed_address_that_is_too_long(
    sandbox: SandboxServer, s3: str, caplog: pytest.LogCaptureFixture, version: str, upload: str
) -> None:
    files = open_files(f"{s3}/{'deep/' * 20}")
    uploader = Uploader(settings_of(sandbox, api_version=version), files=files, upload_method=upload)
    assert re.search(
        r"cannot be uploaded .*: the address has \d{3} characters and .* 255\. .*[Ss]et .*file_store_public_url",
        caplog.text,
    )
    assert "Signature" not in caplog.text
    sandbox.clear_requests()
    with pytest.raises(FileUnavailable, match=r"has \d{3} characters and the store takes 255") as caught:
        uploader.check(saved(files, picture("png")))
    assert "Signature" not in str(caught.value)
    assert sandbox.requests() == []


# ------------------------------------------------------------ names


@pytest.mark.parametrize("version", ["v2", "v3"])
@pytest.mark.parametrize(
    ("image_file", "kind", "sent"),
    [
        ("p/022/name__36562.jpg", "jpeg", "name.jpg"),
        ("p/022/name__36562.JPEG", "jpeg", "name.JPEG"),
        ("p/022/name__36562.png", "jpeg", "name.jpg"),  # the bytes decide
        ("p/022/name__36562", "gif", "name.gif"),
        ("p/022/v1.2__36562.gif", "gif", "v1.2.gif"),
        ("p/022/a_1024x1024__83011__60806.jpg", "jpeg", "a_1024x1024.jpg"),
        ("sample_images/in 123 (a)__14581.webp", "webp", "in-123-a.webp"),
        ('x/"; filename="evil.php', "png", "filename-evil.png"),
        ("x/a\r\nX-Evil: 1.png", "png", "a-X-Evil-1.png"),
        ("x/..png", "png", "image.png"),
        ("x/___.png", "png", "___.png"),
        ("x/%2e%2e%2fa.png", "png", "2e-2e-2fa.png"),
        ("x/" + "l" * 240 + "__12345.bmp", "bmp", "l" * 230 + ".bmp"),
        ("../../../etc/passwd", "png", "passwd.png"),
        ("x/图片__12345.png", "png", "图片.png"),
    ],
)
def test_the_name_that_is_sent(
    sandbox: SandboxServer, files: FileStore, image_file: str, kind: str, sent: str, version: str
) -> None:
    record = saved(files, picture(kind), image_file)
    settings = settings_of(sandbox, api_version=version)
    uploader = Uploader(settings, files=files, **DAV)
    with uploader.open_source(record) as source:
        if version == "v3":
            assert isinstance(source, FileSource)
            assert source.name == sent
            assert source.open().read() == picture(kind)
            assert source.open().read() == picture(kind)  # from the start, each time
        else:
            assert isinstance(source, WebDavSource)
            assert re.fullmatch(r"[A-Za-z0-9_.-]+", source.name)
            assert len(source.name) <= 240
            if sent.isascii() and len(sent) < 200:
                assert file_name(source.name) == sent
    image = create(open_store(settings), sandbox, uploader, record)
    assert image["sha256"] == record["file_sha256"]


def test_two_uploads_of_one_name_do_not_meet(sandbox: SandboxServer, files: FileStore) -> None:
    uploader = Uploader(settings_of(sandbox, api_version="v2"), files=files, **DAV)
    one, other = saved(files, picture("png")), saved(files, picture("png", 1))
    with uploader.open_source(one) as first, uploader.open_source(other) as second:
        assert isinstance(first, WebDavSource)
        assert isinstance(second, WebDavSource)
        assert first.name != second.name
        assert len(imports(sandbox)) == 2
    assert imports(sandbox) == []


# ------------------------------------------------------------ refused here


@pytest.mark.parametrize("size", [MAX - 1, MAX, MAX + 1])
@pytest.mark.parametrize("version", ["v2", "v3"])
def test_the_limit_of_8_mb(sandbox: SandboxServer, files: FileStore, size: int, version: str) -> None:
    record = saved(files, png(size))
    settings = settings_of(sandbox, api_version=version)
    uploader = Uploader(settings, files=files, **DAV)
    sandbox.clear_requests()
    if size > MAX:
        with pytest.raises(RequestRejected, match=r"8,388,609 bytes; the store takes 8,388,608") as caught:
            uploader.check(record)
        assert caught.value.status is None
        with pytest.raises(RequestRejected), uploader.open_source(record):
            pytest.fail("it must not be sent")
        assert sandbox.requests() == []
    else:
        assert create(open_store(settings), sandbox, uploader, record)["size"] == size


def bad_files(files: FileStore, root: Path) -> Iterator[tuple[Record, type[Exception], str]]:
    """Records whose file is not what it should be."""
    good = saved(files, picture("png"))
    flipped = saved(files, picture("png", 1))
    path = root / object_key(flipped["file_sha256"])
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    yield flipped, FileUnavailable, "is corrupt"
    cut = saved(files, picture("png", 2))
    path = root / object_key(cut["file_sha256"])
    path.write_bytes(path.read_bytes()[:-1])
    yield cut, FileUnavailable, "is corrupt"
    yield {**good, "file_sha256": "0" * 64}, FileUnavailable, "not in the file store"
    for digest in ("../../etc/passwd", "/etc/passwd", "file:///etc/passwd", "0" * 63, "A" * 64, 7, ["x"], {"a": 1}):
        yield {**good, "file_sha256": digest}, FileUnavailable, "not a SHA-256"
    secret = b"root:x:0:0\n"
    import hashlib

    digest = hashlib.sha256(secret).hexdigest()
    path = root / object_key(digest)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(secret)
    yield {**good, "file_sha256": digest}, RequestRejected, "not a picture of a type"


@pytest.mark.parametrize("version", ["v2", "v3"])
def test_bad_files_are_refused_before_any_request(
    sandbox: SandboxServer, files: FileStore, tmp_path: Path, version: str
) -> None:
    uploader = Uploader(settings_of(sandbox, api_version=version), files=files, **DAV)
    for record, kind, words in bad_files(files, tmp_path / "files"):
        sandbox.clear_requests()
        with pytest.raises(kind, match=words):
            uploader.check(record)
        with pytest.raises(kind, match=words), uploader.open_source(record):
            pytest.fail("it must not be sent")
        assert sandbox.requests() == []


HOSTILE = [
    "file:///etc/passwd",
    "ftp://example.com/x.png",
    "javascript:alert(1)",
    "/etc/passwd",
    "../x.png",
    "http://169.254.169.254/latest/meta-data/iam",
    "http://[::ffff:a9fe:a9fe]/",
    "http://2852039166/",
    "http://0251.0376.0251.0376/",
    "http://127.1:8080/x",
    "http://0/",
    "http://10.1.2.3/x.png",
    "http://172.16.0.1/x.png",
    "http://[fd00::1]/x.png",
    "http://[::1]/x.png",
    "http://[::127.0.0.1]/x.png",
    "http://[fec0::1]/x.png",
    "http://127.0.0.1:1/x.png",  # the store's own host, at another port
    "http://[64:ff9b::a9fe:a9fe]/x.png",
    "http://localhost./x.png",
    "http://printer.local/x.png",
    "http://intranet/x.png",
    "http://user:pw@example.com/x.png",
    "http://example.com:99999/x.png",
    "http://exa mple.com/x.png",
    "http://example.com\\@127.0.0.1/x.png",
    "http:///x.png",
    "http://example.com/\r\nHost: 10.0.0.1",
    "http://[bad/x.png",
    "http://\uff11\uff10.0.0.1/x.png",  # full-width digits
    "http://\u2024./x.png",
    "http://" + "ä" * 70 + ".example/x.png",
    "https://example.com/" + "x" * 240 + ".png",
    "https://example.com/" + "é" * 80 + ".png",  # longer once it is encoded
]


@pytest.mark.parametrize("address", HOSTILE)
@pytest.mark.parametrize("version", ["v2", "v3"])
def test_hostile_addresses_are_not_passed_on(sandbox: SandboxServer, address: str, version: str) -> None:
    uploader = Uploader(settings_of(sandbox, api_version=version), files=None)
    record = record_of("a/b.png", zoom_url=address)
    sandbox.clear_requests()
    with pytest.raises(FileUnavailable) as caught:
        uploader.check(record)
    assert "\n" not in str(caught.value)
    assert ":pw@" not in str(caught.value)
    with pytest.raises(FileUnavailable), uploader.open_source(record):
        pytest.fail("it must not be passed on")
    assert sandbox.requests() == []


@pytest.mark.parametrize(
    ("record", "address"),
    [
        (
            {"zoom_url": "https://cdn11.bigcommerce.com/s-abc/products/1/images/2/x__1.1.1280.1280.jpg?c=2"},
            "https://cdn11.bigcommerce.com/s-abc/products/1/images/2/x__1.1.1280.1280.jpg?c=2",
        ),
        ({"zoom_url": "https://example.com/ä b.png"}, "https://example.com/%C3%A4%20b.png"),
        ({"zoom_url": "https://größe.example/x.png"}, "https://xn--gre-6ka8i.example/x.png"),
        ({"zoom_url": None, "store_hash": STORE_HASH}, "{sandbox}/product_images/a/b%20c.png"),
        ({"zoom_url": ""}, "https://store-abc.mybigcommerce.com/product_images/a/b%20c.png"),
    ],
)
def test_without_bytes_the_store_fetches_what_the_record_names(
    sandbox: SandboxServer, record: Record, address: str
) -> None:
    uploader = Uploader(settings_of(sandbox), files=None)
    wanted = record_of("a/b c.png", **record)
    uploader.check(wanted)
    with uploader.open_source(wanted) as source:
        assert source == UrlSource(address.format(sandbox=sandbox.url))


@pytest.mark.parametrize("store_hash", ["x.evil.example.com/", "a b", "a/../b"])
def test_a_store_hash_does_not_choose_the_host(sandbox: SandboxServer, store_hash: str) -> None:
    with pytest.raises(FileUnavailable, match="store_hash"):
        Uploader(settings_of(sandbox), files=None).check(record_of("a/b.png", store_hash=store_hash))


@pytest.mark.parametrize("length", [255, 256])
@pytest.mark.parametrize("version", ["v2", "v3"])
@pytest.mark.parametrize("saves", [True, False])
def test_the_limit_of_255_characters(
    sandbox: SandboxServer, files: FileStore, version: str, length: int, saves: bool
) -> None:
    start = "https://files.example.com/"
    if saves:
        record = saved(files, picture("png"))
        file_store_public_url = start + "x" * (length - len(start) - len(f"/{object_key(record['file_sha256'])}"))
        uploader = Uploader(
            settings_of(sandbox, api_version=version),
            files=files,
            upload_method="url",
            file_store_public_url=file_store_public_url,
        )
    else:
        record = record_of("a/b.png", zoom_url=(start + "x" * 300)[:length])
        uploader = Uploader(settings_of(sandbox, api_version=version), files=None)
    sandbox.clear_requests()
    if length == 255:
        uploader.check(record)
        with uploader.open_source(record) as source:
            assert isinstance(source, UrlSource)
            assert len(source.url) == 255
    else:
        with pytest.raises(FileUnavailable, match="has 256 characters and the store takes 255"):
            uploader.check(record)
    assert sandbox.requests() == []


@everywhere
def test_a_file_store_that_is_gone_is_no_fault_of_the_record(sandbox: SandboxServer, place: str) -> None:
    uploader = Uploader(settings_of(sandbox), files=open_files(place))
    with pytest.raises(FatalError, match="No file store found at"):
        uploader.check(record_of("a/b.png", file_sha256="0" * 64))


# ------------------------------------------------------------ WebDAV when it misbehaves


def test_it_is_cleaned_up_when_the_restore_fails(sandbox: SandboxServer, files: FileStore) -> None:
    uploader = Uploader(settings_of(sandbox, api_version="v2"), files=files, **DAV)

    def restore() -> None:
        with uploader.open_source(saved(files, picture("png"))):
            assert len(imports(sandbox)) == 1
            raise RequestRejected("the store said no", 400)

    with pytest.raises(RequestRejected, match="said no"):
        restore()
    assert imports(sandbox) == []


@pytest.mark.parametrize("faults", ["5", "b", "u", "d", "l", "w", "W"])
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_what_passes_is_tried_again(
    sandbox: SandboxServer, files: FileStore, quick: None, method: str, faults: str
) -> None:
    settings = settings_of(sandbox, api_version="v2")
    uploader = Uploader(settings, files=files, **DAV)
    create(open_store(settings), sandbox, uploader, saved(files, picture("png")))  # by now the nonce is known
    sandbox.faults(faults, match=f"{method} /dav/")
    image = create(open_store(settings), sandbox, uploader, saved(files, picture("gif"), "a/x__12345.gif"))
    assert [script["left"] for script in sandbox.fault_scripts()] == [""]
    assert image["size"] == len(picture("gif"))
    assert imports(sandbox) == []


def test_a_webdav_that_never_answers_stops_the_run(
    files: FileStore, quick: None, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"http://127.0.0.1:{closed_port()}"
    settings = Settings.from_config(
        {
            "store_hash": "x",
            "access_token": "t",
            "store_url": url,
            "api_url": url,
            "api_version": "v2",
        }
    )
    caplog.set_level(logging.INFO, "bc_images.files.webdav")
    uploader = Uploader(settings, files=files, **DAV)
    with (
        pytest.raises(StoreUnreachable, match=rf"Could not connect to {url}/dav/.*: connection refused\..*store_url"),
        uploader.open_source(saved(files, picture("png"))),
    ):
        pytest.fail("nothing was uploaded")
    assert sum(f"PUT {url}/dav/" in line and "connection refused" in line for line in caplog.messages) == 3


@pytest.fixture
def elsewhere(host: Host, files: FileStore, quick: None) -> Uploader:
    """Sends by WebDAV to a host that does what the test says."""
    url = {"api_url": host.url, "store_url": host.url}
    given = {"store_hash": "x", "access_token": "t", "max_retries": 1, "api_version": "v2"} | url
    return Uploader(Settings.from_config(given), files=files, **DAV)


@pytest.mark.parametrize("code", [301, 302, 307, 308, 404, 405, 409, 410, 501, 507])
def test_a_webdav_that_takes_no_file_stops_the_run(
    host: Host, files: FileStore, elsewhere: Uploader, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A wrong store_url, or no room: the next file would fare no better. And no file goes where a redirect leads."""
    with Host(otherwise=status(201)) as other:
        host.otherwise = status(code, Location=f"{other.url}/dav/product_images/import/x.png")
        with (
            pytest.raises(UnexpectedResponse, match="Free some space" if code == 507 else "Check store_url") as caught,
            elsewhere.open_source(saved(files, picture("png"))),
        ):
            pytest.fail("nothing was uploaded")
        assert caught.value.exit_code == 3
        assert other.seen == []
    assert [request.method for request in host.seen] == ["PUT"]  # refused, so there is nothing to remove
    assert caplog.text == ""


@pytest.mark.parametrize("code", [400, 403, 413, 414, 415, 422])
def test_a_file_that_webdav_does_not_take_is_no_fault_of_the_others(
    host: Host, files: FileStore, elsewhere: Uploader, code: int
) -> None:
    record = saved(files, picture("png"))
    host.otherwise = status(201)
    with elsewhere.open_source(record):
        host.otherwise = status(code)
        with (
            pytest.raises(FileUnavailable, match=f"does not take the file .PUT: HTTP {code}"),
            elsewhere.open_source(record),
        ):
            pytest.fail("nothing was uploaded")
        host.otherwise = status(201)
    with elsewhere.open_source(record) as source:
        assert isinstance(source, WebDavSource)


@pytest.mark.parametrize("code", [401, 403])
def test_a_webdav_that_lets_nobody_in_stops_the_run(
    host: Host, files: FileStore, elsewhere: Uploader, code: int
) -> None:
    host.otherwise = status(code)
    with (
        pytest.raises(AuthError, match="refused the user or the password"),
        elsewhere.open_source(saved(files, picture("png"))),
    ):
        pytest.fail("nothing was uploaded")


@pytest.mark.parametrize("password", ["wrong", ""])
def test_a_wrong_password_stops_the_run_and_is_not_shown(
    sandbox: SandboxServer, files: FileStore, password: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = settings_of(sandbox, api_version="v2")
    uploader = Uploader(settings, files=files, webdav_username=DAV_USERNAME, webdav_password=password or "nope")
    with (
        pytest.raises(AuthError, match=r"refused the user or the password.*webdav_password") as caught,
        uploader.open_source(saved(files, picture("png"))),
    ):
        pytest.fail("nothing was uploaded")
    assert (password or "nope") not in str(caught.value).replace("webdav_password", "").replace("the password", "")
    assert not [entry for entry in caplog.records if entry.name.startswith("bc_images.files")]


def test_the_api_token_does_not_go_to_webdav(sandbox: SandboxServer, files: FileStore) -> None:
    settings = settings_of(sandbox, api_version="v2")
    create(open_store(settings), sandbox, Uploader(settings, files=files, **DAV), saved(files, picture("png")))
    dav = [request for request in sandbox.requests() if request["path"].startswith("/dav/")]
    assert {request["method"] for request in dav} == {"PUT", "DELETE"}
    assert not any(request["token"] for request in dav)


def test_litter_that_cannot_be_removed_is_named(
    sandbox: SandboxServer, files: FileStore, quick: None, caplog: pytest.LogCaptureFixture
) -> None:
    settings = settings_of(sandbox, api_version="v2")
    uploader = Uploader(settings, files=files, **DAV)
    sandbox.faults("5" * 20, match="DELETE /dav/")
    image = create(open_store(settings), sandbox, uploader, saved(files, picture("png")))
    assert image["size"] == len(picture("png"))
    assert re.search(r"front__\d{5}__\d{5}__\d{5}\.png stays in the import folder", caplog.text)


def test_bytes_can_be_opened_by_requests(sandbox: SandboxServer, files: FileStore) -> None:
    with Uploader(settings_of(sandbox), files=files).open_source(saved(files, picture("png"))) as source:
        assert isinstance(source, FileSource)
        assert isinstance(source.open(), BytesIO)


def test_a_gif_of_too_many_frames_is_refused_before_any_request(files: FileStore, host: Host) -> None:
    out = BytesIO()
    images = [Image.new("RGB", (2, 2), (number, 3 * number % 256, 0)) for number in range(151)]
    images[0].save(out, "GIF", save_all=True, append_images=images[1:])
    stored = files.add([out.getvalue()])
    uploader = Uploader(settings_for(host.url), files=files)
    with pytest.raises(RequestRejected, match="would refuse the picture: it is a GIF of more than 150 frames"):
        uploader.check(record_of("a/b.gif", file_sha256=stored.sha256))
