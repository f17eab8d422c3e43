"""The streams ``product_images`` and ``products``."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from bc_images.bigcommerce import Product
from bc_images.bigcommerce.mapping import Record
from bc_images.progress import Sample
from bc_images.schema import writable_fields
from tap_bc_images.bookmarks import REPLICATION_KEY, Bookmark, FullTableProgress
from tap_bc_images.catalog_stream import CatalogStream
from tap_bc_images.checkpoints import SyncProgress
from tap_bc_images.product_buffer import ProductBuffer, product_record

if TYPE_CHECKING:
    from singer_sdk.helpers.types import Context

    from bc_images.files.download import Downloader

__all__ = ["ProductImagesStream", "ProductsStream"]

_MAX_NAMED = 20  # images that were left out
_CLOCK_MARGIN = timedelta(minutes=5)  # how far the clocks of the store's servers may differ


class ProductImagesStream(CatalogStream):
    """Every image of every product, with its file where ``file_store`` is set."""

    name = "product_images"
    replication_keys = (REPLICATION_KEY,)

    _downloader: Downloader | None = None

    def _products(self) -> Iterator[tuple[int, list[Record]]]:
        progress, session = self._progress, self.session
        buffer = ProductBuffer() if self._feeds_products() else None
        for product in session.store.scan(progress.first_product_id, session.options.product_id_max):
            images = product.images
            progress.images += len(images)
            if product.invalid:
                self._leave_out(product)
            if buffer:
                buffer.add(product_record(product, session.settings.store_hash))
            bookmark = progress.bookmark
            yield product.id, images if bookmark is None or self._is_changed(product, bookmark) else []
        session.product_buffer = buffer

    def _leave_out(self, product: Product) -> None:
        """Name the images that do not fit the schema; no state goes beyond their product."""
        progress, session = self._progress, self.session
        progress.images += len(product.invalid)
        progress.incomplete_from = progress.incomplete_from or product.id
        for image in product.invalid:
            session.invalid_images += 1
            session.first_invalid = session.first_invalid or image
            if session.invalid_images <= _MAX_NAMED:
                self.logger.error("Left out, since it is not a valid record: %s.", image.text)

    def _is_changed(self, product: Product, bookmark: Bookmark) -> bool:
        if not self._progress.started_at:
            now = datetime.fromtimestamp(self.session.client.clock.now(), UTC)
            bookmark.check_not_future(now.isoformat(timespec="seconds"))
            self._progress.started_at = (now - _CLOCK_MARGIN).isoformat(timespec="seconds")
        return bookmark.includes(product)

    def _feeds_products(self) -> bool:
        """Whether this scan reads all that the stream ``products`` needs, so that it need not scan again."""
        starts_afresh = self._progress.first_product_id == self.session.options.first
        return starts_afresh and self.ABORT_AT_RECORD_COUNT is None and self.tap.streams[ProductsStream.name].selected

    def get_records(self, context: Context | None) -> Generator[Record]:
        """Yield the records of one scan, each with its file."""
        self._warn_of_missing_columns()
        if not self.session.settings.file_store:
            yield from super().get_records(context)
            return
        from bc_images.files.download import Downloader
        from bc_images.singer.archive.rebuild import refs_or_rebuilt

        settings, files = self.session.settings, self.session.files
        recheck = self.session.options.recheck_share
        read_refs = partial(refs_or_rebuilt, files, settings.store_hash, write=True)
        # Made before the first request: it lists the file store while the scan begins.
        with Downloader(settings, files, recheck=recheck, read_refs=read_refs) as self._downloader:
            try:
                yield from super().get_records(context)
            finally:
                for line in self._downloader.findings.summary():
                    self.logger.warning("%s", line)

    def _warn_of_missing_columns(self) -> None:
        """Warn of columns that a restore needs and that the catalog or a stream map removes."""
        needed = [*self.schema["required"], *writable_fields(), "product_sku"]
        needed += ["file_sha256", "file_source"] if self.session.settings.file_store else ["zoom_url"]
        declared = self.effective_schema["properties"]
        mapped = [stream_map.transformed_schema.get("properties", {}) for stream_map in self.stream_maps]
        missing = [
            name
            for name in dict.fromkeys(needed)
            if not (self.mask["properties", name] and name in declared and all(name in columns for columns in mapped))
        ]
        if missing:
            self.logger.warning(
                "A restore needs columns of %s that are left out: %s. Select them in the catalog if images are to be "
                "restored from what is written.",
                self.name,
                ", ".join(missing),
            )

    def _post_process(self, records: Iterable[Record]) -> Iterable[Record]:
        return records if self._downloader is None else self._with_files(records, self._downloader)

    def _with_files(self, records: Iterable[Record], downloader: Downloader) -> Iterator[Record]:
        if self.ABORT_AT_RECORD_COUNT is not None:  # --test: fetch no more pictures than it looks at
            records = islice(records, self.ABORT_AT_RECORD_COUNT + 1)
        try:
            yield from downloader.fill(records)
        finally:
            self._progress.missing_files = downloader.failed
            self.session.failed_files += downloader.failed
            self.session.downloaded_files += downloader.downloaded
            self.session.downloaded_bytes += downloader.bytes

    def _sample(self) -> Sample:
        if self._downloader is None:
            return super()._sample()
        files = self._downloader
        return Sample(
            self._progress.images,
            files.downloaded,
            files.bytes,
            quota_left=self.session.client.budget.left,
            known_files=max(0, files.files - files.downloaded),
        )


class ProductsStream(CatalogStream):
    """Every product, with the number of its images."""

    name = "products"
    selected_by_default = False

    @property
    def _reads_store(self) -> bool:
        return self.session.product_buffer is None

    def _begin(self) -> SyncProgress:
        buffer = self.session.product_buffer
        if buffer is not None:  # it has all products: an interrupted full sync of this stream is of no use
            FullTableProgress.clear(self.stream_state)
        progress = super()._begin()
        progress.too_few = buffer is not None and buffer.too_few
        return progress

    def _products(self) -> Iterator[tuple[int, list[Record]]]:
        progress, session = self._progress, self.session
        if session.product_buffer is not None:
            for record in session.product_buffer:
                progress.images += record["image_count"]
                yield record["id"], [record]
            return
        for product in session.store.scan(progress.first_product_id, session.options.product_id_max):
            progress.images += len(product.images) + len(product.invalid)
            yield product.id, [product_record(product, session.settings.store_hash)]
