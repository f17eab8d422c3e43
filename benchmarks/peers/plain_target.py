"""A target as the SDK gives it: a BatchSink with all its defaults, which writes nothing.

``python -m benchmarks.peers.plain_target --input FILE``
"""

from __future__ import annotations

from typing import Any

from singer_sdk.sinks import BatchSink
from singer_sdk.target_base import Target


class NothingSink(BatchSink):
    """Takes every batch and does nothing with it."""

    def process_batch(self, context: dict[str, Any]) -> None:
        """Drop the batch."""


class PlainTarget(Target):
    """A target without settings."""

    name = "plain-target"
    package_name = "bc-images"
    default_sink_class = NothingSink


if __name__ == "__main__":
    PlainTarget.cli()
