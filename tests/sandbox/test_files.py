"""Originals, renditions, WebDAV, and the store's own download of image URLs."""

from __future__ import annotations

import http.server
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import pytest
import requests
from PIL import Image
from requests.auth import HTTPDigestAuth

from bigcommerce_sandbox import DAV_PASSWORD, DAV_USERNAME, SandboxServer, media, seed
from tests.support.api_client import FIRST, ApiClient, picture

DAV = HTTPDigestAuth(DAV_USERNAME, DAV_PASSWORD)
FORMATS = {"jpg": "JPEG", "jpeg": "JPEG", "png": "PNG", "gif": "GIF", "webp": "WEBP", "bmp": "BMP"}


# ---------------------------------------------------------------- originals and renditions


def test_seeded_originals_are_real_pictures_all_different(api: ApiClient) -> None:
    api.sandbox.reset(products=20, images=3)
    seen = set()
    for image in api.sandbox.dump()["images"]:
        response = api.file(f"/product_images/{image['image_file']}")
        ext = image["image_file"].rpartition(".")[2]
        assert response.headers["content-type"] == media.MEDIA_TYPES[ext]
        assert len(response.content) == image["size"]
        opened = Image.open(BytesIO(response.content))
        opened.load()
        assert opened.format == FORMATS[ext]
        seen.add(response.content)
    assert len(seen) == 60
    assert {image["image_file"].rpartition(".")[2] for image in api.sandbox.dump(files=False)["images"]} == set(FORMATS)


def test_originals_need_no_token_and_answer_head(api: ApiClient) -> None:
    path = f"/product_images/{api.images()[0]['image_file']}"
    content = api.file(path).content
    head = requests.head(api.sandbox.url + path, timeout=10)
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) == len(content)
    assert api.file(f"/s-sandbox{path}").content == content
    assert requests.delete(api.sandbox.url + path, timeout=10).status_code == 405


@pytest.mark.parametrize(
    "path",
    [
        "/product_images/a/000/none__00000.jpg",
        "/product_images/",
        "/product_images/import/../../../../../../etc/passwd",
        "/product_images/import/..%2f..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/product_images/import/",
        "/product_images/%00",
        "/product_images/%ff%fe",
    ],
)
def test_other_originals_are_404(api: ApiClient, path: str) -> None:
    session = requests.Session()
    request = session.prepare_request(requests.Request("GET", api.sandbox.url))
    request.url = api.sandbox.url + path  # as it is: requests would tidy it up
    assert session.send(request, timeout=10).status_code == 404


def test_a_path_with_nothing_behind_it_is_501(api: ApiClient) -> None:
    for path in ("/", "/favicon.ico", "/s-sandbox/images/stencil/original/products/1/1/a.1.jpg"):
        assert api.file(path).status_code == 501


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP"])
@pytest.mark.parametrize("size", [(2000, 1500), (30, 20)])
def test_renditions_fit_their_box_and_are_other_bytes(bare: ApiClient, kind: str, size: tuple[int, int]) -> None:
    content = picture("orange", kind, size)
    bare.sandbox.add_image(FIRST, content, f"a.{kind.lower()}")
    image = bare.get(f"/v3/catalog/products/{FIRST}/images").json()["data"][0]
    for name in ("url_zoom", "url_standard", "url_thumbnail", "url_tiny"):
        box = re.search(r"\.(\d+)\.(\d+)\.\w+\?c=2$", image[name])
        assert box is not None
        response = requests.get(image[name], timeout=20)
        assert response.content != content
        opened = Image.open(BytesIO(response.content))
        assert opened.width <= min(int(box[1]), size[0], 1280)
        assert opened.height <= min(int(box[2]), size[1], 1280)
        assert response.headers["content-type"] == f"image/{opened.format}".lower()


def test_v2_and_v3_tell_the_same_addresses(api: ApiClient) -> None:
    two = api.get(f"/v2/products/{FIRST}/images").json()
    three = api.get(f"/v3/catalog/products/{FIRST}/images").json()["data"]
    for size in ("zoom", "standard", "thumbnail", "tiny"):
        assert [image[f"{size}_url"] for image in two] == [image[f"url_{size}"] for image in three]


def test_renditions_are_gone_after_delete_and_replace(api: ApiClient) -> None:
    deleted, replaced, _ = api.get(f"/v2/products/{FIRST}/images").json()
    path = f"/v2/products/{FIRST}/images"
    api("DELETE", f"{path}/{deleted['id']}").raise_for_status()
    url = api.original_url(api.images()[0])
    api("PUT", f"{path}/{replaced['id']}", json={"image_file": url}).raise_for_status()
    for image in (deleted, replaced):
        assert requests.get(image["zoom_url"], timeout=10).status_code == 404
    assert requests.get(api.get(f"{path}/{replaced['id']}").json()["zoom_url"], timeout=10).status_code == 200


def test_rendition_of_what_is_no_picture(bare: ApiClient) -> None:
    bare.sandbox.add_image(FIRST, b"no picture", "a.jpg")
    zoom = bare.get(f"/v2/products/{FIRST}/images").json()[0]["zoom_url"]
    assert requests.get(zoom, timeout=10).status_code == 415
    for wrong in (zoom.replace("1280.1280", "0.1280"), zoom.replace("/101/", "/102/"), zoom.replace("a__", "b__")):
        assert requests.get(wrong, timeout=10).status_code == 404


@pytest.mark.parametrize("size", [4096, 20_000, 100_000, 200_001])
def test_padded_pictures_have_exactly_the_size(size: int) -> None:
    for number in [*range(11, 31), 47]:
        ext = seed.EXTENSIONS[number % 10]
        content = seed.picture(0, number, ext, size)
        assert len(content) == size
        opened = Image.open(BytesIO(content))
        opened.load()
        assert opened.format == FORMATS[ext]
        assert content == seed.picture.__wrapped__(0, number, ext, size)
        assert content != seed.picture(1, number, ext, size)


def test_picture_bytes_by_the_switch(api: ApiClient) -> None:
    api.sandbox.set_flags(picture_bytes=5000)
    api.sandbox.reset()
    assert {image["size"] for image in api.sandbox.dump()["images"]} == {5000}


# ---------------------------------------------------------------- accepted types


def test_every_accepted_type_is_recognised() -> None:
    wbmp = b"\0\0\x81\x00\x01" + bytes(16)
    assert media.inspect(wbmp) == "wbmp"
    assert media.rendition(wbmp, 50, 50)[1] == "image/jpeg"
    for kind, ext in (("BMP", "bmp"), ("GIF", "gif"), ("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp")):
        assert media.inspect(picture("red", kind)) == ext
    out = BytesIO()
    Image.new("1", (9, 9)).save(out, "XBM")
    assert media.inspect(out.getvalue()) == "xbm"


@pytest.mark.parametrize(
    "content", [b"", b"\0\0", b"\0\0\x81", b"\0\0\x01\x01", b"\0\0\x00\x00", b"BM", b"GIF89a", b"\xff\xd8\xff"]
)
def test_what_is_no_picture(content: bytes) -> None:
    with pytest.raises(media.NotAPicture):
        media.inspect(content)


def gif(frames: int, side: int) -> bytes:
    out = BytesIO()
    pictures = [Image.new("RGB", (side, 1), (n % 2 * 255, 0, n)) for n in range(frames)]
    pictures[0].save(out, "GIF", save_all=True, append_images=pictures[1:])
    return out.getvalue()


def test_limits_of_a_gif() -> None:
    assert media.inspect(gif(150, 10)) == "gif"
    assert media.inspect(gif(1, 5120)) == "gif"
    for frames, side in ((151, 10), (1, 5121)):
        with pytest.raises(media.NotAPicture):
            media.inspect(gif(frames, side))


@pytest.mark.parametrize(
    ("name", "kind", "stored"),
    [
        ("photo.JPG", "jpg", r"photo__\d{5}\.JPG"),
        ("photo.jpeg", "jpg", r"photo__\d{5}\.jpeg"),
        ("photo.png", "jpg", r"photo__\d{5}\.jpg"),
        ("photo", "png", r"photo__\d{5}\.png"),
        ("v1.2", "png", r"v1\.2__\d{5}\.png"),
        ("a b (c)ä.gif", "gif", r"a-b-c__\d{5}\.gif"),
        ("日本.gif", "gif", r"image__\d{5}\.gif"),
        ("x__12345__67890.webp", "webp", r"x__12345__67890__\d{5}\.webp"),
        ("x" * 300 + ".png", "png", r"x{200}__\d{5}\.png"),
    ],
)
def test_stored_names(name: str, kind: str, stored: str) -> None:
    assert re.fullmatch(rf"[a-z]/\d{{3}}/{stored}", media.stored_name(name, kind, 0, 1))


# ---------------------------------------------------------------- WebDAV


def dav(api: ApiClient, method: str, path: str, **options: Any) -> requests.Response:
    options = {"auth": DAV, "timeout": 10, **options}
    return requests.request(method, f"{api.sandbox.url}/dav{path}", **options)


def test_dav_wants_digest(api: ApiClient) -> None:
    path = "/product_images/import/a.png"
    challenged = dav(api, "PUT", path, data=b"x", auth=None)
    assert challenged.status_code == 401
    assert challenged.headers["www-authenticate"].lower().startswith("digest")
    assert dav(api, "PUT", path, data=b"x", auth=(DAV_USERNAME, DAV_PASSWORD)).status_code == 401
    assert dav(api, "PUT", path, data=b"x", auth=HTTPDigestAuth(DAV_USERNAME, "wrong")).status_code == 401
    assert dav(api, "GET", path).status_code == 404


def test_dav_files_come_back_and_are_served_publicly(api: ApiClient) -> None:
    content = bytes(range(256)) * 5000
    assert dav(api, "PUT", "/product_images/import/ü b.bin", data=content).status_code == 201
    assert dav(api, "PUT", "/product_images/import/ü b.bin", data=content).status_code == 204
    assert dav(api, "GET", "/product_images/import/ü b.bin").content == content
    assert api.file("/product_images/import/ü b.bin").content == content
    listing = dav(api, "PROPFIND", "/product_images/import/", headers={"Depth": "1"})
    assert listing.status_code == 207
    assert "%C3%BC%20b.bin" in listing.text
    assert dav(api, "DELETE", "/product_images/import/ü b.bin").status_code == 204
    assert api.file("/product_images/import/ü b.bin").status_code == 404


def test_dav_has_the_documented_folders(api: ApiClient) -> None:
    listing = dav(api, "PROPFIND", "/", headers={"Depth": "1"}).text
    for folder in ("product_images", "content", "template", "exports", "import_files", "product_downloads"):
        assert f"/dav/{folder}/" in listing


def test_dav_serves_stored_originals_past_the_cdn(api: ApiClient) -> None:
    api.sandbox.set_flags(cdn="altered")
    image = api.images()[0]
    path = f"/product_images/{image['image_file']}"
    assert requests.get(f"{api.sandbox.url}/dav{path}", timeout=10).status_code == 401
    assert dav(api, "GET", path).content == api.sandbox.original(image["image_file"])
    assert dav(api, "DELETE", path).status_code == 501
    assert dav(api, "GET", "/product_images/a/000/none__00000.jpg").status_code == 404
    api.sandbox.set_flags(dav_originals="off")
    assert dav(api, "GET", path).status_code == 404


# ---------------------------------------------------------------- the CDN


def upload(api: ApiClient, kind: str) -> tuple[str, bytes]:
    """Add a picture; return its address below the store's and its bytes."""
    out = BytesIO()
    Image.effect_mandelbrot((60, 40), (-2, -1.5, 1, 1.5), 50).convert("RGB").save(out, kind)
    content = out.getvalue()
    number = api.sandbox.add_image(FIRST, content, f"a.{kind.lower()}")
    (image,) = (each for each in api.images() if each["id"] == number)
    return f"/product_images/{image['image_file']}", content


@pytest.mark.parametrize(("kind", "becomes"), [("JPEG", "JPEG"), ("PNG", "WEBP"), ("WEBP", "WEBP")])
@pytest.mark.parametrize("query", ["", "?some=thing"])
def test_a_cdn_that_alters_pictures_says_so(api: ApiClient, kind: str, becomes: str, query: str) -> None:
    path, content = upload(api, kind)
    api.sandbox.set_flags(cdn="altered")
    answer = api.file(path + query, headers={"Cache-Control": "no-transform"})
    assert answer.content != content
    opened = Image.open(BytesIO(answer.content))
    opened.load()
    assert (opened.format, opened.size) == (becomes, (60, 40))
    assert answer.headers["content-type"] == media.MEDIA_TYPES[becomes.lower()]
    origin = "" if kind == becomes else f"origFmt={kind.lower()}, "
    assert answer.headers["cf-polished"] == f"{origin}qual=85, origSize={len(content)}"


def test_a_cdn_leaves_alone_what_it_does_not_know(api: ApiClient) -> None:
    path, content = upload(api, "BMP")
    api.sandbox.set_flags(cdn="altered")
    answer = api.file(path)
    assert (answer.content, answer.headers["cf-polished"]) == (content, "status=not_needed")


def test_a_cdn_that_alters_later(api: ApiClient) -> None:
    path, content = upload(api, "JPEG")
    api.sandbox.set_flags(cdn="altered_later")
    for query in ("", "?1", "?2"):
        first, second = api.file(path + query), api.file(path + query)
        assert (first.content, first.headers["cf-cache-status"]) == (content, "MISS")
        assert (second.content != content, second.headers["cf-cache-status"]) == (True, "HIT")
        assert "cf-polished" not in first.headers
        assert "cf-polished" in second.headers
    api.sandbox.set_flags(cdn="off")
    assert api.file(path).content == content
    assert not any(name.startswith("cf-") for name in api.file(path).headers)


@pytest.mark.parametrize("renditions", [False, True])
def test_an_original_can_be_lost(api: ApiClient, renditions: bool) -> None:
    image = api.images()[0]
    address = api.get(f"/v3/catalog/products/{FIRST}/images").json()["data"][0]["url_zoom"]
    route = f"{api.sandbox.url}/_sandbox/images/{image['id']}/file"
    assert requests.delete(route, params={"renditions": int(renditions)}, timeout=10).status_code == 204
    assert api.file(f"/product_images/{image['image_file']}").status_code == 404
    assert dav(api, "GET", f"/product_images/{image['image_file']}").status_code == 404
    assert requests.get(address, timeout=10).status_code == (404 if renditions else 200)
    assert api.images()[0] == image
    assert api.sandbox.dump()["images"][0]["sha256"] is None
    api.sandbox.set_image(image["id"], content=picture("pink"), filename="new.png")
    assert api.file(f"/product_images/{api.images()[0]['image_file']}").content == picture("pink")
    assert requests.delete(f"{api.sandbox.url}/_sandbox/images/1/file", timeout=10).status_code == 400


def test_v3_takes_an_imported_file_by_its_public_address(api: ApiClient) -> None:
    dav(api, "PUT", "/product_images/import/x.png", data=picture("cyan"))
    url = f"{api.sandbox.url}/product_images/import/x.png"
    created = api("POST", f"/v3/catalog/products/{FIRST}/images", json={"image_url": url})
    assert created.status_code == 200
    assert api.sandbox.original(created.json()["data"]["image_file"]) == picture("cyan")


# ---------------------------------------------------------------- the store's own download


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        content = picture("navy")
        kind, _, rest = self.path[1:].partition("/")
        if kind == "redirect":
            self.send_response(302)
            self.send_header("Location", f"/{rest}")
            self.end_headers()
            return
        if kind == "away":
            self.send_response(302)
            self.send_header("Location", "http://files.example.net/a.png")
            self.end_headers()
            return
        self.send_response({"missing": 404}.get(kind, 200))
        if kind == "short":
            self.send_header("Content-Length", str(len(content) + 10))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def file_host() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://localhost:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/plain/a.png", 200),
        ("/plain/a%20b.png?size=1", 200),
        ("/redirect/plain/a.png", 200),
        ("/redirect/redirect/redirect/redirect/redirect/plain/a.png", 400),
        ("/away", 400),
        ("/missing/a.png", 400),
        ("/short/a.png", 400),
    ],
)
def test_fetch(api: ApiClient, path: str, status: int) -> None:
    with file_host() as host:
        response = api("POST", f"/v3/catalog/products/{FIRST}/images", json={"image_url": host + path})
    assert response.status_code == status
    assert len(api.images()) == (4 if status == 200 else 3)


def test_many_fetches_from_itself_do_not_wait_for_each_other(api: ApiClient) -> None:
    """More than there are threads to fetch with, of renditions that threads have to draw."""
    zoom = api.get(f"/v2/products/{FIRST}/images").json()[0]["zoom_url"]

    def create(_: int) -> int:
        body = {"image_url": zoom}
        where = f"{api.sandbox.url}/stores/sandbox/v3/catalog/products/{FIRST}/images"
        return requests.post(where, json=body, headers={"X-Auth-Token": "sandbox-token"}, timeout=60).status_code

    with ThreadPoolExecutor(40) as pool:
        assert set(pool.map(create, range(80))) == {200}
    assert len(api.images()) == 83
    assert len({image["image_file"] for image in api.images()}) == 83


def test_fetch_does_not_wait_for_ever(api: ApiClient) -> None:
    api.sandbox.set_flags(fetch_timeout_ms=100)
    api.sandbox.faults("p", match="GET /product_images/")
    assert api.create("v3").status_code == 400


def test_two_sandboxes_can_fetch_from_each_other(api: ApiClient) -> None:
    with SandboxServer(products=1, images=1) as other:
        url = f"{other.url}/product_images/{other.dump()['images'][0]['image_file']}"
        created = api("POST", f"/v2/products/{FIRST}/images", json={"image_file": url})
        assert created.status_code == 201
        assert api.images()[-1]["description"] == ""
        (fetched,) = other.requests()
        assert (fetched["method"], fetched["status"], fetched["token"]) == ("GET", 200, False)
