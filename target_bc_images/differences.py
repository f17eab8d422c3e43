"""Values that the store refuses or changes. Pure.

Neither costs the picture. A refused value is left out, or replaced by the nearest one that the store takes; a value
that the store has answered with a success and shows otherwise is sent once more, and then left as it is shown. Both
are named in the report, and the ledger keeps them, so that the next run does not write them again.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from bc_images.bigcommerce.mapping import Record, sent_value
from bc_images.errors import NotFound, RequestRejected

__all__ = ["OMITTED", "Difference", "KeptValue", "Refusal", "apply_known", "replacements"]

OMITTED: Final = object()
"""In place of a value: the field is not sent."""

_ABOUT_FIELDS = {400, 422}
_PICTURE = {"image_file", "image_url"}


class Difference(NamedTuple):
    """A field of an image that the store shows with another value than the backup has."""

    field: str
    sent: Any
    kept: Any
    error: str | None = None  # the refusal; None where the store has answered with a success

    def as_json(self) -> dict[str, Any]:
        """Return it as it stands in the report."""
        return self._asdict()


class KeptValue(NamedTuple):
    """What the store showed of a field after `sent` had been written, or refused with `error`."""

    sent: Any
    kept: Any
    error: str | None = None


class Refusal(NamedTuple):
    """A value that the store has refused in this run, and what is sent in its place, maybe `OMITTED`."""

    sent: Any
    replacement: Any
    error: str


def apply_known(
    fields: Mapping[str, Any],
    image: Record | None,
    refusals: Mapping[str, Refusal] = MappingProxyType({}),
    kept_values: Mapping[str, KeptValue] = MappingProxyType({}),
) -> tuple[dict[str, Any], tuple[Difference, ...]]:
    """Take out of the fields to write what the store is known not to take.

    Args:
        fields: what is to be written.
        image: the live image, or None where it is to be created.
        refusals: by field, what the store has refused of this image in this run.
        kept_values: by field, what it has kept instead, in this run or an earlier one.

    Returns:
        The fields to write, and the differences that stay.
    """
    written: dict[str, Any] = {}
    differences = []
    for name, value in fields.items():
        shown = OMITTED if image is None else sent_value(name, image[name])
        refusal, kept_value = refusals.get(name), kept_values.get(name)
        if refusal is not None and refusal.sent == value:
            if refusal.replacement not in (OMITTED, shown):
                written[name] = refusal.replacement
            elif image is not None:
                differences.append(Difference(name, value, shown, refusal.error))
        elif kept_value is not None and (kept_value.sent, kept_value.kept) == (value, shown):
            differences.append(Difference(name, value, shown, kept_value.error))
        else:
            written[name] = value
    return written, tuple(differences)


def replacements(fields: Mapping[str, Any], error: RequestRejected, *, is_new: bool) -> dict[str, Any] | None:
    """Return what to send in place of the values that the store has refused; None where it was not about them.

    An empty dict: it was about the fields, as far as one can tell, and does not name any.

    Args:
        fields: what was sent.
        error: the refusal.
        is_new: the image is to be created: it has no text yet that a shortened one would overwrite.
    """
    if error.status not in _ABOUT_FIELDS or isinstance(error, NotFound) or not fields:
        return None
    if not _PICTURE.isdisjoint(error.fields):
        return None
    named = [name for name in fields if name in error.fields]
    if not named and len(fields) == 1 and not error.fields:
        named = list(fields)
    if not named and error.fields:  # of another image's, or one that was not sent
        return None
    return {name: _nearest(name, fields[name], error.max_length, is_new=is_new) for name in named}


def _nearest(name: str, value: Any, max_length: int | None, *, is_new: bool) -> Any:
    """Return the value next to a refused one that the store may take, or `OMITTED`."""
    if name == "sort_order" and value < 0:
        return 0
    if name == "description" and is_new and max_length and max_length < len(value):
        return value[:max_length]
    return OMITTED
