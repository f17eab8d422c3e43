"""Matches records to live images. Pure.

In this order: the record's own path, what this run and the ledger know, the same id with the same content, the same
content, a picture that looks the same, the same id with the same name, the same name; at last the id alone, for an
image that was given another picture. An id alone is no proof: a store that counts anew reuses ids. What is known of
pictures is never guessed around: where the present one cannot be read, nobody says that it is the same.

Live images that are not valid records are there, and nobody knows all about them: none is written or deleted, and
nothing is created that may be one of them a second time. `split` matches these to records.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeAlias

from bc_images.bigcommerce.mapping import InvalidImage, Record, diff
from target_bc_images.changes import source_key
from target_bc_images.context import PlanContext
from target_bc_images.picture_match import comparable_name, equal_content, known_same, same_picture, sent_names

__all__ = ["Pair", "Split", "match", "needs_digest", "split"]

Pair: TypeAlias = tuple[Record, Record | None]


def match(
    desired: Sequence[Record], existing: Sequence[Record], context: PlanContext
) -> tuple[list[Pair], list[Record]]:
    """Pair each record with its live image, if it has one; the second list is the images that no record claims."""
    matching = _Matching(desired, existing, context)
    for stage in _STAGES:
        if not matching.free or not matching.open:
            break
        stage(matching)
    pairs = [(record, matching.paired.get(index)) for index, record in enumerate(desired)]
    return pairs, list(matching.free.values())


class _Matching:
    """One matching on its way: which records and which live images are not paired yet."""

    def __init__(self, desired: Sequence[Record], existing: Sequence[Record], context: PlanContext) -> None:
        self.context = context
        self.desired = desired
        self.free = {image["id"]: image for image in existing}
        self.paired: dict[int, Record] = {}  # index in `desired` -> live image
        # An image id of another store means nothing here.
        self.own = [record["store_hash"] == context.store_hash for record in desired]
        self._in_order: list[int] | None = None

    @property
    def open(self) -> bool:
        return len(self.paired) < len(self.desired)

    def unpaired(self) -> list[int]:
        """Return the indexes of the records that have no image yet, in the order in which images are created."""
        if self._in_order is None:
            by_order = sorted(
                range(len(self.desired)),
                key=lambda index: (self.desired[index]["sort_order"], self.desired[index]["id"]),
            )
            self._in_order = by_order
        return [index for index in self._in_order if index not in self.paired]

    def pair(self, index: int, image: Record) -> None:
        self.paired[index] = self.free.pop(image["id"])

    def by_id(self, fits: Callable[[Record, Record], bool]) -> None:
        """Pair records with the images that have their ids, where `fits` agrees."""
        for index, record in enumerate(self.desired):
            if index not in self.paired and self.own[index]:
                image = self.free.get(record["id"])
                if image is not None and fits(record, image):
                    self.pair(index, image)

    def by_candidates(self, candidates: Callable[[Record], Iterable[Record]]) -> None:
        """Pair records with the likeliest of their candidates.

        Those that agree in all fields go first: a restore that was cut short finds what it had created.
        """
        for exact in (True, False):
            for index in self.unpaired():
                record = self.desired[index]
                ranked = [
                    (image["id"] != record["id"] or not self.own[index], len(differing), image["id"])
                    for image in candidates(record)
                    if image["id"] in self.free
                    for differing in [diff(record, image)]
                    if not (exact and differing)
                ]
                if ranked:
                    self.pair(index, self.free[min(ranked)[2]])


def _by_path(matching: _Matching) -> None:
    matching.by_id(lambda record, image: bool(record["image_file"] == image["image_file"]))


def _by_ledger(matching: _Matching) -> None:
    """Pair what restores have created with it, if that image still has the file that it was given.

    First where the ledger proves the picture too; then where it had another one in between.
    """
    context = matching.context
    for proven in (True, False):
        for index, record in enumerate(matching.desired):
            key = source_key(record)
            entry = context.entries.get(key)
            image = matching.free.get(entry.target_id) if entry is not None else None
            if index in matching.paired or entry is None or image is None:
                continue
            is_it = image["image_file"] == entry.target_file or context.created.get(key) == image["id"]
            if is_it and (not proven or entry.source_file == record["image_file"]):
                matching.pair(index, image)


def _by_id_and_content(matching: _Matching) -> None:
    matching.by_id(lambda record, image: equal_content(record, image, matching.context) is True)


def _by_content(matching: _Matching) -> None:
    context = matching.context
    images: dict[str, list[Record]] = defaultdict(list)
    for image in matching.free.values():
        if digest := context.digests.get(image["image_file"]):
            images[digest].append(image)
    if images:
        matching.by_candidates(
            lambda record: [
                image
                for image in images.get(record.get("file_sha256") or "", ())
                if _is_candidate(record, image, context)
            ]
        )


def _by_appearance(matching: _Matching) -> None:
    context = matching.context
    if context.similar:
        matching.by_candidates(
            lambda record: [
                image
                for image in matching.free.values()
                if (source_key(record), image["image_file"]) in context.similar
                and _is_candidate(record, image, context)
            ]
        )


def _by_id_and_name(matching: _Matching) -> None:
    context = matching.context
    matching.by_id(
        lambda record, image: (
            equal_content(record, image, context) is None
            and comparable_name(image["image_file"]) in sent_names(record)
            and not _is_owned_by_other(record, image, context)
        )
    )


def _by_name(matching: _Matching) -> None:
    context = matching.context
    named: dict[str, list[Record]] = defaultdict(list)
    for image in matching.free.values():
        named[comparable_name(image["image_file"])].append(image)
    matching.by_candidates(
        lambda record: [
            image
            for name in sent_names(record)
            for image in named.get(name, ())
            if equal_content(record, image, context) is None and _is_candidate(record, image, context)
        ]
    )


def _by_id_alone(matching: _Matching) -> None:
    """Pair what is left with the image of the same id, or of the ledger's: it was given another picture."""
    context = matching.context
    matching.by_id(lambda record, image: not _is_owned_by_other(record, image, context))
    for index in matching.unpaired():
        record = matching.desired[index]
        entry = context.entries.get(source_key(record))
        image = matching.free.get(entry.target_id) if entry is not None else None
        if image is not None and not _is_owned_by_other(record, image, context):
            matching.pair(index, image)


_STAGES = (
    _by_path,
    _by_ledger,
    _by_id_and_content,
    _by_content,
    _by_appearance,
    _by_id_and_name,
    _by_name,
    _by_id_alone,
)


def _is_owned_by_other(record: Record, image: Record, context: PlanContext) -> bool:
    """Whether another source is known to have become this image."""
    key = source_key(record)
    return context.owner_of.get(image["id"], key) != key


def _is_candidate(record: Record, image: Record, context: PlanContext) -> bool:
    """Whether a live image of the same content or name may be the one that a record describes.

    Not if the ledger has it as that of another source, unless the pictures are the same and the input, which has that
    source no more, speaks for all. Nor, where records of neighbours may be missing, if it is older than the image that
    the record was read from, since ids only rise; unless both name and content say that the store counts anew.
    """
    equal = equal_content(record, image, context)
    if _is_owned_by_other(record, image, context):
        return not context.input_is_partial and equal is True
    if not context.input_is_partial or record["store_hash"] != context.store_hash or image["id"] >= record["id"]:
        return True
    return equal is True and comparable_name(image["image_file"]) in sent_names(record)


def needs_digest(
    desired: Sequence[Record], existing: Sequence[Record], context: PlanContext, *, all_free: bool = False
) -> list[Record]:
    """Return the live images whose digest would change what is decided: their pictures are worth a look.

    Args:
        desired: the backup's records of a product.
        existing: its images.
        context: what is known.
        all_free: every image that no record claims, where a record would be created or replaced; else only the
            likeliest, by id and name.
    """
    pairs, unmatched = match(desired, existing, context)
    unsure = [
        (record, image)
        for record, image in pairs
        if record.get("file_sha256") and not (image is not None and known_same(record, image, context))
    ]
    if all_free:
        unsure = [pair for pair in unsure if pair[1] is None or same_picture(pair[0], pair[1], context) == "other"]
    names = {name for record, _ in unsure for name in sent_names(record)}
    doubtful = {image["image_file"]: image for _, image in unsure if image is not None}
    doubtful |= {
        image["image_file"]: image
        for image in unmatched
        if (unsure if all_free else comparable_name(image["image_file"]) in names)
    }
    return [image for path, image in doubtful.items() if path not in context.digests and path not in context.unreadable]


class Split(NamedTuple):
    """The records of one product, sorted by what its invalid images mean for them."""

    invalid: list[tuple[Record, InvalidImage]]  # what these records describe is one of the invalid images
    others: Sequence[Record]
    unmatched: list[InvalidImage]  # no record is known to describe these: any that is not found may do so


def split(desired: Sequence[Record], invalid: Sequence[InvalidImage], context: PlanContext) -> Split:
    """Find the records whose images are in the store and cannot be read."""
    if not invalid:
        return Split([], desired, [])
    matched: dict[int, InvalidImage] = {}  # index in `desired` -> image
    unmatched = []
    for image in invalid:
        index = next((n for n, record in enumerate(desired) if n not in matched and _is(record, image, context)), None)
        if index is None:
            unmatched.append(image)
        else:
            matched[index] = image
    return Split(
        [(desired[index], image) for index, image in sorted(matched.items())],
        [record for index, record in enumerate(desired) if index not in matched],
        unmatched,
    )


def _is(record: Record, image: InvalidImage, context: PlanContext) -> bool:
    """Whether a record surely describes an invalid image: by its path, or else by the id as far as that is a proof."""
    is_own = record["store_hash"] == context.store_hash
    entry = context.entries.get(source_key(record))
    if image.image_file is not None:
        is_own_path = is_own and image.image_file == record["image_file"]
        return is_own_path or (entry is not None and image.image_file == entry.target_file)
    if image.id is None:
        return False
    return (is_own and image.id == record["id"]) or (entry is not None and image.id == entry.target_id)
