"""The writer alone: whole lines, in order, whatever is between them."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from singer_sdk.singerlib import ActivateVersionMessage, RecordMessage, SchemaMessage, StateMessage

from bc_images.cli.exit import OutputClosedError
from bc_images.errors import FatalError
from bc_images.singer.writer import BufferedWriter, RecordTemplate


class Pipe(io.RawIOBase):
    """Takes a little at a time, as a pipe does, and breaks where it is told to."""

    def __init__(self, error: OSError | None = None, most: int = 1000) -> None:
        self.taken = b""
        self.error = error
        self.most = most
        self.during: Any = None

    def writable(self) -> bool:
        return True

    def write(self, block: Any) -> int:
        if self.error is not None and self.taken:
            raise self.error
        if self.during:
            self.during()
        piece = bytes(block)[: self.most]
        self.taken += piece
        return len(piece)


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Pipe:
    """What the writer takes for stdout."""
    pipe = Pipe()
    out = io.TextIOWrapper(io.BufferedWriter(pipe), encoding="utf-8")
    monkeypatch.setattr("bc_images.singer.writer.sys", SimpleNamespace(stdout=out))
    return pipe


RECORD = {"id": 1, "description": 'Größe 日本 🧦 \u2028 "x"\n', "none": None, "flag": True}


def fill(writer: BufferedWriter, number: int = 1) -> None:
    for _ in range(number):
        writer.write_record(RecordTemplate("s", 7), RECORD)


def test_a_plain_record_is_what_the_sdk_would_write(pipe: Pipe) -> None:
    writer = BufferedWriter()
    for version in (7, None):
        writer.write_record(RecordTemplate("s", version), RECORD)
        writer.write_message(
            RecordMessage(stream="s", record=RECORD, version=version, time_extracted=datetime.now(UTC))
        )
    writer.flush()
    lines = [json.loads(line) for line in pipe.taken.splitlines()]
    for ours, sdks in zip(lines[::2], lines[1::2], strict=True):
        assert datetime.fromisoformat(ours.pop("time_extracted")) <= datetime.fromisoformat(sdks.pop("time_extracted"))
        assert ours == sdks
        assert list(ours) == list(sdks)


def test_records_wait_and_other_messages_take_them_along(pipe: Pipe) -> None:
    writer = BufferedWriter()
    fill(writer, 3)
    assert pipe.taken == b""
    writer.write_message(StateMessage(value={"a": 1}))
    assert [json.loads(line)["type"] for line in pipe.taken.splitlines()] == ["RECORD"] * 3 + ["STATE"]
    writer.write_message(SchemaMessage("s", {"properties": {}}, ["id"]))
    writer.write_message(ActivateVersionMessage("s", 7))
    assert pipe.taken.count(b"\n") == 6


def test_many_records_go_out_in_blocks(pipe: Pipe) -> None:
    writer = BufferedWriter()
    fill(writer, 1000)
    assert len(pipe.taken) > 100_000
    assert pipe.taken.endswith(b"\n")
    writer.flush()
    assert pipe.taken.count(b"\n") == 1000


def test_what_orjson_does_not_know(pipe: Pipe) -> None:
    writer = BufferedWriter()
    record = {"a": Decimal("1.5"), "b": 10**30, "c": datetime(2025, 1, 1, tzinfo=UTC)}
    writer.write_message(RecordMessage(stream="s", record=record))
    writer.flush()
    assert json.loads(pipe.taken)["record"] == {"a": 1.5, "b": 10**30, "c": "2025-01-01T00:00:00+00:00"}


def test_an_in_memory_stdout(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr("bc_images.singer.writer.sys", SimpleNamespace(stdout=out))
    writer = BufferedWriter()
    fill(writer)
    writer.flush()
    assert json.loads(out.getvalue())["record"] == RECORD


@pytest.mark.parametrize(
    ("error", "raised"), [(BrokenPipeError(), OutputClosedError), (OSError(28, "No space left on device"), FatalError)]
)
def test_nothing_more_is_written_after_an_error(pipe: Pipe, error: OSError, raised: type[Exception]) -> None:
    writer = BufferedWriter()
    fill(writer, 100)
    pipe.error = error
    with pytest.raises(raised):
        writer.flush()
    before = pipe.taken
    pipe.error = None
    # Not even when there is room again: a STATE would speak for the records that were lost.
    writer.write_message(StateMessage(value={"a": 1}))
    fill(writer, 1000)
    assert pipe.taken == before


class TestLeave:
    def test_at_once_where_nothing_is_on_its_way(self, pipe: Pipe) -> None:
        writer = BufferedWriter()
        fill(writer)
        with pytest.raises(SystemExit) as left:
            writer.exit(143)
        assert left.value.code == 143
        writer.write_message(StateMessage(value={"a": 1}))  # by whoever cleans up
        assert pipe.taken == b""

    def test_after_the_block_that_is_on_its_way(self, pipe: Pipe) -> None:
        writer = BufferedWriter()
        fill(writer, 50)
        asked: list[bool] = []

        def signal_arrives() -> None:
            if not asked:
                asked.append(writer.writing)
                writer.exit(130)

        pipe.during = signal_arrives
        with pytest.raises(SystemExit) as left:
            writer.flush()
        assert left.value.code == 130
        assert asked == [True]
        writer.write_message(StateMessage(value={"a": 1}))
        assert pipe.taken.count(b"\n") == 50
        assert pipe.taken.endswith(b"\n")
