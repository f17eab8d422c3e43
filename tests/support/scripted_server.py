"""A server that says exactly what a test wants it to say, byte by byte, on a real socket."""

from __future__ import annotations

import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.client import parse_headers
from io import BufferedReader
from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlsplit

import orjson

from bc_images.settings import Settings

TOKEN = "s3cr3t-token"


@dataclass(frozen=True)
class Request:
    """What arrived."""

    method: str
    target: str
    headers: Message
    body: bytes
    number: int  # 1 for the server's first

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(self.target).query).items()}


@dataclass(frozen=True)
class Reply:
    """What is sent back; `close` ends the connection afterwards without having announced it."""

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    close: bool = False
    length: int | None = None  # what Content-Length claims, where that is not the truth

    def encoded(self) -> bytes:
        length = len(self.body) if self.length is None else self.length
        headers = {"Content-Type": "application/json", "Content-Length": str(length), **self.headers}
        lines = [f"HTTP/1.1 {self.status} Whatever", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body


def says(value: object, status: int = 200, **headers: str) -> Reply:
    """Return a JSON answer; a header's name is written with underscores."""
    return Reply(status, orjson.dumps(value), {name.replace("_", "-"): said for name, said in headers.items()})


@dataclass(frozen=True)
class Raw(Reply):
    """Exactly these bytes, then the end of the connection."""

    close: bool = True

    def encoded(self) -> bytes:
        return self.body


DROP = Reply(close=True, length=-1)
"""Close the connection without a word."""

Handler: TypeAlias = Callable[[Request], Reply]


class Server(socketserver.ThreadingTCPServer):
    """Answers by `handle` and remembers what arrived."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, handle: Handler, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.handle = handle
        self.requests: list[Request] = []
        self.connections = 0
        self.lock = threading.Lock()
        self.tls = tls
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.server_address[1]}"

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        with self.lock:
            self.connections += 1
        return connection, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves is what some tests are about."""


class _Connection(socketserver.BaseRequestHandler):
    server: Server

    def handle(self) -> None:
        connection: socket.socket = self.request
        if self.server.tls:
            try:
                connection = self.server.tls.wrap_socket(connection, server_side=True)
            except (ssl.SSLError, OSError):
                return
        with connection, connection.makefile("rb") as stream:
            while request := self._read(stream, connection):
                reply = self.server.handle(request)
                if reply is DROP:
                    return
                connection.sendall(reply.encoded())
                if reply.close or "Connection" in reply.headers:
                    return

    def _read(self, stream: BufferedReader, connection: socket.socket) -> Request | None:
        line = stream.readline().decode("latin-1").split()
        if len(line) != 3:
            if line:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            return None
        headers = parse_headers(stream)
        body = stream.read(int(headers["Content-Length"] or 0))
        with self.server.lock:
            request = Request(line[0], line[1], headers, body, len(self.server.requests) + 1)
            self.server.requests.append(request)
        return request


@contextmanager
def serving(handle: Handler, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Run a server until the block ends."""
    with Server(handle, tls) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def unused_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def settings(url: str, **config: Any) -> Settings:
    """Return settings for a store at `url`."""
    return Settings.from_config(
        {"store_hash": "abc", "access_token": TOKEN, "api_url": url, "store_url": url, "request_timeout": 10}
        | {"allow_other_api_host": True}
        | config
    )
