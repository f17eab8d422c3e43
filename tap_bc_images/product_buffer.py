"""Buffers products on disk for the stream ``products``, so that it needs no second scan."""

from __future__ import annotations

from bc_images.bigcommerce import Product
from bc_images.bigcommerce.mapping import Record
from bc_images.tempfiles import JsonLines

__all__ = ["ProductBuffer", "product_record"]


def product_record(product: Product, store_hash: str) -> Record:
    """Return the record of the stream ``products``."""
    return {
        "store_hash": store_hash,
        "id": product.id,
        "sku": product.sku,
        "name": product.name,
        "date_modified": product.date_modified,
        "image_count": len(product.images) + len(product.invalid),
    }


class ProductBuffer(JsonLines):
    """Records of the stream ``products``, in a temporary file."""

    def __init__(self) -> None:
        super().__init__("the products")
        self.too_few = False
        """Whether the store counts more products than were read."""
