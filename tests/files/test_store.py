"""The same promises on disk, over the S3 protocol and elsewhere: whole, verified, durable, or not there at all."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import fsspec
import pytest

from bc_images.errors import FileStoreError, FileUnavailable, SettingsError
from bc_images.files import FileInfo, FileStore, open_files
from bc_images.files.layout import object_key
from bc_images.files.store import CorruptFile
from tests.support.file_stores import Tamper, everywhere, keys
from tests.support.move_filesystem import Elsewhere
from tests.support.pictures import KINDS, MEDIA_TYPES, picture, png


def pieces(content: bytes, size: int) -> Iterator[bytes]:
    return (content[start : start + size] for start in range(0, len(content), size))


@everywhere
@pytest.mark.parametrize("kind", KINDS)
def test_what_goes_in_comes_out(files: FileStore, kind: str) -> None:
    content = picture(kind)
    stored = files.add(pieces(content, 50), len(content))
    assert stored.sha256 == hashlib.sha256(content).hexdigest()
    assert (stored.size, stored.type) == (len(content), MEDIA_TYPES[kind])
    assert files.read(stored.sha256) == content
    assert files.inspect(stored.sha256).size == files.size(stored.sha256) == len(content)
    assert keys(files) == {f"sha256/{stored.sha256[:2]}/{stored.sha256}"}


@everywhere
def test_a_type_is_known_however_small_the_pieces(files: FileStore) -> None:
    assert files.add(pieces(picture("xbm"), 1)).type == "image/x-xbitmap"


@everywhere
def test_another_process_finds_it(place: str) -> None:
    stored = open_files(place).add([picture("gif")])
    assert open_files(place).read(stored.sha256) == picture("gif")


@everywhere
def test_large_files(files: FileStore) -> None:
    content = png(20 * 1024 * 1024 + 1)
    stored = files.add(pieces(content, 100_000), len(content))
    assert files.inspect(stored.sha256).size == len(content)
    assert files.read(stored.sha256) == content


@everywhere
def test_the_same_file_twice_is_kept_once(files: FileStore) -> None:
    assert files.add([picture("png")]) == files.add([picture("png")])
    assert len(keys(files)) == 1


@everywhere
@pytest.mark.parametrize("content", [b"", b"<html>sorry</html>", b"\0" * 100])
def test_what_is_no_picture_is_not_kept(files: FileStore, content: bytes) -> None:
    with pytest.raises(FileUnavailable, match=r"picture|empty"):
        files.add([content])
    assert keys(files) == set()


@everywhere
def test_no_bytes_at_all(files: FileStore) -> None:
    with pytest.raises(FileUnavailable, match="empty"):
        files.add(iter(()))
    assert keys(files) == set()


@everywhere
@pytest.mark.parametrize("expected", [0, 10, 100_000])
def test_a_wrong_length_is_not_kept(files: FileStore, expected: int) -> None:
    with pytest.raises(FileUnavailable, match=f"not {expected}"):
        files.add([picture("png")], expected)
    assert keys(files) == set()


@everywhere
def test_an_error_half_way_leaves_nothing(files: FileStore) -> None:
    def broken() -> Iterator[bytes]:
        yield picture("png")[:100]
        raise FileUnavailable("the line went dead")

    with pytest.raises(FileUnavailable, match="went dead"):
        files.add(broken())
    assert keys(files) == set()


@everywhere
def test_missing_files(files: FileStore) -> None:
    files.add([picture("png")])
    digest = "0" * 64
    assert files.size(digest) is None
    for look in (files.read, files.inspect):
        with pytest.raises(FileUnavailable, match="not in the file store"):
            look(digest)


@everywhere
def test_a_file_store_that_is_not_there_is_not_one_without_files(place: str) -> None:
    """As where the address is mistyped, or its disk is not mounted: the folder may be there, and empty."""
    if "://" not in place:
        Path(place).mkdir()
    for look in (open_files(place).read, open_files(place).inspect):
        with pytest.raises(FileStoreError, match="No file store found at"):
            look("0" * 64)


@everywhere
def test_a_file_store_that_vanishes_meanwhile(files: FileStore, place: str) -> None:
    """The folder is moved away, the bucket is emptied: not one file is then reported as missing."""
    digests = [files.add([picture("png", seed)]).sha256 for seed in range(3)]
    assert files.read(digests[0]) == picture("png")
    if "://" in place:
        fs, root = fsspec.url_to_fs(place)
        fs.rm(root, recursive=True)
    else:
        Path(place).rename(f"{place}.moved")
        Path(place).mkdir()
    with pytest.raises(FileStoreError, match="No file store found at") as caught:
        files.read(digests[1])
    assert not isinstance(caught.value, CorruptFile)


@everywhere
@pytest.mark.parametrize(
    "digest", ["", "..", "../../etc/passwd", "/etc/passwd", "0" * 63, "0" * 65, "A" * 64, "0" * 64 + "\n", "file:///x"]
)
def test_a_digest_that_is_none_touches_nothing(files: FileStore, digest: str) -> None:
    for look in (files.read, files.inspect, files.size):
        with pytest.raises(FileUnavailable, match="not a SHA-256"):
            look(digest)


@everywhere
@pytest.mark.parametrize("where", [0, 50, -1])
def test_a_flipped_bit_is_noticed(files: FileStore, tamper: Tamper, where: int) -> None:
    stored = files.add([picture("png")])
    damaged = bytearray(picture("png"))
    damaged[where] ^= 1
    tamper(object_key(stored.sha256), bytes(damaged))
    for look in (files.read, files.inspect):
        with pytest.raises(CorruptFile, match=r"is corrupt.*bc-images check"):
            look(stored.sha256)


@everywhere
@pytest.mark.parametrize("change", [picture("png")[:-1], picture("png") + b"\0", b""])
def test_a_changed_length_is_noticed(files: FileStore, tamper: Tamper, change: bytes) -> None:
    stored = files.add([picture("png")])
    tamper(object_key(stored.sha256), change)
    with pytest.raises(FileStoreError, match="is corrupt"):
        files.read(stored.sha256)


@everywhere
def test_adding_again_heals_a_damaged_file(files: FileStore, tamper: Tamper) -> None:
    stored = files.add([picture("png")])
    tamper(object_key(stored.sha256), b"rubbish")
    files.add([picture("png")])
    assert files.read(stored.sha256) == picture("png")


@everywhere
def test_concurrent_writers(place: str) -> None:
    """Several runs store the same few pictures at once; every reader sees whole files only."""
    contents = [png(200_000, seed) for seed in range(3)]
    digests = [hashlib.sha256(content).hexdigest() for content in contents]
    done = threading.Event()
    open_files(place).add([contents[0]])  # else there is no file store yet, which is another answer

    def write(_: int) -> None:
        files = open_files(place)
        for content in contents * 2:
            files.add(pieces(content, 10_000), len(content))

    def look() -> int:
        files, seen = open_files(place), 0
        while not done.is_set():
            for digest in digests:
                with suppress(FileUnavailable):  # not there yet
                    files.read(digest)
                    seen += 1
        return seen

    with ThreadPoolExecutor() as executor:
        reader = executor.submit(look)
        try:
            list(executor.map(write, range(4)))
        finally:
            done.set()
        assert reader.result()
    assert keys(open_files(place)) == {object_key(digest) for digest in digests}


@pytest.mark.parametrize("url", ["", "  "])
def test_no_address(url: str) -> None:
    with pytest.raises(SettingsError, match="empty"):
        open_files(url)


def test_an_unknown_scheme() -> None:
    with pytest.raises(SettingsError, match=r"file_store: .*carrierpigeon"):
        open_files("carrierpigeon://loft/3")


@pytest.mark.parametrize(
    ("url", "extra"),
    [
        ("gs://bucket/x", "gcs"),
        ("az://container/x", "azure"),
        ("abfs://container@account.dfs.core.windows.net/x", "azure"),
    ],
)
def test_a_missing_extra_is_named(url: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for module in ("gcsfs", "adlfs"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SettingsError, match=rf"pip install 'bc-images\[{extra}\]'"):
        open_files(url)


@pytest.mark.parametrize("scheme", ["s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "simplecache::s3"])
@pytest.mark.parametrize("rest", ["AKIA:hunter2@bucket/x", "AKIA:hun/ter2@bucket/x", "AKIA:hunter2", ":hunter2@bucket"])
def test_a_key_in_the_address_of_an_object_store(scheme: str, rest: str) -> None:
    """Its library does not take it for one, and shows it as the name of a bucket."""
    with pytest.raises(SettingsError, match="takes no key or password in the address") as caught:
        open_files(f"{scheme}://{rest}")
    assert "AKIA" not in str(caught.value)
    assert "ter2" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["s3://arn:aws:s3:us-west-2:123456789012:accesspoint/place/x", "s3://bucket/a:b@c/x", "s3://bucket"]
)
def test_addresses_that_only_look_as_if_they_held_one(url: str, s3: str) -> None:
    assert open_files(url).display_name == url


class Talkative(Elsewhere):
    """Names the password that it was given in every error, as some libraries do."""

    protocol = "talkative"
    cachable = False

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(path.replace("talkative://user:pass%20word%21x@example.invalid", "talkative://"))

    def pipe_file(self, path: str, value: bytes, **_kwargs: object) -> None:
        raise OSError("login of user with password pass word!x failed: pass%20word%21x")


def test_a_password_in_an_address_is_never_shown() -> None:
    fsspec.register_implementation("talkative", Talkative, clobber=True)
    files = open_files("talkative://user:pass%20word%21x@example.invalid/files")
    assert "word" not in files.display_name
    with pytest.raises(FileStoreError, match=r"with password \*\*\* failed: \*\*\*") as caught:
        files.refs("abc").put("a/b.png", FileInfo("0" * 64, 9, "image/png", "original"))
    assert "word%21" not in str(caught.value)


def test_the_label_is_the_address() -> None:
    assert open_files("http://example.invalid/files/").display_name == "http://example.invalid/files"
    assert open_files("elsewhere:///files/").display_name == "elsewhere:///files"


@pytest.mark.parametrize("url", ["file://pictures", "file://server/pictures", "file:pictures", "local://x"])
def test_a_folder_that_is_no_whole_path(url: str) -> None:
    with pytest.raises(SettingsError, match="absolute path"):
        open_files(url)


@pytest.mark.parametrize("form", ["{}", "file://{}", "local://{}", "file:{}", "file://localhost{}"])
def test_spellings_of_a_folder(form: str, tmp_path: object) -> None:
    stored = open_files(form.format(f"{tmp_path}/pictures")).add([picture("png")])
    assert open_files(f"{tmp_path}/pictures").read(stored.sha256) == picture("png")
