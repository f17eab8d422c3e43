"""Decides which URLs may be requested or passed on: those in records are untrusted.

Only http and https, no credentials, and no host inside a private network, unless it is the store's own by the
settings (as when a sandbox runs on this machine), at the very port that they name: beside it may run anything.

A host is judged by the IP addresses that its name resolves to, with the properties that Python's `ipaddress` gives
them, and once more at every connection.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import TypeAlias
from urllib.parse import quote, urlsplit

import requests
from requests.utils import get_environ_proxies, requote_uri, select_proxy

from bc_images.bigcommerce.session import Adapter, Connection
from bc_images.errors import FileUnavailable
from bc_images.redaction import redact
from bc_images.settings import Settings

__all__ = ["Origin", "PublicOnlyAdapter", "UrlPolicy", "origin_of", "original_url"]

Origin: TypeAlias = tuple[str, int]
"""A host, in small letters, and a port."""

_IP: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_HOST = re.compile(r"[A-Za-z0-9_.-]+|[0-9A-Fa-f:.]+")
_PORTS = {"http": 80, "https": 443}
# No public name ends so: RFC 6761, 6762, 8375, ICANN.
_LOCAL_NAMES = (".local", ".internal", ".home.arpa", ".localhost")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # an IPv4 address stands in the last four bytes
# Parts of these, the IETF's protocol assignments, are global to some releases of Python and private to others.
_ASSIGNMENTS = (ipaddress.ip_network("192.0.0.0/24"), ipaddress.ip_network("2001::/23"))


def original_url(store_url: str, image_file: str) -> str:
    """Return where a store serves an original.

    Raises:
        FileUnavailable: the path would leave ``product_images/``.
    """
    if any(part in {"", ".", ".."} for part in image_file.split("/")):
        raise FileUnavailable("image_file is no path below product_images/")
    return f"{store_url}/product_images/{quote(image_file, errors='surrogatepass')}"


def origin_of(url: str) -> Origin:
    """Return where a valid http(s) address leads."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)


class UrlPolicy:
    """Judges addresses for a run; its `trusted` origins are trusted wherever they are."""

    def __init__(self, settings: Settings) -> None:
        self._trusted_urls = [_in_ascii(url) for url in (settings.api_url, settings.store_url)]
        self.trusted = {origin_of(url) for url in self._trusted_urls}
        self._public: dict[str, bool | None] = {}  # by host: None where the name does not resolve

    def is_public(self, url: str) -> bool:
        """Whether the host of a valid address is reachable from the internet; one that does not resolve may be."""
        host, port = origin_of(url)
        if host not in self._public:
            self._public[host] = _resolves_publicly(host, port)
        public = self._public[host]
        if public is None:
            name = host.rstrip(".")
            return "." in name and not name.endswith(_LOCAL_NAMES)
        return public

    def is_reachable_by_store(self, url: str) -> bool:
        """Whether the store can fetch from a valid address: a private one only where it runs in a network like that."""
        return self.is_public(url) or not all(self.is_public(own) for own in self._trusted_urls)

    def check(self, url: str) -> str:
        """Return the address, percent-encoded where it has to be, if it may be passed on to the store.

        Raises:
            FileUnavailable: it is no address that may be used.
        """
        encoded = _encoded(url)
        if origin_of(encoded) not in self.trusted and not self.is_public(encoded):
            raise FileUnavailable(f"{redact(url)[:200]} resolves to a private address; request blocked")
        return encoded

    def check_and_resolve(self, url: str) -> str:
        """Return the address if it may be contacted from here: as `check`, but through a proxy, names are its affair.

        Raises:
            FileUnavailable: it is no address that may be used.
        """
        encoded = _encoded(url)
        host, _ = origin_of(encoded)
        if origin_of(encoded) not in self.trusted and select_proxy(encoded, get_environ_proxies(encoded)):
            if (address := _literal(host)) is not None and not _is_public(address):
                raise FileUnavailable(f"{redact(url)[:200]} resolves to a private address; request blocked")
            return encoded
        return self.check(url)


class _PublicConnection(Connection):
    """Looks at the addresses that it is about to connect to: a name may resolve differently the second time."""

    def require_allowed(self, address: str) -> None:
        if self.proxy is None and not _is_public(ipaddress.ip_address(address.partition("%")[0])):
            raise FileUnavailable(f"{self.host} resolves to a private address; connection blocked")


class PublicOnlyAdapter(Adapter):
    """A requests adapter that connects to no private address."""

    connection = _PublicConnection


def _encoded(url: str) -> str:
    """Return an address as it can be sent, after a look at its text.

    Raises:
        FileUnavailable: it is no http(s) address, or carries credentials.
    """
    try:
        encoded = str(requote_uri(_in_ascii(url.strip())))
        parts = urlsplit(encoded)
        host, _ = parts.hostname, parts.port
    except (ValueError, requests.exceptions.RequestException) as error:
        raise FileUnavailable(f"{redact(url)[:200]!r} is not a valid URL") from error
    if parts.scheme not in {"http", "https"} or not host or not url.isprintable() or not _HOST.fullmatch(host):
        raise FileUnavailable(f"{redact(url)[:200]!r} is not an http(s) URL")
    if "@" in parts.netloc:
        raise FileUnavailable(f"{redact(url)[:200]} contains a user name; request blocked")
    return encoded


def _in_ascii(url: str) -> str:
    """Return an address with its host as the name system knows it.

    Raises:
        ValueError: it has no such form.
    """
    if urlsplit(url).netloc.isascii():
        return url
    return str(requests.Request("GET", url).prepare().url)


def _resolves_publicly(host: str, port: int) -> bool | None:
    """Whether all addresses of a host are public; None where it has none."""
    if (address := _literal(host)) is not None:
        return _is_public(address)
    try:
        addresses = {str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        return None
    return all(_is_public(ipaddress.ip_address(address.partition("%")[0])) for address in addresses)


def _literal(host: str) -> _IP | None:
    """Return a host that is a number, in every spelling that resolvers take, such as ``2130706433`` or ``0x7f.1``."""
    try:
        return ipaddress.ip_address(socket.inet_ntoa(socket.inet_aton(host.rstrip("."))))
    except (OSError, UnicodeError):
        pass
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None


def _is_public(ip: _IP) -> bool:
    """Whether an address is in the public internet, and an IPv4 address that is embedded in it too."""
    if isinstance(ip, ipaddress.IPv6Address):
        # What leads on to an IPv4 address is as public as that one; Pythons differ in what they say of these.
        embedded = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip in _NAT64:
            embedded = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if embedded is not None:
            return _is_public(embedded)
        if ip.is_site_local:
            return False
    if any(ip in network for network in _ASSIGNMENTS):
        return False
    return ip.is_global and not (ip.is_private or ip.is_multicast or ip.is_reserved)
