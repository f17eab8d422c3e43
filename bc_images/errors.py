"""The errors, by what to do next.

::

    BcImagesError
    ├── SettingsError          exit 2  change a setting, then run again
    ├── FatalError             exit 3  nothing more can be done in this run
    │   ├── AuthError                  give a valid token with the right scope, or the right store hash
    │   ├── StoreSuspended             the store itself is switched off: ask its owner
    │   ├── StoreUnreachable           network, TLS, or out of retries: run again later
    │   ├── UnexpectedResponse         the response does not follow the API: nothing was guessed
    │   ├── StoreLocked                another restore of this store is running: wait for it
    │   ├── InvalidInput               the input is not a Singer stream, or is truncated
    │   └── FileStoreError             the file store is corrupt or cannot be used: run `bc-images check`
    ├── PartialFailure         exit 1  the run finished; what is listed needs a second look
    ├── RequestRejected                this one request will never work: the record is rejected, others go on
    │   └── NotFound                   the product or image does not exist
    ├── FileUnavailable                this one picture cannot be read or sent: the record says so, others go on
    └── OutcomeUnknown                 a write may or may not have happened: look, never just repeat it

Callers choose by type and never by text. The message is one line: what is wrong, then what to do.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

__all__ = [
    "AuthError",
    "BcImagesError",
    "FatalError",
    "FileStoreError",
    "FileUnavailable",
    "InvalidInput",
    "NotFound",
    "OutcomeUnknown",
    "PartialFailure",
    "RequestRejected",
    "SettingsError",
    "StoreLocked",
    "StoreSuspended",
    "StoreUnreachable",
    "UnexpectedResponse",
]


class BcImagesError(Exception):
    """Anything this project raises on purpose; ``str()`` of it is one line for the user."""

    exit_code = 3


class SettingsError(BcImagesError):
    """A setting is missing, unknown, contradicts another or does not suit what was read: the store was not changed."""

    exit_code = 2


class FatalError(BcImagesError):
    """The run cannot go on."""


class AuthError(FatalError):
    """The store refused the token (401) or its scope (403)."""


class StoreSuspended(FatalError):
    """The store is suspended or in maintenance: repeating the request will not help."""


class StoreLocked(FatalError):
    """Another process is restoring to this store: nothing was written."""


class StoreUnreachable(FatalError):
    """No usable answer within the stated retries: name resolution, TLS, time-outs, 5xx, 429."""


class UnexpectedResponse(FatalError):
    """A response that does not follow the API: HTML, a page without ``data``, an id of a wrong type."""


class InvalidInput(FatalError):
    """The Singer input is broken: a line that is not valid JSON, a RECORD before its SCHEMA."""


class FileStoreError(FatalError):
    """The file store cannot be used, or holds bytes that do not match their digest."""


class PartialFailure(BcImagesError):
    """The run finished, but some records were rejected or failed; they are listed."""

    exit_code = 1


class RequestRejected(BcImagesError):
    """The store will never accept this request (4xx); ``status`` is the HTTP status.

    Attributes:
        status: the HTTP status, or None where the refusal is ours, made before any request.
        fields: the fields of the request that the store names; empty where it names none.
        max_length: how many characters the store says that a text may have, or None.
    """

    exit_code = 1

    def __init__(
        self, message: str, status: int | None = None, *, fields: Collection[str] = (), max_length: int | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.fields = fields
        self.max_length = max_length


class NotFound(RequestRejected):
    """The product or the image does not exist (404)."""


class FileUnavailable(BcImagesError):
    """One picture cannot be downloaded, stored or sent."""

    exit_code = 1


class OutcomeUnknown(BcImagesError):
    """A write ended in a 5xx, a time-out, a lost reply or a success without the image: it may have been done.

    Attributes:
        is_answered: the store has called it a success, so that a look shows what came of it.
    """

    def __init__(self, message: str, *, is_answered: bool = False) -> None:
        super().__init__(message)
        self.is_answered = is_answered


def error_chain(error: BaseException, *, with_contexts: bool = False) -> Iterator[BaseException]:
    """Yield an error and what led to it, outermost first.

    These are causes and arguments, the ``reason`` of urllib3's errors, and the ``errors`` of paramiko's, one for each
    address of the host.

    Args:
        error: where to begin.
        with_contexts: also follow errors that were being handled when another was raised. For libraries that lack
            ``raise ... from``; an error of our own clean-up would lead on to what it cleans up after.
    """
    waiting, seen = [error], set()
    while waiting:
        link = waiting.pop(0)
        if id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        context = link.__context__ if with_contexts and not link.__suppress_context__ else None
        errors: Any = getattr(link, "errors", None)
        attempts = list(errors.values()) if isinstance(errors, dict) else []
        causes = (link.__cause__, context, getattr(link, "reason", None), *link.args, *attempts)
        waiting += [cause for cause in causes if isinstance(cause, BaseException)]
