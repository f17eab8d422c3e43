"""Picture bytes: kept by content, downloaded from the store, uploaded to it."""
