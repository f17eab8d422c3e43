"""Reads Singer messages into a `RestoreInput`: records are validated, mapped by stream maps, and kept or rejected."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import orjson
from singer_sdk.exceptions import MissingKeyPropertiesError, RecordsWithoutSchemaException
from singer_sdk.mapper import RemoveRecordTransform

from bc_images import jsonl
from bc_images.errors import InvalidInput
from bc_images.jsonl import shortened
from bc_images.normalize import deleted, stream_kind
from target_bc_images.records import RecordValidator
from target_bc_images.restore_input import RestoreInput

if TYPE_CHECKING:
    from singer_sdk.mapper import PluginMapper, StreamMap

    from bc_images.bigcommerce.mapping import Record
    from bc_images.singer.reader import Message, MessageSource
    from target_bc_images.settings import TargetSettings

__all__ = ["read_input"]

logger = logging.getLogger(__name__)


class SchemaMissing(InvalidInput, RecordsWithoutSchemaException):
    """A message of a stream comes before its SCHEMA."""


class KeyMissing(InvalidInput, MissingKeyPropertiesError):
    """A record lacks a key that its own SCHEMA declares."""


def read_input(
    sources: Iterable[MessageSource], mapper: PluginMapper, store_hash: str, settings: TargetSettings
) -> RestoreInput:
    """Read all messages of all sources, in order.

    Args:
        sources: where the messages come from.
        mapper: the stream maps and the flattening that the settings ask for.
        store_hash: the store of records that name none.
        settings: the target's own settings.

    Raises:
        InvalidInput: a source cannot be read, or a message is not valid; names the line.
        PartialFailure: two streams mean the same one of ours.
        FatalError: the disk is full.
    """
    restore_input = RestoreInput(store_hash, settings.product_ids)
    try:
        reader = _InputReader(restore_input, mapper, skus=settings.match_products_by == "sku")
        for source in sources:
            reader.read(source)
            if (reader.is_undo or source.is_truncated) and settings.mode.deletes:
                restore_input.drop_incomplete_end()  # what may list a product in part must not delete from it
    except BaseException:
        restore_input.close()
        raise
    return restore_input


class _InputReader:
    """Dispatches messages by type and stream.

    Attributes:
        is_undo: a SCHEMA message says that the input is an undo file.
    """

    def __init__(self, restore_input: RestoreInput, mapper: PluginMapper, *, skus: bool) -> None:
        self._restore_input = restore_input
        self._mapper = mapper
        self._skus = skus
        self._record_counts = restore_input.record_counts
        removes_others: bool = mapper.default_mapper_type is RemoveRecordTransform  # ``__else__: null``
        restore_input.has_stream_maps = bool(mapper.stream_maps_dict) or removes_others
        restore_input.has_stream_maps |= mapper.flattening_options.enabled
        self._schemas: dict[str, tuple[Any, Any]] = {}  # schema and keys of each stream of the input
        self._streams: dict[str, list[tuple[StreamMap, _Stream]]] = {}
        self._unmapped: dict[str, _Stream] = {}  # those of `_streams` whose records no stream map changes
        self._warned: set[str] = set()
        self._handlers: dict[str, Callable[[Message], None]] = {
            "SCHEMA": self._read_schema,
            "RECORD": self._read_record,
            "ACTIVATE_VERSION": self._read_activate_version,
            "STATE": self._read_state,
            "BATCH": self._read_batch,
        }
        self.is_undo = False

    def read(self, source: MessageSource) -> None:
        """Read one source to its end."""
        handlers, counts = self._handlers, self._restore_input.message_counts
        for number, _, message in source:
            try:
                message_type = message["type"]
                handle = handlers[message_type]
            except KeyError as error:
                raise source.invalid(number, f"has no known message type ({shortened(error)})") from error
            except TypeError as error:  # the type is a list or an object
                raise source.invalid(number, "is not a Singer message") from error
            try:
                handle(message)
            except InvalidInput as error:
                raise source.invalid(number, f"is {error}", type(error)) from error
            counts[message_type] += 1

    def _read_schema(self, message: Message) -> None:
        stream, schema = message.get("stream"), message.get("schema")
        properties = schema.get("properties") if isinstance(schema, dict) else None
        if not isinstance(stream, str) or not isinstance(schema, dict) or not isinstance(properties, dict):
            raise InvalidInput("a SCHEMA without stream, schema or properties")
        keys = message.get("key_properties") or []
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise InvalidInput("a SCHEMA whose key_properties are not a list of names")
        _check_depth(message, "a SCHEMA")
        self.is_undo |= message.get(jsonl.UNDO) is True
        if self._schemas.get(stream) == (schema, keys):
            return
        self._schemas[stream] = schema, keys
        if self._restore_input.has_stream_maps:  # stream maps want the keys among the properties
            schema = {**schema, "properties": {**{key: {} for key in keys}, **properties}}
        try:
            self._mapper.register_raw_stream_schema(stream, schema, keys)
            self._streams[stream] = [
                (stream_map, self._stream(stream_map)) for stream_map in self._mapper.stream_maps[stream]
            ]
        except (AttributeError, KeyError, TypeError, ValueError) as error:  # flattening walks through all of it
            raise InvalidInput("a SCHEMA that is not a JSON Schema") from error
        self._restore_input.streams.add(stream)
        for stream_map, _ in self._streams[stream]:
            is_removed = isinstance(stream_map, RemoveRecordTransform)
            self._restore_input.streams.add_mapped(stream_map.stream_alias, is_removed=is_removed)
        if not self._restore_input.has_stream_maps:
            self._unmapped[stream] = self._streams[stream][0][1]

    def _stream(self, stream_map: StreamMap) -> _Stream:
        """Return what reads the records of a stream, under the name that the stream map gives it."""
        name, properties = stream_map.stream_alias, stream_map.transformed_schema["properties"]
        kind = stream_kind(name)
        if kind is None:
            if name not in self._warned:
                self._warned.add(name)
                logger.warning("The stream %s is not product_images: its records are skipped.", name)
            return _Stream(name, self._restore_input, stream_map.transformed_key_properties or ())
        validator = RecordValidator(kind, name, properties, skus=self._skus)
        if kind == "products":
            return _ProductStream(name, self._restore_input, validator)
        return _ImageStream(name, self._restore_input, validator, self._warned)

    def _read_record(self, message: Message) -> None:
        """Read a RECORD: the shortest path, since there are millions."""
        stream, record = message.get("stream"), message.get("record")
        if not isinstance(record, dict):
            raise InvalidInput("a RECORD without a record object")
        deleted_at = record.get("_sdc_deleted_at") or record.get("_SDC_DELETED_AT")
        if deleted_at and deleted(deleted_at):  # a loader has marked the row: the image had left the store
            self._streams_of(stream, "a RECORD")
            self._restore_input.skipped[f"{stream} (deleted rows)"] += 1
        elif type(stream) is str and stream in self._unmapped:
            self._record_counts[stream] += 1
            self._unmapped[stream].add(record, message.get("version"))
        else:
            streams = self._streams_of(stream, "a RECORD")
            _check_depth(record, "a RECORD")
            for stream_map, mapped in streams:
                result = stream_map.transform(dict(record))
                if result is not None:
                    self._record_counts[stream_map.stream_alias] += 1
                    mapped.add(result, message.get("version"))

    def _read_activate_version(self, message: Message) -> None:
        streams, version = self._streams_of(message.get("stream"), "an ACTIVATE_VERSION"), message.get("version")
        if type(version) is not int:
            raise InvalidInput("an ACTIVATE_VERSION without a version")
        for _, stream in streams:
            stream.activate_version(version)

    def _read_state(self, message: Message) -> None:
        """Keep the last STATE: it is passed on once everything before it is in the store."""
        state = message.get("value")
        if not isinstance(state, dict):
            raise InvalidInput("a STATE without a value")
        _check_depth(message, "a STATE")
        self._restore_input.state = state

    def _read_batch(self, _message: Message) -> None:
        raise InvalidInput("a BATCH message, which is not supported (switch batches off in the tap)")

    def _streams_of(self, stream: object, message: str) -> list[tuple[StreamMap, _Stream]]:
        streams = self._streams.get(stream) if isinstance(stream, str) else None
        if streams is None:
            raise SchemaMissing(f"{message} of {shortened(stream)} before its SCHEMA")
        return streams


class _Stream:
    """One stream of the input after its stream map: here one that this target does not know, whose records it counts.

    Args:
        name: its name after the stream map.
        restore_input: gets the records.
        keys: the columns that no record may lack.
    """

    def __init__(self, name: str, restore_input: RestoreInput, keys: Iterable[str] = ()) -> None:
        self._name = name
        self._restore_input = restore_input
        self._keys = frozenset(keys)

    def add(self, record: Record, version: object) -> None:  # noqa: ARG002
        """Read one record."""
        if missing := self._keys - record.keys():
            raise KeyMissing(f"a RECORD of {shortened(self._name)} without its key {shortened(min(missing))}")
        self._restore_input.skipped[self._name] += 1

    def activate_version(self, version: int) -> None:
        """Do nothing: the message counts for images only."""


class _ProductStream(_Stream):
    """``products``: which products the input covers.

    Any tap may have a stream of this name: records that are not products of a store are skipped and cover nothing.
    """

    def __init__(self, name: str, restore_input: RestoreInput, validator: RecordValidator) -> None:
        super().__init__(name, restore_input)
        self._validator = validator

    def add(self, record: Record, version: object) -> None:
        valid = self._validator.validate(record)
        if valid is None:
            super().add(record, version)
        self._restore_input.add_product(valid)


class _ImageStream(_Stream):
    """``product_images``: valid records are kept, others are rejected."""

    def __init__(self, name: str, restore_input: RestoreInput, validator: RecordValidator, warned: set[str]) -> None:
        super().__init__(name, restore_input)
        self._validator = validator
        self._warned = warned  # columns

    def add(self, record: Record, version: object) -> None:
        valid = self._validator.validate(record)
        try:
            if valid is None:
                self._restore_input.reject(record, self._validator.explain(record))
                return
            self._restore_input.add(valid, version if type(version) is int else None)
        except (orjson.JSONEncodeError, RecursionError) as error:
            raise _nested_too_deeply("a RECORD") from error
        # Each column is named once whose invalid values are not used.
        for column in self._validator.ignored if valid is not record else ():
            if column not in self._warned:
                self._warned.add(column)
                logger.warning(
                    "%s: %s of image %s of product %s is invalid (%s) and counts as null, as it does wherever it is "
                    "invalid: a restore does not need it.",
                    self._name,
                    column,
                    valid["id"],
                    valid["product_id"],
                    shortened(repr(record.get(column))),
                )

    def activate_version(self, version: int) -> None:
        self._restore_input.apply_activate_version(version)


def _check_depth(content: Message, message: str) -> None:
    """Keep from the SDK, which recurses, what is nested without end."""
    if jsonl.is_deep(content):
        raise _nested_too_deeply(message)


def _nested_too_deeply(message: str) -> InvalidInput:
    return InvalidInput(f"{message} that is nested too deeply: more than {jsonl.MAX_DEPTH} levels")
