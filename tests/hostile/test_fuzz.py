"""Bytes at random for every parser that takes them from outside: each is taken, or refused with one of our errors.

Every input has a number, and is made from the seed, the name of the parser and its number alone, so that a failure
can be repeated by itself.
"""

from __future__ import annotations

import logging
import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bc_images.errors import BcImagesError
from tests.support.mutation import mutated
from tests.support.parsers import PARSERS

SEED = 10
QUICK = 100  # inputs for each parser
SLOW = 100_000  # inputs for all of them together
DEADLINE = 5.0  # seconds of processor time for one input

_LOCK = (
    b'{"host": %s, "machine": "m", "pid": 1, "started": "2024-01-01T00:00:00+00:00", '
    b'"renewed": "2024-01-01T00:00:00+00:00"}'
)
EXAMPLES: dict[str, dict[str, bytes]] = {
    "API V2: images of a product": {"an id that is a list": b'200\r\n\r\n[{"id": []}]'},
    "API V3: one image": {
        "a page of comments": b"403\r\n\r\n" + b"<!---->" * 500,
        "a reason of one long word": b'422\r\n\r\n{"title": "' + b"a" * 65_000 + b'"}',
        "a reason of addresses": b'422\r\n\r\n{"title": "' + b"http://" * 9_000 + b'"}',
    },
    "rate-limit headers and Retry-After": {
        "a date with an endless year": b"503\r\nRetry-After: Wed, 21 Oct 2015 07:28:00 GMT\r\nDate: Wed, 21 Oct "
        + b"9" * 20
        + b" 07:28:00 GMT\r\n\r\n",
    },
    "WebDAV responses": {"a scheme without end": b"401\r\nWWW-Authenticate: " + b"a" * 5000 + b"\r\n\r\n"},
    "WebDAV challenges": {
        "no nonce": b'401\r\nWWW-Authenticate: Digest realm="dav"\r\n\r\n',
        "no values": b"401\r\nWWW-Authenticate: Digest realm, nonce\r\n\r\n",
    },
    "heads of pictures": {"comments alone": b"/**/" * 1000},
    "headers of picture hosts": {"one long word": b"200\r\nCf-Polished: " + b"a" * 65_000 + b"\r\n\r\n"},
    "names of objects": {"no UTF-8": b"refs/sandbox/\xb1=" + b"a" * 64 + b"=10=png=original"},
    "locks": {
        "a host without end": _LOCK % (b'"' + b"a" * 5000 + b'"'),
        "a host that is a list": _LOCK % (b"[" + b"1," * 5000 + b"1]"),
    },
    "state": {
        "a scan without end": b'{"bookmarks": {"products": {"full_table": "' + b"a" * 5000 + b'"}}}',
        "nested too deeply": b"[" * 100_000,
    },
    "catalog": {"nested too deeply": b"[" * 100_000},
    "settings": {
        "nested too deeply": b"[" * 100_000,
        "a name without end": b'{"' + b"a" * 5000 + b'": 1}',
        "a value without end": b'{"mode": "' + b"a" * 5000 + b'"}',
    },
    "environment": {
        "nested too deeply": b"PRODUCT_IDS=" + b"[" * 100_000,
        "a secret that is no UTF-8": b"ACCESS_TOKEN=to\xeben\n",
    },
    "reports": {
        "a product that is a list": b'{"status": "failed", "product_id": []}\n{"summary": {}}\n',
        "an image of the store with another's": b'{"status": "failed", "is_sibling": true, '
        b'"record": {"store_hash": [], "id": 1}}\n{"summary": {}}\n',
        "a difference of nothing": b'{"status": "done", "differences": [{}]}\n{"summary": {}}\n',
    },
    "Airbyte messages": {"a stream that is a list": b'{"type": "RECORD", "record": {"stream": [], "data": {}}}\n'},
    "Airbyte catalog": {
        "a name that is a list": b'{"streams": [{"stream": {"name": []}, "sync_mode": "incremental"}]}',
        "a schema that is a list": b'{"streams": [{"stream": {"name": "products", "json_schema": [1]}, '
        b'"sync_mode": "incremental"}]}',
    },
}
"""The smallest inputs that once failed, by parser and by what was wrong."""


@pytest.fixture(autouse=True)
def _nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "XDG_STATE_HOME", "TMPDIR"):
        monkeypatch.setenv(name, str(tmp_path))
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)
    assert not [*tmp_path.rglob("*")]


@contextmanager
def _deadline() -> Iterator[None]:
    """End what takes more processor time than any input may; where the system has no such clock, nothing does."""
    if not hasattr(signal, "setitimer"):
        yield
        return

    def expired(*_: object) -> None:
        raise AssertionError(f"not done after {DEADLINE} s of processor time")

    before: Any = signal.signal(signal.SIGVTALRM, expired)
    signal.setitimer(signal.ITIMER_VIRTUAL, DEADLINE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _check(name: str, data: bytes, origin: str) -> None:
    parser, said = PARSERS[name], ""
    try:
        with _deadline():
            parser.parse(data)
    except parser.errors as error:
        said = str(error) if isinstance(error, BcImagesError) else ""
    except Exception as error:
        raise AssertionError(f"{name}, {origin}: {type(error).__name__} for {data[:2000]!r}") from error
    assert len(said) < 2000, f"{name}, {origin}: {said[:500]!r} and so on for {data[:2000]!r}"


def _check_many(name: str, count: int) -> None:
    for number in range(count):
        data = mutated(PARSERS[name].samples, random.Random(f"{SEED} {name} {number}"))
        _check(name, data, f"seed {SEED}, input {number}")


@pytest.mark.parametrize("name", PARSERS)
def test_a_sample_is_taken(name: str) -> None:
    """What the samples are about is really read: the first of them is not refused."""
    PARSERS[name].parse(PARSERS[name].samples[0])


@pytest.mark.parametrize(("name", "what"), [(name, what) for name, found in EXAMPLES.items() for what in found])
def test_an_input_that_once_failed(name: str, what: str) -> None:
    _check(name, EXAMPLES[name][what], what)


@pytest.mark.parametrize("name", PARSERS)
def test_some_inputs_at_random(name: str) -> None:
    _check_many(name, int(QUICK * min(1.0, PARSERS[name].share)))


@pytest.mark.slow
@pytest.mark.parametrize("name", PARSERS)
def test_many_inputs_at_random(name: str) -> None:
    shares = sum(parser.share for parser in PARSERS.values())
    _check_many(name, 1 + int(SLOW * PARSERS[name].share / shares))
