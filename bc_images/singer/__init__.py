"""Singer code that tap and target share: plugin, reader, writer, archives."""
