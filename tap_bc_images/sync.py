"""The one private method of the SDK that this tap overrides: the loop over a stream's records.

It has no public hook: ``tests/tap/test_sdk_seams.py`` fails where the SDK changes it, or what calls it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING

from singer_sdk import Stream

from bc_images.bigcommerce.mapping import Record

if TYPE_CHECKING:
    from singer_sdk.helpers.types import Context

__all__ = ["SyncLoop"]


class SyncLoop(Stream):
    """A stream that decides itself when STATE and ACTIVATE_VERSION are written.

    The SDK's loop copies each record for child streams, of which there are none; it writes STATE after a number of
    records, so that it falls within a product; and it moves the bookmark with every record.
    """

    @abstractmethod
    def get_records(self, context: Context | None) -> Generator[Record]:
        """Yield the records; closed before an error is handled or the sync is finalized."""

    @abstractmethod
    def _write_record(self, record: Record) -> None:
        """Write the messages of a record."""

    @abstractmethod
    def _finalize(self) -> None:
        """Write what follows the last record."""

    def _on_error(self, error: Exception) -> None:
        """Write what may still be written before `error` is raised again."""

    def _sync_records(self, context: Context | None = None, *, write_messages: bool = True) -> Generator[Record]:
        """Write the messages of one sync; of ``--test``, only those of the first records."""
        count = 0
        with closing(self.get_records(context)) as records, self.get_record_counter() as counter, self.get_sync_timer():
            try:
                for record in islice(records, self.ABORT_AT_RECORD_COUNT):
                    if write_messages:
                        self._write_record(record)
                    count += 1
                    yield record
            except Exception as error:
                self._on_error(error)
                raise
            finally:
                counter.increment(count)
        if write_messages:
            self._finalize()
