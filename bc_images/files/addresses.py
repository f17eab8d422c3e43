"""Which addresses may be contacted or passed on: those that a record carries are a stranger's data.

Only http and https, no credentials, and no host inside a private network, unless it is the store's own by the
settings (as when a sandbox runs on this machine), at the very port that they name: beside it may run anything.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import Any, TypeAlias
from urllib.parse import quote, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies, requote_uri, select_proxy
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from bc_images.errors import FileUnavailable
from bc_images.redaction import redact
from bc_images.settings import Settings

__all__ = ["Addresses", "Place", "PublicOnly", "original_url", "place_of"]

Place: TypeAlias = tuple[str, int]
"""A host, in small letters, and a port."""

_PRIVATE_NAMES = ("localhost", ".localhost", ".local", ".internal", ".lan", ".home.arpa")
_HOST = re.compile(r"[A-Za-z0-9_.-]+|[0-9A-Fa-f:.]+")
_PORTS = {"http": 80, "https": 443}
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # an IPv4 address stands in the last four bytes
_COMPATIBLE = ipaddress.ip_network("::/96")  # here too, but nobody uses these for what is public


def original_url(store_url: str, image_file: str) -> str:
    """Return where a store serves an original.

    Raises:
        FileUnavailable: the path would leave ``product_images/``.
    """
    if any(part in {"", ".", ".."} for part in image_file.split("/")):
        raise FileUnavailable("image_file is no path below product_images/")
    return f"{store_url}/product_images/{quote(image_file, errors='surrogatepass')}"


def place_of(url: str) -> Place:
    """Return where a valid http(s) address leads."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)


class Addresses:
    """Judges addresses for a run; its `own` places are trusted wherever they are."""

    def __init__(self, settings: Settings) -> None:
        self.own = {place_of(_in_ascii(url)) for url in (settings.api_url, settings.store_url)}
        self._resolved: set[str] = set()  # hosts that were found to be public

    def judge(self, url: str) -> str:
        """Return the address, percent-encoded where it has to be, if its text alone is harmless. Resolves nothing.

        Raises:
            FileUnavailable: it is no address that may be used.
        """
        try:
            encoded = str(requote_uri(_in_ascii(url.strip())))
            parts = urlsplit(encoded)
            host, _ = parts.hostname, parts.port
        except (ValueError, requests.exceptions.RequestException) as error:
            raise FileUnavailable(f"{redact(url)!r} is no address") from error
        if parts.scheme not in {"http", "https"} or not host or not url.isprintable() or not _HOST.fullmatch(host):
            raise FileUnavailable(f"{redact(url)[:200]!r} is no http(s) address")
        if "@" in parts.netloc:
            raise FileUnavailable(f"{redact(url)[:200]} carries a user name: such an address is not used")
        if place_of(encoded) not in self.own and not _looks_public(host):
            raise FileUnavailable(f"{redact(url)[:200]} leads into a private network: it was not contacted")
        return encoded

    def judge_before_contact(self, url: str) -> str:
        """Return the address if it may be contacted from here: `judge`, and its host resolves to public addresses.

        Raises:
            FileUnavailable: it is no address that may be used.
        """
        encoded = self.judge(url)
        host, port = place = place_of(encoded)
        if place in self.own or host in self._resolved:
            return encoded
        if select_proxy(encoded, get_environ_proxies(encoded)):  # which resolves by itself
            return encoded
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return encoded  # the request itself will say so, and may try again
        if not all(_is_public(str(address[4][0])) for address in found):
            raise FileUnavailable(f"{redact(url)[:200]} leads into a private network: it was not contacted")
        self._resolved.add(host)  # from now on `PublicOnly` alone watches, at every new connection
        return encoded


class _Checked:
    """Looks at the address that a connection really reached: a name may resolve differently the second time."""

    proxy: Any

    def _new_conn(self) -> socket.socket:
        made: socket.socket = super()._new_conn()  # type: ignore[misc]  # the class mixed with is urllib3's
        if self.proxy is None and not _is_public(made.getpeername()[0]):
            made.close()
            raise FileUnavailable(f"{self.host} leads into a private network: nothing was sent")  # type: ignore[attr-defined]
        return made


class _CheckedHTTP(_Checked, HTTPConnection):
    pass


class _CheckedHTTPS(_Checked, HTTPSConnection):
    pass


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _CheckedHTTP


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _CheckedHTTPS


class PublicOnly(HTTPAdapter):
    """A requests adapter that sends nothing to private addresses."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Let the pools make connections that look whom they reached."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}


def _in_ascii(url: str) -> str:
    """Return an address with its host as the name system knows it.

    Raises:
        ValueError: it has no such form.
    """
    if urlsplit(url).netloc.isascii():
        return url
    return str(requests.Request("GET", url).prepare().url)


def _looks_public(host: str) -> bool:
    """Judge a host by its text; numbers in every spelling that resolvers take, such as ``2130706433`` or ``0x7f.1``."""
    try:
        return _is_public(socket.inet_ntoa(socket.inet_aton(host)))
    except (OSError, UnicodeError):
        pass
    if ":" in host:
        return _is_public(host)
    name = host.rstrip(".").lower()
    return "." in name and not any(name == each.lstrip(".") or name.endswith(each) for each in _PRIVATE_NAMES)


def _is_public(address: str) -> bool:
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.is_site_local or ip in _COMPATIBLE:
            return False
        # What leads on to an IPv4 address is as public as that one; Pythons differ in what they say of these.
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return _is_public(str(inner))
    return ip.is_global and not ip.is_multicast
