"""Airbyte messages in, Singer messages out: the reader of the destination."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import IO, NamedTuple

from bc_images import jsonl
from bc_images.singer.reader import Message, MessageSource, standard_input

__all__ = ["AirbyteSource", "Stream"]


class Stream(NamedTuple):
    """A stream of the configured catalog; one that `overwrites` stands for all that the store should have."""

    name: str
    namespace: str | None
    overwrites: bool


class AirbyteSource(MessageSource):
    """Airbyte's messages, each as the Singer message that means the same.

    A SCHEMA for each configured stream comes first, unless there is no message at all. COMPLETE, at the end of a
    stream that overwrites, becomes ACTIVATE_VERSION.

    Attributes:
        states: every STATE message, as it came.
    """

    def __init__(self, file: IO[bytes] | None, streams: Sequence[Stream]) -> None:
        super().__init__("the input", "nothing was written to the store. Check the source.")
        self._file = standard_input() if file is None else file
        self._streams = {stream.name: stream for stream in streams}
        self.states: list[bytes] = []

    def __iter__(self) -> Iterator[tuple[int, bytes, Message]]:
        schemas = [
            {"type": "SCHEMA", "stream": stream, "schema": {"properties": {}}, "key_properties": []}
            for stream in self._streams
        ]
        for number, line, content in jsonl.messages(self._file, self.name, self._advice):
            for schema in schemas:  # before the first message: an empty input stays empty
                yield number, line, schema
            schemas.clear()
            try:
                message = self._translate(line, content)
            except (KeyError, TypeError, AttributeError) as error:
                raise self.invalid(number, "is not an Airbyte message") from error
            if message is not None:
                yield number, line, message

    def _translate(self, line: bytes, message: Message) -> Message | None:
        """Return the Singer message that means the same; None for what a target has no use for, such as a log."""
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
                status = message["trace"]["stream_status"]
                stream = self._streams.get(status["stream_descriptor"]["name"])
                if status["status"] == "COMPLETE" and stream is not None and stream.overwrites:
                    return {"type": "ACTIVATE_VERSION", "stream": stream.name, "version": 1}
        return None
