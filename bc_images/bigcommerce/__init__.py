"""The store, whichever API version it is spoken to in: tap and target know only this protocol."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

from bc_images.bigcommerce.mapping import InvalidImage, Record
from bc_images.bigcommerce.transport import Client
from bc_images.settings import Settings

__all__ = ["PAGE", "FileSource", "Found", "Product", "Source", "Store", "UrlSource", "WebDavSource", "open_store"]

PAGE = 250  # the most that one request returns, V2 and V3, products and images


@dataclass(slots=True)
class Product:
    """One product with its images in id order. `invalid` are images that it has and that cannot be records."""

    id: int
    sku: str | None
    name: str | None
    date_modified: str | None  # RFC 3339, UTC
    images: list[Record]
    invalid: Sequence[InvalidImage] = ()


class Found(dict[str, list[int]]):
    """The ids of the products that carry each SKU.

    Attributes:
        invalid: products among them whose SKU is no text, with what it is: nobody can say whether it is the one.
    """

    def __init__(self, skus: Iterable[str]) -> None:
        super().__init__((sku, []) for sku in skus)
        self.invalid: dict[int, str] = {}


@dataclass(frozen=True, slots=True)
class UrlSource:
    """A picture that the store fetches itself from a public address of at most 255 characters."""

    url: str


@dataclass(frozen=True, slots=True)
class FileSource:
    """Picture bytes that are sent along; `open` gives them from the start, each time it is called."""

    name: str
    open: Callable[[], BinaryIO]


@dataclass(frozen=True, slots=True)
class WebDavSource:
    """A picture that already lies in the store's WebDAV folder ``product_images/import``."""

    name: str


Source = UrlSource | FileSource | WebDavSource


class Store(Protocol):
    """What a sweep reads and a restore writes. Every method may raise the errors of `bc_images.errors`.

    Safe to share between threads. `fields` are writable fields of a record and their values.
    """

    settings: Settings

    @property
    def quota_left(self) -> int | None:
        """How many requests the store still grants in this window; None where nobody knows."""

    def now(self) -> float:
        """Return the present time in unix seconds, by the store's own clock once a response has told it."""

    def count_images(self) -> int | None:
        """Return how many images the store has, or None where it cannot say."""

    def count_products(self) -> int:
        """Return how many products the store has."""

    def sweep(self, first: int = 1, last: int | None = None) -> Iterator[Product]:
        """Yield every product with an id from `first` to `last`, in id order, with all its images.

        What exists during the whole sweep is yielded exactly once, whatever is added or deleted meanwhile. A sweep
        that cannot see everything ends in one of the errors of `FatalError`, never early in silence.
        """

    def products(self, ids: Sequence[int]) -> Iterator[Product]:
        """Yield those of the products that exist, in id order, with all their images.

        Over V2 nothing else is read of them: `sku`, `name` and `date_modified` are None.
        """

    def find(self, skus: Iterable[str]) -> Found:
        """Return the ids of the products that carry each SKU to the letter; an unknown SKU has an empty list."""

    def find_similar(self, sku: str) -> dict[str, list[int]]:
        """Return SKUs that differ from this one in case or blanks only, with the products that carry them.

        What is found is there, but there may be more: the API has no such filter.
        """

    def images(self, product_id: int) -> list[Record]:
        """Return a product's images in id order, but for those that cannot be records.

        Raises:
            NotFound: there is no such product.
        """

    def image(self, product_id: int, image_id: int) -> Record:
        """Return one image.

        Raises:
            NotFound: there is no such image.
            InvalidImageError: it cannot be a record.
        """

    def create(self, product_id: int, source: Source, fields: Mapping[str, Any]) -> Record:
        """Add an image and return it as the store describes it. Never repeated blindly.

        Raises:
            OutcomeUnknown: the image may or may not have been added.
        """

    def replace(self, product_id: int, image_id: int, source: Source, fields: Mapping[str, Any]) -> Record:
        """Give an image another picture under its old id.

        Raises:
            OutcomeUnknown: a success whose body is not the image, as for `update`.
        """

    def update(self, product_id: int, image_id: int, fields: Mapping[str, Any]) -> Record:
        """Change fields of an image and return it as the store describes it, which need not be as asked.

        Raises:
            OutcomeUnknown: a success whose body is not the image.
        """

    def delete(self, product_id: int, image_id: int) -> None:
        """Delete an image; one that is gone already is no error."""

    def delete_all(self, product_id: int, image_ids: Collection[int]) -> None:
        """Delete these images, which are all that the product has; one that is gone already is no error.

        Another that has come in meanwhile stays. What the store agrees to and does not delete is left.
        """

    def close(self) -> None:
        """Send nothing more and wake every thread that waits."""


def open_store(settings: Settings, client: Client | None = None) -> Store:
    """Return the store that `settings` name, spoken to in their ``api_version``; sends no request yet."""
    from bc_images.bigcommerce.v2 import StoreV2
    from bc_images.bigcommerce.v3 import StoreV3

    return (StoreV3 if settings.api_version == "v3" else StoreV2)(client or Client(settings))
