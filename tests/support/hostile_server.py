"""A server that sends whatever a test tells it to, for as long as anybody listens."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http.client import parse_headers
from typing import TypeAlias

Script: TypeAlias = Callable[[str], Iterable[bytes]]
"""Returns what is sent in answer to a request line; None in it stands for a pause of `Peer.pause` seconds."""


class Peer(socketserver.ThreadingTCPServer):
    """Answers each request by `script`, then closes the connection.

    Attributes:
        requests: the request lines, in order.
        stop: set, it ends every answer.
        pause: seconds between two pieces.
    """

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, script: Script, pause: float) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.script = script
        self.pause = pause
        self.requests: list[str] = []
        self.stop = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class _Connection(socketserver.BaseRequestHandler):
    server: Peer

    def handle(self) -> None:
        connection: socket.socket = self.request
        try:
            with connection.makefile("rb") as stream:
                line = stream.readline().decode("latin-1").strip()
                if not line:
                    return
                headers = parse_headers(stream)
                stream.read(int(headers["Content-Length"] or 0))
                self.server.requests.append(line)
                for piece in self.server.script(line):
                    connection.sendall(piece)
                    if self.server.stop.wait(self.server.pause):
                        return
        except OSError:  # the client has left, as it should
            return


@contextmanager
def peer(script: Script, pause: float = 0.0) -> Iterator[Peer]:
    """Run a server until the block ends."""
    with Peer(script, pause) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.stop.set()
            server.shutdown()
            thread.join()


def endless(head: bytes, piece: bytes) -> Script:
    """Send `head`, then `piece` again and again."""

    def script(_: str) -> Iterator[bytes]:
        yield head
        while True:
            yield piece

    return script


OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"

DRIPS: dict[str, Script] = {
    "status line": endless(b"HTTP/1.1 200 ", b"O"),
    "header line": endless(OK + b"X: ", b"x"),
    "header fields": endless(b"HTTP/1.1 100 Continue\r\n", b"X: 1\r\n"),
    "100 Continue": endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "102 Processing": endless(b"", b"HTTP/1.1 100 Continue\r\nX: 1\r\n\r\n"),
    "body": endless(OK + b"Content-Length: 100000\r\n\r\n", b" "),
    "body without length": endless(OK + b"\r\n", b" "),
    "chunks": endless(OK + CHUNKED, b"1\r\n \r\n"),
    "chunk extension": endless(OK + CHUNKED + b"1;", b"x"),
    "chunk size": endless(OK + CHUNKED, b"0"),
    "trailers": endless(OK + CHUNKED + b"2\r\n{}\r\n0\r\n", b"X: 1\r\n"),
    "gzip": endless(
        OK + b"Content-Encoding: gzip\r\n\r\n\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff", b"\x00\x00\x00\xff\xff"
    ),
}
"""Responses that never end, a little at a time; each read of the socket is answered soon."""
