"""A file host that does what a test tells it to, byte for byte: good and bad ones alike."""

from __future__ import annotations

import socket
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self, TypeAlias

Answer: TypeAlias = "Callable[[BaseHTTPRequestHandler], None]"


@dataclass(frozen=True, slots=True)
class Request:
    """What the host saw."""

    path: str
    headers: dict[str, str]
    method: str


@dataclass
class Host:
    """Serves on loopback. The answers of a path are given one after the other; the last one stays."""

    routes: dict[str, list[Answer]] = field(default_factory=lambda: defaultdict(list))
    seen: list[Request] = field(default_factory=list)
    otherwise: Answer = field(default_factory=lambda: status(404))
    """What all other paths answer."""

    def on(self, path: str, *answers: Answer) -> None:
        """Say how a path answers."""
        self.routes[path] = list(answers)

    def __enter__(self) -> Self:
        host = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                host.seen.append(Request(self.path, headers, self.command))
                answers = host.routes.get(self.path) or [host.otherwise]
                (answers.pop(0) if len(answers) > 1 else answers[0])(self)

            do_PUT = do_DELETE = do_GET  # noqa: N815 - the base class names them so

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, request: object, client_address: object) -> None:
                """A client that leaves is what some tests want."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def paths(self) -> list[str]:
        """The paths that were asked for, in order."""
        return [request.path for request in self.seen]


def closed_port() -> int:
    """A port of this machine at which nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port: int = unused.getsockname()[1]
        return port


def _begin(handler: BaseHTTPRequestHandler, code: int, headers: dict[str, str]) -> None:
    handler.send_response(code)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()


def content(body: bytes, **headers: str) -> Answer:
    """The whole file, or the part that is asked for when it still is the same one."""
    shown = {"Content-Type": "image/png", "ETag": '"one"', "Accept-Ranges": "bytes"} | headers

    def answer(handler: BaseHTTPRequestHandler) -> None:
        wanted = handler.headers.get("Range")
        if wanted is None or handler.headers.get("If-Range") != shown["ETag"]:
            _begin(handler, 200, {**shown, "Content-Length": str(len(body))})
            handler.wfile.write(body)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-"))
        extent = {
            "Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}",
            "Content-Length": str(len(body) - start),
        }
        _begin(handler, 206, {**shown, **extent})
        handler.wfile.write(body[start:])

    return answer


def cut(body: bytes, after: int, **headers: str) -> Answer:
    """Promises the whole file and closes the connection after some bytes."""
    shown = {"Content-Type": "image/png", "ETag": '"one"', "Accept-Ranges": "bytes"} | headers

    def answer(handler: BaseHTTPRequestHandler) -> None:
        _begin(handler, 200, {**shown, "Content-Length": str(len(body))})
        handler.wfile.write(body[:after])
        handler.close_connection = True

    return answer


def raw(text: bytes) -> Answer:
    """Exactly these bytes, head and all; then the connection is closed."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(text)
        handler.close_connection = True

    return answer


def status(code: int, **headers: str) -> Answer:
    """A status without a file."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        _begin(handler, code, {"Content-Length": "0", **names})

    return answer


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    """Close the connection without a word."""
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def drip(body: bytes, every: float, stop: threading.Event) -> Answer:
    """The file, a byte at a time."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        _begin(handler, 200, {"Content-Type": "image/png", "Content-Length": str(len(body))})
        for byte in body:
            if stop.wait(every):
                break
            handler.wfile.write(bytes([byte]))
        handler.close_connection = True

    return answer


def hold(stop: threading.Event) -> Answer:
    """No answer at all until the test is over."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        stop.wait(30)
        handler.close_connection = True

    return answer
