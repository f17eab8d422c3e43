"""Files on their way into the store: fetched from a URL or sent, checked, and perhaps recompressed."""

from __future__ import annotations

import asyncio
import http.client
import ipaddress
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final
from urllib.error import URLError
from urllib.parse import unquote, urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from bigcommerce_sandbox import media
from bigcommerce_sandbox.image_rules import Upload

if TYPE_CHECKING:
    from email.message import Message
    from typing import IO

    from bigcommerce_sandbox.flags import Flags

URL_MAX: Final = 255

# Two pools, because a fetch may wait for a picture that this very server has to draw.
FETCHERS: Final = ThreadPoolExecutor(16, "sandbox-fetch")
PAINTERS: Final = ThreadPoolExecutor(2, "sandbox-picture")


class Unfetchable(Exception):
    """The resource at a URL cannot be downloaded, or may not be."""


class TooLarge(Exception):
    """The file has more bytes than the store accepts."""


def is_url(text: str) -> bool:
    """Whether this is a URL rather than a path in the import directory."""
    return text[:7].lower() == "http://" or text[:8].lower() == "https://"


def _check_host(url: str) -> None:
    """Only loopback hosts, by name or number, and never through a resolver: a sandbox calls nobody."""
    try:
        host = urlsplit(url).hostname or ""
        local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    if not local or not is_url(url):
        raise Unfetchable(url)


class _Redirects(HTTPRedirectHandler):
    max_redirections = 3

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> Request | None:
        _check_host(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


_OPENER: Final = build_opener(ProxyHandler({}), _Redirects)


def _fetch(url: str, limit: int, timeout: float) -> bytes:
    _check_host(url)
    try:
        request = Request(url, headers={"User-Agent": "BigCommerce sandbox"})  # noqa: S310  (checked above)
        with _OPENER.open(request, timeout=timeout) as response:
            content: bytes = response.read(limit + 1)
            expected = response.headers.get("content-length")
    except (URLError, OSError, ValueError, http.client.HTTPException) as error:
        raise Unfetchable(url) from error
    if len(content) > limit:
        raise TooLarge
    if expected is not None and expected.isdecimal() and len(content) < int(expected):
        raise Unfetchable(url)
    return content


async def fetch(url: str, flags: Flags) -> tuple[str, bytes]:
    """Download an image URL as the store would; (file name, bytes). Raises `Unfetchable` or `TooLarge`."""
    loop = asyncio.get_running_loop()
    content = await loop.run_in_executor(FETCHERS, _fetch, url, flags.max_file_bytes, flags.fetch_timeout_ms / 1000)
    return unquote(urlsplit(url).path).rpartition("/")[2] or "image", content


async def accept(name: str, content: bytes, flags: Flags) -> Upload:
    """Check a file's size and type. Raises `TooLarge` or `media.NotAPicture`."""
    if len(content) > flags.max_file_bytes:
        raise TooLarge
    loop = asyncio.get_running_loop()
    kind = await loop.run_in_executor(PAINTERS, media.inspect, content)
    if flags.recompress_uploads == "on":
        content = await loop.run_in_executor(PAINTERS, media.recompress, content)
        kind = await loop.run_in_executor(PAINTERS, media.inspect, content)
    return Upload(name, kind, content)
