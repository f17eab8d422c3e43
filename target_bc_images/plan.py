"""Decide what a restore does to one product. Pure: it reads nothing, writes nothing, and repeats itself exactly.

Input: the backup's records of the product, its live images, and what is known about both. Output: actions. Planning
again after an apply, with what is then live, says what is left to do; when nothing is, every action is ``keep``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

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
    "plan",
    "source_key",
]

Mode: TypeAlias = Literal["upsert", "create_only", "update_only", "mirror"]
Verb: TypeAlias = Literal["create", "replace", "update", "delete", "keep", "reject"]
SourceKey: TypeAlias = tuple[str, int]
"""Which image a record speaks of: the store it was read from, and its id there."""

MAX_IMAGES = 1000  # a product (specs/product-images.v2.yml)


class Known(NamedTuple):
    """What the ledger says of a source image: the image it became, and the files on both sides."""

    target_id: int
    source_file: str
    target_file: str


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What matching may rely on beside the records and the live images themselves."""

    store_hash: str  # of the store that is written to
    mode: Mode = "upsert"
    known: dict[SourceKey, Known] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)  # live image_file -> sha256, where it is known


@dataclass(frozen=True, slots=True)
class Action:
    """One decision. `wanted` is the backup's record, `live` the image in the store, `fields` what is sent."""

    action: Verb
    reason: str
    product_id: int
    wanted: Record | None = None
    live: Record | None = None
    fields: Record = field(default_factory=dict)

    @property
    def writes(self) -> bool:
        """Whether carrying it out changes the store."""
        return self.action not in {"keep", "reject"}

    @property
    def subject(self) -> SourceKey:
        """What the action is about: a source image, or (under the empty store) an image that only the store has."""
        if self.wanted is not None:
            return source_key(self.wanted, "")
        return "", self.live["id"] if self.live else 0


@dataclass(frozen=True, slots=True)
class ProductPlan:
    """All actions for one product, and what they were decided from."""

    product_id: int
    wanted: Sequence[Record]
    live: Sequence[Record]
    siblings: Sequence[Record]  # live images that the backup does not know and that stay as they are
    actions: Sequence[Action]

    @property
    def writes(self) -> list[Action]:
        """The actions that change the store."""
        return [action for action in self.actions if action.writes]


def source_key(record: Record, store_hash: str) -> SourceKey:
    """Return which image a record speaks of; a record that names no store means the store written to."""
    return record.get("store_hash") or store_hash, record["id"]


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
        facts: mode, ledger and digests.
        siblings: when planning again: the images outside the backup as they were before the first write. A store
            may move them when their neighbours are written; they are put back.
    """
    pairs, unclaimed = _match(wanted, live, facts)
    if siblings is None:
        siblings = [] if facts.mode == "mirror" else unclaimed
    thumbnail = _thumbnail(wanted)
    actions = [_decide(product_id, record, image, facts, thumbnail) for record, image in pairs]
    actions = list(_within_limit(actions, len(live)))
    actions += _put_back(product_id, siblings, live, moved_thumbnail=thumbnail is not None)
    if facts.mode == "mirror":
        actions += [Action("delete", "not in the backup", product_id, live=image) for image in unclaimed]
    return ProductPlan(product_id, wanted, live, siblings, actions)


def in_doubt(wanted: Sequence[Record], live: Sequence[Record], facts: Knowledge) -> list[Record]:
    """Return the live images whose digest would change what `plan` decides: their pictures are worth a look."""
    pairs, unclaimed = _match(wanted, live, facts)
    unsure = [
        (record, image)
        for record, image in pairs
        if record.get("file_sha256") and not (image is not None and _surely_same(record, image, facts))
    ]
    stems = {_stem(record) for record, _ in unsure}
    doubtful = {image["image_file"]: image for _, image in unsure if image is not None}
    doubtful |= {image["image_file"]: image for image in unclaimed if _stem(image) in stems}
    return [image for path, image in doubtful.items() if path not in facts.digests]


def _match(
    wanted: Sequence[Record], live: Sequence[Record], facts: Knowledge
) -> tuple[list[tuple[Record, Record | None]], list[Record]]:
    """Pair each record with its live image, if it has one; the second list is the images that no record claims."""
    free = {image["id"]: image for image in live}
    found: dict[int, Record] = {}  # place in `wanted` -> live image
    for place, record in enumerate(wanted):
        # An image id of another store means nothing here.
        if record["id"] in free and source_key(record, facts.store_hash)[0] == facts.store_hash:
            found[place] = free.pop(record["id"])
    if len(found) < len(wanted):
        _match_by_ledger(wanted, free, found, facts)
        _match_by_name(wanted, free, found, facts)
    return [(record, found.get(place)) for place, record in enumerate(wanted)], list(free.values())


def _match_by_ledger(
    wanted: Sequence[Record], free: dict[int, Record], found: dict[int, Record], facts: Knowledge
) -> None:
    for place, record in enumerate(wanted):
        known = facts.known.get(source_key(record, facts.store_hash))
        if place not in found and known is not None and known.target_id in free:
            found[place] = free.pop(known.target_id)


def _match_by_name(
    wanted: Sequence[Record], free: dict[int, Record], found: dict[int, Record], facts: Knowledge
) -> None:
    """Match what is left by file-name stem: first where the pictures are known to be equal, then where they may be."""
    named: dict[str, list[Record]] = defaultdict(list)
    for image in free.values():
        named[_stem(image)].append(image)
    for certain in (True, False):
        for place, record in enumerate(wanted):
            if place in found:
                continue
            candidates = [
                image
                for name in {_stem(record), record.get("file_sha256") or ""}  # a file sent by digest carries it as name
                for image in named.get(name, ())
                if image["id"] in free and _may_be_same(record, image, facts, certain=certain)
            ]
            if candidates:
                best = min(candidates, key=lambda image: (len(changes(record, image)), image["id"]))
                found[place] = free.pop(best["id"])


def _may_be_same(record: Record, image: Record, facts: Knowledge, *, certain: bool) -> bool:
    wanted, there = record.get("file_sha256"), facts.digests.get(image["image_file"])
    if wanted is None or there is None:
        return not certain
    return bool(wanted == there)


def _surely_same(record: Record, image: Record, facts: Knowledge) -> bool:
    """Whether the live picture is known to be the wanted one: image paths never change their content."""
    key = source_key(record, facts.store_hash)
    if key[0] == facts.store_hash and record["image_file"] == image["image_file"]:
        return True
    known = facts.known.get(key)
    if known is not None and known[1:] == (record["image_file"], image["image_file"]):
        return True
    wanted = record.get("file_sha256")
    return wanted is not None and wanted == facts.digests.get(image["image_file"])


def _same_picture(record: Record, image: Record, facts: Knowledge) -> bool:
    if _surely_same(record, image, facts):
        return True
    if record.get("file_sha256") and image["image_file"] in facts.digests:
        return False  # both known, and not equal
    return _stem(image) in {_stem(record), record.get("file_sha256")}


def _stem(record: Record) -> str:
    return stem(record["image_file"])


def _thumbnail(wanted: Sequence[Record]) -> SourceKey | None:
    """Return the one record that becomes the thumbnail: a product has one, the first of those that claim it."""
    claims = [record for record in wanted if record["is_thumbnail"]]
    first = min(claims, key=lambda record: (record["sort_order"], record["id"]), default=None)
    return None if first is None else source_key(first, "")


def _decide(
    product_id: int, record: Record, image: Record | None, facts: Knowledge, thumbnail: SourceKey | None
) -> Action:
    is_thumbnail = thumbnail is not None and source_key(record, "") == thumbnail
    if record["is_thumbnail"] and not is_thumbnail:
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
    if thumbnail is not None and not is_thumbnail:
        fields.pop("is_thumbnail", None)  # the store clears it itself when the new thumbnail is set
    if not _same_picture(record, image, facts):
        return Action("replace", "the picture is another one", product_id, record, image, fields)
    if fields:
        return Action("update", f"differs in {', '.join(fields)}", product_id, record, image, fields)
    return Action("keep", "nothing differs", product_id, record, image)


def _within_limit(actions: Iterable[Action], count: int) -> Iterator[Action]:
    """Reject the creates that would take the product over the store's limit."""
    for action in actions:
        if action.action != "create":
            yield action
        elif count >= MAX_IMAGES:
            reason = f"a product holds at most {MAX_IMAGES} images"
            yield Action("reject", reason, action.product_id, action.wanted)
        else:
            count += 1
            yield action


def _put_back(
    product_id: int, siblings: Sequence[Record], live: Sequence[Record], *, moved_thumbnail: bool
) -> Iterator[Action]:
    """Undo what the store did to images that the backup does not speak of."""
    now = {image["id"]: image for image in live}
    for before in siblings:
        if before["id"] not in now:
            continue  # deleted by somebody meanwhile: not ours to bring back
        fields = changes(before, now[before["id"]])
        if moved_thumbnail:
            fields.pop("is_thumbnail", None)
        if fields:
            reason = f"moved by the store, {', '.join(fields)} put back"
            yield Action("update", reason, product_id, before, now[before["id"]], fields)
