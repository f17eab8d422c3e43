"""A CDN that re-encodes pictures: no record says ``original`` over other bytes."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image
from requests.structures import CaseInsensitiveDict

from bc_images.bigcommerce import open_store
from bc_images.bigcommerce.mapping import Record
from bc_images.files import FileStore, open_files
from bc_images.files.alteration import conversion, is_cached, transformation
from bc_images.files.download import Downloader
from bc_images.settings import Settings
from bigcommerce_sandbox import DAV_PASSWORD, DAV_USERNAME, STORE_HASH, TOKEN, SandboxServer
from tests.support.file_host import Answer, Host, content, status
from tests.support.file_stores import keys, record_of, settings_for
from tests.support.pictures import picture, png

PATH = "/product_images/a/001/x__00001.png"
IMAGE_FILE = "a/001/x__00001.png"
BODY, OTHER = png(5000), png(4000, 1)
DAV = {"webdav_username": DAV_USERNAME, "webdav_password": DAV_PASSWORD}


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


# ---------------------------------------------------------------- what an answer tells


@pytest.mark.parametrize(
    ("headers", "is_altered"),
    [
        ({}, False),
        ({"Cf-Polished": "origFmt=png, origSize=5000"}, True),
        ({"Cf-Polished": "qual=85, origFmt=jpeg, origSize=5000"}, True),
        ({"cf-polished": "degrade=85, origSize=5000", "content-length": "5000"}, True),
        ({"Cf-Polished": "origSize=5000", "Content-Length": "4000"}, True),
        ({"Cf-Polished": "origSize=5000"}, True),
        ({"Cf-Polished": "origSize=5000", "Content-Length": "5000"}, False),
        ({"Cf-Polished": "status=not_needed"}, False),
        ({"Cf-Polished": "status=webp_bigger"}, False),
        ({"Cf-Polished": "input_too_large"}, False),
        ({"Cf-Cache-Status": "HIT", "Cf-Bgj": "h2pri"}, False),
        ({"Cf-Resized": "internal=ok/h q=0 n=11"}, True),
        ({"Cf-Resized": "err=9401"}, False),
        ({"Fastly-IO-Info": "ifsz=108501 idim=827x788 ifmt=jpeg ofsz=13066 odim=300x286 ofmt=jpeg"}, True),
        ({"Server": "Akamai Image Manager"}, True),
        ({"Server": "cloudflare"}, False),
        ({"Warning": '214 proxy "Transformation applied"'}, True),
        ({"Warning": '110 proxy "Response is Stale"'}, False),
    ],
)
def test_what_headers_tell(headers: dict[str, str], is_altered: bool) -> None:
    assert (transformation(200, CaseInsensitiveDict(headers)) is not None) == is_altered


def test_what_a_status_tells() -> None:
    assert transformation(203, CaseInsensitiveDict()) == "HTTP 203"


@pytest.mark.parametrize(
    ("media_type", "content_type", "image_file", "is_altered"),
    [
        ("image/webp", "image/webp", "a/front.jpg", True),
        ("image/webp", "image/webp; q=1", "a/FRONT.PNG", True),
        ("image/webp", "image/jpeg", "a/front.jpg", False),  # a wrong name, by which the store tells the type
        ("image/jpeg", "image/jpeg", "a/front.jpeg", False),
        ("image/jpeg", "image/jpeg", "a/front.jfif", False),
        ("image/webp", "image/webp", "a/front", False),
        ("image/webp", "image/webp", "a/front.bin", False),
        (None, "image/webp", "a/front.jpg", False),
        ("image/webp", "", "a/front.jpg", False),
    ],
)
def test_what_the_type_tells(media_type: str | None, content_type: str, image_file: str, is_altered: bool) -> None:
    found = conversion(media_type, CaseInsensitiveDict({"Content-Type": content_type}), image_file)
    assert (found is not None) == is_altered


# ---------------------------------------------------------------- one picture


@pytest.fixture
def files(tmp_path: Path) -> FileStore:
    return open_files(str(tmp_path / "files"))


def filled(files: FileStore, url: str, **settings: Any) -> tuple[Record, Downloader]:
    files.close()  # so that it lists anew
    with Downloader(settings_for(url, **settings), files) as downloader:
        (found,) = downloader.fill([record_of(IMAGE_FILE)])
    objects = {key.rpartition("/")[2] for key in keys(files, "sha256")}
    assert objects == {found["file_sha256"]}  # nothing was kept on the way
    return found, downloader


POLISHED = content(OTHER, **{"Cf-Polished": "qual=85, origSize=5000"})
CONVERTED = content(picture("webp"), **{"Content-Type": "image/webp"})


def transformed(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(203)
    handler.send_header("Content-Length", str(len(OTHER)))
    handler.end_headers()
    handler.wfile.write(OTHER)


altered = pytest.mark.parametrize("answer", [POLISHED, CONVERTED, transformed])


@altered
def test_the_original_past_the_cache(files: FileStore, host: Host, quick: None, answer: Answer) -> None:
    host.on(PATH, answer)
    host.otherwise = content(BODY)  # whatever is in no cache
    record, downloader = filled(files, host.url)
    assert (record["file_sha256"], record["file_source"]) == (sha256(BODY), "original")
    first, second = host.seen
    assert first.path == PATH
    assert second.path.startswith(f"{PATH}?")
    assert first.headers["cache-control"] == second.headers["cache-control"] == "no-transform"
    assert list(downloader.findings.summary()) == []
    filled(files, host.url)
    assert len(host.seen) == 2


@altered
@pytest.mark.parametrize("past_the_cache", [POLISHED, status(403), status(404), status(500)])
def test_what_stays_altered_is_kept_as_such(
    files: FileStore, host: Host, quick: None, answer: Answer, past_the_cache: Answer
) -> None:
    host.on(PATH, answer)
    host.otherwise = past_the_cache
    record, downloader = filled(files, host.url)
    assert record["file_sha256"] == sha256(picture("webp") if answer is CONVERTED else OTHER)
    assert record["file_source"] == "cdn"
    (line,) = downloader.findings.summary()
    assert line.startswith("1 picture was saved as altered by a CDN (file_source: cdn).")
    host.seen.clear()
    again, downloader = filled(files, host.url)
    assert again == record
    assert host.seen == []  # there is no way round it
    assert downloader.findings["cdn"] == 1


def test_every_answer_past_the_cache_is_asked_for_by_another_address(files: FileStore, host: Host, quick: None) -> None:
    host.on(PATH, POLISHED)
    host.on("/product_images/b.png", POLISHED)
    host.otherwise = content(BODY)
    for image_file in (IMAGE_FILE, "b.png"):
        with Downloader(settings_for(host.url), files) as downloader:
            list(downloader.fill([record_of(image_file)]))
    queries = [path.partition("?")[2] for path in host.paths() if "?" in path]
    assert len(set(queries)) == len(queries) == 2


def test_a_wrong_name_alone_is_no_alteration(files: FileStore, host: Host, quick: None) -> None:
    host.on(PATH, content(picture("webp"), **{"Content-Type": "image/png"}))
    record, _ = filled(files, host.url)
    assert (record["file_source"], record["file_type"]) == ("original", "image/webp")
    assert len(host.seen) == 1


def test_webdav_is_not_asked_without_need_and_shows_its_user_to_the_store_alone(
    files: FileStore, host: Host, quick: None
) -> None:
    host.on(PATH, content(BODY))
    filled(files, host.url, **DAV)
    assert host.paths() == [PATH]
    assert "authorization" not in host.seen[0].headers


def test_webdav_that_redirects_is_not_followed(files: FileStore, host: Host, quick: None) -> None:
    host.on(PATH, POLISHED)
    host.on("/dav" + PATH, status(302, Location=f"{host.url}/elsewhere.png"))
    host.on("/elsewhere.png", content(BODY))
    host.otherwise = POLISHED
    record, _ = filled(files, host.url, **DAV)
    assert record["file_source"] == "cdn"
    assert "/elsewhere.png" not in host.paths()


def test_webdav_that_refuses_is_soon_left_alone(
    files: FileStore, host: Host, quick: None, caplog: pytest.LogCaptureFixture
) -> None:
    host.otherwise = POLISHED
    for number in range(8):
        host.on(f"/dav/product_images/{number}.png", status(404))
    with Downloader(settings_for(host.url, concurrency=1, **DAV), files) as downloader:
        found = list(downloader.fill([record_of(f"{number}.png") for number in range(8)]))
    assert {record["file_source"] for record in found} == {"cdn"}
    assert 3 <= sum(path.startswith("/dav/") for path in host.paths()) <= 4
    assert sum("WebDAV serves no originals" in each.getMessage() for each in caplog.records) == 1


# ---------------------------------------------------------------- a whole store


@pytest.fixture(params=["v3", "v2"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[SandboxServer, dict[str, Any]]]:
    with SandboxServer(products=8, images=3) as sandbox:
        yield (
            sandbox,
            {
                "store_hash": STORE_HASH,
                "access_token": TOKEN,
                "api_url": sandbox.url,
                "store_url": sandbox.url,
                "api_version": request.param,
                "file_store": str(tmp_path / "files"),
                "max_retries": 1,
            },
        )


def backed_up(config: dict[str, Any], **more: Any) -> tuple[list[Record], Downloader]:
    given = Settings.from_config(config | more)
    with (
        closing(open_store(given)) as store,
        closing(open_files(given.file_store)) as files,
        Downloader(given, files) as downloader,
    ):
        found = list(downloader.fill(image for product in store.scan() for image in product.images))
    assert downloader.failed == 0
    return found, downloader


def lies(sandbox: SandboxServer, records: list[Record]) -> list[Record]:
    """The records that say ``original`` over other bytes."""
    originals = {image["id"]: image["sha256"] for image in sandbox.dump()["images"]}
    return [
        record
        for record in records
        if (record["file_sha256"] == originals[record["id"]]) != (record["file_source"] == "original")
    ]


def test_no_record_says_original_over_other_bytes(settings: tuple[SandboxServer, dict[str, Any]]) -> None:
    sandbox, config = settings
    sandbox.set_flags(cdn="altered")
    records, downloader = backed_up(config)
    assert lies(sandbox, records) == []
    count = sum(record["file_source"] == "cdn" for record in records)
    assert 10 < count == downloader.findings["cdn"] < 24
    sandbox.clear_requests()
    assert backed_up(config)[0] == records
    assert not any(each["path"].startswith("/product_images/") for each in sandbox.requests())


def test_webdav_serves_the_originals(settings: tuple[SandboxServer, dict[str, Any]]) -> None:
    sandbox, config = settings
    sandbox.set_flags(cdn="altered")
    assert any(record["file_source"] == "cdn" for record in backed_up(config)[0])
    records, downloader = backed_up(config, **DAV)  # a user that is given later heals what is saved
    assert {record["file_source"] for record in records} == {"original"}
    assert lies(sandbox, records) == []
    assert list(downloader.findings.summary()) == []
    sandbox.set_flags(dav_originals="off")
    assert backed_up(config, **DAV)[0] == records


@pytest.mark.parametrize("wrong", [{"dav_originals": "off"}, {"webdav_password": "another"}])
def test_webdav_that_serves_none(settings: tuple[SandboxServer, dict[str, Any]], wrong: dict[str, Any]) -> None:
    sandbox, config = settings
    sandbox.set_flags(cdn="altered", dav_originals=wrong.get("dav_originals", "on"))
    records, _ = backed_up(config, **{**DAV, **{name: value for name, value in wrong.items() if name in DAV}})
    assert lies(sandbox, records) == []
    assert any(record["file_source"] == "cdn" for record in records)


def test_a_cdn_that_alters_what_others_have_asked_for(
    settings: tuple[SandboxServer, dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    sandbox, config = settings
    sandbox.set_flags(cdn="altered_later")
    for image in sandbox.dump()["images"]:
        requests.get(f"{sandbox.url}/product_images/{image['image_file']}", timeout=10)
    with caplog.at_level(logging.WARNING):
        records, _ = backed_up(config)
    assert {record["file_source"] for record in records} == {"original"}
    assert lies(sandbox, records) == []
    assert not caplog.records


@pytest.mark.parametrize(
    ("headers", "cached"),
    [
        ({}, False),
        ({"Age": "0"}, False),
        ({"Age": "12"}, True),
        ({"CF-Cache-Status": "MISS"}, False),
        ({"CF-Cache-Status": "HIT"}, True),
        ({"Cache-Status": "ExampleCache; fwd=uri-miss"}, False),
        ({"Cache-Status": "ExampleCache; hit; ttl=5"}, True),
        ({"X-Cache": "TCP_HIT from a1"}, True),
        ({"X-Cache": "Miss from cloudfront"}, False),
    ],
)
def test_what_comes_out_of_a_cache(headers: dict[str, str], cached: bool) -> None:
    assert is_cached(CaseInsensitiveDict(headers)) is cached


def photos(sandbox: SandboxServer) -> None:
    """Give the store pictures of which a CDN that says nothing makes others of the same type."""
    for seed, image in enumerate(sandbox.dump(files=False)["images"]):
        out = BytesIO()
        Image.effect_mandelbrot((60, 40), (-2, -1.5 - seed / 50, 1, 1.5), 50).convert("RGB").save(
            out, "JPEG", quality=95
        )
        sandbox.set_image(image["id"], content=out.getvalue(), filename="photo.jpg")


@pytest.mark.parametrize("webdav", [True, False])
def test_a_cdn_that_alters_pictures_without_saying_so(
    settings: tuple[SandboxServer, dict[str, Any]], caplog: pytest.LogCaptureFixture, webdav: bool
) -> None:
    sandbox, config = settings
    photos(sandbox)
    sandbox.set_flags(cdn="altered" if webdav else "altered_later", cdn_marks="off")
    for image in sandbox.dump()["images"]:
        requests.get(f"{sandbox.url}/product_images/{image['image_file']}", timeout=10)
    records, _ = backed_up(config, **(DAV if webdav else {}))
    assert {record["file_source"] for record in records} == {"original"}
    assert lies(sandbox, records) == []
    assert sum("without saying so" in each.getMessage() for each in caplog.records) == 1
    assert {key.rpartition("/")[2] for key in keys(open_files(config["file_store"]), "sha256")} == {
        record["file_sha256"] for record in records
    }


def test_a_cache_that_alters_nothing_is_relied_on(settings: tuple[SandboxServer, dict[str, Any]]) -> None:
    sandbox, config = settings
    for image in sandbox.dump()["images"]:
        sandbox.set_image(image["id"], content=picture("bmp", image["id"]), filename="a.bmp")  # which no CDN touches
    sandbox.set_flags(cdn="altered_later")
    for image in sandbox.dump()["images"]:
        requests.get(f"{sandbox.url}/product_images/{image['image_file']}", timeout=10)
    sandbox.clear_requests()
    records, _ = backed_up(config)
    assert lies(sandbox, records) == []
    queries = [each["query"] for each in sandbox.requests() if each["path"].startswith("/product_images/")]
    assert sum("no-cache" in query for query in queries) == 8
