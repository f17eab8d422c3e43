"""The library that tap and target share: store API, file store, record definition, errors."""
