"""Storage backends of the file store: a local folder, or a file system of fsspec."""
