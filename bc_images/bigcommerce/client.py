"""The protocol `StoreClient`: what tap and target know of the store, whichever API version it speaks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, ClassVar, Protocol

from bc_images.bigcommerce.mapping import InvalidImage, Record
from bc_images.settings import Settings

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
]

PAGE_SIZE = 250  # the most items that one request returns: V2 and V3, products and images


@dataclass(slots=True)
class Product:
    """One product with its images in id order; `invalid` are its images that do not fit the record's schema."""

    id: int
    sku: str | None
    name: str | None
    date_modified: str | None  # RFC 3339, UTC
    images: list[Record]
    invalid: Sequence[InvalidImage] = ()


class SkuMatches(dict[str, list[int]]):
    """The ids of the products that have each SKU.

    Attributes:
        invalid: products whose SKU is not a string, with the reason: they may or may not match.
    """

    def __init__(self, skus: Iterable[str]) -> None:
        super().__init__((sku, []) for sku in skus)
        self.invalid: dict[int, str] = {}


@dataclass(frozen=True, slots=True)
class UrlSource:
    """A picture that the store downloads itself, from a public URL of at most 255 characters."""

    url: str


@dataclass(frozen=True, slots=True)
class FileSource:
    """Picture bytes that are sent in the request; each call of `open` returns them from the first byte."""

    name: str
    open: Callable[[], BinaryIO]


@dataclass(frozen=True, slots=True)
class WebDavSource:
    """A picture that has been uploaded to the store's WebDAV folder ``product_images/import``."""

    name: str


ImageSource = UrlSource | FileSource | WebDavSource


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What one API version offers and another does not.

    Attributes:
        accepts_image_bytes: `create` and `replace` take a `FileSource`.
        reports_date_modified: images have the time of their last change.
    """

    accepts_image_bytes: bool
    reports_date_modified: bool


class StoreClient(Protocol):
    """What a full scan reads and a restore writes. Every method may raise the errors of `bc_images.errors`.

    Safe to share between threads. `fields` are writable fields of a record and their values.
    """

    settings: Settings
    capabilities: ClassVar[Capabilities]

    @property
    def quota_left(self) -> int | None:
        """How many requests the store still grants in this rate-limit window; None before the first response."""

    def now(self) -> float:
        """Return the time in unix seconds: by the store's clock after the first response, by this machine's before."""

    def count_images(self) -> int | None:
        """Return how many images the store has; None where the API does not say."""

    def count_products(self) -> int:
        """Return how many products the store has."""

    def product_id_at(self, position: int) -> int | None:
        """Return the id of the product at this position in id order, from 0; None past the end."""

    def scan(self, first: int = 1, last: int | None = None) -> Iterator[Product]:
        """Yield every product with an id from `first` to `last`, in id order, with all its images.

        A product that exists during the whole scan is yielded exactly once, whatever is added or deleted meanwhile.

        Raises:
            FatalError: any of its kinds, where the scan cannot be complete: it never ends early without an error.
        """

    def products(self, ids: Sequence[int]) -> Iterator[Product]:
        """Yield the products with these ids that exist, in id order, with all their images.

        V2 reads nothing else of them: `sku`, `name` and `date_modified` are None.
        """

    def products_by_sku(self, skus: Iterable[str]) -> SkuMatches:
        """Return the ids of the products that have exactly each SKU; an unknown SKU has an empty list."""

    def similar_skus(self, sku: str) -> dict[str, list[int]]:
        """Return SKUs that differ from this one in case or whitespace only, with the ids of their products.

        There may be more than are returned: the API has no such filter.
        """

    def images(self, product_id: int) -> list[Record]:
        """Return a product's images in id order, without those that do not fit the record's schema.

        Raises:
            NotFound: there is no such product.
        """

    def image(self, product_id: int, image_id: int) -> Record:
        """Return one image.

        Raises:
            NotFound: there is no such image.
            InvalidImageError: it does not fit the record's schema.
        """

    def create(self, product_id: int, source: ImageSource, fields: Mapping[str, Any]) -> Record:
        """Add an image and return it as the store describes it. Never repeated where the outcome is unknown.

        Raises:
            OutcomeUnknown: the image may or may not have been added.
        """

    def replace(self, product_id: int, image_id: int, source: ImageSource, fields: Mapping[str, Any]) -> Record:
        """Give an image another picture; its id stays.

        Raises:
            OutcomeUnknown: a success whose body is not the image, as for `update`.
        """

    def update(self, product_id: int, image_id: int, fields: Mapping[str, Any]) -> Record:
        """Change fields of an image and return it as the store describes it, which may differ from what was asked.

        Raises:
            OutcomeUnknown: a success whose body is not the image.
        """

    def delete(self, product_id: int, image_id: int) -> None:
        """Delete an image; one that does not exist is no error."""

    def delete_all(self, product_id: int, image_ids: Collection[int]) -> None:
        """Delete these images, which are all that the product has; one that does not exist is no error.

        An image that was added meanwhile is kept. What the store confirms and does not delete is not deleted.
        """

    def close(self) -> None:
        """Send nothing more, and end every wait of other threads."""
