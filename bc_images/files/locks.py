"""The lock of a restore in the file store: one restore of a store at a time, from anywhere.

A writer first writes its entry under ``locks/<store_hash>/`` and then lists that folder. Of two that start together at
least one sees the other, for a folder, and every large object store, lists what has been written before. Whoever sees
another writer removes its own entry and stops. This needs no exclusive create, which not every backend offers.

An entry is renewed under a new name before the old one is removed, so that there is no moment without one.
"""

from __future__ import annotations

import json
import logging
import os
import random
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from bc_images.errors import FileStoreError, StoreLocked
from bc_images.files.backends.base import Backend
from bc_images.files.layout import check_store_hash
from bc_images.text import shortened

__all__ = ["LOCKS", "RENEW_EVERY", "STALE_AFTER", "Lock", "LockHolder", "StoreLock", "read_locks"]

logger = logging.getLogger(__name__)

LOCKS = "locks"
RENEW_EVERY = 300.0  # seconds
STALE_AFTER = 1800.0  # seconds without renewal, by the file store's own clock
_POLL = 2.0  # seconds; short, so that a machine that was suspended renews as soon as it wakes
_LISTINGS = 5  # of entries that are renewed meanwhile; what is missing then still counts as a lock
_ATTEMPTS = 3  # of two writers that start together and both withdraw, one comes through the next time


@dataclass(frozen=True, slots=True)
class LockHolder:
    """The process that wrote an entry. `machine` also tells containers of one host apart."""

    host: str
    machine: str
    pid: int
    started: str  # RFC 3339, UTC
    renewed: str

    @classmethod
    def current(cls) -> Self:
        """Return this process."""
        now = _now()
        return cls(socket.gethostname(), _machine(), os.getpid(), now, now)

    def __str__(self) -> str:
        return f"process {self.pid} on {shortened(self.host, 80)}, started {shortened(self.started, 40)}"

    @property
    def is_dead(self) -> bool:
        """Whether the process is known to have ended; only its own machine can tell."""
        if os.name != "posix" or self.machine != _machine() or self.pid <= 0:
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except (OSError, OverflowError):
            return False
        return False


@dataclass(frozen=True, slots=True)
class Lock:
    """An entry in the file store; `modified` in unix seconds. What is not known is None."""

    key: str
    holder: LockHolder | None
    modified: float | None
    exists: bool = True

    @property
    def lock_id(self) -> str:
        """What the successive entries of one writer have in common."""
        return self.key.rpartition("/")[2].partition("-")[0]

    def age(self, now: float | None) -> float:
        """Return the seconds since the entry was written.

        Args:
            now: the time by the file store's clock; where it has none that we know, this machine's clock is compared.
        """
        if self.modified is not None and now is not None:
            return now - self.modified
        if self.holder is not None:
            with suppress(ValueError, OverflowError):  # a year that no clock of this machine can show
                return time.time() - datetime.fromisoformat(self.holder.renewed).timestamp()
        return 0.0

    def is_stale(self, now: float | None) -> bool:
        """Whether its writer has ended, or has not renewed it for `STALE_AFTER` seconds."""
        return (self.holder is not None and self.holder.is_dead) or self.age(now) > STALE_AFTER

    def __str__(self) -> str:
        return str(self.holder or f"an unknown process ({self.key})")


def read_locks(backend: Backend, store_hash: str) -> list[Lock]:
    """Return the entries of all writers of a store.

    An entry that is missing when it is read was renewed since it was listed, or removed: then all are listed again.

    Raises:
        FileStoreError: the file store is not readable.
    """
    locks: list[Lock] = []
    for _ in range(_LISTINGS):
        keys = list(backend.keys(f"{LOCKS}/{store_hash}"))
        locks = [_read(backend, key) for key in keys]
        if all(lock.exists for lock in locks):
            break
    return locks


def _read(backend: Backend, key: str) -> Lock:
    try:
        return Lock(key, _parse(b"".join(backend.chunks(key))), backend.modified(key))
    except FileNotFoundError:
        return Lock(key, None, None, exists=False)
    except OSError:
        return Lock(key, None, None)


class StoreLock:
    """Announces this process as the only writer of a store, for as long as the context lasts.

    Args:
        backend: where the file store keeps its objects.
        store_hash: the store that is written to.
        on_lost: called from another thread when the lock is lost: nothing more may be written to the store.

    Attributes:
        lost: why the lock was lost while it was needed; None while it was not.

    Raises:
        SettingsError: no store has such a hash.
        StoreLocked: on entering: another process is restoring to this store.
        FileStoreError: on entering: the file store is neither writable nor readable.
    """

    def __init__(self, backend: Backend, store_hash: str, on_lost: Callable[[], None] = lambda: None) -> None:
        self._backend = backend
        self._store_hash = check_store_hash(store_hash)
        self._on_lost = on_lost
        self._id = secrets.token_hex(8)
        self._sequence = 0
        self._holder = LockHolder.current()
        self._key: str | None = None
        self._released = threading.Event()
        self._thread: threading.Thread | None = None
        self.lost: str | None = None

    def __enter__(self) -> Self:
        try:
            self._acquire()
        except (FileStoreError, NotImplementedError) as error:
            self._refuse_if_locked(self._others(), now=None)
            logger.warning(
                "The file store cannot be locked (%s): a restore of this store on another machine would go unnoticed.",
                str(error).rstrip(".") or "it is read-only",
            )
            return self
        self._thread = threading.Thread(target=self._keep, name="store lock", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._released.set()
        if self._thread is not None:
            self._thread.join()
        self._withdraw()

    def remove(self, *, everything: bool = False) -> tuple[list[Lock], list[Lock]]:
        """Remove stale entries of other processes, or all of them; return what was removed and what was kept."""
        self._write()
        try:
            now = self._backend.modified(self._key or "")
            removed, kept = [], []
            for lock in self._others():
                if everything or lock.is_stale(now):
                    self._backend.remove(lock.key)
                    removed.append(lock)
                else:
                    kept.append(lock)
            return removed, kept
        finally:
            self._withdraw()

    def _acquire(self) -> None:
        for attempt in range(1, _ATTEMPTS + 1):
            self._write()
            now = self._backend.modified(self._key or "")
            try:
                self._refuse_if_locked(self._others(), now)
            except StoreLocked:
                self._withdraw()
                if attempt == _ATTEMPTS:
                    raise
                time.sleep(random.uniform(0.1, 1.0))  # noqa: S311 - no secret
            else:
                return

    def _others(self) -> list[Lock]:
        return [lock for lock in read_locks(self._backend, self._store_hash) if lock.lock_id != self._id]

    def _refuse_if_locked(self, locks: list[Lock], now: float | None) -> None:
        for lock in locks:
            if not lock.is_stale(now):
                raise StoreLocked(
                    f"Another restore of the store {self._store_hash} is running: {lock}, renewed "
                    f"{max(0, round(lock.age(now) / 60))} min ago. Nothing was written. Wait for it; if it has ended, "
                    "remove its lock with: bc-images unlock --all."
                )
        if now is not None:
            for lock in locks:  # the writer of a stale entry that is still alive sees it missing, and stops
                with suppress(FileStoreError):
                    self._backend.remove(lock.key)

    def _write(self) -> None:
        """Write an entry under a new name; its predecessor is removed after that."""
        previous = self._key
        self._sequence += 1
        key = f"{LOCKS}/{self._store_hash}/{self._id}-{self._sequence}.json"
        content = json.dumps({**asdict(self._holder), "renewed": _now()}).encode()
        with self._backend.begin() as upload:
            upload.write(content)
            upload.commit(key, len(content))
        self._key = key
        if previous is not None:
            self._backend.remove(previous)

    def _withdraw(self) -> None:
        if self._key is None:
            return
        try:
            self._backend.remove(self._key)
        except FileStoreError as error:
            logger.warning("The lock %s was not removed: %s", self._key, error)
        self._key = None

    def _keep(self) -> None:
        """Renew the entry until the lock is released or lost. Both clocks count: one stops while a machine sleeps."""
        renewed = time.time(), time.monotonic()
        while not self._released.wait(_POLL):
            elapsed = max(time.time() - renewed[0], time.monotonic() - renewed[1])
            if elapsed < RENEW_EVERY:
                continue
            try:
                if self._backend.size(self._key or "") is None:
                    self._lose("its entry in the file store was removed")
                    return
                self._write()
                renewed = time.time(), time.monotonic()
            except FileStoreError as error:
                logger.warning("The lock of the store was not renewed: %s", error)
                if elapsed > STALE_AFTER - 2 * RENEW_EVERY:
                    self._lose("it could not be renewed")
                    return

    def _lose(self, reason: str) -> None:
        self.lost = (
            f"The lock of the store {self._store_hash} was lost: {reason}. Another restore may be running, so nothing "
            "more was written. Run again to go on."
        )
        self._on_lost()


def _parse(content: bytes) -> LockHolder | None:
    try:
        fields = json.loads(content)
        holder = LockHolder(**fields)
        datetime.fromisoformat(holder.renewed)
    except (ValueError, TypeError, RecursionError):
        return None
    texts = (holder.host, holder.machine, holder.started)
    return holder if type(holder.pid) is int and all(type(text) is str for text in texts) else None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _machine() -> str:
    """Return what tells this boot of this machine, and this container on it, from all others."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
    with suppress(OSError):
        parts.append(re.sub(r"\D", "", str(Path("/proc/self/ns/pid").readlink())))
    return "/".join(parts)
