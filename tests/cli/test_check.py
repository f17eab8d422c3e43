"""The command `bc-images check`, through its own door."""

from __future__ import annotations

import gzip
import json
import logging
import os
import re
import sys
import time
from collections.abc import Callable
from functools import partialmethod
from pathlib import Path
from typing import Any

import pytest

from bc_images import progress
from bc_images.files import FileInfo, FileStore, open_files
from bc_images.files.backends import local as folder_module
from bc_images.files.layout import object_key
from bc_images.files.media_type import MAX_UPLOAD
from bc_images.regular_files import open_regular
from tests.support import terminal
from tests.support.commands import CommandResult, restored_handlers
from tests.support.file_stores import Tamper, everywhere, record_of
from tests.support.pictures import picture, png

BIN = Path(sys.executable).parent


def report(result: CommandResult) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The findings and the summary that ``--json`` prints."""
    *found, last = result.messages
    return found, last["summary"]


Check = Callable[..., CommandResult]


@pytest.fixture
def check(place: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Check:
    """Runs the command as its console script does, and returns how it ended."""
    from bc_images.cli import main

    def run(*arguments: str | Path, files: str | None = place) -> CommandResult:
        monkeypatch.setattr(
            sys, "argv", ["bc-images", "check", *([f"--file-store={files}"] if files else []), *map(str, arguments)]
        )
        monkeypatch.setattr(logging.getLogger(), "handlers", [])  # the command attaches its own
        monkeypatch.setattr(logging.getLogger(), "level", logging.WARNING)
        capfd.readouterr()
        with restored_handlers(), pytest.raises(SystemExit) as leaving:
            main.main()
        said = capfd.readouterr()
        assert "Traceback" not in said.err
        return CommandResult(int(leaving.value.code or 0), said.out, said.err)

    return run


def stock(files: FileStore, number: int = 3) -> list[FileInfo]:
    """A few saved pictures with their refs."""
    made = []
    for seed in range(number):
        stored = files.add([picture("png", seed)])
        files.refs("abc").put(f"a/{seed}.png", stored)
        made.append(stored)
    return made


def message(stored: FileInfo | None, stream: str = "product_images", **changed: Any) -> bytes:
    facts: dict[str, Any] = {}
    if stored:
        facts = {"file_sha256": stored.sha256, "file_size": stored.size, "file_type": stored.type}
    return json.dumps({"type": "RECORD", "stream": stream, "record": record_of("a/b.png") | facts | changed}).encode()


def backup(path: Path, *lines: bytes) -> Path:
    text = b"\n".join([b'{"type":"SCHEMA","stream":"product_images","schema":{},"key_properties":["id"]}', *lines, b""])
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


def test_nothing_found(check: Check, files: FileStore) -> None:
    total = sum(stored.size for stored in stock(files))
    ended = check()
    assert ended.lines == [f"3 files ({total:,} bytes), 3 re-hashed: 0 corrupt, 0 missing, 0 orphaned."]
    assert (ended.code, ended.err) == (0, "")


@everywhere
def test_every_kind_of_finding(check: Check, files: FileStore, tamper: Tamper) -> None:
    flipped, cut, gone, fine = stock(files, 4)
    orphan = files.add([picture("gif")])
    tamper(object_key(flipped.sha256), bytes([picture("png")[0] ^ 1]) + picture("png")[1:])
    tamper(object_key(cut.sha256), picture("png", 1)[:-1])
    tamper(object_key(gone.sha256), None)
    tamper("sha256/zz/not-ours.txt", b"hello")
    ended = check()
    assert ended.code == 1
    assert sorted(line[:2] for line in ended.lines[:-1]) == ["! ", "! ", "+ ", "+ ", "- "]
    text = ended.out
    assert f"! {object_key(flipped.sha256)}  is corrupt: its bytes have the digest" in text
    assert "named by a/0.png of store abc" in text
    assert f"! {object_key(cut.sha256)}  has {cut.size - 1:,} bytes, not {cut.size:,}, named by a/1.png" in text
    assert f"- {object_key(gone.sha256)}  is not there, named by a/2.png of store abc" in text
    assert f"+ {object_key(orphan.sha256)}  is named by nothing" in text
    assert "+ sha256/zz/not-ours.txt  is not a file of this file store" in text
    assert fine.sha256 not in text
    assert ended.lines[-1].endswith("4 re-hashed: 2 corrupt, 1 missing, 2 orphaned.")


def test_json(check: Check, files: FileStore, tamper: Tamper) -> None:
    damaged, gone, _ = stock(files)
    tamper(object_key(damaged.sha256), picture("png", 9)[: damaged.size])
    tamper(object_key(gone.sha256), None)
    ended = check("--json")
    findings, summary = report(ended)
    assert ended.code == 1
    assert {(each["finding"], each["key"]) for each in findings} == {
        ("corrupt", object_key(damaged.sha256)),
        ("missing", object_key(gone.sha256)),
    }
    assert {each["named_by"] for each in findings} == {"a/0.png of store abc", "a/1.png of store abc"}
    assert (summary["files"], summary["corrupt"], summary["missing"], summary["orphaned"]) == (2, 1, 1, 0)


@everywhere
@pytest.mark.parametrize("name", ["backup.singer", "backup.singer.gz"])
def test_with_backups_they_alone_count(check: Check, files: FileStore, tmp_path: Path, name: str) -> None:
    one, two, three = stock(files)
    gone = FileInfo("ab" * 32, 10, "image/png")
    first = backup(tmp_path / name, message(one), message(None, id=5), b'{"type":"STATE","value":{}}', b"")
    second = backup(tmp_path / "second.singer", message(two), message(gone, id=8, product_id=9), message(one))
    ended = check(first, second)
    assert ended.code == 1
    assert ended.lines[:-2] == [
        f"- a/b.png  was not saved, the record names no file, named by product 7, image 5 in {name}",
        f"- {object_key(gone.sha256)}  is not there, named by product 9, image 8 in second.singer",
        f"+ {object_key(three.sha256)}  is named by nothing",
    ]
    assert ended.lines[-1] == "1 of 5 records names no file: their pictures were not saved."
    assert check(first, second, backup(tmp_path / "c", message(three), message(one))).code == 1
    assert check(backup(tmp_path / "d", message(one), message(two), message(three))).code == 0


def test_other_streams_name_no_files(check: Check, files: FileStore, tmp_path: Path) -> None:
    (one,) = stock(files, 1)
    lines = [message(one, "products"), message(one, "my_product_images"), message(one, "product_images_old")]
    ended = check("--json", backup(tmp_path / "a", *lines))
    assert report(ended)[1] | {"orphaned": 1, "records": 0} == report(ended)[1]
    for stream in ("product_images", "public-product_images", "db.raw.product_images"):
        assert check(backup(tmp_path / "b", message(one, stream))).code == 0


@pytest.mark.parametrize("sample", [[], ["--sample", "1"]])
def test_a_backup_that_lies_about_a_length(check: Check, files: FileStore, tmp_path: Path, sample: list[str]) -> None:
    """The digest holds, so the file is sound: whoever removes what is damaged must not remove it."""
    first, *others = stock(files, 20)
    wrong = FileInfo(first.sha256, first.size + 1, first.type)
    named = backup(tmp_path / "a", message(wrong, id=6), *map(message, others))
    ended = check(named, *sample)
    assert ended.code == 1
    by = "named by product 7, image 6 in a"
    assert ended.lines[0] == (
        f"? {object_key(first.sha256)}  is sound, with {first.size} bytes, not {first.size + 1}, {by}"
    )
    assert ended.lines[1].endswith("re-hashed: 0 corrupt, 0 missing, 0 orphaned, 1 wrong_size.")
    findings, summary = report(check("--json", named, *sample))
    assert [each["finding"] for each in findings] == ["wrong_size"]
    assert (summary["corrupt"], summary["wrong_size"]) == (0, 1)


def test_a_file_of_another_length_than_named_is_looked_at_in_every_sample(
    check: Check, files: FileStore, tamper: Tamper, tmp_path: Path
) -> None:
    cut, *others = stock(files, 20)
    tamper(object_key(cut.sha256), picture("png")[:-1])
    ended = check(backup(tmp_path / "a", message(cut), *map(message, others)), "--sample", "1")
    assert ended.code == 1
    assert ended.lines[0].startswith(f"! {object_key(cut.sha256)}  has {cut.size - 1:,} bytes, not {cut.size:,}")
    assert ended.lines[1].endswith("1 re-hashed: 1 corrupt, 0 missing, 0 orphaned.")


@pytest.mark.parametrize("size", [2**63 + 5, 2**64 - 1, 10**30, -1, -(2**63), True, "12", 1.5, None])
def test_a_length_that_is_none_is_no_reason_to_doubt(check: Check, files: FileStore, tmp_path: Path, size: Any) -> None:
    (one,) = stock(files, 1)
    ended = check(backup(tmp_path / "a", message(None, file_sha256=one.sha256, file_size=size)))
    assert (ended.code, ended.err) == (0, "")


@pytest.mark.parametrize("digest", ["../../etc/passwd", "0" * 63, 5, ["x"], True])
def test_a_backup_with_a_digest_that_is_none(check: Check, files: FileStore, tmp_path: Path, digest: Any) -> None:
    (one,) = stock(files, 1)
    ended = check(backup(tmp_path / "a", message(one), message(None, file_sha256=digest)))
    assert ended.code == 1
    assert ended.lines[0] == f"- {digest!r}  is not a SHA-256 in hex, named by product 7, image 1 in a"


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([b'{"type":"RECORD","stream":"product_images","rec'], "Line 2 of {} is not valid JSON"),
        ([b"[1, 2]"], "Line 2 of {} is not a Singer message"),
        ([b'{"stream":"product_images"}'], "Line 2 of {} is not a Singer message"),
        ([b'{"type":"RECORD","stream":"product_images"}'], "Line 2 of {}: the RECORD has no record"),
        ([b'{"type":"RECORD","stream":"product_images","record":[]}'], "Line 2 of {}: the RECORD has no record"),
        ([b"\xff\xfe"], "Line 2 of {} is not UTF-8"),
    ],
)
def test_a_damaged_backup(check: Check, files: FileStore, tmp_path: Path, lines: list[bytes], words: str) -> None:
    stock(files, 1)
    ended = check(backup(tmp_path / "a", *lines))
    assert (ended.code, ended.lines) == (3, [])
    assert words.format(tmp_path / "a") in ended.err
    assert len(ended.err.splitlines()) == 1


def test_a_backup_that_is_cut_short(check: Check, files: FileStore, tmp_path: Path) -> None:
    (one,) = stock(files, 1)
    path = backup(tmp_path / "a.gz", *[message(one, id=number) for number in range(1, 500)])
    path.write_bytes(path.read_bytes()[:-20])
    ended = check(path)
    assert ended.code == 3
    assert "cannot be read" in ended.err


def test_a_backup_with_a_flipped_bit(check: Check, files: FileStore, tmp_path: Path) -> None:
    """Wherever it is: in the head, in what is packed, or in the sum at the end."""
    (one,) = stock(files, 1)
    path = backup(tmp_path / "a.gz", *[message(one, id=number) for number in range(1, 50)])
    sound = path.read_bytes()
    said = set()
    for place in range(3, len(sound)):
        path.write_bytes(sound[:place] + bytes([sound[place] ^ 0x10]) + sound[place + 1 :])
        ended = check(path)
        assert ended.code in {0, 3}  # 0: in the part of the head that nobody reads
        assert "bug" not in ended.err
        said.add(ended.code)
    assert said == {0, 3}


def test_a_backup_that_is_not_there(check: Check, files: FileStore, tmp_path: Path) -> None:
    stock(files, 1)
    for path in (tmp_path / "nope", tmp_path):
        ended = check(path)
        assert ended.code == 3
        assert str(path) in ended.err


@pytest.mark.parametrize(
    ("sample", "rehashed"), [("1", 1), ("7", 7), ("1000", 10), ("10%", 1), ("15%", 2), ("100%", 10)]
)
def test_a_sample(check: Check, files: FileStore, sample: str, rehashed: int) -> None:
    stock(files, 10)
    ended = check("--json", "--sample", sample)
    assert report(ended)[1]["rehashed"] == rehashed
    assert ended.code == 0


@pytest.mark.parametrize("which", [0, 3])
def test_samples_come_to_every_file_in_time(check: Check, tmp_path: Path, which: int) -> None:
    """Also to one that nothing names, such as the last one here."""
    files = open_files(str(tmp_path / "other"))
    stored = [*stock(files), files.add([picture("png", 3)])]
    (tmp_path / "other" / object_key(stored[which].sha256)).write_bytes(picture("png", 9)[: stored[which].size])
    runs = [check("--json", "--sample", "1", files=str(tmp_path / "other")) for _ in range(60)]
    assert {report(run)[1]["corrupt"] for run in runs} == {0, 1}


@pytest.mark.parametrize("sample", ["0", "-1", "0%", "101%", "x", "", "nan%", "1.5", "%"])
def test_a_sample_that_is_none(check: Check, sample: str) -> None:
    ended = check("--sample", sample)
    assert (ended.code, ended.lines) == (2, [])
    assert "percentage such as 5%" in ended.err


def test_settings(check: Check, monkeypatch: pytest.MonkeyPatch, place: str, files: FileStore) -> None:
    for name in ("BC_IMAGES_FILE_STORE", "TAP_BC_IMAGES_FILE_STORE", "TARGET_BC_IMAGES_FILE_STORE"):
        monkeypatch.delenv(name, raising=False)
    assert check(files=None).code == 2
    assert check(files="").code == 2
    assert check(files="carrierpigeon://loft").code == 2
    stock(files, 1)
    for name in ("TARGET_BC_IMAGES_FILE_STORE", "TAP_BC_IMAGES_FILE_STORE", "BC_IMAGES_FILE_STORE"):
        monkeypatch.setenv(name, place)
        assert check(files=None).code == 0
        monkeypatch.delenv(name)


@everywhere
def test_no_file_store(check: Check, place: str) -> None:
    ended = check()
    assert (ended.code, ended.lines) == (3, [])
    assert "No file store found at" in ended.err


def test_a_link_that_leads_nowhere(check: Check, files: FileStore, place: str) -> None:
    """It is named, and is no reason not to look at all the others."""
    one, two = stock(files, 2)
    path = Path(place) / object_key(one.sha256)
    path.unlink()
    path.symlink_to("gone")
    ended = check()
    assert (ended.code, ended.err) == (1, "")
    assert ended.lines == [
        f"- {object_key(one.sha256)}  is not there, named by a/0.png of store abc",
        f"+ {object_key(one.sha256)}  is a link that leads nowhere",
        f"1 file ({two.size} bytes), 1 re-hashed: 0 corrupt, 1 missing, 1 orphaned.",
    ]


def test_a_folder_that_holds_no_file_store(check: Check, tmp_path: Path) -> None:
    """Mistyped, not mounted, or emptied: that nothing is wrong with nothing is no answer."""
    (tmp_path / "others.txt").write_text("no picture")
    ended = check(files=str(tmp_path))
    assert (ended.code, ended.lines) == (3, [])
    assert f"No file store found at {tmp_path}" in ended.err
    ended = check(files=str(tmp_path / "others.txt"))
    assert (ended.code, ended.lines) == (2, [])
    assert "is not a folder" in ended.err


def test_no_room_for_the_listing(check: Check, files: FileStore, tmp_path: Path, full_disk: None) -> None:
    (one,) = stock(files, 1)
    gone = [FileInfo(f"{number:064x}", 9, "image/png") for number in range(1000)]
    ended = check(backup(tmp_path / "a", message(one), *map(message, gone)))
    assert (ended.code, ended.lines) == (3, [])
    assert re.fullmatch(r"bc-images: Cannot write the list of files .* or set TMPDIR to another folder\.\n", ended.err)


@everywhere
def test_what_a_killed_run_left_is_named_after_a_day(
    check: Check, files: FileStore, tamper: Tamper, place: str
) -> None:
    stock(files, 1)
    tamper("tmp/0123", b"half a picture")
    if "://" in place:
        assert check().lines[0].startswith("+ tmp/0123")
        return
    assert check().code == 0
    old = time.time() - 2 * 86_400
    os.utime(f"{place}/tmp/0123", (old, old))
    assert check().lines[0] == "+ tmp/0123  was left behind by an interrupted run"


def test_an_unreadable_file_is_a_finding(check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = open_files(str(tmp_path / "other"))
    one, _ = stock(files, 2)
    real = open_regular

    def refuse(path: Path) -> Any:
        if path.name == one.sha256:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(folder_module, "open_regular", refuse)
    ended = check(files=str(tmp_path / "other"))
    assert ended.code == 1
    assert ended.lines[0].startswith(f"! {object_key(one.sha256)}  cannot be read: Permission denied")


def test_a_bar_is_shown_on_a_terminal(tmp_path: Path) -> None:
    files = open_files(str(tmp_path / "files"))
    for seed in range(3):
        files.add([png(50_000, seed)])
    command: list[str | Path] = [BIN / "bc-images", "check", "--json", "--file-store", str(tmp_path / "files")]
    shown = terminal.run(command)
    assert "re-hashing" in shown.err
    assert "3 of 3 files (100 %), 150.0 kB" in shown.err
    assert [json.loads(line) for line in shown.out.splitlines()][-1]["summary"]["orphaned"] == 3
    assert shown.code == 1
    both = terminal.run(command, stdout=True)
    assert len(re.findall(r'"finding": ?"orphaned"', both.err)) == 3  # the findings appear above it


def test_lines_are_shown_where_there_is_no_terminal(
    check: Check, files: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    stock(files)
    monkeypatch.setattr(progress.Progress, "__init__", partialmethod(progress.Progress.__init__, every=0.001))
    inspect = FileStore.inspect

    def slowly(store: FileStore, digest: str) -> FileInfo:
        time.sleep(0.05)
        return inspect(store, digest)

    monkeypatch.setattr(FileStore, "inspect", slowly)
    assert "bc-images: 0 of 3 files (0 %)" in check().err


# ---------------------------------------------------------------- what cannot be restored


def jpeg(size: int = 0) -> bytes:
    """A JPEG, with bytes behind its end up to a size."""
    content = picture("jpeg")
    return content + bytes(max(0, size - len(content)))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (picture("jpeg")[:-9], "it is truncated"),
        (picture("png")[:-1], "it is truncated"),
        (jpeg(MAX_UPLOAD + 1), "it has 8,388,609 bytes and the store takes 8,388,608 at most"),
    ],
)
@pytest.mark.parametrize("by_backup", [True, False])
def test_what_the_store_would_refuse(
    check: Check, files: FileStore, tmp_path: Path, content: bytes, reason: str, by_backup: bool
) -> None:
    (sound,) = stock(files, 1)
    bad = files.add([content])
    files.refs("abc").put("a/bad", FileInfo(bad.sha256, bad.size, bad.type, "original", bad.defect))
    backups = [backup(tmp_path / "a", message(sound), message(bad, id=3))] if by_backup else []
    ended = check(*backups)
    by = "product 7, image 3 in a" if by_backup else "a/bad of store abc"
    assert ended.code == 1
    assert ended.lines[0] == f"x {object_key(bad.sha256)}  would be refused by the store: {reason}, named by {by}"
    assert ended.lines[1].endswith("re-hashed: 0 corrupt, 0 missing, 0 orphaned, 1 refused.")
    findings, summary = report(check("--json", *backups))
    assert [each["finding"] for each in findings] == ["refused"]
    assert summary["refused"] == 1


def test_what_nothing_names_may_be_truncated(check: Check, files: FileStore, tmp_path: Path) -> None:
    (one,) = stock(files, 1)
    files.add([picture("jpeg")[:-9]])
    ended = check(backup(tmp_path / "a", message(one)))
    assert [line[0] for line in ended.lines[:-1]] == ["+"]


@pytest.mark.parametrize("source", ["zoom", "cdn"])
def test_renditions_are_named_and_are_no_fault(check: Check, files: FileStore, tmp_path: Path, source: str) -> None:
    original, stand_in = stock(files, 2)
    files.refs("abc").put("a/x.png", FileInfo(stand_in.sha256, stand_in.size, stand_in.type, source))
    files.refs("abc").put("a/0.png", FileInfo(stand_in.sha256, stand_in.size, stand_in.type, source))
    what = "is what a CDN has made of the original" if source == "cdn" else "is a rendition of at most 1280 x 1280"
    for backups, by in (
        ([], "a/x.png of store abc"),
        ([backup(tmp_path / "a", message(original), message(stand_in, id=4, file_source=source))], "image 4 in a"),
    ):
        ended = check(*backups)
        assert ended.code == 0
        assert ended.lines[0].startswith(f"~ {object_key(stand_in.sha256)}  {what}")
        assert ended.lines[0].endswith(by)
        assert ended.lines[1].endswith("1 rendition.")
        assert len(ended.lines) == 2


@everywhere
def test_a_record_without_a_file_that_a_ref_knows(check: Check, files: FileStore, tmp_path: Path) -> None:
    """A warehouse is mostly loaded without the pictures: a restore finds them by their paths."""
    (one,) = stock(files, 1)
    unknown: dict[str, Any] = {"store_hash": "a store?", "id": 9}
    lines = [message(one), message(None, image_file="a/0.png"), message(None, image_file="a/9.png", **unknown)]
    ended = check(backup(tmp_path / "a", *lines))
    assert ended.code == 1
    assert ended.lines[:-2] == ["- a/9.png  was not saved, the record names no file, named by product 7, image 9 in a"]
    assert check(backup(tmp_path / "b", *lines[:2])).code == 0
