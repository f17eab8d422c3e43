"""Decides what a restore does to one product. Pure.

Input: the backup's records of the product, its live images, and what is known about both. Output: actions. Planning
again after an apply, with what is then live, says what is left to do; when nothing is, no action writes. What has come
into the product since the first plan, and is not present, is left alone: no plan has shown it and no undo holds it.

Every record names its store: where the input does not, the store written to is meant, and has been filled in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from bc_images.bigcommerce.mapping import InvalidImage, Record, diff, writable_values
from bc_images.schema import writable_fields
from target_bc_images.changes import Action, Create, Delete, Keep, Reject, Replace, Update, source_key
from target_bc_images.context import PictureMatch, PlanContext
from target_bc_images.differences import Difference, apply_known
from target_bc_images.matching import Split, match, split
from target_bc_images.picture_match import same_picture

__all__ = ["MAX_IMAGES", "MOVED_BY_THE_STORE", "UNPROVEN", "ProductPlan", "plan", "room_for"]

MAX_IMAGES = 1000  # a product (V2 spec)

SIMILAR = "the picture looks the same; its bytes were not compared, because a CDN alters them"
NAMED = "the file has the same name; its bytes were not compared"
RE_ENCODED = "the picture looks the same and has other bytes"
INCOMPARABLE = "the picture has other bytes; its appearance was not compared, because one of the two cannot be decoded"
UNPROVEN = frozenset({SIMILAR, NAMED, RE_ENCODED, INCOMPARABLE})
"""Why an image is kept of which nobody knows whether it has the bytes of the backup."""

NO_FILE = "the backup has no file of it: the store is to fetch its old address"

_NOTHING_DIFFERS = "nothing differs"
_KEPT = {"similar": SIMILAR, "named": NAMED}

MOVED_BY_THE_STORE = ("is_thumbnail", "sort_order")
"""The fields of an image that a store may change when a neighbour is written."""


class ProductPlan(NamedTuple):
    """All actions for one product, and what they were decided from."""

    product_id: int
    desired: Sequence[Record]
    existing: Sequence[Record]  # without what has come in since the first plan and is not present
    untouched: Sequence[Record]  # live images that are to stay as they were, in the state to which they belong
    actions: Sequence[Action]
    writes: Sequence[Action]  # those that change the store


def plan(
    product_id: int,
    desired: Sequence[Record],
    existing: Sequence[Record],
    context: PlanContext,
    first: ProductPlan | None = None,
) -> ProductPlan:
    """Decide what makes the live images of a product the wanted ones.

    Args:
        product_id: the product in the store that is written to.
        desired: the backup's records of this product, each source image once.
        existing: the product's images now.
        context: everything else that is known.
        first: when planning again: the first plan, which knows how the images were before any write.
    """
    if first is None and (kept := _all_kept(product_id, desired, existing, context)) is not None:
        return kept
    present = existing if first is None else _previously_present(existing, first, context)
    invalid = context.invalid.get(product_id, ())
    split_records = split(desired, invalid, context)
    pairs, unmatched = match(split_records.others, present, context)
    untouched = _untouched(existing, unmatched, context) if first is None else first.untouched
    thumbnail = _thumbnail(desired)
    own = _unfinished(context)
    others_thumbnail = bool(invalid) or any(image["is_thumbnail"] for image in existing if image["id"] not in own)
    actions = [
        _decide(product_id, record, image, context, thumbnail, existing, others_thumbnail=others_thumbnail)
        for record, image in pairs
    ]
    if invalid:
        actions = [
            *_reject_ambiguous_creates(actions, split_records.unmatched),
            *_leave_invalid(product_id, split_records, context),
        ]
    actions += _restore_siblings(product_id, untouched, existing, context, moved_thumbnail=thumbnail is not None)
    if context.mode.deletes and context.deletes:
        actions += [Delete("not in the backup", product_id, existing=image) for image in unmatched]
    writes = [action for action in actions if not isinstance(action, Keep)]
    if writes:
        room = room_for(existing) - len(invalid)
        actions = _within_limit([_apply_policy(action, context) for action in actions], room, unmatched, context)
        writes = [action for action in actions if action.writes]
    return ProductPlan(product_id, desired, present, untouched, actions, writes)


def _all_kept(
    product_id: int, desired: Sequence[Record], existing: Sequence[Record], context: PlanContext
) -> ProductPlan | None:
    """Return the plan of a product that is as it should be, as nearly all are; None where that takes a closer look."""
    if context.invalid.get(product_id) or context.previous_fields or context.verdicts or not context.mode.updates:
        return None
    compared = itemgetter("store_hash", "image_file", *writable_fields())
    free = {image["id"]: image for image in existing}
    actions: list[Action] = []
    thumbnails = 0
    for record in desired:
        image = free.pop(record["id"], None)
        try:
            if image is None or compared(record) != compared(image):
                return None
        except KeyError:  # a field that the input does not have is not compared
            return None
        thumbnails += record["is_thumbnail"]
        actions.append(Keep(_NOTHING_DIFFERS, product_id, record, image))
    if thumbnails > 1 or (free and context.mode.deletes):
        return None
    untouched = [] if context.mode.deletes else list(free.values())
    return ProductPlan(product_id, desired, existing, untouched, actions, [])


def _previously_present(existing: Sequence[Record], first: ProductPlan, context: PlanContext) -> Sequence[Record]:
    """Return the images that were there before, and those that have been created since."""
    sources = map(source_key, first.desired)
    ids = {image["id"] for image in first.existing} | {
        context.entries[source].target_id for source in sources if source in context.entries
    }
    return [image for image in existing if image["id"] in ids]


# Deciding: what makes the live image the wanted one?


def _thumbnail(desired: Sequence[Record]) -> Record | None:
    """Return the one record that becomes the thumbnail: a product has one, the first of those that claim it."""
    claims = (record for record in desired if record["is_thumbnail"])
    return min(claims, key=lambda record: (record["sort_order"], record["id"]), default=None)


def _with_one_thumbnail(record: Record, thumbnail: Record | None) -> Record:
    return {**record, "is_thumbnail": False} if record["is_thumbnail"] and record is not thumbnail else record


def _decide(
    product_id: int,
    record: Record,
    image: Record | None,
    context: PlanContext,
    thumbnail: Record | None,
    existing: Sequence[Record],
    *,
    others_thumbnail: bool,
) -> Action:
    record = _with_one_thumbnail(record, thumbnail)
    if image is None:
        return _create(product_id, record, context, others_thumbnail=others_thumbnail)
    picture = same_picture(record, image, context)
    fields = diff(record, image)
    if not context.mode.updates:
        if source_key(record) not in context.unfinished or picture != "same":
            return Keep("in the store, and create_only changes nothing", product_id, record, image)
        if others_thumbnail:
            fields.pop("is_thumbnail", None)
    if fields.get("is_thumbnail") is False and (
        thumbnail is not None or (len(existing) == 1 and not context.invalid.get(product_id))
    ):
        # The store clears it itself when another one is set; and a product's only image is its thumbnail, whatever
        # is sent (BigCommerce, "Catalog overview").
        del fields["is_thumbnail"]
    fields, differences = _known(record, image, fields, context)
    if picture in {"unknown", "other", "gone"}:
        return _replace(Replace("", product_id, record, image, fields, differences), picture, context)
    if fields:
        return Update(f"differs in {', '.join(fields)}", product_id, record, image, fields, differences)
    if differences:
        reason = f"the store does not take {', '.join(difference.field for difference in differences)}"
        return Keep(reason, product_id, record, image, differences=differences)
    verdict = context.verdicts.get(image["image_file"])
    reason = verdict.reason if verdict else _KEPT.get(picture, _NOTHING_DIFFERS)
    return Keep(reason, product_id, record, image)


def _replace(action: Replace, picture: PictureMatch, context: PlanContext) -> Action:
    """Decide about an image whose picture is not that of the backup, or may not be; `action` has no reason yet."""
    record, image = action.desired or {}, action.existing or {}
    verdict = context.verdicts.get(image["image_file"])
    if picture == "unknown":
        reason = "failed to read the present picture, so it was not compared with that of the backup"
        return action.convert(Reject, verdict.reason if verdict else reason, {})
    if verdict is not None and not record.get("file_sha256"):
        return action.convert(Reject, f"{verdict.reason}, and the backup has no file of it", {})
    is_similar = (source_key(record), image["image_file"]) in context.similar
    reason = RE_ENCODED if is_similar else "the picture is another one"
    return action.convert(Replace, verdict.reason if verdict else reason)


def _create(product_id: int, record: Record, context: PlanContext, *, others_thumbnail: bool) -> Action:
    if not context.mode.creates:
        return Keep("not in the store, and update_only creates nothing", product_id, record)
    fields = writable_values(record)
    if not context.mode.updates and others_thumbnail:
        fields["is_thumbnail"] = False  # it would be taken from an image that is not to change
    fields, _ = _known(record, None, fields, context)
    reason = "not in the store" if record.get("file_sha256") else f"not in the store, and {NO_FILE}"
    return Create(reason, product_id, record, None, fields)


def _known(
    record: Record, image: Record | None, fields: Mapping[str, Any], context: PlanContext
) -> tuple[dict[str, Any], Sequence[Difference]]:
    """Take out of the fields of an image what the store is known not to take."""
    key = source_key(record)
    if key not in context.refusals and key not in context.kept_values:
        return dict(fields), ()
    return apply_known(fields, image, context.refusals.get(key, {}), context.kept_values.get(key, {}))


def _leave_invalid(product_id: int, split_records: Split, context: PlanContext) -> Iterator[Action]:
    """Leave the images alone that cannot be read; a mirror, which answers for all, names those of no record too."""
    for record, image in split_records.invalid:
        if not context.mode.updates:
            yield Keep("in the store, and create_only changes nothing", product_id, record)
        else:
            reason = f"its image in the store is not valid and was not changed ({image.problem})"
            yield Reject(reason, product_id, record)
    for image in split_records.unmatched if context.mode.deletes else ():
        existing = {"store_hash": context.store_hash, **image._asdict()}
        reason = f"an image of the store is not valid and was not changed ({image.problem})"
        yield Reject(reason, product_id, existing=existing)


def _reject_ambiguous_creates(actions: Iterable[Action], unmatched: Sequence[InvalidImage]) -> Iterator[Action]:
    """Reject the creates whose images may be there already, among those that cannot be read."""
    for action in actions:
        if isinstance(action, Create) and unmatched:
            reason = f"it may be the image of the store that is not valid ({unmatched[0].text}): correct that first"
            yield action.convert(Reject, reason, {})
        else:
            yield action


def _untouched(existing: Sequence[Record], unmatched: Sequence[Record], context: PlanContext) -> Sequence[Record]:
    """Return the images that are not to change, as they are or, where a run was cut short, as they were before it."""
    if context.mode.deletes:
        return []
    staying = unmatched
    if not context.mode.updates:
        staying = [image for image in existing if image["id"] not in _unfinished(context)]
    if not context.previous_fields:
        return staying
    return [{**image, **context.previous_fields.get(image["id"], {})} for image in staying]


def _unfinished(context: PlanContext) -> set[int]:
    """Return the images that restores have created and not finished: even create_only may change them."""
    return {context.entries[key].target_id for key in context.unfinished if key in context.entries}


def _restore_siblings(
    product_id: int,
    untouched: Sequence[Record],
    existing: Sequence[Record],
    context: PlanContext,
    *,
    moved_thumbnail: bool,
) -> Iterator[Action]:
    """Undo what the store did to images that are not to change, when their neighbours were written."""
    now = {image["id"]: image for image in existing} if untouched else {}
    for sibling in untouched:
        before, image = sibling, now.get(sibling["id"])
        if image is None or image is sibling:  # one that was deleted meanwhile is not present to bring back
            continue
        fields = {name: before[name] for name in MOVED_BY_THE_STORE if before[name] != image[name]}
        if moved_thumbnail:  # by a record: whoever reads this one again must not take it back
            before = {**before, "is_thumbnail": False}
            fields.pop("is_thumbnail", None)
        fields, differences = _known(before, image, fields, context)
        if fields:
            reason = f"moved by the store, {', '.join(fields)} put back"
            yield Update(reason, product_id, before, image, fields, differences, is_sibling=True)
        elif differences:
            reason = "moved by the store"
            yield Keep(reason, product_id, before, image, {}, differences, is_sibling=True)


# Refusing: what must not be done?


def _apply_policy(action: Action, context: PlanContext) -> Action:
    """Turn what must not be written into a rejection with its reason."""
    if not action.writes:
        return action
    reason = context.rejections.get(action.key)
    lost = action.existing["image_file"] if action.existing and action.loses_bytes else None
    verdict = context.verdicts.get(lost) if lost is not None else None
    if verdict is not None and verdict.match == "gone":
        lost = None
    if reason is None and lost is not None and context.backed_up is not None and lost not in context.backed_up:
        way = "it cannot be downloaded. Set allow_data_loss to do without" if context.sends_bytes else _WAYS_TO_KEEP
        reason = f"{action.name} would lose the present picture, of which no copy is kept ({lost}): {way}"
    return action if reason is None else action.convert(Reject, reason)


_WAYS_TO_KEEP = "set file_store to have one, or allow_data_loss"


def room_for(existing: Sequence[Record]) -> int:
    """Return how many more images a product can take."""
    return MAX_IMAGES - len(existing)


def _within_limit(
    actions: Sequence[Action], room_now: int, unmatched: Sequence[Record], context: PlanContext
) -> list[Action]:
    """Reject the creates that would leave the product above the store's limit when everything is done.

    Where a mirror deletes later, creates for which there is no room before that are left for later, too.
    """
    deletes = [action.existing for action in actions if isinstance(action, Delete)]
    if context.mode.deletes and not context.deletes:
        deletes = [
            image for image in unmatched if context.backed_up is None or image["image_file"] in context.backed_up
        ]
    room = room_now + len(deletes)
    allowed: list[Action] = []
    for action in actions:
        if not isinstance(action, Create):
            allowed.append(action)
        elif room <= 0:
            allowed.append(action.convert(Reject, f"a product can have at most {MAX_IMAGES} images"))
        else:
            if context.deletes or room_now > 0:
                allowed.append(action)
            room -= 1
            room_now -= 1
    return allowed
