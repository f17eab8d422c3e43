"""The Singer commands that write and read snapshots: ``target-singer-archive`` and ``tap-singer-archive``.

``target-singer-archive`` keeps every message as it came, and ``tap-singer-archive`` gives it back. An archive appears
under its name when it is durable, or not at all. One whose sync was cut short is never taken for a complete one: it is
named ``….incomplete.singer.gz``, and is given back only when asked for by that name.

Both sides of a pipe in Meltano, and knowing nothing of images: they keep the messages of any tap.
"""
