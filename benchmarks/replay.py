"""A server that costs next to nothing: it answers a GET with the bytes that the sandbox gave the first time.

So no benchmark measures how fast the sandbox draws pictures or joins tables. ``POST /_replay?latency=50`` sets the
delay of each answer in milliseconds and begins to count anew; ``GET /_replay`` tells the counts. The address alone
decides what is answered: all clients ask for JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import signal
from functools import partial
from typing import cast
from urllib.parse import parse_qs, urlsplit

import uvloop

CONTROL = "/_replay"
PICTURES = "/product_images/"
_DROPPED = {"connection", "transfer-encoding", "content-length", "keep-alive"}


class Tape:
    """What was answered so far, and what is counted."""

    def __init__(self, upstream: str) -> None:
        self._host = urlsplit(upstream).netloc
        self._answers: dict[str, bytes] = {}
        self.rewind(0.0)

    def rewind(self, latency: float) -> None:
        """Delay each answer by so many seconds from now on, and count anew."""
        self.latency = latency
        self.requests = self.pictures = self.misses = 0

    def known(self, target: str) -> bytes | None:
        """Return the answer to a request, or None where the sandbox has to be asked."""
        self.requests += 1
        self.pictures += target.startswith(PICTURES)
        answer = self._answers.get(target)
        self.misses += answer is None
        return answer

    def ask(self, target: str, token: str) -> bytes:
        """Ask the sandbox, and remember what it says."""
        connection = http.client.HTTPConnection(self._host, timeout=60)
        connection.request("GET", target, headers={"X-Auth-Token": token, "Accept": "application/json"})
        answer = connection.getresponse()
        body = answer.read()
        kept = "".join(f"{name}: {value}\r\n" for name, value in answer.getheaders() if name.lower() not in _DROPPED)
        length = "" if answer.status == 204 else f"content-length: {len(body)}\r\n"
        connection.close()
        whole = f"HTTP/1.1 {answer.status} {answer.reason}\r\n{kept}{length}\r\n".encode("latin-1") + body
        self._answers[target] = whole
        return whole


class Connection(asyncio.Protocol):
    """One client, which waits for an answer before it sends its next request."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._received = b""
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop has a class of its own

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head, self._received = self._received[:end].decode("latin-1"), self._received[end + 4 :]
            self._answer(head)

    def _answer(self, head: str) -> None:
        method, target, _ = head.split("\r\n", 1)[0].split(" ")
        if target.startswith(CONTROL):
            self._write(self._control(method, target))
            return
        answer = self._tape.known(target)
        if answer is None:
            task = self._loop.run_in_executor(None, self._tape.ask, target, _header(head, "x-auth-token"))
            task.add_done_callback(lambda done: self._write(done.result()))
        elif self._tape.latency:
            self._loop.call_later(self._tape.latency, self._write, answer)
        else:
            self._write(answer)

    def _control(self, method: str, target: str) -> bytes:
        tape = self._tape
        if method == "POST":
            tape.rewind(float(parse_qs(urlsplit(target).query)["latency"][0]) / 1000)
        body = json.dumps({"requests": tape.requests, "pictures": tape.pictures, "misses": tape.misses}).encode()
        return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)

    def _write(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)


def _header(head: str, name: str) -> str:
    for line in head.split("\r\n")[1:]:
        key, _, value = line.partition(":")
        if key.lower() == name:
            return value.strip()
    return ""


async def serve(upstream: str) -> None:
    """Serve until SIGTERM or SIGINT, after printing the address."""
    loop = asyncio.get_running_loop()
    done = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, done.set)
    server = await loop.create_server(partial(Connection, Tape(upstream)), "127.0.0.1", 0, backlog=1024)
    print(f"Replay of {upstream} at http://127.0.0.1:{server.sockets[0].getsockname()[1]} (ready)", flush=True)
    await done.wait()
    server.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("upstream", help="address of the sandbox")
    uvloop.run(serve(parser.parse_args().upstream))
