"""``bc-images demo``: a store backed up, damaged and restored on this machine, and compared at the end."""
