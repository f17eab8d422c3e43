"""The baseline of a V2 scan: requests in as many threads as our tap has, one request a product, nothing written."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import orjson
import requests
from requests.adapters import HTTPAdapter


def main(api: str, token: str, threads: str) -> None:
    session = requests.Session()
    session.mount("http://", HTTPAdapter(pool_maxsize=int(threads)))
    session.headers.update({"X-Auth-Token": token, "Accept": "application/json"})

    def get(path: str, query: dict[str, str | int]) -> list[dict[str, int]]:
        response = session.get(f"{api}/v2{path}", params=query, timeout=300)
        response.raise_for_status()
        found: list[dict[str, int]] = orjson.loads(response.content) if response.content else []
        return found

    products: list[int] = []
    page = [0] * 250
    while len(page) == 250:
        query: dict[str, str | int] = {
            "min_id": products[-1] + 1 if products else 1,
            "include": "sku,name,date_modified",
            "limit": 250,
        }
        page = [product["id"] for product in get("/products", query)]
        products += page
    with ThreadPoolExecutor(int(threads)) as executor:
        images = sum(executor.map(lambda each: len(get(f"/products/{each}/images", {"limit": 250})), products))
    print(f'{{"images":{images}}}')


if __name__ == "__main__":
    main(*sys.argv[1:])
