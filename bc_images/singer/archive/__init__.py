"""Archives: complete Singer streams in the file store, beside the pictures, as ``archives/<name>/<time>.singer.gz``.

``target-singer-archive`` keeps every message as it came, and ``tap-singer-archive`` gives it back. An archive appears
under its name when it is durable, or not at all. One whose sync was cut short is never taken for a complete one: it is
named ``….incomplete.singer.gz``, and is given back only when asked for by that name.

Both sides of a pipe in Meltano, and knowing nothing of images: they keep the messages of any tap.
"""

from __future__ import annotations

from bc_images.singer.archive.store import Archives, read_archive

__all__ = ["Archives", "read_archive"]
