"""Find out which live image is the one that a record speaks of. Pure: it reads nothing and writes nothing.

In this order: the same id on that product (of this very store), the ledger, the file name. What is known of pictures
is never guessed around: where the present one cannot be read, nobody says that it is the same.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

from bc_images.images import Record, changes, stem

__all__ = [
    "Knowledge",
    "Known",
    "Mode",
    "Sameness",
    "SourceKey",
    "in_doubt",
    "match",
    "name_key",
    "same_picture",
    "source_key",
]

Mode: TypeAlias = Literal["upsert", "create_only", "update_only", "mirror"]
SourceKey: TypeAlias = tuple[str, int]
"""Which image a record speaks of: the store it was read from, and its id there."""
Sameness: TypeAlias = Literal["same", "other", "unreadable"]

_LONGEST_NAME = 150  # characters of a name that are compared


class Known(NamedTuple):
    """What the ledger says of a source image: the image it became, and the files on both sides."""

    target_id: int
    source_file: str
    target_file: str


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What planning may rely on beside the records and the live images themselves."""

    store_hash: str  # of the store that is written to
    mode: Mode = "upsert"
    known: dict[SourceKey, Known] = field(default_factory=dict)
    claimed: dict[int, SourceKey] = field(default_factory=dict)  # live image id -> whose it is by the ledger
    digests: dict[str, str] = field(default_factory=dict)  # live image_file -> sha256, where it is known
    unreadable: set[str] = field(default_factory=set)  # live image_files that were asked for and not to be had
    before: dict[int, Record] = field(default_factory=dict)  # image id -> fields, before a run that was cut short
    refused: dict[SourceKey, str] = field(default_factory=dict)  # what must not or cannot be written, and why
    saved: Collection[str] | None = None  # the live image_files that may be lost, being kept elsewhere; None: any
    deletes: bool = True  # whether a mirror deletes now, or once all else is done
    is_partial: bool = False  # the input may lack records of images that are as they should be


Pair: TypeAlias = tuple[Record, Record | None]


def source_key(record: Record) -> SourceKey:
    """Return which image a record speaks of."""
    return record["store_hash"], record["id"]


def name_key(image_file: str) -> str:
    """Return what stays of a file's name wherever it has been: for comparing, not for showing.

    Beyond `stem`, WebDAV and the store itself reduce names to ASCII and cut long ones.
    """
    return stem(re.sub(r"[^\x00-\x7f]", "-", image_file))[:_LONGEST_NAME] or "image"


def match(wanted: Sequence[Record], live: Sequence[Record], facts: Knowledge) -> tuple[list[Pair], list[Record]]:
    """Pair each record with its live image, if it has one; the second list is the images that no record claims."""
    free = {image["id"]: image for image in live}
    own = facts.store_hash
    # An image id of another store means nothing here.
    pairs = [(record, free.pop(record["id"], None) if record["store_hash"] == own else None) for record in wanted]
    if not free or all(image for _, image in pairs):
        return pairs, list(free.values())
    found = {place: image for place, (_, image) in enumerate(pairs) if image}  # place in `wanted` -> live image
    _by_ledger(wanted, free, found, facts)
    _by_name(wanted, free, found, facts)
    return [(record, found.get(place)) for place, record in enumerate(wanted)], list(free.values())


def _by_ledger(wanted: Sequence[Record], free: dict[int, Record], found: dict[int, Record], facts: Knowledge) -> None:
    for place, record in enumerate(wanted):
        known = facts.known.get(source_key(record))
        if place not in found and known is not None and known.target_id in free:
            found[place] = free.pop(known.target_id)


def _by_name(wanted: Sequence[Record], free: dict[int, Record], found: dict[int, Record], facts: Knowledge) -> None:
    """Match what is left by file-name stem, the likeliest first.

    Where many have one name, pictures known to be equal go together before those that may be, and of these, those
    that agree in all fields before the rest: a restore that was cut short finds what it had created. Records go in
    the order in which they are created.
    """
    named: dict[str, list[Record]] = defaultdict(list)
    for image in free.values():
        named[name_key(image["image_file"])].append(image)
    places = sorted(range(len(wanted)), key=lambda place: (wanted[place]["sort_order"], wanted[place]["id"]))
    for equal, exact in ((True, True), (True, False), (None, True), (None, False)):
        for place in places:
            record = wanted[place]
            if place in found:
                continue
            candidates = [
                (len(differing), image["id"])
                for name in _names(record)
                for image in named.get(name, ())
                if image["id"] in free and _equal(record, image, facts) is equal and _may_be(record, image, facts)
                for differing in [changes(record, image)]
                if not (exact and differing)
            ]
            if candidates:
                found[place] = free.pop(min(candidates)[1])


def _may_be(record: Record, image: Record, facts: Knowledge) -> bool:
    """Whether a live image of the same name may be the one that a record speaks of.

    Not if the ledger has it as that of another source, unless the pictures are the same and the input, which has that
    source no more, speaks for all. Nor, where records of neighbours may be missing, if it is older than the image that
    the record was read from: ids only rise.
    """
    if facts.claimed.get(image["id"], source_key(record)) != source_key(record):
        return not facts.is_partial and _equal(record, image, facts) is True
    is_older = record["store_hash"] == facts.store_hash and image["id"] < record["id"]
    return not (facts.is_partial and is_older)


def _names(record: Record) -> set[str]:
    """Return the names under which a record's picture may have been sent: its own, or its digest."""
    return {name_key(record["image_file"]), record.get("file_sha256") or ""} - {""}


# Is the live picture the wanted one?


def _equal(record: Record, image: Record, facts: Knowledge) -> bool | None:
    """Whether two pictures have the same bytes; None where nobody knows."""
    wanted, there = record.get("file_sha256"), facts.digests.get(image["image_file"])
    if wanted is None or there is None:
        return None
    if wanted == there:
        return True
    return None if record.get("file_source") == "zoom" else False  # a rendition is never its original to the byte


def _surely_same(record: Record, image: Record, facts: Knowledge) -> bool:
    """Whether the live picture is known to be the wanted one: image paths never change their content."""
    if record["store_hash"] == facts.store_hash and record["image_file"] == image["image_file"]:
        return True
    known = facts.known.get(source_key(record))
    if known is not None and known[1:] == (record["image_file"], image["image_file"]):
        return True
    return _equal(record, image, facts) is True


def same_picture(record: Record, image: Record, facts: Knowledge) -> Sameness:
    """Whether the live picture is the wanted one; where no digest can tell, the name does."""
    if _surely_same(record, image, facts):
        return "same"
    if _equal(record, image, facts) is False or name_key(image["image_file"]) not in _names(record):
        return "other"
    is_untold = image["image_file"] in facts.unreadable and record.get("file_source") != "zoom"
    return "unreadable" if is_untold else "same"


def in_doubt(wanted: Sequence[Record], live: Sequence[Record], facts: Knowledge) -> list[Record]:
    """Return the live images whose digest would change what is decided: their pictures are worth a look."""
    pairs, unclaimed = match(wanted, live, facts)
    unsure = [
        (record, image)
        for record, image in pairs
        if record.get("file_sha256") and not (image is not None and _surely_same(record, image, facts))
    ]
    names = {name for record, _ in unsure for name in _names(record)}
    doubtful = {image["image_file"]: image for _, image in unsure if image is not None}
    doubtful |= {image["image_file"]: image for image in unclaimed if name_key(image["image_file"]) in names}
    return [image for path, image in doubtful.items() if path not in facts.digests]
