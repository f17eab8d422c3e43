"""The store's API: one protocol, `StoreClient`, and its clients for V2 and V3.

Facts of the API are cited by these names; all are public documents of BigCommerce.

- V3 spec: ``products_catalog.v3.yml``, the OpenAPI description of the V3 catalog (2026-04).
- V2 images, V2 products: ``v2-product-images.mdx`` and ``v2-products.mdx``, the reference of both.
- V2 spec: ``product-images.v2.yml``, an OpenAPI description of V2 product images (proposed 2024-12, never merged).
- Rate limits: ``api-rate-limits.mdx``, the guide to API rate limits.
- Platform Limits, File Access (WebDAV): pages of the support site.
"""

from __future__ import annotations

from bc_images.bigcommerce.client import (
    PAGE_SIZE,
    Capabilities,
    FileSource,
    ImageSource,
    Product,
    SkuMatches,
    StoreClient,
    UrlSource,
    WebDavSource,
)
from bc_images.bigcommerce.transport import HttpClient
from bc_images.bigcommerce.v2 import V2Client
from bc_images.bigcommerce.v3 import V3Client
from bc_images.settings import Settings

__all__ = [
    "CLIENTS",
    "PAGE_SIZE",
    "Capabilities",
    "FileSource",
    "ImageSource",
    "Product",
    "SkuMatches",
    "StoreClient",
    "UrlSource",
    "WebDavSource",
    "capabilities",
    "open_store",
]

CLIENTS: dict[str, type[V2Client] | type[V3Client]] = {"v2": V2Client, "v3": V3Client}
"""The client class for each value of the setting ``api_version``."""


def capabilities(api_version: str) -> Capabilities:
    """Return what an API version offers: for checks of settings before any store is opened."""
    return CLIENTS[api_version].capabilities


def open_store(settings: Settings, http: HttpClient | None = None) -> StoreClient:
    """Return a client of the store that `settings` name; sends no request yet."""
    return CLIENTS[settings.api_version](http or HttpClient(settings))
