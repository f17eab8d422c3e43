"""Pending creates, whose outcome is unknown: confirmed when they appear, never repeated meanwhile.

A store may carry out a request long after its reply was lost. Until then nothing else is written to that product.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from bc_images.bigcommerce.mapping import Record
from bc_images.files.similarity import looks_same
from target_bc_images.context import LedgerEntry
from target_bc_images.ledger import Intent, Ledger
from target_bc_images.live_images import LiveImages
from target_bc_images.picture_match import comparable_name

__all__ = ["RESOLUTION", "PendingCreates"]

RESOLUTION = 2.0  # seconds: a Date header has whole ones, and is a little old when it arrives


class PendingCreates:
    """The creates of one store that were sent and not confirmed; safe to share between threads.

    Args:
        ledger: where they are written down.
        now: returns the present time in unix seconds, by the store's clock: another run goes on with it.
        live_images: reads the pictures of images that have come in.
        timeout: seconds for which the store may still carry out a request whose reply was lost.

    Attributes:
        undecided: those that earlier runs have left, and that may still be carried out; by product.
    """

    def __init__(self, ledger: Ledger, live_images: LiveImages, timeout: float, now: Callable[[], float]) -> None:
        self._ledger = ledger
        self._live_images = live_images
        self._timeout = timeout
        self.now = now
        self._reading = threading.Lock()
        self.undecided: dict[int, Intent] = {}

    def may_still_come(self, intent: Intent) -> bool:
        """Whether the store may still carry it out."""
        return self.remaining(intent) > 0

    def remaining(self, intent: Intent) -> float:
        """Return for how many seconds more the store may still carry it out; 0 if not any more."""
        now = self.now()
        if intent.at > now + RESOLUTION:  # the clock was put back: count from here
            self._ledger.begin(intent._replace(at=now))
            return self._timeout
        return max(0.0, self._timeout - max(0.0, now - intent.at))

    def describe(self, intent: Intent) -> str:
        """Say what is not known, and when it will be."""
        sent, until = (datetime.fromtimestamp(at, UTC) for at in (intent.at, intent.at + self._timeout))
        return (
            f"the create was sent at {sent:%H:%M:%S} UTC and not confirmed; the store may still carry it out. "
            f"Nothing more is written to the product. Run again after {until:%Y-%m-%d %H:%M:%S} UTC"
        )

    def confirm(self, intent: Intent, images: Sequence[Record]) -> LedgerEntry | None:
        """Recognise the image that was created without a reply, and write it down; None if it is not there."""
        image = self._find(intent, images)
        if image is None:
            return None
        entry = LedgerEntry(image["id"], intent.source_file, image["image_file"])
        self._ledger.commit(intent.product_id, intent.source, entry, is_new=True)
        return entry

    def _find(self, intent: Intent, images: Sequence[Record]) -> Record | None:
        """Return the new image with the content that was sent, or, where that cannot be read, with its name."""
        arrivals = [image for image in images if image["id"] not in intent.others]
        if not arrivals:
            return None
        owners = self._ledger.owner_of({image["id"]: image["image_file"] for image in arrivals})
        arrivals = [image for image in arrivals if owners.get(image["id"], intent.source) == intent.source]
        with self._reading:
            judged = [(self._has_content(intent, image), image) for image in arrivals]
        same = [image for has_content, image in judged if has_content]
        named = [
            image
            for has_content, image in judged
            if has_content is None and comparable_name(image["image_file"]) in intent.names
        ]
        return next(iter([*same, *named]), None)

    def _has_content(self, intent: Intent, image: Record) -> bool | None:
        """Whether an image shows the picture that was sent; None where nobody knows."""
        if intent.sha256 is None:
            return None
        digest = self._live_images.digests([image])[0].get(image["image_file"])
        if digest is None or digest == intent.sha256:
            return None if digest is None else True
        sent, shown = self._live_images.appearance(intent.sha256), self._live_images.appearance(digest)
        return None if sent is None or shown is None else looks_same(sent, shown)
