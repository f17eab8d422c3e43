"""Sessions of requests with bounded connections and digest authentication."""

from __future__ import annotations

import socket
from http.cookiejar import DefaultCookiePolicy
from io import BytesIO
from typing import Any, ClassVar

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import HTTPDigestAuth
from urllib3.connection import HTTPConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.connection import allowed_gai_family

from bc_images.bigcommerce.exchange import MAX_DISCARDED, current
from bc_images.settings import Settings

__all__ = ["Adapter", "Connection", "DigestAuth", "UnusableChallenge", "session"]


class _Session(requests.Session):
    """A session that follows no redirect, and does not read the whole body of one either, as requests does."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002
        """Say that there is none."""
        return None


def session(settings: Settings, connections: int) -> requests.Session:
    """Return a session for `connections` threads that sends our user agent, no credentials and no cookies."""
    made = _Session()
    adapter = Adapter(pool_connections=4, pool_maxsize=connections)
    made.mount("https://", adapter)
    made.mount("http://", adapter)
    made.headers["User-Agent"] = settings.user_agent
    made.headers["Accept-Encoding"] = "gzip, deflate"  # what `read_body` inflates
    made.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    return made


class UnusableChallenge(requests.exceptions.InvalidHeader):
    """A digest challenge without realm or nonce, or for an algorithm or quality of protection that is not known."""


class DigestAuth(HTTPDigestAuth):
    """HTTP digest authentication that does not read the whole body of a refusal, which may have no end.

    Raises:
        UnusableChallenge: from a request that a challenge answers.
    """

    def build_digest_header(self, method: str, url: str) -> str:
        """Return the answer to the challenge."""
        try:
            answer: str | None = super().build_digest_header(method, url)  # type: ignore[no-untyped-call]
        except (KeyError, AttributeError, TypeError, ValueError) as error:
            raise UnusableChallenge from error
        if answer is None:
            raise UnusableChallenge
        return answer

    def handle_401(self, r: requests.Response, **kwargs: Any) -> requests.Response:
        """Answer the challenge of a 401."""
        if r.status_code == 401:
            r.raw.read(MAX_DISCARDED, decode_content=False)
            r.raw.close()
            r.raw = urllib3.HTTPResponse(BytesIO(), preload_content=False)
        response: requests.Response = super().handle_401(r, **kwargs)  # type: ignore[no-untyped-call]
        return response


class Connection(HTTPConnection):
    """Mixed into a connection class of urllib3: tells the exchange of its thread which socket it uses."""

    def require_allowed(self, address: str) -> None:
        """Raise an error if this IP address must not be connected to; for subclasses."""

    def _new_conn(self) -> socket.socket:
        if super()._new_conn.__func__ is not HTTPConnection._new_conn:  # type: ignore[attr-defined]  # noqa: SLF001
            connection = super()._new_conn()  # a SOCKS proxy has a way of its own
        else:
            connection = self._connected()
        if (exchange := current()) is not None:
            exchange.watch(connection)
        return connection

    def _connected(self) -> socket.socket:
        """Connect to the first address that answers: as urllib3 does, but within one time for all of them.

        Every address is judged before the first is connected to.
        """
        exchange = current()
        host = self.host.strip("[]")
        try:
            addresses = socket.getaddrinfo(host, self.port, allowed_gai_family(), socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError) as error:
            cause = error if isinstance(error, socket.gaierror) else socket.gaierror(socket.EAI_NONAME, "no host name")
            raise NameResolutionError(self.host, self, cause) from error
        failure: OSError = OSError("the name has no address")
        for *_, address in addresses:
            self.require_allowed(str(address[0]))
        for family, kind, protocol, _, address in addresses:
            connection = socket.socket(family, kind, protocol)
            try:
                for option in self.socket_options or ():
                    connection.setsockopt(*option)
                limits = [self.timeout if isinstance(self.timeout, int | float) else None]
                limits += [max(0.001, exchange.remaining())] if exchange is not None else []
                connection.settimeout(min((seconds for seconds in limits if seconds is not None), default=None))
                connection.connect(address)
            except OSError as error:
                connection.close()
                failure = error
            else:
                return connection
        if isinstance(failure, TimeoutError):
            raise ConnectTimeoutError(self, "no connection in time") from failure
        raise NewConnectionError(self, "no connection") from failure

    def request(self, *args: Any, **kwargs: Any) -> None:
        """Send a request, on a connection that may have been used before."""
        if (exchange := current()) is not None and self.sock is not None:
            exchange.watch(self.sock)
        super().request(*args, **kwargs)

    def send(self, data: Any) -> None:
        """Send a part of a request."""
        super().send(data)
        if (exchange := current()) is not None and isinstance(data, bytes | bytearray | memoryview):
            exchange.count(len(data))

    def getresponse(self) -> Any:
        """Wait for the response."""
        if (exchange := current()) is not None:
            exchange.was_sent()
        return super().getresponse()


class Adapter(HTTPAdapter):
    """A requests adapter whose connections, those through a proxy too, are of the class `connection`."""

    connection: ClassVar[type[Connection]] = Connection

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        """Return the pool for a request."""
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        if not issubclass(pool.ConnectionCls, self.connection):
            pool.ConnectionCls = _mixed(self.connection, pool.ConnectionCls)
        return pool


_mixtures: dict[tuple[type[Any], type[Any]], type[Any]] = {}


def _mixed(mixin: type[Any], base: type[Any]) -> type[Any]:
    return _mixtures.setdefault((mixin, base), type(base.__name__, (mixin, base), {}))
