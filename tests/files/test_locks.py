"""One restore of a store at a time, from anywhere that reaches the file store."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bc_images.errors import FileStoreError, StoreLocked
from bc_images.files import FileStore, locks, open_files
from bc_images.files.locks import LockHolder, StoreLock, read_locks
from tests.support import commands
from tests.support.file_stores import everywhere

STORE = "abc"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "_POLL", 0.01)
    monkeypatch.setattr(locks.random, "uniform", lambda *_: 0.01)  # type: ignore[attr-defined]


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> LockHolder:
    """A process of another machine."""
    return LockHolder("other-host", "other-host/boot/1", 4711, "2026-01-31T00:00:00+00:00", "2026-01-31T00:00:00+00:00")


def locked_by(files: FileStore, holder: LockHolder, lock_id: str = "ffff") -> str:
    """Write the entry of another process."""
    key = f"locks/{STORE}/{lock_id}-1.json"
    content = json.dumps({name: getattr(holder, name) for name in LockHolder.__slots__}).encode()
    with files.backend.begin() as upload:
        upload.write(content)
        upload.commit(key, len(content))
    return key


def keys(files: FileStore) -> set[str]:
    return {lock.key for lock in read_locks(files.backend, STORE)}


def ended_process() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    return process.pid


@everywhere
def test_the_second_restore_is_refused_and_told_of_the_first(files: FileStore) -> None:
    with StoreLock(files.backend, STORE):
        (lock,) = read_locks(files.backend, STORE)
        with (
            pytest.raises(StoreLocked, match=rf"process {lock.holder and lock.holder.pid} on .*, started 20"),
            StoreLock(files.backend, STORE),
        ):
            pytest.fail("two restores at once")
        assert [each.key for each in read_locks(files.backend, STORE)] == [lock.key], "the refused one left nothing"
        with StoreLock(files.backend, "another"):
            pass
    assert not read_locks(files.backend, STORE)


@everywhere
def test_of_many_that_start_together_at_most_one_runs_at_a_time(files: FileStore) -> None:
    running, most, refused = 0, 0, 0
    counting, start = threading.Lock(), threading.Barrier(6)

    def restore(_: int) -> None:
        nonlocal running, most, refused
        start.wait()
        try:
            with StoreLock(files.backend, STORE):
                with counting:
                    running += 1
                    most = max(most, running)
                time.sleep(0.05)
                with counting:
                    running -= 1
        except StoreLocked:
            with counting:
                refused += 1

    with ThreadPoolExecutor(6) as executor:
        list(executor.map(restore, range(6)))
    assert most <= 1
    assert refused >= 1
    assert not read_locks(files.backend, STORE)


@everywhere
def test_a_lock_is_renewed_and_never_missing_meanwhile(files: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "RENEW_EVERY", 0.0)
    with StoreLock(files.backend, STORE) as lock:
        first = read_locks(files.backend, STORE)[0].key
        seen: set[str] = set()
        while len(seen) < 3:
            with pytest.raises(StoreLocked), StoreLock(files.backend, STORE):
                pytest.fail("a moment without a lock")
            seen |= {each.key for each in read_locks(files.backend, STORE)} - {first}
    assert lock.lost is None
    assert not read_locks(files.backend, STORE)


def test_a_lock_that_is_renewed_between_listing_and_reading_is_seen(
    files: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunks = files.backend.chunks
    with StoreLock(files.backend, STORE) as lock:

        def renewed_first(key: str) -> Iterator[bytes]:
            monkeypatch.setattr(files.backend, "chunks", chunks)
            lock._write()
            return chunks(key)

        monkeypatch.setattr(files.backend, "chunks", renewed_first)
        with pytest.raises(StoreLocked), StoreLock(files.backend, STORE):
            pytest.fail("two restores at once")


def test_the_lock_of_a_process_that_has_ended_here_does_not_count(files: FileStore) -> None:
    dead = locked_by(files, replace(LockHolder.current(), pid=ended_process()))
    with StoreLock(files.backend, STORE):
        assert dead not in keys(files)


def test_a_process_of_another_machine_is_not_looked_up_here(files: FileStore) -> None:
    locked_by(files, replace(LockHolder.current(), pid=ended_process(), machine="another"))
    with pytest.raises(StoreLocked), StoreLock(files.backend, STORE):
        pytest.fail("its process may be running")


@everywhere
def test_a_lock_is_stale_by_the_clock_of_the_file_store(
    files: FileStore, elsewhere: LockHolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the other machine's clock said of its renewal (years ago, here) does not count where the place tells."""
    key = locked_by(files, elsewhere)
    if files.backend.modified(key) is None:
        pytest.fail("this backend tells no times")
    with pytest.raises(StoreLocked, match="other-host"), StoreLock(files.backend, STORE):
        pytest.fail("it was written a moment ago")
    real = files.backend.modified
    monkeypatch.setattr(
        files.backend, "modified", lambda each: (real(each) or 0) - (locks.STALE_AFTER + 60) * (each == key)
    )
    with StoreLock(files.backend, STORE):
        assert key not in keys(files)


def test_where_the_place_tells_no_time_the_renewal_counts(
    files: FileStore, elsewhere: LockHolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files.backend, "modified", lambda _: None)
    locked_by(files, elsewhere)
    with StoreLock(files.backend, STORE):
        pass
    locked_by(files, replace(elsewhere, renewed=LockHolder.current().renewed))
    with pytest.raises(StoreLocked), StoreLock(files.backend, STORE):
        pytest.fail("it was renewed a moment ago")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"pid": "x"}', b"[" * 100_000])
def test_an_unreadable_entry_counts_as_a_lock(files: FileStore, content: bytes) -> None:
    with files.backend.begin() as upload:
        upload.write(content)
        upload.commit(f"locks/{STORE}/x.json", len(content))
    with pytest.raises(StoreLocked, match="unknown process"), StoreLock(files.backend, STORE):
        pytest.fail("somebody has written it")


@everywhere
def test_a_removed_lock_is_noticed(files: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = threading.Event()
    with StoreLock(files.backend, STORE, lost.set) as lock:
        removed, kept = StoreLock(files.backend, STORE).remove(everything=True)
        assert (len(removed), len(kept)) == (1, 0)
        monkeypatch.setattr(locks, "RENEW_EVERY", 0.0)
        assert lost.wait(30)
    assert "was removed. Another restore may be running, so nothing more was written" in (lock.lost or "")


def test_a_lock_that_cannot_be_renewed_is_lost(files: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = threading.Event()

    def unreachable(*_: Any) -> None:
        raise FileStoreError("The network is down.")

    with StoreLock(files.backend, STORE, lost.set) as lock:
        monkeypatch.setattr(files.backend, "size", unreachable)
        monkeypatch.setattr(locks, "RENEW_EVERY", 0.0)
        monkeypatch.setattr(locks, "STALE_AFTER", 0.1)
        assert lost.wait(30)
    assert "could not be renewed" in (lock.lost or "")


def test_a_read_only_file_store_takes_no_lock_and_says_so(
    files: FileStore, elsewhere: LockHolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    key = locked_by(files, replace(elsewhere, renewed=LockHolder.current().renewed))

    def read_only() -> Iterator[None]:
        raise FileStoreError("The file store is read-only.")

    monkeypatch.setattr(files.backend, "begin", read_only)
    with pytest.raises(StoreLocked), StoreLock(files.backend, STORE):
        pytest.fail("another process announced itself")
    files.backend.remove(key)
    with StoreLock(files.backend, STORE):
        assert "cannot be locked (The file store is read-only)" in caplog.text


class TestUnlock:
    def unlock(self, files: FileStore, *options: str) -> tuple[int, str]:
        done = commands.run("bc-images", "unlock", "--file-store", files.display_name, "--store-hash", STORE, *options)
        return done.code, done.out + done.err

    @pytest.fixture
    def files(self, tmp_path: Path) -> FileStore:
        (tmp_path / "sha256").mkdir()
        return open_files(str(tmp_path))

    def test_nothing_is_there(self, files: FileStore) -> None:
        assert self.unlock(files) == (0, "There are no locks.\n")

    def test_stale_ones_go_and_others_only_when_asked(self, files: FileStore, elsewhere: LockHolder) -> None:
        stale = locked_by(files, replace(LockHolder.current(), pid=ended_process()), "aaaa")
        active = locked_by(files, elsewhere, "bbbb")
        code, text = self.unlock(files)
        assert code == 1
        assert text.splitlines()[0].startswith("removed: process ")
        assert "kept: process 4711 on other-host" in text
        assert stale not in keys(files)
        assert active in keys(files)
        code, text = self.unlock(files, "--all")
        assert (code, active in keys(files)) == (0, False)

    def test_there_is_no_file_store(self, tmp_path: Path) -> None:
        code, text = self.unlock(open_files(str(tmp_path / "nowhere")))
        assert code == 3
        assert "No file store found" in text
        assert not (tmp_path / "nowhere").exists()

    def test_a_store_hash_that_leads_elsewhere(self, files: FileStore) -> None:
        done = commands.run("bc-images", "unlock", "--file-store", files.display_name, "--store-hash", "../sha256")
        assert done.code == 2
