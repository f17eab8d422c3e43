"""``bc-images demo``: a store backed up, damaged and restored on this machine, and compared at the end.

A door: it uses the three commands as a user does, and nothing of the project uses it.
"""

from __future__ import annotations

from bc_images.cli.demo.command import demo

__all__ = ["demo"]
