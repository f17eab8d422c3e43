"""The session of one restore: store client, report, summary on stderr."""

from __future__ import annotations

import shutil
import sys
from contextlib import closing

from bc_images import logs
from bc_images.bigcommerce import open_store
from bc_images.errors import PartialFailure
from bc_images.settings import Settings
from bc_images.text import counted
from target_bc_images.context import EarlierRun
from target_bc_images.report import Report, rejection
from target_bc_images.restore import Restore, RestoreResult
from target_bc_images.restore_input import RestoreInput
from target_bc_images.settings import TargetSettings

__all__ = ["RestoreSession"]


class RestoreSession:
    """Restores one input; closing prints the summary.

    Args:
        prog: the command that the summary on stderr is from.
        settings: the shared settings.
        target_settings: the target's own.

    Attributes:
        prints_summary: whether closing prints the summary.

    Raises:
        SettingsError: they cannot be used.
    """

    def __init__(self, prog: str, settings: Settings, target_settings: TargetSettings) -> None:
        self._prog = prog
        self._target_settings = target_settings
        self.prints_summary = True
        self.store = open_store(settings)
        self.result = RestoreResult()
        self.restore = Restore(settings, target_settings, self.store)
        self.report = Report(target_settings.report, by_product=target_settings.report_by_product)

    def run(self, restore_input: RestoreInput, earlier_run: EarlierRun | None = None) -> None:
        """Restore the input, as `Restore.run` does.

        Raises:
            BcImagesError: of any kind, as from `Restore.run`.
        """
        for record, reason in restore_input.rejected:
            self.report.add(rejection(record, reason), "rejected")
        self.report.skipped.update(restore_input.skipped)
        self.result = self.restore.run(restore_input, self.report, earlier_run)
        if self.result.error is not None:
            raise self.result.error

    def require_success(self) -> None:
        """Check the result.

        Raises:
            PartialFailure: not every record was restored, or a mirror deleted nothing.
        """
        if self.result.deletes_skipped_reason is not None:
            raise PartialFailure(f"mirror deleted nothing, because {self.result.deletes_skipped_reason}.")
        if self.report.problem_count:
            where = (
                f"see {self._target_settings.report}"
                if self._target_settings.report
                else "set report to a path to have all of them in a file, with their records"
            )
            raise PartialFailure(f"{self._unfinished()}: {where}.")

    def _unfinished(self) -> str:
        """Say how many records are still to be done."""
        report = self.report
        failed = report.with_status("rejected") + report.with_status("failed")
        parts = {
            f"{counted(failed, 'record')} {'was' if failed == 1 else 'were'} rejected or failed": failed,
            "{} undecided": report.with_status("undecided"),
            "{} written and not verified": report.with_status("unverified"),
            "{} not reached": report.with_status("not reached"),
            "{} restored but for values that the store does not take": report.different,
        }
        return ", ".join(text.format(number) for text, number in parts.items() if number)

    def close(self) -> None:
        """Close the store and the report, and print the summary on stderr."""
        self.store.close()
        with closing(self.report):
            self.print_summary()

    def print_summary(self) -> None:
        """Print the summary on stderr, once; nothing is to be added to it afterwards."""
        if not self.prints_summary:
            return
        self.prints_summary = False
        if self.report.counts or self.report.skipped:
            width = shutil.get_terminal_size().columns if sys.stderr and sys.stderr.isatty() else None
            lines = [*self.report.changes(width), self.report.table(), *self.report.problem_lines()]
            logs.write_text(self._prog, "\n".join(lines))
        if self.result.undo_path is not None:
            logs.write_text(self._prog, f"What this run changed can be taken back: {self.result.undo_path}")
