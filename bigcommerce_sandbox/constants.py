"""The sandbox's fixed names: one store, its API tokens and its WebDAV user."""

from __future__ import annotations

from typing import Final

STORE_HASH: Final = "sandbox"

TOKEN: Final = "sandbox-token"  # noqa: S105  (a made-up credential of a made-up store)
READ_ONLY_TOKEN: Final = "sandbox-token-read-only"  # noqa: S105
UNSCOPED_TOKEN: Final = "sandbox-token-without-scope"  # noqa: S105

DAV_USERNAME: Final = "owner@sandbox.example"
DAV_PASSWORD: Final = "sandbox-dav-password"  # noqa: S105

STATUS_PAGE: Final = "https://developer.bigcommerce.com/api-docs/getting-started/api-status-codes"
