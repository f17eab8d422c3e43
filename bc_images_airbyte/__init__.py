"""``source-bc-images`` and ``destination-bc-images``: tap and target in the words of the Airbyte protocol.

Nothing is read, decided or written here: the source is the tap with another writer, the destination the target with
another reader. The messages are the published models of the protocol. Needs the ``airbyte`` extra.
"""
