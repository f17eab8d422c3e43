"""The controls: from Python and over the admin routes; seeding; the data file."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import requests

from bigcommerce_sandbox import SandboxServer, seed
from bigcommerce_sandbox.control import BadControl
from bigcommerce_sandbox.flags import FLAGS, BadFlag
from bigcommerce_sandbox.server import PortUnusable
from bigcommerce_sandbox.state import BadData
from tests.support.api_client import FIRST, ApiClient, picture


def admin(api: ApiClient, method: str, path: str, **options: Any) -> Any:
    response = requests.request(method, f"{api.sandbox.url}/_sandbox{path}", timeout=20, **options)
    assert response.ok, response.text
    return response.json() if response.content else None


# ---------------------------------------------------------------- dump and seed


def test_dump(api: ApiClient) -> None:
    dump = api.sandbox.dump()
    assert set(dump["products"][0]) == {"id", "sku", "name", "date_modified"}
    assert set(dump["images"][0]) == {
        "id",
        "product_id",
        "image_file",
        "is_thumbnail",
        "sort_order",
        "description",
        "date_created",
        "date_modified",
        "sha256",
        "size",
    }
    for rows in dump.values():
        assert [row["id"] for row in rows] == sorted(row["id"] for row in rows)
    for image in dump["images"]:
        content = api.file(f"/product_images/{image['image_file']}").content
        assert (image["sha256"], image["size"]) == (hashlib.sha256(content).hexdigest(), len(content))
    assert api.sandbox.dump() == dump
    assert "sha256" not in api.sandbox.dump(files=False)["images"][0]
    assert admin(api, "GET", "/state") == dump
    assert admin(api, "GET", "/state?files=0") == api.sandbox.dump(files=False)


def test_the_same_seed_gives_the_same_store() -> None:
    with SandboxServer(seed=7) as one, SandboxServer(seed=7) as two, SandboxServer(seed=8) as three:
        assert one.dump() == two.dump()
        digests = {image["sha256"] for image in one.dump()["images"]}
        assert not digests & {image["sha256"] for image in three.dump()["images"]}


def test_seeded_stock_has_the_unusual(api: ApiClient) -> None:
    api.sandbox.reset(products=40, images=3)
    dump = api.sandbox.dump(files=False)
    images, products = dump["images"], dump["products"]
    assert {None, ""} < {image["description"] for image in images}
    assert any("日" in (image["description"] or "") for image in images)
    assert any("日" in product["name"] for product in products)
    assert "" in {product["sku"] for product in products}
    by_product: dict[int, list[dict[str, Any]]] = {}
    for image in images:
        by_product.setdefault(image["product_id"], []).append(image)
    assert all(len(found) == 3 and sum(image["is_thumbnail"] for image in found) == 1 for found in by_product.values())
    assert any(len({image["sort_order"] for image in found}) == 1 for found in by_product.values())
    stems = [
        {image["image_file"].rpartition("/")[2].partition("__")[0] for image in found} for found in by_product.values()
    ]
    assert any(len(found) == 1 for found in stems)
    for rows in (images, products):
        ids = [row["id"] for row in rows]
        assert ids[-1] - ids[0] >= len(ids), "ids have gaps"
    assert len({image["image_file"] for image in images}) == 120


def test_products_without_images_by_the_switch(api: ApiClient) -> None:
    api.sandbox.set_flags(seed_without_images=4)
    api.sandbox.reset(products=8, images=2)
    owners = {image["product_id"] for image in api.sandbox.dump(files=False)["images"]}
    assert len(owners) == 6


def test_stored_names_stay_different_in_a_large_store() -> None:
    assert len({row[2] for row in seed.images(100_000, 3, 0, 0)}) == 300_000


def test_reset_begins_again(api: ApiClient) -> None:
    first = api.sandbox.dump()
    api.sandbox.faults("5")
    api.sandbox.consume_quota(5)
    api.create()
    (Path(api.sandbox._app.context.import_directory) / "x.png").write_bytes(b"x")
    api.sandbox.set_flags(sort_order_shift="shift")
    api.sandbox.reset()
    assert api.sandbox.dump() == first
    assert api.sandbox.requests() == []
    assert api.file("/product_images/import/x.png").status_code == 404
    assert api.get("/v2/time").headers["x-rate-limit-requests-left"] == "999999"
    assert api.sandbox.set_flags()["sort_order_shift"] == "shift"
    admin(api, "POST", "/reset", json={"products": 2, "images": 1, "seed": 3})
    assert len(api.sandbox.dump()["images"]) == 2


# ---------------------------------------------------------------- log


def test_log_of_requests(api: ApiClient) -> None:
    api.get("/v2/products?limit=5&sku=%C3%A4")
    api.file("/product_images/none")
    requests.options(f"{api.sandbox.url}/dav/", timeout=10)
    admin(api, "GET", "/state")
    log = api.sandbox.requests()
    assert log == admin(api, "GET", "/requests")
    assert [entry["n"] for entry in log] == [1, 2, 3]
    assert log[0] == {
        "n": 1,
        "method": "GET",
        "path": "/stores/sandbox/v2/products",
        "query": "limit=5&sku=%C3%A4",
        "status": 204,
        "token": True,
    }
    assert [(entry["path"], entry["status"], entry["token"]) for entry in log[1:2]] == [
        ("/product_images/none", 404, False)
    ]
    assert admin(api, "DELETE", "/requests") == api.sandbox.requests() == []
    api.get("/v2/time")
    assert [entry["n"] for entry in api.sandbox.requests()] == [1]
    api.sandbox.clear_requests()
    assert not api.sandbox.requests()


# ---------------------------------------------------------------- flags


def test_flags_from_python_and_over_http(api: ApiClient) -> None:
    defaults = {name: flag.default for name, flag in FLAGS.items()}
    assert api.sandbox.set_flags() == admin(api, "GET", "/flags") == defaults
    changed = admin(api, "POST", "/flags", json={"quota": 5, "lingering_originals": True, "slow_ms": "7"})
    assert changed == {**defaults, "quota": 5, "lingering_originals": "on", "slow_ms": 7}
    with SandboxServer(flags={"limit_over_max": "clamp"}, latency_ms=3) as other:
        assert other.set_flags()["limit_over_max"] == "clamp"
        assert other.set_flags()["latency_ms"] == 3


@pytest.mark.parametrize(
    "values",
    [
        {"foo": 1},
        {"quota": 0},
        {"quota": "x"},
        {"quota": True},
        {"quota": 1.5},
        {"latency_ms": -1},
        {"limit_over_max": "no"},
        {"limit_over_max": []},
        {"picture_bytes": 10},
    ],
)
def test_bad_flags_change_nothing(api: ApiClient, values: dict[str, Any]) -> None:
    before = api.sandbox.set_flags()
    with pytest.raises(BadFlag):
        api.sandbox.set_flags(slow_ms=1, **values)
    assert api.sandbox.set_flags() == before
    response = requests.post(f"{api.sandbox.url}/_sandbox/flags", json=values, timeout=10)
    assert response.status_code == 400
    assert "flag" in response.json()["error"]
    with pytest.raises(BadFlag):
        SandboxServer(flags=values)


# ---------------------------------------------------------------- products and images


def test_products_and_images_from_python(api: ApiClient) -> None:
    product = api.sandbox.add_product(sku="N-1", name="New")
    assert api.get(f"/v2/products/{product}").json()["sku"] == "N-1"
    content = picture("pink")
    one = api.sandbox.add_image(product, content, "front.png")
    two = api.sandbox.add_image(product, b"no picture at all", "x", sort_order=-4, description=None, date_created=5)
    first, second = api.images(product)
    assert (first["id"], first["is_thumbnail"], first["sort_order"], first["description"]) == (one, True, 0, "")
    assert (second["id"], second["is_thumbnail"], second["sort_order"], second["description"]) == (two, False, -4, None)
    assert second["date_created"] == "1970-01-01T00:00:05+00:00"
    assert api.sandbox.original(first["image_file"]) == content
    api.sandbox.set_image(two, is_thumbnail=True, sort_order=9, date_modified="2020-02-02")
    assert api.thumbnails(product) == [two]
    assert api.images(product)[1]["date_modified"] == "2020-02-02T00:00:00+00:00"
    api.sandbox.set_image(one, content=b"other", filename="other.gif")
    assert api.images(product)[0]["image_file"] != first["image_file"]
    assert api.sandbox.original(api.images(product)[0]["image_file"]) == b"other"
    api.sandbox.set_image(one, image_file="a/000/fixed.gif")
    assert api.file("/product_images/a/000/fixed.gif").content == b"other"
    seeded = api.sandbox.dump()["images"][0]
    api.sandbox.set_image(seeded["id"], image_file="b/000/renamed.gif")
    assert api.sandbox.dump()["images"][0]["sha256"] == seeded["sha256"]
    assert hashlib.sha256(api.file("/product_images/b/000/renamed.gif").content).hexdigest() == seeded["sha256"]
    api.sandbox.delete_image(two)
    assert [image["id"] for image in api.images(product)] == [one]
    api.sandbox.delete_product(product)
    assert api.get(f"/v2/products/{product}").status_code == 404
    assert api.images(product) == []
    assert api.sandbox.add_product() == product + 1, "ids are never used again"


def test_products_and_images_over_http(api: ApiClient) -> None:
    product = admin(api, "POST", "/products", json={"sku": "N-2", "name": "New"})["id"]
    path = f"/products/{product}/images?filename=a.png&sort_order=-3&is_thumbnail=false&description=hi"
    image = admin(api, "POST", path, data=picture())["id"]
    (found,) = api.images(product)
    assert (found["sort_order"], found["is_thumbnail"], found["description"]) == (-3, False, "hi")
    admin(api, "PATCH", f"/images/{image}", json={"is_thumbnail": True})
    assert api.thumbnails(product) == [image]
    admin(api, "DELETE", f"/images/{image}")
    assert api.images(product) == []
    admin(api, "DELETE", f"/products/{product}")
    assert api.get(f"/v2/products/{product}").status_code == 404
    assert admin(api, "POST", "/quota", json={"consume": 10}) == {"left": 999_989}
    assert admin(api, "POST", "/faults", json={"script": "5", "match": "x"}) == [{"match": "x", "left": "5"}]
    assert admin(api, "GET", "/faults") == [{"match": "x", "left": "5"}]
    assert admin(api, "GET", "/") == {"sandbox": True, "url": api.sandbox.url, "store_hash": "sandbox"}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/reset", b"{"),
        ("POST", "/reset", b"[]"),
        ("POST", "/reset", b'{"products":-1}'),
        ("POST", "/reset", b'{"products":"x"}'),
        ("POST", "/reset", b'{"foo":1}'),
        ("POST", "/faults", b"{}"),
        ("POST", "/faults", b'{"script":"x"}'),
        ("POST", "/faults", b'{"script":".","match":5}'),
        ("POST", "/quota", b"{}"),
        ("POST", "/products", b'{"foo":1}'),
        ("POST", "/products", b'{"sku":5}'),
        ("POST", "/products", b'{"price":"x"}'),
        ("DELETE", "/products/1", b""),
        ("POST", "/products/1/images", b"x"),
        ("POST", f"/products/{FIRST}/images?foo=1", b"x"),
        ("POST", f"/products/{FIRST}/images?sort_order=99999999999", b"x"),
        ("POST", f'/products/{FIRST}/images?image_file=a"b', b"x"),
        ("PATCH", "/images/1", b"{}"),
        ("PATCH", "/images/11", b'{"id":1}'),
        ("PATCH", "/images/11", b'{"date_modified":"x"}'),
        ("PATCH", "/images/11", b'{"content":"text"}'),
        ("DELETE", "/images/1", b""),
        ("DELETE", f"/images/{10**30}", b""),
    ],
)
def test_bad_admin_requests_are_400_with_a_reason(api: ApiClient, method: str, path: str, body: bytes) -> None:
    before = api.sandbox.dump(files=False)
    response = requests.request(method, f"{api.sandbox.url}/_sandbox{path}", data=body, timeout=10)
    assert response.status_code == 400
    assert response.json()["error"]
    assert api.sandbox.dump(files=False) == before


def test_two_images_cannot_have_one_path(api: ApiClient) -> None:
    first, second, _ = api.images()
    with pytest.raises(BadControl, match="already"):
        api.sandbox.set_image(second["id"], image_file=first["image_file"])


# ---------------------------------------------------------------- the data file and the port


def test_a_data_file_survives_restarts(tmp_path: Path) -> None:
    data = tmp_path / "shop.db"
    with SandboxServer(products=3, seed=5, data=data, flags={"picture_bytes": 5000}) as sandbox:
        api = ApiClient(sandbox)
        api.create(description="kept").raise_for_status()
        api("DELETE", f"/v2/products/{FIRST}/images/{api.images()[0]['id']}").raise_for_status()
        sandbox.add_product(sku="kept")
        (Path(sandbox._app.context.import_directory) / "kept.png").write_bytes(picture())
        before = sandbox.dump()
    with SandboxServer(products=99, seed=1, data=data) as sandbox:
        assert sandbox.dump() == before
        api = ApiClient(sandbox)
        assert api.get("/v3/catalog/products").json()["meta"]["pagination"]["total"] == 4
        assert api.get(f"/v2/products/{FIRST}/images").json()[0]["zoom_url"].startswith(sandbox.url)
        created = api("POST", f"/v2/products/{FIRST}/images", json={"image_file": "kept.png"}).json()
        assert created["id"] == max(image["id"] for image in before["images"]) + 1
        assert created["image_file"] not in {image["image_file"] for image in before["images"]}


def test_a_data_file_has_one_sandbox_at_a_time(tmp_path: Path) -> None:
    with SandboxServer(data=tmp_path / "shop.db"), pytest.raises(BadData, match="locked"):
        SandboxServer(data=tmp_path / "shop.db")


def test_other_files_are_not_touched(tmp_path: Path) -> None:
    text, database = tmp_path / "text", tmp_path / "other.db"
    text.write_text("hello" * 1000)
    connection = sqlite3.connect(database)
    connection.execute("CREATE TABLE precious (x)")
    connection.close()
    for path in (text, database):
        content = path.read_bytes()
        with pytest.raises(BadData):
            SandboxServer(data=path)
        assert path.read_bytes() == content


def test_a_used_port_is_an_error(api: ApiClient) -> None:
    with pytest.raises(PortUnusable, match=str(api.sandbox.port)):
        SandboxServer(port=api.sandbox.port)


def test_stopping_frees_the_port_and_the_files() -> None:
    with SandboxServer() as sandbox:
        port, folder = sandbox.port, sandbox._app.context.import_directory
        assert folder.exists()
    assert not folder.exists()
    with SandboxServer(port=port) as again:
        assert again.port == port
