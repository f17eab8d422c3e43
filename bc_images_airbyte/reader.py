"""Airbyte messages in, Singer messages out: the ear of the destination."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import IO, Any, NamedTuple

from bc_images import jsonl
from bc_images.errors import InvalidInput
from bc_images.singer.reader import LineReader

__all__ = ["AirbyteReader", "Stream"]

Callbacks = dict[str, Callable[[dict[str, Any]], None]]


class Stream(NamedTuple):
    """A stream of the configured catalog; one that `overwrites` stands for all that the store should have."""

    name: str
    namespace: str | None
    overwrites: bool


class AirbyteReader(LineReader):
    """Hands each record to the target as it came, and keeps every STATE for later.

    COMPLETE, at the end of a stream that overwrites, is the mark of a complete sweep.
    """

    advice = "nothing was written to the store. Check the source."

    def __init__(self) -> None:
        self.states: list[bytes] = []
        """Every STATE message, as it came."""
        self._streams: dict[str, Stream] = {}

    def expect(self, streams: Sequence[Stream]) -> None:
        """Say which streams will come."""
        self._streams = {stream.name: stream for stream in streams}

    def process_lines(self, file_input: IO[bytes] | None, callbacks: Callbacks) -> Counter[str]:
        """Hand each message on; return how many there were of each."""
        counts: Counter[str] = Counter()
        for stream in self._streams:
            schema = {"type": "SCHEMA", "stream": stream, "schema": {"properties": {}}, "key_properties": []}
            callbacks["SCHEMA"](schema)
        source = self.default_input if file_input is None else file_input
        for number, line, content in jsonl.messages(source, self.input_name, self.advice):
            self.is_empty = False
            try:
                message = self._translate(line, content)
            except (KeyError, TypeError, AttributeError) as error:
                raise self.invalid(number, "is no Airbyte message") from error
            try:
                if message is not None:
                    counts[message["type"]] += 1
                    callbacks[message["type"]](message)
            except InvalidInput as error:
                raise InvalidInput(f"Line {number} of the input: {error}") from error
        return counts

    def _translate(self, line: bytes, message: dict[str, Any]) -> dict[str, Any] | None:
        """Return what a message means in Singer; None for what means nothing to a target, such as a log message."""
        match message["type"]:
            case "RECORD":
                record = message["record"]
                if not isinstance(record["stream"], str):
                    raise TypeError
                return {"type": "RECORD", "stream": record["stream"], "record": record["data"]}
            case "STATE":
                self.states.append(line)
                return {"type": "STATE", "value": {"airbyte": len(self.states)}}
            case "TRACE" if message["trace"]["type"] == "STREAM_STATUS":
                told = message["trace"]["stream_status"]
                stream = self._streams.get(told["stream_descriptor"]["name"])
                if told["status"] == "COMPLETE" and stream is not None and stream.overwrites:
                    return {"type": "ACTIVATE_VERSION", "stream": stream.name, "version": 1}
        return None
