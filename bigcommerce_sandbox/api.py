"""What V2 and V3 share: the call, the route table, reading bodies, page and limit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from python_multipart.multipart import parse_options_header
from starlette.formparsers import MultiPartException, MultiPartParser

from bigcommerce_sandbox.cdn import Cdn
from bigcommerce_sandbox.constants import READ_ONLY_TOKEN, TOKEN, UNSCOPED_TOKEN
from bigcommerce_sandbox.responses import ApiError, Reply

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
    from pathlib import Path

    from starlette.datastructures import FormData, Headers
    from starlette.requests import Request

    from bigcommerce_sandbox.flags import Flags
    from bigcommerce_sandbox.image_rules import Rules
    from bigcommerce_sandbox.state import State

READ_METHODS: Final = frozenset({"GET"})
KNOWN_TOKENS: Final = frozenset({TOKEN, READ_ONLY_TOKEN, UNSCOPED_TOKEN})
DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 250
MAX_BODY: Final = 16 * 1024 * 1024  # V2's "text" has about 16 MB at most (v2-conventions-2017.md, data types)
ID_DIGITS: Final = 18
BIGGEST: Final = 2**62  # keeps page arithmetic within SQLite's integers


@dataclass(frozen=True, slots=True)
class StoreContext:
    """What every handler works on."""

    state: State
    flags: Flags
    rules: Rules
    import_directory: Path
    url: str
    cdn: Cdn = field(default_factory=Cdn)


@dataclass(slots=True)
class Call:
    """One API request on its way to a handler.

    ``path`` is what follows the version, without extension;
    ``discard`` asks the handler to answer as usual and undo what it wrote (fault ``n``).
    """

    context: StoreContext
    request: Request
    headers: Headers
    method: str
    path: str
    discard: bool = False
    ids: dict[str, int] = field(default_factory=dict)

    def query(self) -> dict[str, str]:
        """The query parameters; of repeated ones the last counts."""
        text = self.request.scope["query_string"]
        if not text:
            return {}
        try:
            return dict(parse_qsl(text.decode("latin-1"), keep_blank_values=True, max_num_fields=200))
        except ValueError as error:
            raise ApiError(400, "The query string has too many parameters.") from error

    @property
    def media_type(self) -> str:
        """The Content-Type without parameters, in lower case; empty when there is none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    async def body(self) -> bytes:
        """The whole request body; 413 beyond 16 MB, so that nothing can fill the memory."""
        parts: list[bytes] = []
        size = 0
        async for part in self.request.stream():
            size += len(part)
            if size > MAX_BODY:
                raise ApiError(413, "The request body is too large.", headers=((b"connection", b"close"),))
            parts.append(part)
        return b"".join(parts)

    async def form(self, status: int) -> FormData:
        """A multipart body; a broken one is refused with ``status``."""
        content = await self.body()
        boundary = parse_options_header(self.headers.get("content-type", ""))[1].get(b"boundary", b"")
        if not boundary or b"--" + boundary + b"--" not in content:  # the parser does not mind a missing end
            raise ApiError(status, "The multipart body is malformed.")

        async def chunks() -> AsyncGenerator[bytes]:
            yield content
            yield b""

        try:
            return await MultiPartParser(self.headers, chunks(), max_files=20, max_fields=100).parse()
        except (MultiPartException, KeyError, UnicodeDecodeError, ValueError) as error:
            raise ApiError(status, "The multipart body is malformed.") from error


@dataclass(frozen=True, slots=True)
class Route:
    """A path below the version, its handlers by method, and the methods that only the real store has."""

    pattern: str
    handlers: Mapping[str, Callable[[Call], Awaitable[Reply]]]
    elsewhere: frozenset[str] = frozenset()

    @property
    def allow(self) -> bytes:
        """Value of the Allow header."""
        return ", ".join(sorted({*self.handlers, *self.elsewhere})).encode()


class Routes:
    """Finds routes by their segments; earlier routes win."""

    def __init__(self, routes: list[Route]) -> None:
        self.all = routes
        self._by_length: dict[int, list[tuple[list[str], Route]]] = {}
        for route in routes:
            segments = route.pattern.strip("/").split("/")
            self._by_length.setdefault(len(segments), []).append((segments, route))

    def find(self, path: str) -> tuple[Route, dict[str, str]] | None:
        """The route of a path and its parameters, as text; None for a path that is not emulated."""
        parts = path[1:].split("/")
        for segments, route in self._by_length.get(len(parts), ()):
            parameters: dict[str, str] = {}
            for segment, part in zip(segments, parts, strict=True):
                if segment[0] == "{":
                    parameters[segment[1:-1]] = part
                elif segment != part:
                    break
            else:
                return route, parameters
        return None


def path_id(text: str) -> int | None:
    """An id in a path; None when it is not one."""
    if text.isascii() and text.isdecimal() and len(text) <= ID_DIGITS:
        return int(text)
    return None


def integer(text: str) -> int | None:
    """An integer in a query, at most 18 digits; None when it is not one."""
    digits = text[1:] if text[:1] in ("-", "+") else text
    if digits.isascii() and digits.isdecimal():
        return int(text) if len(digits) <= ID_DIGITS else (-BIGGEST if text[0] == "-" else BIGGEST)
    return None


def paging(query: Mapping[str, str], flags: Flags, bad: Callable[[str], ApiError]) -> tuple[int, int]:
    """(page, limit) of a query; ``bad`` makes the refusal of a value that is no integer.

    Anything below 1 counts as 1 (assumed). A limit over 250 is 413 (v2-conventions-2017.md, status codes) or is
    cut to 250, by the flag ``limit_over_max``.
    """
    values = []
    for name, default in (("page", 1), ("limit", DEFAULT_LIMIT)):
        value: int | None = default
        if name in query:
            value = integer(query[name])
        if value is None:
            raise bad(name)
        values.append(max(1, value))
    page, limit = values
    if limit > MAX_LIMIT:
        if flags.limit_over_max == "413":
            raise ApiError(413, f"The limit parameter exceeds the maximum of {MAX_LIMIT}.")
        limit = MAX_LIMIT
    return min(page, BIGGEST // 1000), limit
