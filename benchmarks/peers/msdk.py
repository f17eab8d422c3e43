"""tap-rest-api-msdk as its README says, with what helps it most: 250 a page, few fields, the schema given."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.harness import Command
from benchmarks.peers.environments import MSDK, python_of

__all__ = ["command"]

_TEXT = {"type": ["string", "null"]}
_NUMBER = {"type": ["integer", "null"]}


def command(api: str, token: str, folder: Path) -> Command:
    """Return the command; its config goes into `folder`."""
    config = {
        "api_url": api,
        "headers": {"X-Auth-Token": token, "Accept": "application/json"},
        "pagination_request_style": "page_number_paginator",
        "next_page_token_path": "$.meta.pagination.links.next",
        "streams": [
            {
                "name": "product_images",
                "path": "/v3/catalog/products",
                "params": {
                    "sort": "id",
                    "include": "images",
                    "include_fields": "sku,name,date_modified",
                    "limit": 250,
                },
                "primary_keys": ["id"],
                "records_path": "$.data[*].images[*]",
                "schema": {
                    "type": "object",
                    "properties": {
                        "id": _NUMBER,
                        "product_id": _NUMBER,
                        "image_file": _TEXT,
                        "is_thumbnail": {"type": ["boolean", "null"]},
                        "sort_order": _NUMBER,
                        "description": _TEXT,
                        "url_zoom": _TEXT,
                        "url_standard": _TEXT,
                        "url_thumbnail": _TEXT,
                        "url_tiny": _TEXT,
                        "date_modified": _TEXT,
                    },
                },
            }
        ],
    }
    path = folder / "msdk.json"
    path.write_text(json.dumps(config))
    return Command([python_of(MSDK).with_name("tap-rest-api-msdk"), f"--config={path}"])
