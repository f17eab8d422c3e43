"""An embedded store that answers over HTTP as BigCommerce does, for tests, demos and benchmarks.

An independent witness: it shares no code with the client that it tests. What it emulates, and how well each
behaviour is known, is listed in ``docs/sandbox.md``; what it does not emulate answers 501.

Needs the ``sandbox`` extra. Importing this package does not load it, so that the command line stays fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bigcommerce_sandbox.constants import DAV_PASSWORD, DAV_USERNAME, READ_ONLY_TOKEN, STORE_HASH, TOKEN, UNSCOPED_TOKEN

if TYPE_CHECKING:
    from bigcommerce_sandbox.server import SandboxServer

__all__ = [
    "DAV_PASSWORD",
    "DAV_USERNAME",
    "READ_ONLY_TOKEN",
    "STORE_HASH",
    "TOKEN",
    "UNSCOPED_TOKEN",
    "SandboxServer",
]


def __getattr__(name: str) -> object:
    """Load the server on first use (PEP 562)."""
    if name == "SandboxServer":
        from bigcommerce_sandbox.server import SandboxServer

        return SandboxServer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
