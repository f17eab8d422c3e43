"""Refs: one listing tells all, whatever an image path looks like, and none is believed blindly."""

from __future__ import annotations

import hashlib
import threading
from pathlib import PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bc_images.errors import FatalError, SettingsError
from bc_images.files import FileInfo, FileStore, open_files
from bc_images.files.layout import object_key, parse_ref, ref_name
from tests.support.file_stores import Tamper, everywhere, keys
from tests.support.pictures import picture

HOSTILE = [
    "../../etc/passwd",
    "..",
    ".",
    "/etc/passwd",
    "//server/share",
    "a/../../b.png",
    "a//b.png",
    "a/./b.png",
    "a\\..\\b.png",
    "C:\\windows\\system32",
    "nul\0byte.png",
    "new\nline.png",
    ".hidden",
    "-rf",
    "~root/x.png",
    "a=b=c.png",
    "100%.png",
    "100%25.png",
    "%",
    "%2E%2E/x",
    "blank here.png",
    "größe/ñandú.png",
    "图片.png",
    "\ud800lone.png",
    "e\u0301.png",
    "\u00e9.png",
    "*?[a].png",
    "$(reboot).png",
    "x" * 5000,
    "d/" * 900 + "x.png",
    "é" * 100 + ".png",
    "a/",
    "",
]
PLAIN = ["p/022/name__36562.jpg", "sample_images/in_123__14581.jpg", "x.png"]


def saved_for(content: bytes, source: str = "original") -> FileInfo:
    return FileInfo(hashlib.sha256(content).hexdigest(), len(content), "image/png", source)


@pytest.mark.parametrize("image_file", PLAIN)
def test_a_normal_path_stays_readable(image_file: str) -> None:
    assert ref_name(image_file) == image_file


@settings(deadline=None)
@given(st.text() | st.sampled_from(HOSTILE) | st.from_regex(r"[a./%=\\~]{1,12}", fullmatch=True))
def test_a_name_never_leaves_its_folder(image_file: str) -> None:
    name = ref_name(image_file)
    parts = name.split("/")
    assert name.isascii()
    assert name.isprintable()
    assert not {"", ".", ".."} & set(parts)
    assert not any(part.startswith(".") for part in parts)
    assert not set(name) & set('=\\ \0~*?:"<>|')
    assert len(name) <= 600
    assert max(map(len, parts)) <= 120
    assert PurePosixPath("/refs/abc", name).is_relative_to("/refs/abc")


@settings(deadline=None)
@given(st.text(max_size=8), st.text(max_size=8))
def test_two_paths_never_share_a_name(one: str, other: str) -> None:
    assert (ref_name(one) == ref_name(other)) == (one == other)


def test_hostile_paths_never_share_a_name() -> None:
    names = [ref_name(image_file) for image_file in HOSTILE + PLAIN]
    assert len(set(names)) == len(names)


@everywhere
def test_everything_comes_back_from_the_listing(place: str) -> None:
    files = open_files(place)
    refs = files.refs("abc")
    wanted: dict[str, FileInfo] = {}
    for number, image_file in enumerate(HOSTILE + PLAIN):
        stored = files.add([picture("png", number)])
        wanted[image_file] = FileInfo(stored.sha256, stored.size, stored.type, "original" if number % 3 else "zoom")
        refs.put(image_file, wanted[image_file])
    assert {image_file: refs.get(image_file) for image_file in wanted} == wanted
    again = open_files(place).refs("abc")
    assert {image_file: again.get(image_file) for image_file in wanted} == wanted
    assert again.get("p/022/other.jpg") is None
    assert open_files(place).refs("other").get(PLAIN[0]) is None
    for key in keys(files, "refs/abc"):
        parsed = parse_ref(key)
        assert parsed is not None
        assert parsed[0] == "abc"
        assert parsed[2] in wanted.values()


@everywhere
def test_a_ref_to_a_lost_file_is_not_believed(place: str, files: FileStore, tamper: Tamper) -> None:
    stored = files.add([picture("png")])
    files.refs("abc").put("a/b.png", stored)
    tamper(object_key(stored.sha256), None)
    assert open_files(place).refs("abc").get("a/b.png") is None


@everywhere
def test_a_ref_to_a_file_of_another_length_is_not_believed(place: str, files: FileStore, tamper: Tamper) -> None:
    stored = files.add([picture("png")])
    files.refs("abc").put("a/b.png", stored)
    tamper(object_key(stored.sha256), picture("png")[:-1])
    assert open_files(place).refs("abc").get("a/b.png") is None


@everywhere
@pytest.mark.parametrize("first", ["zoom", "original"])
def test_the_original_beats_the_rendition(place: str, files: FileStore, first: str) -> None:
    found: dict[str, FileInfo] = {}
    for source in (first, "original" if first == "zoom" else "zoom"):
        stored = files.add([picture("png", len(found))])
        found[source] = FileInfo(stored.sha256, stored.size, stored.type, source)
        files.refs("abc").put("a/b.png", found[source])
    assert open_files(place).refs("abc").get("a/b.png") == found["original"]


@everywhere
def test_foreign_objects_among_the_refs_are_passed_over(place: str, files: FileStore, tamper: Tamper) -> None:
    stored = files.add([picture("png")])
    for name in ("readme.txt", "a=b", f"x={'0' * 64}=12=tiff=original", f"y={stored.sha256}=1e3=png=original"):
        tamper(f"refs/abc/{name}", b"")
    refs = open_files(place).refs("abc")
    assert refs.get("readme.txt") is refs.get("x") is refs.get("y") is None


def test_the_listing_is_made_once(files: FileStore) -> None:
    assert files.refs("abc") is files.refs("abc")
    assert files.refs("abc") is not files.refs("def")


@pytest.mark.parametrize("store_hash", ["", "..", "a/b", "a b"])
def test_a_store_hash_that_could_be_a_path_is_refused(files: FileStore, store_hash: str) -> None:
    with pytest.raises(SettingsError, match="store hash"):
        files.refs(store_hash)


@everywhere
def test_many_threads(files: FileStore) -> None:
    refs = files.refs("abc")
    stored = [files.add([picture("png", seed)]) for seed in range(4)]
    wrong: list[str] = []

    def work(number: int) -> None:
        for step in range(20):
            one = stored[(number + step) % 4]
            saved = one
            refs.put(f"{number}/{step}.png", saved)
            if refs.get(f"{number}/{step}.png") != saved:
                wrong.append(f"{number}/{step}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@everywhere
def test_no_room_for_the_listing(files: FileStore, full_disk: None) -> None:
    stored = files.add([picture("png")])
    saved = stored
    refs = files.refs("abc")

    def fill() -> None:
        for number in range(1000):
            refs.put(f"a/{number}.png", saved)

    with pytest.raises(FatalError, match=r"Cannot write the list of files .*full\. Free some space .* set TMPDIR"):
        fill()
    files.close()
    for number in range(100):
        files.backend.touch(f"refs/abc/b/{number}.png={saved.sha256}={saved.size}=png=original")
    with pytest.raises(FatalError, match="set TMPDIR"):
        files.refs("abc")


@everywhere
def test_a_defect_comes_back_from_the_listing(place: str, files: FileStore) -> None:
    stored = files.add([picture("png")[:-9]])
    assert stored.defect == "truncated"
    saved = FileInfo(stored.sha256, stored.size, stored.type, "cdn", stored.defect)
    files.refs("abc").put("a/b.png", saved)
    assert open_files(place).refs("abc").get("a/b.png") == saved


@everywhere
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_the_newest_content_of_a_path_counts(
    place: str, files: FileStore, tamper: Tamper, order: tuple[int, ...]
) -> None:
    """Also where its file is lost: then the path is unknown, and not what it was before."""
    saved = {}
    for generation in order:
        stored = files.add([picture("png", generation)])
        source = "zoom" if generation else "original"
        saved[generation] = FileInfo(stored.sha256, stored.size, stored.type, source, generation=generation)
        files.refs("abc").put("a/b.png", saved[generation])
    assert open_files(place).refs("abc").get("a/b.png") == saved[2]
    tamper(object_key(saved[2].sha256), None)
    assert open_files(place).refs("abc").get("a/b.png") is None


@everywhere
def test_what_a_cdn_has_altered_is_better_than_a_rendition(place: str, files: FileStore) -> None:
    for number, source in enumerate(("cdn", "zoom")):
        stored = files.add([picture("png", number)])
        files.refs("abc").put("a/b.png", FileInfo(stored.sha256, stored.size, stored.type, source))
    found = open_files(place).refs("abc").get("a/b.png")
    assert found is not None
    assert found.source == "cdn"
