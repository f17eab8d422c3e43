"""The store's API: one protocol, `StoreClient`, and its clients for V2 and V3."""

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
from bc_images.bigcommerce.factory import capabilities, open_store

__all__ = [
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
