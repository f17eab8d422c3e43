"""Snapshots: complete Singer streams in the file store, beside the pictures, as ``archives/<name>/<time>.singer.gz``.

Beside each stands its manifest, ``<time>.manifest.json``: what is in it, and whether it was checked and proved.
"""

from __future__ import annotations

from bc_images.snapshots.manifest import Manifest
from bc_images.snapshots.store import (
    FOLDER,
    Snapshot,
    SnapshotStore,
    discarded_snapshots,
    open_snapshot,
    snapshot_stores,
)

__all__ = ["FOLDER", "Manifest", "Snapshot", "SnapshotStore", "discarded_snapshots", "open_snapshot", "snapshot_stores"]
