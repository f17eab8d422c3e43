"""One exchange: a request and its response, within a bounded time, whatever the server does.

The time-out of a socket bounds a single read: a server that now and then sends a byte, a header line, ``100 Continue``
or a chunk extension keeps such reads going for ever. So one thread watches every exchange of the process and shuts its
connection down when its time is over; the thread that reads meets the end, and `Exchange` says why.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Self

import requests
import urllib3

__all__ = ["MAX_DISCARDED", "MIN_RATE", "DeadlineExceeded", "Exchange", "Exchanges", "current"]

CHUNK = 256 * 1024  # bytes read at a time
MIN_RATE = 4096  # bytes a second: so much longer than request_timeout may a request, or a response, take
MAX_SECONDS = 3600.0  # whatever its size; more than enough for the largest file that a store takes
GRACE = 2.0  # seconds that a cancelled exchange still has
WRITE_GRACE = 30.0  # the same for a write: what the store is about to answer need not end in doubt
MAX_DISCARDED = 64 * 1024  # bytes of a body nobody wants, read so that its connection can be used again
DISCARD_SECONDS = 2.0
POLL = 0.1  # seconds between two looks of the watchdog
IDLE = 10.0  # seconds after which its thread ends when nothing is under way


class DeadlineExceeded(requests.exceptions.Timeout):
    """The exchange was not complete in time; its text may be shown."""


class Exchange:
    """A request and its response, watched from the start; `close`, or the end of its context, closes the response.

    From the start, and again from the moment when the request is sent, it has `timeout` seconds and one more for every
    `MIN_RATE` bytes that were sent or received.

    Args:
        exchanges: those of its client.
        is_write: whether it changes something in the store.

    Attributes:
        response: the response once `send` has returned.
    """

    def __init__(self, exchanges: Exchanges, *, is_write: bool = False) -> None:
        self._exchanges = exchanges
        self._is_write = is_write
        self._timeout = exchanges.timeout
        self._started = self._phase_started = time.monotonic()
        self._transferred = 0  # bytes, in this phase
        self._latest = self._started + max(MAX_SECONDS, 2 * self._timeout)
        self._expired = False
        self._connection: socket.socket | None = None
        self._lock = threading.Lock()
        self.response: requests.Response
        exchanges.add(self)

    @property
    def deadline(self) -> float:
        """When its connection is shut down, on the monotonic clock."""
        allowed = self._timeout + self._transferred / MIN_RATE
        return min(self._latest, self._phase_started + allowed)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it; a connection whose response was not read to its end is closed."""
        self._exchanges.remove(self)
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
        if hasattr(self, "response"):
            self.response.close()

    def send(self, send: Callable[[], requests.Response]) -> requests.Response:
        """Return what `send` returns, a response whose body is not read yet.

        Raises:
            DeadlineExceeded: its headers were not complete in time. Any error of `send` passes.
        """
        _thread.exchange = self
        try:
            self.response = send()
        except Exception as error:
            self.require_time(error)
            raise
        finally:
            _thread.exchange = None
        self.require_time()
        return self.response

    def read(self) -> Iterator[bytes]:
        """Yield the body as it comes, not decoded.

        Raises:
            DeadlineExceeded: it was not complete in time. Errors of urllib3 and OSError pass.
        """
        while True:
            try:
                chunk = self.response.raw.read1(CHUNK, decode_content=False)
            except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
                self.require_time(error)
                raise
            self.require_time()
            if not chunk:
                return
            self.count(len(chunk))
            yield chunk

    def discard(self) -> bytes:
        """Return the first `MAX_DISCARDED` bytes of a body that matters little, or what came of them; raises nothing.

        Only where they are all is the connection used again.
        """
        self.limit(DISCARD_SECONDS)
        content = b""
        with suppress(requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError):
            for chunk in self.read():
                content += chunk
                if len(content) > MAX_DISCARDED:
                    break
        self.response.close()
        return content[:MAX_DISCARDED]

    def require_time(self, cause: BaseException | None = None) -> None:
        """Raise `DeadlineExceeded` if the connection was shut down: what looks like an end or a failure is neither."""
        if self._expired:
            seconds = time.monotonic() - self._started
            raise DeadlineExceeded(
                f"no complete response within {seconds:.1f} s ({self._transferred:,} bytes received)"
            ) from cause

    def count(self, size: int) -> None:
        """Take note of bytes that were sent or received: they give more time."""
        self._transferred += size

    def cancel(self) -> None:
        """Leave it a short time from now."""
        self.limit(WRITE_GRACE if self._is_write else GRACE)

    def limit(self, seconds: float) -> None:
        """Leave it at most so many seconds from now."""
        self._latest = min(self._latest, time.monotonic() + seconds)

    def remaining(self) -> float:
        """Return the seconds that are left."""
        return self.deadline - time.monotonic()

    def was_sent(self) -> None:
        """Begin the time of the response."""
        self._phase_started, self._transferred = time.monotonic(), 0

    def watch(self, connection: socket.socket) -> None:
        """Take `connection` as the one to shut down."""
        # A descriptor of our own: TLS takes the first one over, and the library closes its before the body is read.
        duplicate = socket.fromfd(connection.fileno(), connection.family, connection.type)
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = duplicate
        if self._expired:
            self.shut_down()

    def shut_down(self) -> None:
        """End the connection under the hands of whoever reads it."""
        self._expired = True
        with self._lock:
            if self._connection is not None:
                with suppress(OSError):  # it has ended by itself
                    self._connection.shutdown(socket.SHUT_RDWR)


class Exchanges:
    """The exchanges of one client; safe to share between threads.

    Args:
        timeout: seconds, the setting ``request_timeout``.
    """

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self._under_way: set[Exchange] = set()
        self._lock = threading.Lock()
        self._is_cancelled = False

    def add(self, exchange: Exchange) -> None:
        """Begin to watch an exchange."""
        with self._lock:
            self._under_way.add(exchange)
            if self._is_cancelled:
                exchange.cancel()
        _watchdog.add(exchange)

    def remove(self, exchange: Exchange) -> None:
        """Watch it no more; from now on its connection is not touched."""
        _watchdog.remove(exchange)
        with self._lock:
            self._under_way.discard(exchange)

    def cancel(self) -> None:
        """Leave every exchange, also those to come, `GRACE` or `WRITE_GRACE` seconds."""
        with self._lock:
            self._is_cancelled = True
            for exchange in self._under_way:
                exchange.cancel()


class _Watchdog:
    """Shuts down the connections of exchanges whose time is over; its thread lives while there are any."""

    def __init__(self) -> None:
        self._exchanges: set[Exchange] = set()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def add(self, exchange: Exchange) -> None:
        with self._changed:
            self._exchanges.add(exchange)
            if self._thread is None or not self._thread.is_alive():  # after a fork it is not alive
                self._thread = threading.Thread(target=self._run, name="deadlines", daemon=True)
                self._thread.start()
            elif len(self._exchanges) == 1:
                self._changed.notify()

    def remove(self, exchange: Exchange) -> None:
        with self._changed:
            self._exchanges.discard(exchange)

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._exchanges and not self._changed.wait(IDLE) and not self._exchanges:
                    self._thread = None
                    return
                now = time.monotonic()
                for exchange in self._exchanges:
                    if exchange.deadline <= now:
                        exchange.shut_down()
            time.sleep(POLL)


_thread = threading.local()  # the exchange that this thread is sending
_watchdog = _Watchdog()


def current() -> Exchange | None:
    """Return the exchange that this thread is sending."""
    exchange: Exchange | None = getattr(_thread, "exchange", None)
    return exchange
