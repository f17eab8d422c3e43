"""A store seeded with products of given ids, and one that keeps no pictures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import requests

from bigcommerce_sandbox import STORE_HASH, TOKEN, SandboxServer
from bigcommerce_sandbox.product_list import BadProductList
from bigcommerce_sandbox.state import BytesDiscarded
from tests.support.pictures import png


def test_products_have_the_ids_of_the_list(tmp_path: Path) -> None:
    path = tmp_path / "products.jsonl"
    path.write_text('{"id": 7, "sku": "A", "name": "Größe"}\n{"id": 9000000000}\n')
    with SandboxServer(products=1, images=1, product_list=path) as sandbox:
        expected = [(7, "A", "Größe"), (101, "SKU-000000", "[Sample] Product 0"), (9000000000, "", "New product")]
        assert [(p["id"], p["sku"], p["name"]) for p in sandbox.dump()["products"]] == expected
        url = f"{sandbox.url}/stores/{STORE_HASH}/v3/catalog/products"
        answer = requests.get(url, headers={"X-Auth-Token": TOKEN}, timeout=10).json()
        assert [product["id"] for product in answer["data"]] == [7, 101, 9000000000]
        assert sandbox.add_product() == 9000000001
        sandbox.reset()
        assert [p["id"] for p in sandbox.dump()["products"]] == [7, 101, 9000000000]
        assert [p["id"] for p in sandbox.dump(first=8, last=200)["products"]] == [101]


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"sku": "A"}', '{"id": 0}', '{"id": true}', '{"id": 1, "price": 2}', '{"id": 1, "sku": null}']
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "products.jsonl"
    path.write_text(f'{{"id": 7}}\n{line}\n')
    with pytest.raises(BadProductList, match="line 2"):
        SandboxServer(product_list=path)


def test_the_command_says_what_is_wrong(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bigcommerce_sandbox", "--port", "0", "--product-list", str(tmp_path / "none")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "cannot read the product list" in done.stderr
    assert "Traceback" not in done.stderr


def test_it_ends_when_stdin_closes() -> None:
    command = [sys.executable, "-m", "bigcommerce_sandbox", "--port", "0", "--products", "0", "--until-stdin-closes"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"Sandbox store at")
        process.stdin.close()
        assert process.wait(30) == 0


def test_discarded_pictures_have_digest_and_size_and_no_address() -> None:
    with SandboxServer(products=1, images=0, keeps_bytes=False) as sandbox:
        image_id = sandbox.add_image(101, png(1000), "a.png")
        (image,) = sandbox.dump()["images"]
        assert (image["id"], image["size"]) == (image_id, len(png(1000)))
        assert len(image["sha256"]) == 64
        answer = requests.get(f"{sandbox.url}/product_images/{image['image_file']}", timeout=10)
        assert (answer.status_code, "--discard-pictures" in answer.text) == (501, True)
        with pytest.raises(BytesDiscarded):
            sandbox.original(image["image_file"])
