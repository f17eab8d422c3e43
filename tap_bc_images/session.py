"""The session of one run: settings, store client, file store. No SDK."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from bc_images.bigcommerce import StoreClient, open_store
from bc_images.bigcommerce.mapping import InvalidImage
from bc_images.bigcommerce.transport import HttpClient
from bc_images.errors import PartialFailure
from bc_images.settings import Settings
from bc_images.text import counted
from tap_bc_images.product_buffer import ProductBuffer
from tap_bc_images.settings import TapSettings

if TYPE_CHECKING:
    from bc_images.files import FileStore

__all__ = ["Session"]


class Session:
    """Opens what it holds when it is first needed.

    Attributes:
        product_buffer: the records of all products, once the scan for the images has read them.
        failed_files: pictures that could not be downloaded.
        downloaded_files: pictures that were.
        downloaded_bytes: their bytes.
        invalid_images: images that were left out because they do not fit the schema.
        first_invalid: the first of them.
    """

    def __init__(self, settings: Settings, options: TapSettings) -> None:
        self.settings = settings
        self.options = options
        self.product_buffer: ProductBuffer | None = None
        self.failed_files = 0
        self.downloaded_files = 0
        self.downloaded_bytes = 0
        self.invalid_images = 0
        self.first_invalid: InvalidImage | None = None

    @cached_property
    def client(self) -> HttpClient:
        """The HTTP client that all streams share, with its rate budget."""
        return HttpClient(self.settings)

    @cached_property
    def store(self) -> StoreClient:
        """The store that the settings name."""
        return open_store(self.settings, self.client)

    @cached_property
    def files(self) -> FileStore:
        """The file store.

        Raises:
            BcImagesError: it cannot be used.
        """
        from bc_images.files import open_files

        return open_files(self.settings.file_store, writable=True)

    def require_complete(self) -> None:
        """Make sure that nothing was left out.

        Raises:
            PartialFailure: the run is finished, but some images or pictures are missing.
        """
        parts = []
        if self.first_invalid is not None:
            parts.append(
                f"{counted(self.invalid_images, 'image')} of the store cannot be read as records and were left out, "
                f"the first of them {self.first_invalid.text}. All others are written, without ACTIVATE_VERSION and "
                "without a bookmark. Correct or delete them in the store, then run again."
            )
        if self.failed_files:
            parts.append(
                f"{counted(self.failed_files, 'picture')} could not be downloaded: see the warnings above. Their "
                "records carry no digest; all else is complete. Run again: only what is missing is fetched."
            )
        if parts:
            raise PartialFailure(" ".join(parts))

    def stop(self) -> None:
        """End every wait of the client at once; safe in a signal handler."""
        if "client" in self.__dict__:
            self.client.stop.set()

    def close(self) -> None:
        """Send nothing more, wake every thread that waits, and close what was opened."""
        if "client" in self.__dict__:
            self.client.close()
        if self.product_buffer is not None:
            self.product_buffer.close()
        if "files" in self.__dict__:
            self.files.close()
