"""What both store clients share: paths, and the bodies of their requests."""

from __future__ import annotations

import mimetypes
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, ClassVar

from bc_images.bigcommerce.client import Capabilities, Product
from bc_images.bigcommerce.mapping import InvalidImage, Record, record_from, sent_value, unexpected_response
from bc_images.bigcommerce.transport import HttpClient
from bc_images.bigcommerce.validation import Notices, expect_objects, sorted_by_id, unknown_outcome
from bc_images.errors import NotFound, UnexpectedResponse

__all__ = ["BaseClient", "form_fields", "json_fields", "media_type"]


class BaseClient(ABC):
    """The part of the `StoreClient` protocol that differs in paths only."""

    api_version: ClassVar[str]
    capabilities: ClassVar[Capabilities]
    read_date: ClassVar[staticmethod[[object, Mapping[str, Any], str], str | None]]
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

    def images(self, product_id: int) -> list[Record]:
        """Return a product's images in id order."""
        return self._records(self._image_rows(product_id), product_id, None)[0]

    @abstractmethod
    def _image_rows(self, product_id: int) -> list[Any]:
        """Return a product's images as the API describes them."""

    def _product(self, row: Mapping[str, Any]) -> Product:
        """Return a product without its images."""
        return Product(
            id=row["id"],
            sku=self._notices.optional_text(row, "sku"),
            name=self._notices.optional_text(row, "name"),
            date_modified=self._notices.optional_date(row, "date_modified", self.read_date),
            images=[],
        )

    def _record(self, image: object, product_id: int, subject: str) -> Record:
        (row,) = expect_objects([image], subject)
        return record_from(self.api_version, row, self.settings.store_hash, product_id, None, self._notices)

    def _records(
        self, rows: Iterable[Any], product_id: int, sku: str | None
    ) -> tuple[list[Record], list[InvalidImage]]:
        args = self.settings.store_hash, product_id, sku, self._notices
        return sorted_by_id(rows, product_id, lambda row: record_from(self.api_version, row, *args))

    def _written_record(self, image: object, product_id: int, image_id: int, subject: str) -> Record:
        """Return the image that a write was answered with."""
        what = f"product {product_id}, image {image_id}: the answer to the write"
        try:
            record = self._record(image, product_id, subject)
        except UnexpectedResponse as error:
            raise unknown_outcome(what, str(error)) from error
        if record["id"] != image_id:
            raise unknown_outcome(what, f"describes image {record['id']}")
        return record

    def _images_path(self, product_id: int) -> str:
        return f"{self.products_path}/{product_id}/images"

    def _image_path(self, product_id: int, image_id: int) -> str:
        return f"{self._images_path(product_id)}/{image_id}"


def json_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return writable fields as the members of a JSON body."""
    return {name: sent_value(name, value) for name, value in fields.items()}


def form_fields(fields: Mapping[str, Any]) -> dict[str, str]:
    """Return writable fields as the fields of a multipart form."""
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in json_fields(fields).items()
    }


def media_type(name: str) -> str:
    """Return the media type of a picture by its file name."""
    return mimetypes.guess_type(name)[0] or "application/octet-stream"
