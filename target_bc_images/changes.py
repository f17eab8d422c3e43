"""The actions of a plan (create, replace, update, delete, keep, reject) and the modes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, Literal, TypeAlias, TypeVar

from bc_images.bigcommerce.mapping import Record
from target_bc_images.differences import Difference

__all__ = [
    "ACTIONS",
    "Action",
    "Create",
    "Delete",
    "Keep",
    "Mode",
    "Reject",
    "Replace",
    "SourceKey",
    "Status",
    "Update",
    "source_key",
]

SourceKey: TypeAlias = tuple[str, int]
"""Which image a record describes: the store it was read from, and its id there."""
Status: TypeAlias = Literal["planned", "done", "kept", "rejected", "failed", "undecided", "unverified", "not reached"]
"""How an action ended, as the report says it."""

_AnyAction = TypeVar("_AnyAction", bound="Action")


class Mode(StrEnum):
    """What a restore may do to the store: the setting ``mode``."""

    UPSERT = "upsert"
    CREATE_ONLY = "create_only"
    UPDATE_ONLY = "update_only"
    MIRROR = "mirror"

    @property
    def creates(self) -> bool:
        """Whether images that the store lacks are created."""
        return self is not Mode.UPDATE_ONLY

    @property
    def updates(self) -> bool:
        """Whether images that were in the store before are changed."""
        return self is not Mode.CREATE_ONLY

    @property
    def deletes(self) -> bool:
        """Whether images that the backup lacks are deleted."""
        return self is Mode.MIRROR


def source_key(record: Record) -> SourceKey:
    """Return which image a record describes."""
    return record["store_hash"], record["id"]


@dataclass(frozen=True, slots=True)
class Action:
    """One decision; its class says which.

    Attributes:
        reason: why.
        product_id: the product, in the store that is written to.
        desired: the backup's record.
        existing: the image in the store.
        fields: what is sent.
        differences: fields that the store is known not to take: they are not sent.
        is_sibling: `desired` is no record of the input, but an image that is to stay as it was.
        name: the action's name in the report.
        sign: how the store differs from the backup where the action is due.
        status: its status in the report once it has been carried out.
        writes: carrying it out changes the store.
        sends_bytes: a picture is sent.
        loses_bytes: the store loses the picture that it has.
    """

    reason: str
    product_id: int
    desired: Record | None = None
    existing: Record | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    differences: Sequence[Difference] = ()
    is_sibling: bool = False

    name: ClassVar[str]
    sign: ClassVar[str]
    status: ClassVar[Status] = "done"
    writes: ClassVar[bool] = True
    sends_bytes: ClassVar[bool] = False
    loses_bytes: ClassVar[bool] = False

    @property
    def key(self) -> SourceKey:
        """Return what the action is about: the source image, or one that only the store has."""
        return source_key(self.desired or self.existing or {"store_hash": "", "id": 0})

    @property
    def is_of_invalid_image(self) -> bool:
        """Whether it only says that an image of the store, of no known record, is not valid."""
        return self.desired is None and self.existing is not None and "problem" in self.existing

    def convert(self, to: type[_AnyAction], reason: str, fields: Mapping[str, Any] | None = None) -> _AnyAction:
        """Return an action of another class about the same image; `fields` are the same where none are passed."""
        fields = self.fields if fields is None else fields
        return to(reason, self.product_id, self.desired, self.existing, fields, self.differences, self.is_sibling)


class Create(Action):
    """The store lacks the image."""

    __slots__ = ()
    name, sign, sends_bytes = "create", "-", True


class Replace(Action):
    """The image in the store has another picture."""

    __slots__ = ()
    name, sign, sends_bytes, loses_bytes = "replace", "*", True, True


class Update(Action):
    """The image in the store has other values in some fields."""

    __slots__ = ()
    name, sign = "update", "*"


class Delete(Action):
    """The backup lacks the image."""

    __slots__ = ()
    name, sign, loses_bytes = "delete", "+", True


class Keep(Action):
    """Nothing is to be done, or the mode does not do it."""

    __slots__ = ()
    name, sign, status, writes = "keep", "=", "kept", False


class Reject(Action):
    """What would be due must not be done."""

    __slots__ = ()
    name, sign, status, writes = "reject", "!", "rejected", False


ACTIONS = (Create, Replace, Update, Delete, Keep, Reject)
