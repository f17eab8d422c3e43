"""A sweep over the store, told as Singer messages: what both streams have in common.

What is promised of a sweep, and where it is kept:

- ACTIVATE_VERSION, which makes a loader drop every row of an older version, follows the last record of a complete
  FULL_TABLE sweep; never a shard's, nor one that ended in an error, nor one that saw less than the store counts before
  and after it (a sweep that was interrupted has no such count). Pictures that could not be had do not make a sweep
  incomplete: their records are out, with null file fields.
- STATE stands between two products, never within one. It names the last product whose records are all written, so an
  interrupted full sweep goes on behind it, under the same version; after a complete sweep nothing of this remains.
- An INCREMENTAL sweep is complete too and only emits less: all images of the products in which something has changed.
  Its bookmark moves when it has ended, and never beyond the time at which it began. It stays where it is after a sweep
  that saw too little, and while a picture could not be had, so that the next run emits the image again and asks for
  its picture again.
- An image that cannot be a record is left out, named and counted. Its sweep is incomplete: no ACTIVATE_VERSION, no
  bookmark, and no place to go on from at or behind its product.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from singer_sdk import Stream, StreamSchema
from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.mapper import SameRecordTransform, StreamMap
from singer_sdk.schema.source import SchemaDirectory
from singer_sdk.singerlib.catalog import REPLICATION_FULL_TABLE, REPLICATION_INCREMENTAL, StreamMetadata

from bc_images.bigcommerce import capabilities
from bc_images.bigcommerce.mapping import Record
from bc_images.cli.exit import OutputClosedError
from bc_images.errors import BcImagesError, SettingsError
from bc_images.progress import Progress, Sample
from bc_images.schema import SCHEMAS_DIR
from bc_images.settings import Settings
from bc_images.singer.writer import Envelope
from bc_images.units import counted
from tap_bc_images.bookmarks import Changes, FullTableProgress
from tap_bc_images.count_check import CountCheck

if TYPE_CHECKING:
    from singer_sdk.helpers.types import Context
    from singer_sdk.singerlib import Catalog, MetadataMapping

    from tap_bc_images.tap import TapBCImages

__all__ = ["KEY", "CatalogStream", "Run"]

KEY = ("store_hash", "id")  # many stores may share one table

_SCHEMAS = SchemaDirectory(SCHEMAS_DIR)
_STATE_EVERY = 250  # products


class _Place(NamedTuple):
    """The end of one product in the stream of records."""

    records: int  # how many records come before it
    product_id: int
    products: int  # how many products come before it, with this one


@dataclass(slots=True)
class Run:
    """What one sync has seen and said so far."""

    first: int
    full: FullTableProgress | None  # None: INCREMENTAL
    changes: Changes | None  # None: FULL_TABLE
    images: int = 0
    products: int = 0
    too_few: bool = False  # the store counts more, before and after
    incomplete_from: int = 0  # the first product with an image that cannot be a record; 0: none
    without_file: int = 0  # records that went out without the picture they should have
    last_product_id: int = 0  # all its records are written, and those of the products before it
    stated: int = 0  # how many products came before the latest STATE
    began: str = ""  # INCREMENTAL: a time before the sweep, by the store's clock, RFC 3339, UTC


class CatalogStream(Stream):
    """A stream whose records come out of a sweep over all products, in order of product id."""

    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE  # the shaping functions yield the schema's own types
    schema: ClassVar[StreamSchema] = StreamSchema(_SCHEMAS)
    primary_keys: ClassVar[tuple[str, ...]] = KEY
    replication_keys: ClassVar[tuple[str, ...]] = ()
    """The fields that INCREMENTAL can go by."""

    _tap: TapBCImages
    _run: Run
    _envelope: Envelope
    _dropped: tuple[str, ...] = ()

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
        """Take over what the catalog asks for.

        Raises:
            SettingsError: it asks for what this stream cannot do.
        """
        super().apply_catalog(catalog)
        if catalog.get_stream(self.name) is None:
            return
        fields = {*self.effective_schema.get("properties", {})}
        if missing := {*KEY} - fields:
            raise SettingsError(
                f"The catalog's schema of {self.name} lacks {', '.join(sorted(missing))}: make it with --discover."
            )
        if unknown := {*self.primary_keys} - fields:
            raise SettingsError(f"The catalog's key of {self.name} is no field of it: {', '.join(sorted(unknown))}.")
        if self.replication_method == REPLICATION_INCREMENTAL:
            if not self.replication_keys:
                raise SettingsError(f"{self.name} can only be replicated FULL_TABLE: change the catalog.")
            if not self._reports_date_modified():
                raise SettingsError("INCREMENTAL needs api_version v3: V2 does not tell when an image was changed.")
            self.replication_key = self.replication_key or self.replication_keys[0]
            if self.replication_key not in self.replication_keys:
                raise SettingsError(f"The replication key of {self.name} can only be {self.replication_keys[0]}.")
        elif self.replication_method != REPLICATION_FULL_TABLE:
            raise SettingsError(f"{self.name}: the replication method is FULL_TABLE or INCREMENTAL, nothing else.")

    @property
    def stream_maps(self) -> list[StreamMap]:
        """What makes messages of records; they carry the name that the catalog gives the stream, if it gives another.

        Settings and state know the stream by its own name. What `stream_maps` in the settings calls otherwise stays.
        """
        maps = super().stream_maps
        entry = self._tap.input_catalog.get_stream(self.name) if self._tap.input_catalog else None
        for each in maps:
            if entry is not None and entry.stream_alias and each.stream_alias == self.name:
                each.stream_alias = entry.stream_alias
        return maps

    @property
    def selected(self) -> bool:
        """Whether the stream is selected; ``--test`` selects every stream."""
        return super().selected

    @selected.setter
    def selected(self, value: bool | None) -> None:
        """Select or deselect the stream."""
        Stream.selected.fset(self, value)  # type: ignore[attr-defined]
        # The SDK has by now made the SCHEMA of a deselected stream, without any property.
        self._tap.setup_mapper()
        self._stream_maps = None

    # What the SDK would do at the start of a sync, and is done here at its end

    @property
    def emit_activate_version_messages(self) -> bool:
        """Never by the SDK, which sends it before the first record: a sync that dies would empty the table."""
        return False

    def get_replication_key_signpost(self, context: Context | None = None) -> None:  # noqa: ARG002 - the SDK's signature
        """No signpost: the SDK's is our clock, ours is the store's."""
        return

    # Reading

    def get_records(self, context: Context | None) -> Generator[Record]:  # noqa: ARG002 - the SDK's signature
        """Yield the records of one sweep; between two products, write STATE now and then.

        Raises:
            BcImagesError: the sweep could not be completed.
        """
        last = self._start()
        if last:
            self.logger.info("Going on after product %d, where an earlier run was interrupted.", last)
        yield from self._sweep()
        if last and not self._run.products:
            self.logger.warning(
                "The state says that product %d was the last one written, and the store has none after it. "
                "The sweep begins afresh, since nothing shows that this is true.",
                last,
            )
            FullTableProgress.forget(self.stream_state)
            self._start()
            yield from self._sweep()

    def _start(self) -> int:
        """Begin a run; return the last product of the interrupted one that it goes on from, or 0."""
        self._run = self._begin()
        return self._run.last_product_id

    def _sweep(self) -> Generator[Record]:
        run = self._run
        self._envelope = Envelope(self.stream_maps[0].stream_alias, self._stream_version)
        is_test = self.ABORT_AT_RECORD_COUNT is not None
        whole = not is_test and not self._tap.options.is_shard and run.first == 1 and self._sweeps
        census = CountCheck(self._tap.store) if whole else None
        waiting: deque[_Place] = deque()
        written = 0
        with Progress(self.name, census.images if census else None, self._sample, self.logger) as progress:
            try:
                for record in self._finished(self._told(waiting)):
                    if waiting:
                        self._settle(waiting, written)
                    for name in self._dropped:
                        record.pop(name, None)
                    yield record
                    written += 1
            finally:
                self._settle(waiting, written)
            self.logger.info("Complete: %s, %s written.", progress.words(), counted(written, "record"))
        if census and (objection := census.objection(run.images, run.products)):
            run.too_few = objection.too_few
            if self._tap.roster is not None:
                self._tap.roster.too_few = objection.too_few
            held = "It counts as incomplete: no ACTIVATE_VERSION is sent and no bookmark moves. "
            self.logger.warning(
                "%s %sRun again, and tell BigCommerce if it stays so.", objection.words, held if run.too_few else ""
            )

    def check(self) -> None:
        """Make sure that catalog and state fit, before anything is written.

        Raises:
            SettingsError: the state is damaged.
        """
        self._begin()

    def _begin(self) -> Run:
        """Decide by catalog and state what this sync is; nothing is asked of the store yet."""
        settings, options = self._tap.settings, self._tap.options
        state = self.tap_state.get("bookmarks", {}).get(self.name, {})
        selected = {name for name in self.schema["properties"] if self.mask["properties", name]}
        declared = self.effective_schema["properties"]
        self._dropped = tuple(
            name for name in self.schema["properties"] if name not in selected or name not in declared
        )
        if self.replication_method == REPLICATION_INCREMENTAL:
            changes = Changes(state, settings.store_hash, options)
            self._stream_version = None
            return Run(options.first, None, changes)
        full = FullTableProgress.begin(state, settings.store_hash, options, self._tap.initialized_at)
        self._stream_version = full.version
        return Run(full.first, full, None, last_product_id=full.last_product_id)

    def _told(self, waiting: deque[_Place]) -> Iterator[Record]:
        """Yield the records product by product, and note in `waiting` where each product ends."""
        run = self._run
        records = 0
        for product_id, told in self._products():
            self._envelope.stamp()
            yield from told
            records += len(told)
            run.products += 1
            if 0 < run.incomplete_from <= product_id:
                continue  # no state goes beyond an image that was left out
            place = _Place(records, product_id, run.products)
            if waiting and waiting[-1].records == records:  # no record between the two: the later one will do
                waiting[-1] = place
            else:
                waiting.append(place)

    @property
    def _sweeps(self) -> bool:
        """Whether this sync walks over the store itself."""
        return True

    @abstractmethod
    def _products(self) -> Iterator[tuple[int, list[Record]]]:
        """Yield the id of every product, in id order, with the records to emit; count images in ``_run.images``."""

    def _finished(self, records: Iterable[Record]) -> Iterable[Record]:
        """Add what a record still lacks; the order stays."""
        return records

    def _sample(self) -> Sample:
        return Sample(self._run.images, quota_left=self._tap.client.budget.left)

    # Writing

    def _sync_records(self, context: Context | None = None, *, write_messages: bool = True) -> Generator[Record]:
        """Write the messages of one sync.

        Takes the place of the SDK's loop, which copies each record for child streams that we have not, counts STATE in
        records, so that it falls within a product, and moves the bookmark with every record.
        """
        write = self._write_plain if self._is_plain() else self._write_mapped
        limit = self.ABORT_AT_RECORD_COUNT
        self.state_manager.is_flushed = False
        number = 0
        with closing(self.get_records(context)) as records, self.get_record_counter() as counter, self.get_sync_timer():
            try:
                for record in records:
                    if limit is not None:
                        self._check_max_record_limit(number)
                    if write_messages:
                        write(record)
                    number += 1
                    yield record
            except Exception as error:
                if isinstance(error, BcImagesError):
                    self._write_place()
                if isinstance(error, OutputClosedError):
                    self._tap.close()  # or closing the sweep would first send what is still to be asked
                self._tap.message_writer.flush()
                raise
            finally:
                counter.increment(number)
        if write_messages:
            self._end()
            self._tap.message_writer.flush()  # the SDK leaves out a STATE that says nothing new

    def _is_plain(self) -> bool:
        """Whether nothing that is configured changes a record on its way: then it is written as it stands."""
        return all(type(each) is SameRecordTransform and not each.flattening_enabled for each in self.stream_maps)

    def _write_plain(self, record: Record) -> None:
        self._tap.message_writer.write_record(self._envelope, record)

    def _write_mapped(self, record: Record) -> None:
        try:
            messages = list(self._generate_record_messages(record))
        except Exception as error:  # whatever an expression of the user's may raise
            said = f"A stream map fails on id {record['id']} of {self.name}: {type(error).__name__}, {error}"
            raise SettingsError(f"{said.rstrip('.')}.") from error
        for message in messages:
            self._tap.write_message(message)

    def _settle(self, waiting: deque[_Place], written: int) -> None:
        """Every product that ends within the records written is done: say so in STATE, every so many products."""
        run = self._run
        while waiting and waiting[0].records <= written:
            place = waiting.popleft()
            run.last_product_id = place.product_id
            if place.products - run.stated >= _STATE_EVERY:
                run.stated = place.products
                self._write_place()

    def _write_place(self) -> None:
        run = self._run
        if run.full and run.last_product_id and self.ABORT_AT_RECORD_COUNT is None:
            run.full.remember(self.stream_state, run.last_product_id)
            self._tap.state_writer.write_state(self.tap_state)

    def _end(self) -> None:
        """The sweep is complete: let the loader drop what was not in it, and the state forget it."""
        run = self._run
        if self.ABORT_AT_RECORD_COUNT is None:
            is_complete = not (run.too_few or run.incomplete_from)
            if run.full and self._stream_version and self._tap.speaks_for_the_table and is_complete:
                self._write_activate_version_message(self._stream_version)
            if run.changes and is_complete and not run.without_file:
                run.changes.remember(self.stream_state, run.began)
            FullTableProgress.forget(self.stream_state)
        self.state_manager.is_flushed = False
        self._write_state_message()
