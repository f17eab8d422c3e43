"""Decide what a restore does to one product. Pure: it reads nothing, writes nothing, and repeats itself exactly.

Input: the backup's records of the product, its live images, and what is known about both. Output: actions. Planning
again after an apply, with what is then live, says what is left to do; when nothing is, no action writes.

Every record names its store: where the input does not, the store written to is meant, and has been filled in.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TypeAlias

from bc_images.images import Record, changes, stem
from bc_images.schema import writable_fields

__all__ = [
    "MAX_IMAGES",
    "Action",
    "Knowledge",
    "Known",
    "Mode",
    "ProductPlan",
    "SourceKey",
    "Verb",
    "in_doubt",
    "name_key",
    "plan",
    "source_key",
]

Mode: TypeAlias = Literal["upsert", "create_only", "update_only", "mirror"]
Verb: TypeAlias = Literal["create", "replace", "update", "delete", "keep", "reject"]
SourceKey: TypeAlias = tuple[str, int]
"""Which image a record speaks of: the store it was read from, and its id there."""

MAX_IMAGES = 1000  # a product (specs/product-images.v2.yml)

_LONGEST_NAME = 150  # characters of a name that are compared

_MOVED_BY_THE_STORE = ("is_thumbnail", "sort_order")
"""The fields of an image that a store may change when a neighbour is written."""


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
    digests: dict[str, str] = field(default_factory=dict)  # live image_file -> sha256, where it is known
    before: dict[int, Record] = field(default_factory=dict)  # image id -> fields, before a run that was cut short
    refused: dict[SourceKey, str] = field(default_factory=dict)  # what must not or cannot be written, and why
    saved: Collection[str] | None = None  # the live image_files that may be lost, being kept elsewhere; None: any


class Action(NamedTuple):
    """One decision. `wanted` is the backup's record, `live` the image in the store, `fields` what is sent."""

    action: Verb
    reason: str
    product_id: int
    wanted: Record | None = None
    live: Record | None = None
    fields: Mapping[str, Any] = MappingProxyType({})

    @property
    def writes(self) -> bool:
        """Whether carrying it out changes the store."""
        return self.action not in {"keep", "reject"}

    @property
    def subject(self) -> SourceKey:
        """What the action is about: the source image, or one that only the store has."""
        return source_key(self.wanted or self.live or {"store_hash": "", "id": 0})


class ProductPlan(NamedTuple):
    """All actions for one product, and what they were decided from."""

    product_id: int
    wanted: Sequence[Record]
    live: Sequence[Record]
    siblings: Sequence[Record]  # live images that are to stay as they were, in the state to which they belong
    actions: Sequence[Action]
    writes: Sequence[Action]  # those that change the store


def source_key(record: Record) -> SourceKey:
    """Return which image a record speaks of."""
    return record["store_hash"], record["id"]


def name_key(image_file: str) -> str:
    """Return what stays of a file's name wherever it has been: for comparing, not for showing.

    Beyond `stem`, WebDAV and the store itself reduce names to ASCII and cut long ones.
    """
    return stem(re.sub(r"[^\x00-\x7f]", "-", image_file))[:_LONGEST_NAME] or "image"


def plan(
    product_id: int,
    wanted: Sequence[Record],
    live: Sequence[Record],
    facts: Knowledge,
    siblings: Sequence[Record] | None = None,
) -> ProductPlan:
    """Decide what makes the live images of a product the wanted ones.

    Args:
        product_id: the product in the store that is written to.
        wanted: the backup's records of this product, each source image once.
        live: the product's images now.
        facts: everything else that is known.
        siblings: when planning again: those of the first plan, which know how the images were before any write.
    """
    pairs, unclaimed = _match(wanted, live, facts)
    if siblings is None:
        siblings = _siblings(live, unclaimed, facts)
    thumbnail = _thumbnail(wanted)
    actions = [_decide(product_id, record, image, facts, thumbnail, len(live)) for record, image in pairs]
    actions += _put_back(product_id, siblings, live, moved_thumbnail=thumbnail is not None)
    if facts.mode == "mirror":
        actions += [Action("delete", "not in the backup", product_id, live=image) for image in unclaimed]
    writes = [action for action in actions if action.action != "keep"]
    if writes:
        actions = list(_within_limit((_permitted(action, facts) for action in actions), len(live)))
        writes = [action for action in actions if action.writes]
    return ProductPlan(product_id, wanted, live, siblings, actions, writes)


def in_doubt(wanted: Sequence[Record], live: Sequence[Record], facts: Knowledge) -> list[Record]:
    """Return the live images whose digest would change what `plan` decides: their pictures are worth a look."""
    pairs, unclaimed = _match(wanted, live, facts)
    unsure = [
        (record, image)
        for record, image in pairs
        if record.get("file_sha256") and not (image is not None and _surely_same(record, image, facts))
    ]
    names = {name for record, _ in unsure for name in _names(record)}
    doubtful = {image["image_file"]: image for _, image in unsure if image is not None}
    doubtful |= {image["image_file"]: image for image in unclaimed if name_key(image["image_file"]) in names}
    return [image for path, image in doubtful.items() if path not in facts.digests]


# Matching: which live image is the one that a record speaks of?


def _match(
    wanted: Sequence[Record], live: Sequence[Record], facts: Knowledge
) -> tuple[list[tuple[Record, Record | None]], list[Record]]:
    """Pair each record with its live image, if it has one; the second list is the images that no record claims."""
    free = {image["id"]: image for image in live}
    own = facts.store_hash
    # An image id of another store means nothing here.
    pairs = [(record, free.pop(record["id"], None) if record["store_hash"] == own else None) for record in wanted]
    if not free or all(image for _, image in pairs):
        return pairs, list(free.values())
    found = {place: image for place, (_, image) in enumerate(pairs) if image}  # place in `wanted` -> live image
    _match_by_ledger(wanted, free, found, facts)
    _match_by_name(wanted, free, found, facts)
    return [(record, found.get(place)) for place, record in enumerate(wanted)], list(free.values())


def _match_by_ledger(
    wanted: Sequence[Record], free: dict[int, Record], found: dict[int, Record], facts: Knowledge
) -> None:
    for place, record in enumerate(wanted):
        known = facts.known.get(source_key(record))
        if place not in found and known is not None and known.target_id in free:
            found[place] = free.pop(known.target_id)


def _match_by_name(
    wanted: Sequence[Record], free: dict[int, Record], found: dict[int, Record], facts: Knowledge
) -> None:
    """Match what is left by file-name stem, the likeliest first.

    Where many have one name, pictures known to be equal go together before those that may be, and of these, those
    that agree in all fields before the rest: a restore that was cut short finds what it had created.
    """
    named: dict[str, list[Record]] = defaultdict(list)
    for image in free.values():
        named[name_key(image["image_file"])].append(image)
    for equal, exact in ((True, True), (True, False), (None, True), (None, False)):
        for place, record in enumerate(wanted):
            if place in found:
                continue
            candidates = [
                (len(differing), image["id"])
                for name in _names(record)
                for image in named.get(name, ())
                if image["id"] in free and _equal(record, image, facts) is equal
                for differing in [changes(record, image)]
                if not (exact and differing)
            ]
            if candidates:
                found[place] = free.pop(min(candidates)[1])


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


def _same_picture(record: Record, image: Record, facts: Knowledge) -> bool:
    if _surely_same(record, image, facts):
        return True
    return _equal(record, image, facts) is None and name_key(image["image_file"]) in _names(record)


def _names(record: Record) -> set[str]:
    """Return the names under which a record's picture may have been sent: its own, or its digest."""
    return {name_key(record["image_file"]), record.get("file_sha256") or ""} - {""}


# Deciding: what makes the live image the wanted one?


def _thumbnail(wanted: Sequence[Record]) -> Record | None:
    """Return the one record that becomes the thumbnail: a product has one, the first of those that claim it."""
    claims = (record for record in wanted if record["is_thumbnail"])
    return min(claims, key=lambda record: (record["sort_order"], record["id"]), default=None)


def _decide(
    product_id: int, record: Record, image: Record | None, facts: Knowledge, thumbnail: Record | None, count: int
) -> Action:
    if record["is_thumbnail"] and record is not thumbnail:
        record = {**record, "is_thumbnail": False}
    if image is None:
        if facts.mode == "update_only":
            return Action("keep", "not in the store, and update_only creates nothing", product_id, record)
        fields = {name: record.get(name) for name in writable_fields()}
        fields["description"] = fields["description"] or ""
        return Action("create", "not in the store", product_id, record, None, fields)
    if facts.mode == "create_only":
        return Action("keep", "in the store, and create_only changes nothing", product_id, record, image)
    fields = changes(record, image)
    if fields.get("is_thumbnail") is False and (thumbnail is not None or count == 1):
        # The store clears it itself when another one is set; and a product's only image is its thumbnail, whatever
        # is sent (BigCommerce, "Catalog overview").
        del fields["is_thumbnail"]
    if not _same_picture(record, image, facts):
        return Action("replace", "the picture is another one", product_id, record, image, fields)
    if fields:
        return Action("update", f"differs in {', '.join(fields)}", product_id, record, image, fields)
    return Action("keep", "nothing differs", product_id, record, image)


def _siblings(live: Sequence[Record], unclaimed: Sequence[Record], facts: Knowledge) -> Sequence[Record]:
    """Return the images that are not to change, as they are or, where a run was cut short, as they were before it."""
    if facts.mode == "mirror":
        return []
    staying = live if facts.mode == "create_only" else unclaimed
    if not facts.before:
        return staying
    return [{**image, **facts.before.get(image["id"], {})} for image in staying]


def _put_back(
    product_id: int, siblings: Sequence[Record], live: Sequence[Record], *, moved_thumbnail: bool
) -> Iterator[Action]:
    """Undo what the store did to images that are not to change, when their neighbours were written."""
    now = {image["id"]: image for image in live} if siblings else {}
    for before in siblings:
        image = now.get(before["id"])
        if image is None or image is before:  # one that was deleted meanwhile is not ours to bring back
            continue
        fields = {name: before[name] for name in _MOVED_BY_THE_STORE if before[name] != image[name]}
        if moved_thumbnail:
            fields.pop("is_thumbnail", None)
        if fields:
            reason = f"moved by the store, {', '.join(fields)} put back"
            yield Action("update", reason, product_id, before, image, fields)


# Refusing: what must not be done?


def _permitted(action: Action, facts: Knowledge) -> Action:
    """Turn what must not be written into a rejection with its reason."""
    if not action.writes:
        return action
    reason = facts.refused.get(action.subject)
    lost = action.live["image_file"] if action.live and action.action in {"replace", "delete"} else None
    if reason is None and lost is not None and facts.saved is not None and lost not in facts.saved:
        reason = (
            f"{action.action} would lose the present picture, of which no copy is kept: "
            "set files to have one, or allow_losing_files"
        )
    return action if reason is None else action._replace(action="reject", reason=reason)


def _within_limit(actions: Iterable[Action], count: int) -> Iterator[Action]:
    """Reject the creates that would take the product over the store's limit."""
    for action in actions:
        if action.action == "create":
            count += 1
            if count > MAX_IMAGES:
                yield action._replace(action="reject", reason=f"a product holds at most {MAX_IMAGES} images")
                continue
        yield action
