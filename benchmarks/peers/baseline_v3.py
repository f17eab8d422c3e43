"""The baseline of a V3 scan: requests and orjson, one page after the other, and the same messages as our tap's."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import orjson
import requests

HASH = "sandbox"


def main(api: str, token: str) -> None:
    session = requests.Session()
    session.headers.update({"X-Auth-Token": token, "Accept": "application/json"})
    write = sys.stdout.buffer.write
    query: dict[str, str | int] = {
        "sort": "id",
        "include": "images",
        "include_fields": "sku,name,date_modified",
        "limit": 250,
    }
    after = 0
    while True:
        response = session.get(f"{api}/v3/catalog/products", params={**query, "id:greater": after}, timeout=300)
        response.raise_for_status()
        page = orjson.loads(response.content)
        now = datetime.now(UTC)
        for product in page["data"]:
            for image in product["images"]:
                record = {
                    "store_hash": HASH,
                    "id": image["id"],
                    "product_id": image["product_id"],
                    "product_sku": product["sku"],
                    "image_file": image["image_file"],
                    "is_thumbnail": image["is_thumbnail"],
                    "sort_order": image["sort_order"],
                    "description": image["description"],
                    "zoom_url": image["url_zoom"],
                    "standard_url": image["url_standard"],
                    "thumbnail_url": image["url_thumbnail"],
                    "tiny_url": image["url_tiny"],
                    "date_created": None,
                    "date_modified": image["date_modified"],
                    "file_sha256": None,
                    "file_size": None,
                    "file_type": None,
                    "file_source": None,
                }
                message = {"type": "RECORD", "stream": "product_images", "record": record, "time_extracted": now}
                write(orjson.dumps(message, option=orjson.OPT_APPEND_NEWLINE))
        if len(page["data"]) < 250:
            return
        after = page["data"][-1]["id"]


if __name__ == "__main__":
    main(*sys.argv[1:])
