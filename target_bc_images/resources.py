"""Objects that the parts of a restore share: store, ledger, uploader, live images."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from bc_images.bigcommerce import StoreClient
from bc_images.files.upload import Uploader
from target_bc_images.ledger import Ledger
from target_bc_images.live_images import LiveImages

__all__ = ["Resources"]


@dataclass(frozen=True, slots=True)
class Resources:
    """The store that is written to, and what writing to it takes; all of it safe to share between threads.

    Attributes:
        store: the store.
        ledger: its ledger, locked by this process.
        uploader: gives the bytes their way into the store.
        live_images: reads live pictures.
        stop: once set, requests under way finish and nothing new starts.
        stop_on_error: set `stop` at the first action that fails, and when the store refuses a field.
    """

    store: StoreClient
    ledger: Ledger
    uploader: Uploader
    live_images: LiveImages
    stop: threading.Event
    stop_on_error: bool = False
