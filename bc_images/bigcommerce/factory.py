"""Opens a store client: maps the setting ``api_version`` to a class."""

from __future__ import annotations

from bc_images.bigcommerce.client import Capabilities, StoreClient
from bc_images.bigcommerce.transport import HttpClient
from bc_images.bigcommerce.v2 import V2Client
from bc_images.bigcommerce.v3 import V3Client
from bc_images.settings import Settings

__all__ = ["CLIENTS", "capabilities", "open_store"]

CLIENTS: dict[str, type[V2Client] | type[V3Client]] = {"v2": V2Client, "v3": V3Client}
"""The client class for each value of the setting ``api_version``."""


def capabilities(api_version: str) -> Capabilities:
    """Return what an API version offers: for checks of settings before any store is opened."""
    return CLIENTS[api_version].capabilities


def open_store(settings: Settings, http: HttpClient | None = None) -> StoreClient:
    """Return a client of the store that `settings` name; sends no request yet."""
    return CLIENTS[settings.api_version](http or HttpClient(settings))
