"""The context of planning: ledger entries, digests, matches, refusals."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

from bc_images.bigcommerce.mapping import InvalidImage, Record
from target_bc_images.changes import Mode, SourceKey
from target_bc_images.differences import KeptValue, Refusal

__all__ = ["GONE", "NO_PICTURE", "EarlierRun", "LedgerEntry", "PictureMatch", "PlanContext", "Verdict"]

PictureMatch: TypeAlias = Literal["same", "similar", "named", "other", "unknown", "gone"]
"""``similar`` and ``named`` are weaker than ``same``: the pictures look alike, or only their names are the same."""

GONE = "the picture is gone from the store (HTTP 404)"
NO_PICTURE = "the store serves something that is not a picture"
"""Why nothing is left of a picture that could be lost."""


class LedgerEntry(NamedTuple):
    """What the ledger says of a source image: the image it became, and the files on both sides.

    `source_file` is empty where that image has had another picture in between: then it proves nothing about pictures.
    """

    target_id: int
    source_file: str
    target_file: str


class EarlierRun(NamedTuple):
    """What the report of a run says beside the records that it left undone."""

    owner_of: Mapping[int, SourceKey]  # live image id -> the record that is done, so that no other one is taken for it
    siblings: Collection[SourceKey]  # records that are no backup's: images of the store that the run has left moved


class Verdict(NamedTuple):
    """What is wrong with a live picture that was read, and why."""

    match: PictureMatch
    reason: str


@dataclass(frozen=True, slots=True)
class PlanContext:
    """What planning may rely on beside the records and the live images themselves."""

    store_hash: str  # of the store that is written to
    mode: Mode = Mode.UPSERT
    entries: dict[SourceKey, LedgerEntry] = field(default_factory=dict)
    created: dict[SourceKey, int] = field(default_factory=dict)  # the images that this run has created
    unfinished: set[SourceKey] = field(default_factory=set)  # created, and not as they should be yet, by any run
    owner_of: dict[int, SourceKey] = field(default_factory=dict)  # live image id -> whose it is by the ledger
    digests: dict[str, str] = field(default_factory=dict)  # live image_file -> sha256, where it is known
    altered: set[str] = field(default_factory=set)  # live image_files of which only a copy altered by a CDN can be read
    unreadable: set[str] = field(default_factory=set)  # live image_files that cannot be read
    similar: set[tuple[SourceKey, str]] = field(default_factory=set)  # other bytes than live image_file, and alike
    invalid: dict[int, Sequence[InvalidImage]] = field(default_factory=dict)  # product id -> images without a record
    verdicts: dict[str, Verdict] = field(default_factory=dict)  # live image_file -> what is wrong with its picture
    previous_fields: dict[int, Record] = field(
        default_factory=dict
    )  # image id -> fields, before a run that was cut short
    rejections: dict[SourceKey, str] = field(default_factory=dict)  # what must not or cannot be written, and why
    refusals: dict[SourceKey, dict[str, Refusal]] = field(default_factory=dict)  # by field; of this run
    kept_values: dict[SourceKey, dict[str, KeptValue]] = field(default_factory=dict)  # by field; of all runs
    backed_up: Collection[str] | None = None  # the live image_files that may be lost, being kept elsewhere; None: any
    deletes: bool = True  # whether a mirror deletes now, or once all else is done
    input_is_partial: bool = False  # the input may lack records of images that are as they should be
    sends_bytes: bool = True  # what is created has the bytes of the backup, and not those of some address
