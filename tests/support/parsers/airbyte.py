"""What Airbyte hands to its connectors."""

from __future__ import annotations

import io
import json

import orjson

from bc_images import config
from bc_images_airbyte.destination import configured_streams
from bc_images_airbyte.reader import AirbyteSource, Stream
from bc_images_airbyte.source import singer_catalog, singer_state
from tap_bc_images.catalog import check_state, read_catalog
from tests.support.parsers.base import RECORD, Parser
from tests.support.parsers.commands import CATALOG, as_text
from tests.support.target import singer


def _airbyte_messages(data: bytes) -> None:
    streams = [Stream("product_images", None, overwrites=True), Stream("products", None, overwrites=False)]
    for _, _, message in AirbyteSource(io.BytesIO(data), streams):
        assert message["type"] in {"SCHEMA", "RECORD", "STATE", "ACTIVATE_VERSION"}
        assert isinstance(message.get("stream", ""), str)


_AIRBYTE = singer(
    {"type": "RECORD", "record": {"stream": "product_images", "data": RECORD, "emitted_at": 1}},
    {"type": "STATE", "state": {"type": "STREAM", "stream": {"stream_descriptor": {"name": "products"}}}},
    {
        "type": "TRACE",
        "trace": {
            "type": "STREAM_STATUS",
            "stream_status": {"stream_descriptor": {"name": "product_images"}, "status": "COMPLETE"},
        },
    },
)
_CONFIGURED = {
    "streams": [
        {
            "stream": {"name": name, "namespace": None, "json_schema": {"properties": {"id": {"type": "integer"}}}},
            "sync_mode": "incremental",
            "destination_sync_mode": "append",
            "generation_id": 1,
            "minimum_generation_id": 1,
        }
        for name in ("product_images", "products")
    ]
}


def _airbyte_catalog(data: bytes) -> None:
    content = config.json_object(as_text(data), "--catalog")
    streams = configured_streams(content)
    AirbyteSource(io.BytesIO(), streams)
    read_catalog(singer_catalog(content, CATALOG))


def _airbyte_state(data: bytes) -> None:
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return  # refused where the file is read
    check_state(singer_state(content))


PARSERS: dict[str, Parser] = {
    "Airbyte messages": Parser(_airbyte_messages, [_AIRBYTE]),
    "Airbyte catalog": Parser(_airbyte_catalog, [orjson.dumps(_CONFIGURED)], share=0.5),
    "Airbyte state": Parser(
        _airbyte_state,
        [orjson.dumps([{"stream": {"stream_state": {"a": 1}, "stream_descriptor": {"name": "products"}}}])],
    ),
}
