"""A plain tap, as the SDK's cookiecutter would begin it: RESTStream with all its defaults, one page after the other."""

from __future__ import annotations

import sys
from typing import Any, ClassVar

from singer_sdk import RESTStream, Stream, Tap
from singer_sdk import typing as th
from singer_sdk.pagination import BaseAPIPaginator, PageNumberPaginator

API, TOKEN = "", ""


class ProductImages(RESTStream[int]):
    name = "product_images"
    path = "/v3/catalog/products"
    primary_keys = ("id",)
    records_jsonpath = "$.data[*].images[*]"
    schema = th.PropertiesList(
        th.Property("id", th.IntegerType, required=True),
        th.Property("product_id", th.IntegerType),
        th.Property("image_file", th.StringType),
        th.Property("is_thumbnail", th.BooleanType),
        th.Property("sort_order", th.IntegerType),
        th.Property("description", th.StringType),
        th.Property("url_zoom", th.StringType),
        th.Property("url_standard", th.StringType),
        th.Property("url_thumbnail", th.StringType),
        th.Property("url_tiny", th.StringType),
        th.Property("date_modified", th.StringType),
    ).to_dict()

    @property
    def url_base(self) -> str:
        return API

    @property
    def http_headers(self) -> dict[str, str]:
        return {"X-Auth-Token": TOKEN, "Accept": "application/json"}

    def get_new_paginator(self) -> BaseAPIPaginator[int]:
        return PageNumberPaginator(1)

    def get_url_params(self, context: Any, next_page_token: int | None) -> dict[str, Any]:  # noqa: ARG002
        return {
            "sort": "id",
            "include": "images",
            "include_fields": "sku,name,date_modified",
            "limit": 250,
            "page": next_page_token or 1,
        }


class PlainTap(Tap):
    name = "tap-plain"
    config_jsonschema: ClassVar[dict[str, Any]] = {"type": "object", "properties": {}}

    def discover_streams(self) -> list[Stream]:
        return [ProductImages(self)]


if __name__ == "__main__":
    API, TOKEN = sys.argv[1:]
    PlainTap.cli(args=[])
