"""What both store clients share: paths, and the bodies of their requests."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, ClassVar

from bc_images.bigcommerce.client import Capabilities
from bc_images.bigcommerce.mapping import sent_value, unexpected_response
from bc_images.bigcommerce.transport import HttpClient
from bc_images.bigcommerce.validation import Notices
from bc_images.errors import NotFound

__all__ = ["BaseClient", "form_fields", "json_fields", "media_type"]


class BaseClient:
    """The part of the `StoreClient` protocol that differs in paths only."""

    capabilities: ClassVar[Capabilities]
    products_path: ClassVar[str]
    id_only: ClassVar[Mapping[str, Any]]
    """The query that asks for nothing but a product's id."""

    def __init__(self, http: HttpClient) -> None:
        self.settings = http.settings
        self._http = http
        self._notices = Notices()

    def close(self) -> None:
        """Send nothing more, and end every wait of other threads."""
        self._http.close()

    @property
    def quota_left(self) -> int | None:
        """As of the latest response."""
        return self._http.budget.left

    def now(self) -> float:
        """Return the store's time in unix seconds."""
        return self._http.clock.now()

    def delete(self, product_id: int, image_id: int) -> None:
        """DELETE one image."""
        with suppress(NotFound):
            self._http.request("DELETE", self._image_path(product_id, image_id))

    def _confirm_gone(self, product_id: int) -> None:
        """Make sure that a product whose images are not found has been deleted meanwhile: nothing else may be."""
        with suppress(NotFound):
            self._http.get(f"{self.products_path}/{product_id}", self.id_only)
            raise unexpected_response(f"product {product_id}", "its images are not found although it exists")

    def _images_path(self, product_id: int) -> str:
        return f"{self.products_path}/{product_id}/images"

    def _image_path(self, product_id: int, image_id: int) -> str:
        return f"{self._images_path(product_id)}/{image_id}"


def json_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return writable fields as the members of a JSON body."""
    return {name: sent_value(value) for name, value in fields.items()}


def form_fields(fields: Mapping[str, Any]) -> dict[str, str]:
    """Return writable fields as the fields of a multipart form."""
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in json_fields(fields).items()
    }


def media_type(name: str) -> str:
    """Return the media type of a picture by its file name."""
    return mimetypes.guess_type(name)[0] or "application/octet-stream"
