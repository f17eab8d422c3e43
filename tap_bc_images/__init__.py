"""The Singer tap: every image of every product, complete and in order."""
