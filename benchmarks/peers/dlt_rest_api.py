"""dlt's rest_api source. Runs in dlt's own environment, so it imports nothing of ours.

``dlt_rest_api.py API TOKEN rows`` prints the rows; ``extract`` stops after the extract step, which writes rows to
files as they come; ``run`` also normalizes them and loads them into a folder of JSON lines.
"""

from __future__ import annotations

import json
import sys
import tempfile

import dlt
from dlt.sources.rest_api import rest_api_source


def main(api: str, token: str, what: str, folder: str) -> None:
    source = rest_api_source(
        {
            "client": {
                "base_url": f"{api}/v3/",
                "headers": {"X-Auth-Token": token, "Accept": "application/json"},
                "paginator": {
                    "type": "page_number",
                    "base_page": 1,
                    "total_path": "meta.pagination.total_pages",
                },
            },
            "resources": [
                {
                    "name": "product_images",
                    "primary_key": "id",
                    "endpoint": {
                        "path": "catalog/products",
                        "params": {
                            "sort": "id",
                            "include": "images",
                            "include_fields": "sku,name,date_modified",
                            "limit": 250,
                        },
                        "data_selector": "data[*].images[*]",
                    },
                }
            ],
        }
    )
    if what == "rows":
        for row in source:
            print(json.dumps(row, default=str))
        return
    pipeline = dlt.pipeline(
        "bench", pipelines_dir=f"{folder}/pipelines", destination=dlt.destinations.filesystem(f"file://{folder}/loaded")
    )
    if what == "extract":
        pipeline.extract(source)
    else:
        pipeline.run(source, loader_file_format="jsonl")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(sys.argv[1], sys.argv[2], sys.argv[3], temporary)
