"""What tap and target share: the store, the file store, the record and the errors."""
