"""Refs: which digest a store's image path had, kept as names of empty objects.

``refs/<store_hash>/<image_file>=<digest>=<size>=<type>=<source>``: one listing tells everything, and no object has
to be opened. A path should never change its content, so a ref is never changed; it is only added. Where a path was
found with other content after all, ``=<generation>`` follows (1, 2, ...), and the highest counts; where the store would
refuse the picture, ``=<defect>`` is the last part.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from bc_images.errors import FatalError, SettingsError
from bc_images.files.inspection import DEFECTS
from bc_images.files.media_type import EXTENSIONS

if TYPE_CHECKING:
    from bc_images.files.backends.base import Backend

__all__ = [
    "DIGEST",
    "OBJECTS",
    "REFS",
    "FileIndex",
    "Saved",
    "check_store_hash",
    "listed_on_disk",
    "object_key",
    "parse_ref",
    "ref_name",
]

REFS = "refs"
OBJECTS = "sha256"
DIGEST = re.compile(r"[0-9a-f]{64}")

_PLAIN = re.compile(r"(?:[A-Za-z0-9_-][A-Za-z0-9_.-]{0,119}/)*[A-Za-z0-9_-][A-Za-z0-9_.-]{0,119}")
_LONGEST_PART = 120  # with the facts behind it a name stays below the 255 bytes that file systems allow
_LONGEST = 600  # and the key below the 1,024 bytes that object stores allow
_FACTS = re.compile(
    r"(?P<name>[\x21-\x7e]+)=(?P<sha256>[0-9a-f]{64})=(?P<size>\d{1,12})=(?P<kind>[a-z]+)=(?P<source>original|cdn|zoom)"
    rf"(?:=(?P<generation>\d{{1,6}}))?(?:=(?P<defect>{'|'.join(DEFECTS)}))?",
    re.ASCII,
)

_KINDS = {media_type: extensions[0][1:] for media_type, extensions in EXTENSIONS.items()}
_TYPES = {kind: media_type for media_type, kind in _KINDS.items()}


@dataclass(frozen=True, slots=True)
class Saved:
    """What is known of a saved file.

    Hex digest, bytes, media type, where it came from (``original``; ``cdn``: the original's address, altered by a CDN;
    ``zoom``), what is wrong with it (a key of `DEFECTS`), and how often the content of its path had changed before.
    """

    sha256: str
    size: int
    type: str
    source: str
    defect: str | None = None
    generation: int = 0


def check_store_hash(store_hash: str) -> str:
    """Return a store hash that may become part of a key.

    Raises:
        SettingsError: it may not.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]+", store_hash):
        raise SettingsError(f"{store_hash!r} is no store hash.")
    return store_hash


def object_key(digest: str) -> str:
    """Return where the file of a digest is kept.

    Raises:
        ValueError: it is no digest, and must not become part of a path.
    """
    if not DIGEST.fullmatch(digest):
        raise ValueError(f"{digest!r} is no SHA-256 in hex")
    return f"{OBJECTS}/{digest[:2]}/{digest}"


def ref_name(image_file: str) -> str:
    """Return the path that stands for `image_file` below its store's refs: safe whatever it holds.

    Parts that a file system could misread are percent-encoded; what is too long becomes ``%`` and its SHA-256.
    """
    if len(image_file) < _LONGEST and _PLAIN.fullmatch(image_file):
        return image_file
    parts = [_encoded(part) for part in image_file.split("/")]
    name = "/".join(parts)
    if len(name) > _LONGEST or max(map(len, parts)) > _LONGEST_PART:
        return "%" + hashlib.sha256(image_file.encode("utf-8", "surrogatepass")).hexdigest()
    return name


def _encoded(part: str) -> str:
    safe = quote(part, safe="", errors="surrogatepass").replace("~", "%7E")
    if not safe:
        return "%"
    return f"%2E{safe[1:]}" if safe.startswith(".") else safe


def _key(store_hash: str, name: str, saved: Saved) -> str:
    facts = [name, saved.sha256, str(saved.size), _KINDS[saved.type], saved.source]
    if saved.generation:
        facts.append(str(saved.generation))
    if saved.defect:
        facts.append(saved.defect)
    return f"{REFS}/{store_hash}/{'='.join(facts)}"


def parse_ref(key: str) -> tuple[str, str, Saved] | None:
    """Return store hash, ref name and facts of a ref's key, or None where it is no ref of ours."""
    _, store_hash, rest = (*key.split("/", 2), "", "")[:3]
    match = _FACTS.fullmatch(rest)
    if match is None or match["kind"] not in _TYPES:
        return None
    saved = Saved(
        match["sha256"],
        int(match["size"]),
        _TYPES[match["kind"]],
        match["source"],
        match["defect"],
        int(match["generation"] or 0),
    )
    return store_hash, match["name"], saved


def _rank(saved: Saved) -> int:
    """Order the refs of one content: by where the file came from, then those that were looked into."""
    return 2 * ("zoom", "cdn", "original").index(saved.source) + (saved.defect is not None)


def _row(name: str, saved: Saved) -> dict[str, str | int | None]:
    """Return a row of the listing's table."""
    return {
        "name": name,
        "sha256": saved.sha256,
        "size": saved.size,
        "type": saved.type,
        "source": saved.source,
        "defect": saved.defect,
        "generation": saved.generation,
        "rank": _rank(saved),
    }


@contextmanager
def listed_on_disk() -> Iterator[None]:
    """Say in one line that a listing, kept in a temporary file of SQLite, finds no room.

    Raises:
        FatalError: it does not.
    """
    try:
        yield
    except sqlite3.OperationalError as error:
        raise FatalError(
            f"What the file store holds cannot be listed in a temporary file: {error}. "
            "Make room for temporary files, or set TMPDIR."
        ) from error


class FileIndex:
    """The refs of one store, listed once and held in a nameless SQLite file: memory does not grow with the store.

    Safe to share between threads. A ref is believed only if its object is listed too, with the same length: else
    the picture is downloaded again, which heals a lost file.

    Attributes:
        were_listed: whether there was a ref of this store.
        has_objects: whether there was a picture, of whatever store.

    Raises:
        FileStoreError: the file store cannot be listed.
        FatalError: there is no room for the listing.
    """

    def __init__(self, backend: Backend, store_hash: str) -> None:
        self._backend = backend
        self._store_hash = store_hash
        self._lock = threading.Lock()
        with listed_on_disk():
            # An empty name: a temporary file that SQLite deletes itself.
            self._db = sqlite3.connect("", check_same_thread=False, isolation_level=None)
            self._list()

    def _list(self) -> None:
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.execute("CREATE TABLE objects (sha256 TEXT PRIMARY KEY, size INTEGER) WITHOUT ROWID")
        self._db.execute(
            "CREATE TABLE refs (name TEXT PRIMARY KEY, sha256 TEXT, size INTEGER, type TEXT, source TEXT, defect TEXT,"
            " generation INTEGER, rank INTEGER) WITHOUT ROWID"
        )
        self._db.execute("BEGIN")
        listed = self._backend.listing(OBJECTS)
        found = ((entry.key.rpartition("/")[2], entry) for entry in listed if entry.problem is None)
        objects = ((name, entry.size) for name, entry in found if DIGEST.fullmatch(name))
        self._db.executemany("INSERT OR IGNORE INTO objects VALUES (?, ?)", objects)
        self.has_objects = self._db.execute("SELECT EXISTS (SELECT 1 FROM objects)").fetchone() == (1,)
        self._db.executemany(
            # Of several refs of one path the newest content counts, even where its file is lost; of the same content,
            # a file that is there, and the original before what once stood in for it.
            "INSERT INTO refs SELECT :name, :sha256, :size, :type, :source, :defect, :generation, :rank"
            " + 10 * EXISTS (SELECT 1 FROM objects WHERE sha256 = :sha256 AND coalesce(size, :size) = :size) AS rank"
            " WHERE true"
            " ON CONFLICT (name) DO UPDATE SET sha256 = excluded.sha256, size = excluded.size, type = excluded.type,"
            " source = excluded.source, defect = excluded.defect, generation = excluded.generation,"
            " rank = excluded.rank"
            " WHERE (excluded.generation, excluded.rank) > (refs.generation, refs.rank)",
            self._rows(),
        )
        self.were_listed = self._db.execute("SELECT EXISTS (SELECT 1 FROM refs)").fetchone() == (1,)
        self._db.execute("DELETE FROM refs WHERE rank < 10")
        self._db.execute("COMMIT")
        if self.were_listed:
            self._db.execute("DROP TABLE objects")

    def _rows(self) -> Iterator[dict[str, str | int | None]]:
        for key in self._backend.names(f"{REFS}/{self._store_hash}"):
            if (ref := parse_ref(key)) is not None:
                _, name, saved = ref
                yield _row(name, saved)

    def get(self, image_file: str) -> Saved | None:
        """Return the saved file of an image path, or None where it has to be downloaded."""
        with self._lock:
            query = "SELECT sha256, size, type, source, defect, generation FROM refs WHERE name = ?"
            row = self._db.execute(query, (ref_name(image_file),)).fetchone()
        return None if row is None else Saved(*row)

    def put(self, image_file: str, saved: Saved) -> None:
        """Remember a file that is stored already.

        Raises:
            FileStoreError: the file store cannot be written.
            FatalError: there is no room for it in the listing.
        """
        self._backend.mark(_key(self._store_hash, ref_name(image_file), saved))
        self.learn(image_file, saved)

    def learn(self, image_file: str, saved: Saved) -> None:
        """Remember a file that is stored already for this run alone.

        Raises:
            FatalError: there is no room for it in the listing.
        """
        with self._lock, listed_on_disk():
            self._db.execute(
                "INSERT OR REPLACE INTO refs VALUES"
                " (:name, :sha256, :size, :type, :source, :defect, :generation, :rank)",
                _row(ref_name(image_file), saved),
            )

    def has_object(self, saved: Saved) -> bool:
        """Whether a picture was listed, with this length; only where no ref was listed."""
        with self._lock:
            query = "SELECT 1 FROM objects WHERE sha256 = ? AND coalesce(size, ?) = ?"
            return self._db.execute(query, (saved.sha256, saved.size, saved.size)).fetchone() is not None

    def close(self) -> None:
        """Let go of the temporary file."""
        with self._lock:
            self._db.close()
