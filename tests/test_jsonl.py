"""Lines of JSON from outside: what is read, what is refused, and how much memory it may take."""

from __future__ import annotations

import gzip
import io
import json
import math
import os
import subprocess
import sys
import tracemalloc
import zlib
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bc_images import decompression, jsonl
from bc_images.errors import InvalidInput

packed = partial(gzip.compress, mtime=0)  # the same in every process of a run

GOOD = b'{"type":"SCHEMA"}\n{"type":"STATE"}\n'


def read(content: bytes, **named: Any) -> list[Any]:
    return [message for _, _, message in jsonl.messages(io.BytesIO(content), "the file", "nothing was done.", **named)]


@pytest.mark.parametrize(
    "content",
    [
        GOOD,
        GOOD.rstrip(),
        b"\xef\xbb\xbf" + GOOD,
        GOOD.replace(b"\n", b"\r\n\r\n"),
        packed(GOOD),
        packed(b"\xef\xbb\xbf" + GOOD),
        packed(packed(GOOD)),
        packed(GOOD[:18]) + packed(GOOD[18:]),
        packed(GOOD[:7]) + packed(GOOD[7:]) + bytes(512),
        GOOD[:18] + b"\xef\xbb\xbf" + GOOD[18:],
    ],
    ids=["plain", "no last break", "BOM", "CRLF", "gzip", "gzip and BOM", "twice", "members", "padded", "joined"],
)
def test_what_is_read(content: bytes) -> None:
    assert read(content) == [{"type": "SCHEMA"}, {"type": "STATE"}]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (GOOD.decode().encode("utf-16"), "The file is UTF-16 and not UTF-8: nothing was done."),
        (GOOD.decode().encode("utf-16-le"), "is UTF-16"),
        (GOOD.decode().encode("utf-16-be"), "is UTF-16"),
        (GOOD.decode().encode("utf-32"), "is UTF-32"),
        (packed(GOOD.decode().encode("utf-16")), "is UTF-16"),
        (b"PK\x03\x04 and more", "is compressed with zip"),
        (b"\x28\xb5\x2f\xfd and more", "is compressed with zstd"),
        (packed(GOOD)[:-5], "The file cannot be read (its end is missing): nothing was done."),
        (packed(GOOD) + b"more", "cannot be read"),
        (packed(GOOD * 99)[:40] + b"\xff" * 9 + packed(GOOD)[49:], "cannot be read"),
        (b"\x1f\x8b", "cannot be read"),
        (GOOD + b"[1]\n", "Line 3 of the file is not a Singer message: nothing was done."),
        (GOOD + b"nonsense\n", "Line 3 of the file is not valid JSON: nothing was done."),
        (GOOD + b'{"type": "REC', "Line 3 of the file is truncated: nothing was done."),
        (GOOD + b'{"type": Infinity}\n', "Line 3 of the file is not valid JSON"),
        (GOOD + b"[" * 100_000 + b"]" * 100_000 + b"\n", "Line 3 of the file is nested too deeply"),
        (GOOD + b'{"a":' * 2000, "Line 3 of the file is nested too deeply"),
        (GOOD + b"[" * 2000 + b"NaN" + b"]" * 2000 + b"\n", "Line 3 of the file is nested too deeply"),
        (GOOD + b"[" + b"{}," * 700_000 + b"1]\n", "Line 3 of the file holds more than 1,000,000 values"),
    ],
)
def test_what_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read(content)
    assert reason in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_a_path_is_named_as_it_is() -> None:
    for content in (b"\xff\xfe{", b"\x1f\x8b", b"x\n"):
        with pytest.raises(InvalidInput, match=r"(^|Line 1 of )backups/b\.singer "):
            list(jsonl.messages(io.BytesIO(content), "backups/b.singer", "x."))


def test_half_of_a_surrogate_pair_is_replaced_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    lines = [
        b'{"type": "RECORD", "record": {"id": 5, "description": "cat \\ud83d", "size": 1e2}}\n',
        b'{"type": "RECORD", "record": {"id": 6, "description": "\xed\xa0\xbd cat"}}\n',
        b'{"type": "RECORD", "record": {"id": 7, "description": "\\ud83d\\udc31 \\\\ud83d"}}\n',
    ]
    assert [message["record"] for message in read(b"".join(lines))] == [
        {"id": 5, "description": "cat \ufffd", "size": 100.0},
        {"id": 6, "description": "\ufffd cat"},
        {"id": 7, "description": "\N{CAT FACE} \\ud83d"},
    ]
    assert [record.getMessage() for record in caplog.records] == [
        f"Line {number} of the file: record, id {image}, description: a broken character, read as U+FFFD."
        for number, image in ((1, 5), (2, 6))
    ]


@pytest.mark.parametrize("number", ["1e999", "-1e999", "Infinity", "-Infinity", "1" + "0" * 400, "1" * 5000])
def test_a_number_beyond_all_measure_is_infinity_in_a_record(number: str) -> None:
    ((record,),) = (
        [message["record"] for message in read(f'{{"type": "RECORD", "record": {{"x": {number}}}}}'.encode())],
    )
    assert math.isinf(record["x"])
    with pytest.raises(InvalidInput, match="Line 1 of the file is not valid JSON"):
        read(f'{{"type": "STATE", "value": {number}}}\n'.encode())


def test_integers_are_what_they_are_in_any_other_line() -> None:
    numbers = "[0, -1, 18446744073709551615, 18446744073709551616, -9223372036854775808, -9223372036854775809, 1e2]"
    line = f'{{"type": "RECORD", "a": {numbers}, "b": '
    ours, orjsons = read(f"{line}NaN}}\n{line}null}}\n".encode())
    assert repr(ours) == repr(orjsons)


def test_another_encoding_is_refused() -> None:
    with pytest.raises(InvalidInput, match="Line 1 of the file is not UTF-8"):
        read(b'{"type": "RECORD", "record": {"description": "M\xfcller"}}\n')


def test_nan_is_null() -> None:
    assert read(b'{"type": "RECORD", "size": NaN, "text": "NaN"}\n') == [
        {"type": "RECORD", "size": None, "text": "NaN"}
    ]


def test_depth() -> None:
    content: Any = []
    for _ in range(jsonl.MAX_DEPTH - 1):
        content = {"a": content}
    assert not jsonl.is_deep(content)
    assert not jsonl.is_deep(json.dumps(content).encode())
    assert jsonl.is_deep([content])
    assert jsonl.is_deep(json.dumps([content]).encode())
    assert not jsonl.is_deep(b'{"a": "' + b"[" * 1000 + b'\\"' + b"{" * 1000 + b'"}')


class Slow(io.RawIOBase):
    """A pipe that gives a byte at a time, and notes how much was taken."""

    def __init__(self, content: bytes) -> None:
        self._left = content

    def read1(self, _: int) -> bytes:
        byte, self._left = self._left[:1], self._left[1:]
        return byte


@pytest.mark.parametrize("content", [GOOD, packed(GOOD), b"\xef\xbb\xbf" + GOOD])
def test_a_pipe_that_gives_little_at_a_time(content: bytes) -> None:
    found = [message for _, _, message in jsonl.messages(Slow(content), "the file", "x")]
    assert found == [{"type": "SCHEMA"}, {"type": "STATE"}]


class TestUndo:
    """An undo file may end in the middle of a line, where a run was killed; no other file may."""

    HALF = b'{"type":"SCHEMA"}\n{"type":"RECORD","rec'

    def test_by_its_name(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        path = tmp_path / "undo-20260102T030405.000000Z.singer"
        path.write_bytes(self.HALF)
        with path.open("rb") as file:
            assert [number for number, _, _ in jsonl.messages(file, "the undo", "x")] == [1]
        assert "Line 2 of the undo is truncated: everything before it counts." in caplog.text

    def test_by_its_first_message(self) -> None:
        assert len(read(self.HALF.replace(b'{"type"', b'{"undo":true,"type"', 1))) == 1

    def test_damage_in_the_middle_is_damage(self) -> None:
        with pytest.raises(InvalidInput, match="Line 2 of the file is not valid JSON"):
            read(b'{"undo":true,"type":"SCHEMA"}\n{"type":"REC\n' + GOOD)


def test_a_line_of_the_longest_length_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "MAX_LINE", 3 * 2**20)
    monkeypatch.setattr(jsonl, "_LARGE", 2**20)
    line = b'{"type":"' + b"x" * (3 * 2**20 - 12) + b'"}\n'
    assert len(line) == jsonl.MAX_LINE
    assert len(read(GOOD + line)) == 3
    with pytest.raises(InvalidInput, match="Line 3 of the file is longer than 3 MiB: nothing was done"):
        read(GOOD + line.replace(b"x", b"xx", 1))


def repeated(start: bytes, block: bytes, times: int) -> bytes:
    """Return gzip of a start and many equal blocks, compressed once; its checksum at the end is wrong."""
    deflate = zlib.compressobj(9, wbits=31)
    head = deflate.compress(start) + deflate.flush(zlib.Z_FULL_FLUSH)
    body = deflate.compress(block) + deflate.flush(zlib.Z_FULL_FLUSH)
    return head + body * times + deflate.flush()


def test_decompressing_takes_no_memory() -> None:
    blocks = decompression.inflated([repeated(b"", bytes(2**20), 64)])
    tracemalloc.start()
    try:
        sizes: list[int] = []
        with suppress(zlib.error):  # at its end
            sizes.extend(map(len, blocks))
        assert sum(sizes) > 63 * 2**20
        assert max(sizes) == 2**16
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


PEAK = """
import sys
from pathlib import Path
from bc_images import decompression, jsonl
from bc_images.errors import InvalidInput
try:
    for _ in jsonl.messages(sys.stdin.buffer, "the input", "x"):
        pass
except InvalidInput as error:
    print(error)
# Not ru_maxrss: that of a new process begins with the peak of the one that started it.
(peak,) = (line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
print(int(peak) // 1024)
"""


def test_a_line_of_three_gigabytes_in_three_megabytes(tmp_path: Path) -> None:
    """As a process of its own, whose memory is measured: two copies of the longest line, and Python."""
    path = tmp_path / "bomb.gz"
    path.write_bytes(repeated(b'{"type":"RECORD","record":{"a":"', b"a" * 2**25, 96))
    assert path.stat().st_size < 4_000_000
    with path.open("rb") as file:
        ended = subprocess.run(
            [sys.executable, "-c", PEAK], stdin=file, capture_output=True, text=True, check=True, env=dict(os.environ)
        )
    said, peak = ended.stdout.splitlines()
    assert said == "Line 1 of the input is longer than 64 MiB: x"
    assert int(peak) < 300
