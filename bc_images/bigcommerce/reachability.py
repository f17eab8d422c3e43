"""Whether a server has answered in this run.

One that never has is given up after a few seconds: most likely it is not running, or its address is wrong, and a longer
wait would only look like a hang.
"""

from __future__ import annotations

from bc_images.bigcommerce.transport_errors import Failure

__all__ = ["Reachability"]

RETRIES = 3  # after about half a second, one second and two
SECONDS = 5.0  # where a single try takes longer, as to an address that drops every packet, it is the only one


class Reachability:
    """What is known of one server; safe to share between threads.

    Args:
        address: of the server, without credentials.
        setting: the setting to check when there is no connection.
    """

    def __init__(self, address: str, setting: str) -> None:
        self._address = address
        self._setting = setting
        self.has_answered = False
        """Whether it has answered at all, whatever it said."""

    def is_unreachable(self, failure: Failure, retries: int, seconds: float) -> bool:
        """Whether a request is to be given up after so many retries, `seconds` after its first try."""
        return self.never_connected(failure) and (retries >= RETRIES or seconds >= SECONDS)

    def never_connected(self, failure: Failure) -> bool:
        """Whether a failure means that there was no connection, and there has been none before."""
        return failure.never_sent and not self.has_answered

    def message(self, reason: str) -> str:
        """Say in one line that there was no connection, and what to check."""
        return f"Could not connect to {self._address}: {reason}. Is it running? Is {self._setting} right?"
