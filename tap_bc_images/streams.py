"""The streams: every image, and every product."""

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
from tap_bc_images.bookmarks import REPLICATION_KEY, Changes, FullTableProgress
from tap_bc_images.product_buffer import ProductBuffer, product_record
from tap_bc_images.sync import CatalogStream, Run

if TYPE_CHECKING:
    from singer_sdk.helpers.types import Context

    from bc_images.files import Downloader

__all__ = ["ProductImagesStream", "ProductsStream"]

_NAMED = 20  # how many images that cannot be records are named
_CLOCK_MARGIN = timedelta(minutes=5)  # how far the store's clocks may be apart from each other


class ProductImagesStream(CatalogStream):
    """Every image of every product, with its file where ``file_store`` is set."""

    name = "product_images"
    replication_keys = (REPLICATION_KEY,)

    _downloader: Downloader | None = None

    def _products(self) -> Iterator[tuple[int, list[Record]]]:
        run, tap = self._run, self._tap
        roster = ProductBuffer() if self._feeds_products() else None
        for product in tap.store.scan(run.first, tap.options.product_id_max):
            images = product.images
            run.images += len(images)
            if product.invalid:
                self._leave_out(product)
            if roster:
                roster.add(product_record(product, tap.settings.store_hash))
            yield product.id, images if run.changes is None or self._is_changed(product, run.changes) else []
        tap.roster = roster

    def _leave_out(self, product: Product) -> None:
        """Name the images that cannot be records; no state goes beyond their product."""
        run, tap = self._run, self._tap
        run.images += len(product.invalid)
        run.incomplete_from = run.incomplete_from or product.id
        for image in product.invalid:
            tap.invalid += 1
            tap.first_invalid = tap.first_invalid or image
            if tap.invalid <= _NAMED:
                self.logger.error("Left out, since it cannot be a record: %s.", image.text)

    def _is_changed(self, product: Product, changes: Changes) -> bool:
        if not self._run.began:
            now = datetime.fromtimestamp(self._tap.client.clock.now(), UTC)
            changes.hold_against(now.isoformat(timespec="seconds"))
            self._run.began = (now - _CLOCK_MARGIN).isoformat(timespec="seconds")
        return changes.include(product)

    def _feeds_products(self) -> bool:
        """Whether this sweep sees all that the stream ``products`` needs, so that it need not sweep again."""
        starts_afresh = self._run.first == self._tap.options.first
        return starts_afresh and self.ABORT_AT_RECORD_COUNT is None and self._tap.streams[ProductsStream.name].selected

    def get_records(self, context: Context | None) -> Generator[Record]:
        """Yield the records of one sweep, each with its file."""
        self._warn_of_missing_columns()
        if not self._tap.settings.file_store:
            yield from super().get_records(context)
            return
        from bc_images.files import Downloader
        from bc_images.singer.archive.rebuild import refs_or_rebuilt

        settings, files = self._tap.settings, self._tap.files
        recheck = self._tap.options.recheck_share
        read_refs = partial(refs_or_rebuilt, files, settings.store_hash, write=True)
        # Made before the first request: it lists the file store while the sweep begins.
        with Downloader(settings, files, recheck=recheck, read_refs=read_refs) as self._downloader:
            try:
                yield from super().get_records(context)
            finally:
                for line in self._downloader.findings.summary():
                    self.logger.warning("%s", line)

    def _warn_of_missing_columns(self) -> None:
        """Say which columns that a restore needs are neither selected nor left in by a stream map."""
        needed = [*self.schema["required"], *writable_fields(), "product_sku"]
        needed += ["file_sha256", "file_source"] if self._tap.settings.file_store else ["zoom_url"]
        declared = self.effective_schema["properties"]
        mapped = [each.transformed_schema.get("properties", {}) for each in self.stream_maps]
        missing = [
            name
            for name in dict.fromkeys(needed)
            if not (self.mask["properties", name] and name in declared and all(name in each for each in mapped))
        ]
        if missing:
            self.logger.warning(
                "A restore needs columns of %s that are left out: %s. Select them in the catalog if images are to be "
                "restored from what is written.",
                self.name,
                ", ".join(missing),
            )

    def _finished(self, records: Iterable[Record]) -> Iterable[Record]:
        return records if self._downloader is None else self._with_files(records, self._downloader)

    def _with_files(self, records: Iterable[Record], downloader: Downloader) -> Iterator[Record]:
        if self.ABORT_AT_RECORD_COUNT is not None:  # --test: fetch no more pictures than it looks at
            records = islice(records, self.ABORT_AT_RECORD_COUNT + 1)
        try:
            yield from downloader.fill(records)
        finally:
            self._run.without_file = downloader.failed
            self._tap.failed_files += downloader.failed

    def _sample(self) -> Sample:
        if self._downloader is None:
            return super()._sample()
        files = self._downloader
        return Sample(
            self._run.images,
            files.downloaded,
            files.bytes,
            quota_left=self._tap.client.budget.left,
            known_files=max(0, files.files - files.downloaded),
        )


class ProductsStream(CatalogStream):
    """Every product, with the number of its images."""

    name = "products"
    selected_by_default = False

    @property
    def _sweeps(self) -> bool:
        return self._tap.roster is None

    def _begin(self) -> Run:
        roster = self._tap.roster
        if roster is not None:  # it holds all products: an interrupted sweep of our own is of no use
            FullTableProgress.forget(self.stream_state)
        run = super()._begin()
        run.too_few = roster is not None and roster.too_few
        return run

    def _products(self) -> Iterator[tuple[int, list[Record]]]:
        run, tap = self._run, self._tap
        if tap.roster is not None:
            for record in tap.roster:
                run.images += record["image_count"]
                yield record["id"], [record]
            return
        for product in tap.store.scan(run.first, tap.options.product_id_max):
            run.images += len(product.images) + len(product.invalid)
            yield product.id, [product_record(product, tap.settings.store_hash)]
