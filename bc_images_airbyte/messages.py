"""Airbyte messages as lines of JSON, built with the protocol's published models."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from typing import Any, TypeAlias

import orjson
from airbyte_protocol_dataclasses.models import (
    AirbyteCatalog,
    AirbyteConnectionStatus,
    AirbyteErrorTraceMessage,
    AirbyteMessage,
    AirbyteRecordMessage,
    AirbyteStateMessage,
    AirbyteStateStats,
    AirbyteStateType,
    AirbyteStreamState,
    AirbyteStreamStatus,
    AirbyteStreamStatusTraceMessage,
    AirbyteTraceMessage,
    ConnectorSpecification,
    FailureType,
    StreamDescriptor,
    TraceType,
    Type,
)

from bc_images.errors import AuthError, BcImagesError, PartialFailure, SettingsError, StoreSuspended, StoreUnreachable

__all__ = [
    "around_records",
    "catalog",
    "connection_status",
    "emit",
    "emit_raw",
    "error",
    "line",
    "specification",
    "state",
    "status",
]

Json: TypeAlias = dict[str, Any]

# What helps: another setting, or the same again later. All else is for us to look at.
_FAILURES: tuple[tuple[tuple[type[BcImagesError], ...], FailureType], ...] = (
    ((SettingsError, AuthError), FailureType.config_error),
    ((StoreUnreachable, StoreSuspended, PartialFailure), FailureType.transient_error),
)


def line(message: AirbyteMessage) -> bytes:
    """Return a message as one line; what is not set is left out, but a record's own nulls stay."""
    return orjson.dumps(asdict(message, dict_factory=_set_ones), option=orjson.OPT_APPEND_NEWLINE)


def _set_ones(pairs: list[tuple[str, Any]]) -> Json:
    return {name: value for name, value in pairs if value is not None}


def emit(message: AirbyteMessage) -> None:
    """Write a message to stdout."""
    sys.stdout.write(line(message).decode())
    sys.stdout.flush()


def emit_raw(message: bytes) -> None:
    """Write a message to stdout that is a line already."""
    sys.stdout.write(message.decode().rstrip("\n") + "\n")
    sys.stdout.flush()


def now() -> int:
    """Return the time as the protocol wants it: milliseconds since 1970."""
    return time.time_ns() // 1_000_000


_MARK = "\0"


def around_records(stream: str) -> tuple[bytes, bytes]:
    """Return what stands before and after the data of each record of a stream, from now on until called again."""
    record = AirbyteRecordMessage(stream=stream, data={_MARK: None}, emitted_at=now())
    before, after = line(AirbyteMessage(type=Type.RECORD, record=record)).split(orjson.dumps({_MARK: None}))
    return before, after


def state(stream: str, value: Json, records: int) -> AirbyteMessage:
    """Return where a stream stands, `records` records after its last state."""
    stream_state = AirbyteStreamState(StreamDescriptor(stream), value)  # type: ignore[arg-type] # a blob is any object
    stats = AirbyteStateStats(recordCount=float(records))
    return AirbyteMessage(
        type=Type.STATE, state=AirbyteStateMessage(type=AirbyteStateType.STREAM, stream=stream_state, sourceStats=stats)
    )


def status(stream: str, what: AirbyteStreamStatus) -> AirbyteMessage:
    """Return how far a stream is: STARTED, RUNNING, COMPLETE or INCOMPLETE."""
    stream_status = AirbyteStreamStatusTraceMessage(StreamDescriptor(stream), what)
    return _trace(AirbyteTraceMessage(type=TraceType.STREAM_STATUS, emitted_at=now(), stream_status=stream_status))


def error(raised: BaseException, message: str) -> AirbyteMessage:
    """Return the trace of what ended a run; `message` is for the user, and holds no secret."""
    kind = next((kind for types, kind in _FAILURES if isinstance(raised, types)), FailureType.system_error)
    trace = AirbyteErrorTraceMessage(message=message, internal_message=type(raised).__name__, failure_type=kind)
    return _trace(AirbyteTraceMessage(type=TraceType.ERROR, emitted_at=now(), error=trace))


def _trace(trace: AirbyteTraceMessage) -> AirbyteMessage:
    return AirbyteMessage(type=Type.TRACE, trace=trace)


def specification(spec: ConnectorSpecification) -> AirbyteMessage:
    """Return the answer to ``spec``."""
    return AirbyteMessage(type=Type.SPEC, spec=spec)


def connection_status(status: AirbyteConnectionStatus) -> AirbyteMessage:
    """Return the answer to ``check``."""
    return AirbyteMessage(type=Type.CONNECTION_STATUS, connectionStatus=status)


def catalog(streams: AirbyteCatalog) -> AirbyteMessage:
    """Return the answer to ``discover``."""
    return AirbyteMessage(type=Type.CATALOG, catalog=streams)
