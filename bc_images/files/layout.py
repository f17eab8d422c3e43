"""The layout of a file store: keys of pictures (by digest) and of refs (by image path). Pure.

A picture is ``sha256/<first two digits>/<digest>``. A ref is the name of an empty object,
``refs/<store_hash>/<image_file>=<digest>=<size>=<type>=<source>``: one listing returns everything, and no object has to
be opened. A path should never change its content, so a ref is never changed; it is only added. Where a path was
found with other content after all, ``=<generation>`` follows (1, 2, ...), and the highest counts; where the store would
refuse the picture, ``=<defect>`` is the last part.
"""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple
from urllib.parse import quote

from bc_images.errors import SettingsError
from bc_images.files.inspection import DEFECTS
from bc_images.files.media_type import EXTENSIONS

__all__ = [
    "DIGEST",
    "OBJECTS",
    "REFS",
    "TEMPORARY",
    "FileInfo",
    "check_store_hash",
    "object_key",
    "parse_ref",
    "ref_key",
    "ref_name",
]

TEMPORARY = "tmp"
REFS = "refs"
OBJECTS = "sha256"
DIGEST = re.compile(r"[0-9a-f]{64}")

_PLAIN = re.compile(r"(?:[A-Za-z0-9_-][A-Za-z0-9_.-]{0,119}/)*[A-Za-z0-9_-][A-Za-z0-9_.-]{0,119}")
_LONGEST_PART = 120  # with the metadata behind it a name stays below the 255 bytes that file systems allow
_LONGEST = 600  # and the key below the 1,024 bytes that object stores allow
_METADATA = re.compile(
    r"(?P<name>[\x21-\x7e]+)=(?P<sha256>[0-9a-f]{64})=(?P<size>\d{1,12})=(?P<kind>[a-z]+)=(?P<source>original|cdn|zoom)"
    rf"(?:=(?P<generation>\d{{1,6}}))?(?:=(?P<defect>{'|'.join(DEFECTS)}))?",
    re.ASCII,
)

_KINDS = {media_type: extensions[0][1:] for media_type, extensions in EXTENSIONS.items()}
_TYPES = {kind: media_type for media_type, kind in _KINDS.items()}


class FileInfo(NamedTuple):
    """A file that is durable in the file store.

    Attributes:
        sha256: its digest, in hex.
        size: bytes.
        type: media type.
        source: where it came from: ``original``; ``cdn``, the original's address, altered by a CDN; ``zoom``, a
            rendition.
        defect: why the store would refuse it (a key of `DEFECTS`), or None.
        generation: how often the content of its path had changed before.
    """

    sha256: str
    size: int
    type: str
    source: str = "original"
    defect: str | None = None
    generation: int = 0


def check_store_hash(store_hash: str) -> str:
    """Return a store hash that may become part of a key.

    Raises:
        SettingsError: it may not.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]+", store_hash):
        raise SettingsError(f"{store_hash!r} is not a store hash.")
    return store_hash


def object_key(digest: str) -> str:
    """Return where the file of a digest is kept.

    Raises:
        ValueError: it is not a digest, and must not become part of a path.
    """
    if not DIGEST.fullmatch(digest):
        raise ValueError(f"{digest!r} is not a SHA-256 in hex")
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


def ref_key(store_hash: str, name: str, info: FileInfo) -> str:
    """Return the key of a ref; `name` by `ref_name`."""
    metadata = [name, info.sha256, str(info.size), _KINDS[info.type], info.source]
    if info.generation:
        metadata.append(str(info.generation))
    if info.defect:
        metadata.append(info.defect)
    return f"{REFS}/{store_hash}/{'='.join(metadata)}"


def parse_ref(key: str) -> tuple[str, str, FileInfo] | None:
    """Return store hash, ref name and metadata of a ref's key, or None where it is not a valid ref."""
    _, store_hash, rest = (*key.split("/", 2), "", "")[:3]
    match = _METADATA.fullmatch(rest)
    if match is None or match["kind"] not in _TYPES:
        return None
    info = FileInfo(
        match["sha256"],
        int(match["size"]),
        _TYPES[match["kind"]],
        match["source"],
        match["defect"],
        int(match["generation"] or 0),
    )
    return store_hash, match["name"], info
