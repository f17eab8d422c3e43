"""`bc-images drill`: prove that a snapshot can be restored, by restoring it into an empty store on this machine."""

from bc_images.cli.drill.command import drill

__all__ = ["drill"]
