"""Which streams of the input are ours, and what they are called there."""

from __future__ import annotations

import json
from collections.abc import Sequence

from bc_images.errors import PartialFailure
from bc_images.jsonl import shortened
from bc_images.normalize import stream_kind

__all__ = ["StreamNames", "without_images"]

_SHOWN = 10  # how many streams are named in an error


class StreamNames:
    """Takes down the streams of the input that mean one of ours, under whatever name.

    Attributes:
        has_images: whether one of them is ``product_images``.
    """

    def __init__(self) -> None:
        self._by_kind: dict[str, str] = {}

        self.has_images = False

    def add(self, name: str, *, is_removed: bool) -> None:
        """Take down a stream; one that `is_removed` by a stream map is there and counts for nothing.

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


def without_images(names: Sequence[str]) -> str:
    """Say that none of these streams holds images, and what to do."""
    if not names:
        return "The input has no stream, and so no product_images: check what the tap selects."
    shown = ", ".join(map(shortened, names[:_SHOWN]))
    if len(names) > _SHOWN:
        shown += f" and {len(names) - _SHOWN} more"
    likely = next((name for name in names if stream_kind(name) is None), names[0])
    alias = json.dumps({likely: {"__alias__": "product_images"}}, ensure_ascii=False)
    return (
        f"The input has no stream product_images, but {shown}. If that is another name for it, "
        f"set stream_maps to {alias}."
    )
