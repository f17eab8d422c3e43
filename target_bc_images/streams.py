"""Recognises our streams in the input by name."""

from __future__ import annotations

import json

from bc_images.errors import PartialFailure
from bc_images.jsonl import shortened
from bc_images.normalize import stream_kind

__all__ = ["InputStreams"]

_SHOWN = 10  # how many streams are named in an error


class InputStreams:
    """The streams of the input, and which of them mean one of ours under whatever name.

    Attributes:
        has_images: whether one of them is ``product_images``.
    """

    def __init__(self) -> None:
        self._names: dict[str, None] = {}  # in the order of the input
        self._by_kind: dict[str, str] = {}
        self.has_images = False

    def add(self, name: str) -> None:
        """Add a stream of the input."""
        self._names[name] = None

    def add_mapped(self, name: str, *, is_removed: bool) -> None:
        """Add what a stream map makes of a stream; one that it `is_removed` by counts only for `has_images`.

        Raises:
            PartialFailure: another one means the same.
        """
        kind = stream_kind(name)
        if kind is None:
            return
        self.has_images |= kind == "product_images"
        if is_removed or (other := self._by_kind.setdefault(kind, name)) == name:
            return
        without = json.dumps({name: None}, ensure_ascii=False)
        raise PartialFailure(
            f"The streams {shortened(other)} and {shortened(name)} both mean {kind}: nothing was restored. Select one "
            f"of them in the tap, or leave one out: set stream_maps to {without}."
        )

    def no_images_reason(self) -> str:
        """Say that no stream is ``product_images``, and what to do."""
        names = [*self._names]
        if not names:
            return "The input contains no streams, and so no product_images: check what the tap selects."
        shown = ", ".join(map(shortened, names[:_SHOWN]))
        if len(names) > _SHOWN:
            shown += f" and {len(names) - _SHOWN} more"
        likely = next((name for name in names if stream_kind(name) is None), names[0])
        alias = json.dumps({likely: {"__alias__": "product_images"}}, ensure_ascii=False)
        return (
            f"The input has no stream product_images, but {shown}. If that is another name for it, "
            f"set stream_maps to {alias}."
        )
