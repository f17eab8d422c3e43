"""Reads the body of a response: decompressed piece by piece, of bounded size, in bounded memory.

A few megabytes of gzip can inflate to as many gigabytes. What exceeds the bound is refused before it is in memory:
all but small bodies are kept in a temporary file until their end is reached.
"""

from __future__ import annotations

import http.client
import re
import tempfile
import zlib
from collections.abc import Iterator

import requests

from bc_images.bigcommerce.exchange import Exchange
from bc_images.decompression import inflated

__all__ = ["MAX_BODY", "BodyTooLarge", "UnexpectedEncoding", "read_body"]

MAX_BODY = 1024**3  # bytes, as sent and inflated; a page of 250 products with 1,000 images each has about 200 MB
IN_MEMORY = 8 * 1024**2  # bytes above which a body is kept in a temporary file until it is complete


class BodyTooLarge(Exception):
    """The body is larger than `MAX_BODY`."""


class UnexpectedEncoding(Exception):
    """The body has a Content-Encoding that was not asked for; its text is that encoding."""


def read_body(exchange: Exchange) -> bytes:
    """Return the body of a response, inflated where it is gzip or deflate.

    Raises:
        BodyTooLarge: it has more than `MAX_BODY` bytes, as sent or inflated.
        UnexpectedEncoding: it is neither.
        requests.exceptions.RequestException: it is damaged or truncated, or not complete in time.
        OSError: TMPDIR is full.
    """
    headers = exchange.response.headers
    length = headers.get("Content-Length", "")
    if re.fullmatch("[0-9]+", length) and (len(length) > 15 or int(length) > MAX_BODY):
        raise BodyTooLarge
    encoding = headers.get("Content-Encoding", "identity").strip().lower()
    chunks = _bounded(exchange.read())
    if encoding in {"gzip", "x-gzip", "deflate"}:
        chunks = _bounded(_inflated(chunks, is_gzip="gzip" in encoding))
    elif encoding not in {"identity", ""}:
        raise UnexpectedEncoding(encoding)
    with tempfile.SpooledTemporaryFile(IN_MEMORY) as file:
        for chunk in chunks:
            file.write(chunk)
        file.seek(0)
        return file.read()


def _bounded(chunks: Iterator[bytes]) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > MAX_BODY:
            raise BodyTooLarge
        yield chunk


def _inflated(chunks: Iterator[bytes], *, is_gzip: bool) -> Iterator[bytes]:
    try:
        yield from inflated(chunks, is_gzip=is_gzip)
    except zlib.error as error:
        raise requests.exceptions.ContentDecodingError from error
    except EOFError as error:
        raise requests.exceptions.ChunkedEncodingError(http.client.IncompleteRead(b"")) from error
