"""Who may talk to the sandbox: programs on this machine, and no web page that a browser on it happens to show.

A page can send requests to any address of the machine, also under a name of its own that resolves to it (DNS
rebinding). Such requests carry that name in ``Host``, and the page's address in ``Origin``.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from bigcommerce_sandbox.responses import TEXT, Reply, reply

if TYPE_CHECKING:
    from starlette.types import Scope

_READING: Final = frozenset({"GET", "HEAD", "OPTIONS", "PROPFIND"})


def refusal(scope: Scope) -> Reply | None:
    """The answer to a request that is refused: 421 for a foreign Host, 403 for a foreign Origin; else None."""
    hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
    if len(hosts) != 1 or not _is_loopback(f"//{hosts[0]}"):
        return reply(421, b"The sandbox answers to localhost, 127.0.0.1 and [::1] only.", TEXT)
    if scope["method"] in _READING:
        return None
    for name, value in scope["headers"]:
        if name == b"origin" and not _is_own(value.decode("latin-1"), scope["server"][1]):
            return reply(403, b"The sandbox is not changed by pages of another origin.", TEXT)
    return None


def _is_own(origin: str, port: int) -> bool:
    try:
        parts = urlsplit(origin)
        return parts.scheme == "http" and parts.port == port and _is_loopback(origin)
    except ValueError:
        return False


def _is_loopback(url: str) -> bool:
    """Whether an address names this machine: ``localhost``, or a number of 127.0.0.0/8 or ``[::1]``."""
    try:
        parts = urlsplit(url)
        _, host = parts.port, parts.hostname or ""
        if "@" in parts.netloc or parts.path not in {"", "/"}:
            return False
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
