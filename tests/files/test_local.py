"""A folder when the disk is full, read-only, forbidden or lost; and a run that is killed while it writes."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bc_images.errors import FileStoreError, SettingsError
from bc_images.files import open_files
from bc_images.files.backends import local as folder_module
from bc_images.files.layout import object_key
from tests.support.file_stores import keys
from tests.support.pictures import picture, png

ROOT = Path(__file__).parents[2]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 1 MB."""
    mount = tmp_path / "disk"
    mount.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(mount)], capture_output=True)
    if made.returncode:
        pytest.skip("a small file system can only be mounted by root")
    yield mount
    subprocess.run(["umount", "-l", str(mount)], check=True)


def test_a_full_disk(small_disk: Path) -> None:
    files = open_files(str(small_disk / "files"))
    first = files.add([png(100_000, 1)])
    content = png(2_000_000)
    with pytest.raises(FileStoreError, match=r"is full .*Free some space"):
        files.add([content[start : start + 10_000] for start in range(0, len(content), 10_000)])
    assert keys(files) == {object_key(first.sha256)}
    assert files.read(first.sha256) == png(100_000, 1)
    second = files.add([png(100_000, 2)])  # what was begun has made room again
    assert files.read(second.sha256) == png(100_000, 2)


def test_a_read_only_disk(small_disk: Path) -> None:
    files = open_files(str(small_disk / "files"))
    stored = files.add([picture("png")])
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(FileStoreError, match=r"read-only.*Mount it writable"):
        files.add([picture("gif")])
    with pytest.raises(FileStoreError, match="read-only"):
        files.refs("abc").put("a/b.png", stored)
    again = open_files(str(small_disk / "files"))  # what is there can still be used
    assert again.read(stored.sha256) == picture("png")
    assert again.refs("abc").get("a/b.png") is None


def fail(monkeypatch: pytest.MonkeyPatch, call: str, number: int, after: int = 0) -> None:
    """Let the operating system refuse a call, as if by chance, after it has worked a few times."""
    real: Callable[..., Any] = getattr(os, call)
    left = [after]

    def refuse(*args: Any, **kwargs: Any) -> Any:
        if left[0] <= 0:
            raise OSError(number, os.strerror(number), "a-name")
        left[0] -= 1
        return real(*args, **kwargs)

    monkeypatch.setattr(os, call, refuse)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "is full"),
        (errno.EDQUOT, "is full"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "Permission denied: file store"),
        (errno.EPERM, "Permission denied: file store"),
        (errno.EIO, "Check the disk"),
        (errno.ENOTDIR, "is not a folder"),
    ],
)
@pytest.mark.parametrize("call", ["open", "write", "fsync"])
def test_every_refusal_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int, words: str
) -> None:
    files = open_files(str(tmp_path / "files"))
    files.add([picture("gif")])
    before = keys(files)
    fail(monkeypatch, call, number)
    with pytest.raises(FileStoreError, match=words) as caught:
        files.add([picture("png")])
    monkeypatch.undo()
    assert "\n" not in str(caught.value)
    assert keys(files) == before


@pytest.mark.parametrize("after", range(3))
def test_a_disk_that_fails_at_any_fsync_never_shows_a_doubtful_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """The last fsync is the folder's: there the file is whole already, and only its name is in doubt."""
    files = open_files(str(tmp_path / "files"))
    files.add([picture("gif")])
    fail(monkeypatch, "fsync", errno.EIO, after)
    with pytest.raises(FileStoreError):
        files.add([picture("png")])
    monkeypatch.undo()
    for key in keys(files):
        files.inspect(key.rpartition("/")[2])


def test_a_disk_that_takes_little_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, bytes(data[:7])))
    stored = open_files(str(tmp_path)).add([picture("png")])
    monkeypatch.undo()
    assert open_files(str(tmp_path)).read(stored.sha256) == picture("png")


def test_a_disk_that_loses_bytes_in_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write

    def lossy(descriptor: int, data: memoryview) -> int:
        real(descriptor, bytes(data[:-1]))
        return len(data)

    monkeypatch.setattr(os, "write", lossy)
    files = open_files(str(tmp_path))
    with pytest.raises(FileStoreError, match=r"kept \d+ of \d+ bytes"):
        files.add([picture("png")])
    assert keys(files) == set()


def test_bytes_are_durable_before_their_name_and_the_name_before_we_return(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = open_files(str(tmp_path))
    files.add([picture("png")])  # the folders are there
    events: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def fsynced(descriptor: int) -> None:
        events.append("fsync " + Path(f"/proc/self/fd/{descriptor}").resolve().relative_to(tmp_path).parts[0])
        fsync(descriptor)

    def renamed(path: Path, target: Path) -> Path:
        events.append("rename")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", fsynced)
    monkeypatch.setattr(Path, "replace", renamed)
    files.add([picture("png")])
    assert events == ["fsync tmp", "rename", "fsync sha256"]


def test_permission_is_lost(tmp_path: Path) -> None:
    """Root may do everything: there, it becomes a user who may not write."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.is_relative_to(tempfile.gettempdir()):
            folder.chmod(0o711 | folder.stat().st_mode)
    files = open_files(str(tmp_path / "files"))
    stored = files.add([picture("png")])
    for path in (tmp_path / "files").rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    script = (  # everything is imported as root: the other user may not be able to look where the packages lie
        "import os, sys\n"
        "from bc_images.files import open_files\n"
        "from bc_images.errors import FileStoreError\n"
        "if not os.geteuid(): os.setgid(65534); os.setuid(65534)\n"
        "files = open_files(sys.argv[1])\n"
        "assert files.read(sys.argv[2])\n"
        "try: files.add([b'GIF89a' + bytes(50)])\n"
        "except FileStoreError as error: print(error)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "files"), stored.sha256]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "Permission denied: file store" in done.stdout
    assert "Give this user permission" in done.stdout


@pytest.mark.parametrize("path", ["a-file", "a-file/files", "a-file/deep/files", "a-link"])
def test_a_file_in_the_place_of_the_folder(tmp_path: Path, path: str) -> None:
    (tmp_path / "a-file").write_text("no folder")
    (tmp_path / "a-link").symlink_to("a-file")
    with pytest.raises(SettingsError, match="is not a folder"):
        open_files(str(tmp_path / path))


def test_a_file_that_takes_the_place_of_the_folder_later(tmp_path: Path) -> None:
    files = open_files(str(tmp_path / "files"))
    (tmp_path / "files").write_text("no folder")
    with pytest.raises(FileStoreError, match="is not a folder"):
        files.add([picture("png")])
    with pytest.raises(FileStoreError, match="is not a folder"):
        files.refs("abc")


def test_a_disk_that_is_no_longer_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call fails, as on a network mount whose server has gone: that is no fault of the single file."""
    files = open_files(str(tmp_path))
    stored = files.add([picture("png")])

    def gone(*_args: Any, **_kwargs: Any) -> Any:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    monkeypatch.setattr(folder_module, "open_regular", gone)
    monkeypatch.setattr(Path, "stat", gone)
    with pytest.raises(FileStoreError, match=r"The file store .* failed: Stale file handle|No file store"):
        files.read(stored.sha256)


def test_one_unreadable_file_is_not_the_end_of_the_file_store(tmp_path: Path) -> None:
    files = open_files(str(tmp_path))
    stored = files.add([picture("png")])
    path = tmp_path / object_key(stored.sha256)
    path.unlink()
    path.mkdir()
    with pytest.raises(FileStoreError, match="cannot be read"):
        files.read(stored.sha256)


def test_a_run_that_is_killed_leaves_no_half_file(tmp_path: Path) -> None:
    script = (
        "import sys, time\n"
        "from bc_images.files import open_files\n"
        "def chunks():\n"
        "    yield b'GIF89a' + bytes(100_000)\n"
        "    print('half', flush=True)\n"
        "    time.sleep(60)\n"
        "open_files(sys.argv[1]).add(chunks())\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "files")], stdout=subprocess.PIPE, cwd=ROOT, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "half\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    files = open_files(str(tmp_path / "files"))
    assert keys(files, "sha256") == set()
    (left,) = keys(files, "tmp")
    assert list(files.backend.stale_temporaries()) == []  # a day has not passed: another run may be writing it
    old = time.time() - 2 * 86_400
    os.utime(tmp_path / "files" / left, (old, old))
    assert list(files.backend.stale_temporaries()) == [left]


def test_others_may_read_the_backup_as_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        stored = open_files(str(tmp_path / "files")).add([picture("png")])
    finally:
        os.umask(before)
    assert (tmp_path / "files" / object_key(stored.sha256)).stat().st_mode & 0o777 == 0o640
