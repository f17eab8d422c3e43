"""Where a file store keeps its bytes: a folder on this machine, or anything that fsspec speaks to."""
