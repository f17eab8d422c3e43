"""The base of both streams: scans the catalog's products and writes Singer messages.

What is promised of a sync:

- ACTIVATE_VERSION, which makes a loader drop every row of an older version, follows the last record of a complete
  FULL_TABLE sync; never a shard's, nor one that ended in an error, nor one that saw less than the store counts before
  and after it (a sync that was interrupted has no such count). Pictures that could not be downloaded do not make a sync
  incomplete: their records are written, with null file fields.
- STATE is written between two products, never within one. It names the last product whose records are all written, so
  that an interrupted full sync resumes after it, under the same version; a complete sync clears it.
- An INCREMENTAL sync reads all products too, and only emits less: all images of the products in which something has
  changed. Its bookmark moves when the sync has ended, and never beyond the time at which it began. It stays after a
  sync that saw too few images or could not download a picture, so that the next run emits the image again.
- An image that does not fit the schema is left out, named and counted. Its sync is incomplete: no ACTIVATE_VERSION, no
  bookmark, and no checkpoint at or after its product.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator, Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar, cast

from singer_sdk import StreamSchema
from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.mapper import RemoveRecordTransform, SameRecordTransform, StreamMap
from singer_sdk.schema.source import SchemaDirectory
from singer_sdk.singerlib import ActivateVersionMessage, RecordMessage
from singer_sdk.singerlib.catalog import REPLICATION_FULL_TABLE, REPLICATION_INCREMENTAL, StreamMetadata

from bc_images.bigcommerce import capabilities
from bc_images.bigcommerce.mapping import Record
from bc_images.cli.exit import OutputClosedError
from bc_images.errors import BcImagesError, SettingsError
from bc_images.progress import Progress, Sample
from bc_images.schema import PRIMARY_KEY, SCHEMAS_DIR
from bc_images.settings import Settings
from bc_images.singer.writer import BufferedWriter, RecordTemplate
from bc_images.text import counted
from tap_bc_images.bookmarks import Bookmark, FullTableProgress
from tap_bc_images.checkpoints import SyncProgress
from tap_bc_images.count_check import CountCheck
from tap_bc_images.session import Session
from tap_bc_images.sync import SyncLoop

if TYPE_CHECKING:
    from singer_sdk import Tap
    from singer_sdk.helpers.types import Context
    from singer_sdk.singerlib import Catalog, MetadataMapping

__all__ = ["CatalogStream"]

_SCHEMAS = SchemaDirectory(SCHEMAS_DIR)


class CatalogStream(SyncLoop):
    """A stream whose records come from a scan over all products, in order of product id."""

    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE  # the records have the schema's own types
    schema: ClassVar[StreamSchema] = StreamSchema(_SCHEMAS)
    primary_keys: ClassVar[tuple[str, ...]] = PRIMARY_KEY
    replication_keys: ClassVar[tuple[str, ...]] = ()
    """The fields that INCREMENTAL can go by."""

    def __init__(self, tap: Tap, session: Session | None) -> None:
        """Take the session; there is none for ``--discover``, which needs no settings."""
        super().__init__(tap)
        self.tap = tap
        self._session = session
        self._alias: str | None = None
        self._dropped: tuple[str, ...] = ()
        self._progress: SyncProgress
        self._template: RecordTemplate
        self._is_plain: bool

    @property
    def session(self) -> Session:
        """What the streams share.

        Raises:
            SettingsError: the tap was made without settings.
        """
        if self._session is None:
            raise SettingsError(f"{self.name} cannot be read without settings: give --config.")
        return self._session

    @property
    def _writer(self) -> BufferedWriter:
        return cast("BufferedWriter", self.tap.message_writer)

    # What the catalog may ask for

    @property
    def metadata(self) -> MetadataMapping:
        """The stream's metadata; says which replication keys there are."""
        metadata = super().metadata
        # Not by index, which would make an entry where the catalog has none, and so deselect the stream.
        root = metadata.get(())
        if isinstance(root, StreamMetadata) and self.replication_keys and self._reports_date_modified():
            root.valid_replication_keys = list(self.replication_keys)
        return metadata

    def _reports_date_modified(self) -> bool:
        return capabilities(self.config.get("api_version", Settings.default("api_version"))).reports_date_modified

    def apply_catalog(self, catalog: Catalog) -> None:
        """Apply the catalog's entry of this stream.

        Raises:
            SettingsError: it asks for what this stream cannot do.
        """
        super().apply_catalog(catalog)
        entry = catalog.get_stream(self.name)
        if entry is None:
            return
        self._alias = entry.stream_alias
        fields = {*self.effective_schema.get("properties", {})}
        if missing := {*PRIMARY_KEY} - fields:
            raise SettingsError(
                f"The catalog's schema of {self.name} lacks {', '.join(sorted(missing))}: make it with --discover."
            )
        if unknown := {*self.primary_keys} - fields:
            raise SettingsError(f"The catalog's key of {self.name} is not in its schema: {', '.join(sorted(unknown))}.")
        if self.replication_method == REPLICATION_INCREMENTAL:
            if not self.replication_keys:
                raise SettingsError(f"{self.name} can only be replicated FULL_TABLE: change the catalog.")
            if not self._reports_date_modified():
                raise SettingsError("INCREMENTAL needs api_version v3: V2 does not tell when an image was changed.")
            self.replication_key = self.replication_key or self.replication_keys[0]
            if self.replication_key not in self.replication_keys:
                raise SettingsError(f"The replication key of {self.name} can only be {self.replication_keys[0]}.")
        elif self.replication_method != REPLICATION_FULL_TABLE:
            raise SettingsError(f"{self.name}: the replication method must be FULL_TABLE or INCREMENTAL.")

    @property
    def stream_maps(self) -> list[StreamMap]:
        """The stream maps; messages carry the name that the catalog gives the stream, if it gives another.

        Settings and state know the stream by its own name. What `stream_maps` in the settings calls otherwise stays.
        """
        maps = super().stream_maps
        for stream_map in maps:
            if self._alias and stream_map.stream_alias == self.name:
                stream_map.stream_alias = self._alias
        return maps

    # What the SDK would do at the start of a sync, and is done here at its end

    @property
    def emit_activate_version_messages(self) -> bool:
        """Never by the SDK, which sends it before the first record: a sync that dies would empty the table."""
        return False

    def get_replication_key_signpost(self, context: Context | None = None) -> None:  # noqa: ARG002 - the SDK's signature
        """No signpost: the SDK's is this machine's clock; the bookmark goes by the store's."""
        return

    # Reading

    def get_records(self, context: Context | None) -> Generator[Record]:  # noqa: ARG002 - the SDK's signature
        """Yield the records of one scan; between two products, write STATE now and then.

        Raises:
            BcImagesError: the scan could not be completed.
        """
        self._progress = self._begin()
        last = self._progress.last_product_id
        if last:
            self.logger.info("Resuming after product %d, where an earlier run was interrupted.", last)
        yield from self._scan()
        if last and not self._progress.products:
            self.logger.warning(
                "The state says that product %d was the last one written, and the store has none after it. "
                "The full sync begins afresh, since nothing shows that this is true.",
                last,
            )
            FullTableProgress.clear(self.stream_state)
            self._progress = self._begin()
            yield from self._scan()

    def _scan(self) -> Generator[Record]:
        progress = self._progress
        self._template = RecordTemplate(self.stream_maps[0].stream_alias, progress.version)
        self._is_plain = self._has_no_maps()
        reads_all = progress.first_product_id == 1 and not self.session.options.is_shard and self._reads_store
        count_check = CountCheck(self.session.store) if reads_all and self.ABORT_AT_RECORD_COUNT is None else None
        expected = count_check.images if count_check else None
        written = 0
        with Progress(self.name, expected, self._sample, self.logger) as shown:
            try:
                for record in self._post_process(self._records_by_product()):
                    if progress.pending:
                        self._checkpoint(written)
                    for name in self._dropped:
                        record.pop(name, None)
                    yield record
                    written += 1
            finally:
                self._checkpoint(written)
            self.logger.info("Complete: %s, %s written.", shown.words(), counted(written, "record"))
        if count_check and (discrepancy := count_check.discrepancy(progress.images, progress.products)):
            progress.too_few = discrepancy.too_few
            if self.session.product_buffer is not None:
                self.session.product_buffer.too_few = discrepancy.too_few
            consequence = "The sync counts as incomplete: no ACTIVATE_VERSION is sent and no bookmark moves. "
            self.logger.warning(
                "%s %sRun again, and tell BigCommerce if it stays so.",
                discrepancy.text,
                consequence if progress.too_few else "",
            )

    def check(self) -> None:
        """Make sure that catalog and state fit, before anything is written.

        Raises:
            SettingsError: the state is not valid.
        """
        self._begin()

    def _begin(self) -> SyncProgress:
        """Start or resume a sync, by catalog and state alone: no request is made."""
        session = self.session
        state = self.tap_state.get("bookmarks", {}).get(self.name, {})
        declared = self.effective_schema["properties"]
        self._dropped = tuple(
            name for name in self.schema["properties"] if not self.mask["properties", name] or name not in declared
        )
        if self.replication_method == REPLICATION_INCREMENTAL:
            bookmark = Bookmark(state, session.settings.store_hash, session.options)
            return SyncProgress(session.options.first, None, bookmark)
        full_table = FullTableProgress.begin(
            state, session.settings.store_hash, session.options, self.tap.initialized_at
        )
        return SyncProgress(full_table.first, full_table, None, last_product_id=full_table.last_product_id)

    def _records_by_product(self) -> Iterator[Record]:
        """Yield the records product by product, and note where each product ends."""
        count = 0
        for product_id, records in self._products():
            self._template.refresh_time()
            yield from records
            count += len(records)
            self._progress.end_product(product_id, count)

    @property
    def _reads_store(self) -> bool:
        """Whether this sync scans the store itself."""
        return True

    @abstractmethod
    def _products(self) -> Iterator[tuple[int, list[Record]]]:
        """Yield the id of every product, in id order, with the records to emit; count images in the progress."""

    def _post_process(self, records: Iterable[Record]) -> Iterable[Record]:
        """Add what a record still lacks; the order stays."""
        return records

    def _sample(self) -> Sample:
        return Sample(self._progress.images, quota_left=self.session.client.budget.left)

    # Writing

    def _has_no_maps(self) -> bool:
        """Whether no stream map changes a record: then it is written as it stands."""
        return all(
            type(stream_map) is SameRecordTransform and not stream_map.flattening_enabled
            for stream_map in self.stream_maps
        )

    def _write_record(self, record: Record) -> None:
        if self._is_plain:
            self._writer.write_record(self._template, record)
            return
        try:
            mapped = [(stream_map.stream_alias, stream_map.transform(record)) for stream_map in self.stream_maps]
        except Exception as error:  # whatever an expression of the user's may raise
            text = f"A stream map fails on id {record['id']} of {self.name}: {type(error).__name__}, {error}"
            raise SettingsError(f"{text.rstrip('.')}.") from error
        for alias, content in mapped:
            if content is not None:  # else a stream map filters it out
                now = datetime.now(UTC)
                self.tap.write_message(RecordMessage(alias, content, self._progress.version, time_extracted=now))

    def _checkpoint(self, written: int) -> None:
        """Every so many products, write a STATE that covers the records written so far."""
        if self._progress.advance(written):
            self._write_checkpoint()

    def _write_checkpoint(self) -> None:
        progress = self._progress
        if progress.full_table and progress.last_product_id and self.ABORT_AT_RECORD_COUNT is None:
            progress.full_table.save(self.stream_state, progress.last_product_id)
            self.tap.state_writer.write_state(self.tap_state)

    def _on_error(self, error: Exception) -> None:
        if isinstance(error, BcImagesError):
            self._write_checkpoint()
        if isinstance(error, OutputClosedError):
            self.session.close()  # or closing the scan would first send what is still to be asked
        self._writer.flush()

    def _finalize(self) -> None:
        """After the last record: let the loader drop what was not sent, and clear the checkpoint."""
        progress = self._progress
        state = self.stream_state  # makes the entry that the STATE of --test shows
        if self.ABORT_AT_RECORD_COUNT is None:
            if progress.full_table and progress.is_complete and self.session.options.sends_activate_version:
                self._write_activate_version(progress.full_table.version)
            if progress.bookmark and progress.is_complete and not progress.missing_files:
                progress.bookmark.advance(state, progress.started_at)
            FullTableProgress.clear(state)
        self.tap.state_writer.write_state(self.tap_state)
        self._writer.flush()  # a STATE that says nothing new is left out

    def _write_activate_version(self, version: int) -> None:
        for stream_map in self.stream_maps:
            if not isinstance(stream_map, RemoveRecordTransform):
                self.tap.write_message(ActivateVersionMessage(stream_map.stream_alias, version))
