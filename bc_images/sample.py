"""A sample size: a number or a percentage. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

__all__ = ["Sample"]

_PERCENTAGE = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,6})?%", re.ASCII)


@dataclass(frozen=True, slots=True)
class Sample:
    """A number of files, or a share of them (0 to 1)."""

    files: int | None = None
    share: float | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``500`` or ``5%``.

        Raises:
            ValueError: it is neither a positive number nor a percentage above 0 and up to 100.
        """
        if _PERCENTAGE.fullmatch(text) and 0 < (share := float(text[:-1]) / 100) <= 1:
            return cls(share=share)
        if text.isascii() and text.isdecimal() and int(text[:19]) > 0:
            return cls(files=int(text[:19]))
        raise ValueError(f"{text!r} is neither a number of files nor a percentage such as 5%.")

    def of(self, total: int) -> int:
        """Return how many of `total` files that is; a share is rounded up."""
        wanted = self.files if self.files is not None else -int(-total * (1 if self.share is None else self.share) // 1)
        return min(total, wanted)
