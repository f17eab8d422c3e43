"""Everything about the sandbox that can be set: what is disputed about the real store, and sizes and delays.

A flag is settable at start, from a test, from the command line and by an admin route. ``docs/sandbox.md``
lists them all; a test compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

FlagValue: TypeAlias = str | int


class BadFlag(ValueError):
    """A flag name or value that does not exist; the text names what would be accepted."""


@dataclass(frozen=True, slots=True)
class Flag:
    """One setting: its default, and the accepted values (``choices``) or the accepted range of an integer."""

    default: FlagValue
    choices: tuple[str, ...] = ()
    minimum: int = 0

    def parse(self, name: str, value: object) -> FlagValue:
        """Return the value in its own type, or raise `BadFlag`."""
        if self.choices:
            text = {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value
            if text not in self.choices:
                raise BadFlag(f"flag {name}: {value!r} is not one of {', '.join(self.choices)}")
            return str(text)
        if isinstance(value, str) and value.lstrip("-").isdecimal() and len(value) < 16:
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or value < self.minimum:
            raise BadFlag(f"flag {name}: {value!r} is not an integer of {self.minimum} or more")
        return value


ON_OFF: Final = ("off", "on")

FLAGS: Final[dict[str, Flag]] = {
    # what the real store does is disputed or unknown
    "sort_order_shift": Flag("none", ("none", "shift")),
    "shift_bumps_date": Flag("off", ON_OFF),
    "v2_available": Flag("on", ("on", "off", "gone")),
    "v2_404_shape": Flag("array", ("array", "object")),
    "v2_multipart": Flag("off", ON_OFF),
    "v2_negative_sort_order": Flag("accept", ("accept", "refuse", "zero")),
    "v2_extra_fields": Flag("off", ON_OFF),
    "v3_empty_list": Flag("200", ("200", "204")),
    "v3_multipart_put": Flag("on", ON_OFF),
    "limit_over_max": Flag("413", ("413", "clamp")),
    "embedded_images_max": Flag(250, minimum=1),
    "image_write_bumps_product_date": Flag("off", ON_OFF),
    "thumbnail_after_delete": Flag("first", ("first", "none")),
    "single_image_false_thumbnail": Flag("forced", ("forced", "sticks")),
    "lingering_originals": Flag("off", ON_OFF),
    "lingering_renditions": Flag("off", ON_OFF),
    "recompress_uploads": Flag("off", ON_OFF),
    "cdn": Flag("off", ("off", "altered", "altered_later")),
    "cdn_marks": Flag("on", ON_OFF),
    "dav_originals": Flag("on", ON_OFF),
    "description_max": Flag(0),
    "description_rewrite": Flag("off", ("off", "trim", "escape", "cut", "strip")),
    "field_errors": Flag("named", ("named", "nested", "unnamed")),
    # limits that are known, lowered to make them cheap to reach
    "max_images": Flag(1000, minimum=1),
    "max_file_bytes": Flag(8 * 1024 * 1024, minimum=1),
    # quota and time
    "quota": Flag(1_000_000, minimum=1),
    "window_ms": Flag(30_000, minimum=1),
    "latency_ms": Flag(0),
    "slow_ms": Flag(1000),
    "late_ms": Flag(35_000),
    "fault_reset_ms": Flag(100),
    "fault_retry_after": Flag(1),
    "fetch_timeout_ms": Flag(10_000, minimum=1),
    # the seeded stock; read when the store is seeded, at start or by a reset
    "picture_bytes": Flag(0),
    "seed_without_images": Flag(0),
}

SMALLEST_PADDED_PICTURE: Final = 4096


class Flags:
    """The present values of all flags, each as an attribute; bad names and values raise `BadFlag`."""

    sort_order_shift: str
    shift_bumps_date: str
    v2_available: str
    v2_404_shape: str
    v2_multipart: str
    v2_negative_sort_order: str
    v2_extra_fields: str
    v3_empty_list: str
    v3_multipart_put: str
    limit_over_max: str
    embedded_images_max: int
    image_write_bumps_product_date: str
    thumbnail_after_delete: str
    single_image_false_thumbnail: str
    lingering_originals: str
    lingering_renditions: str
    recompress_uploads: str
    cdn: str
    cdn_marks: str
    dav_originals: str
    description_max: int
    description_rewrite: str
    field_errors: str
    max_images: int
    max_file_bytes: int
    quota: int
    window_ms: int
    latency_ms: int
    slow_ms: int
    late_ms: int
    fault_reset_ms: int
    fault_retry_after: int
    fetch_timeout_ms: int
    picture_bytes: int
    seed_without_images: int

    def __init__(self, values: Mapping[str, object] | None = None) -> None:
        for name, flag in FLAGS.items():
            setattr(self, name, flag.default)
        self.set(values or {})

    def set(self, values: Mapping[str, object]) -> None:
        """Set several flags, or none of them when one is wrong."""
        parsed: dict[str, FlagValue] = {}
        for name, value in values.items():
            if name not in FLAGS:
                raise BadFlag(f"there is no flag {name!r}; there are: {', '.join(FLAGS)}")
            parsed[name] = FLAGS[name].parse(name, value)
        padded = parsed.get("picture_bytes", 0)
        if isinstance(padded, int) and 0 < padded < SMALLEST_PADDED_PICTURE:
            raise BadFlag(f"flag picture_bytes: a picture needs {SMALLEST_PADDED_PICTURE} bytes or more, or 0")
        for name, final in parsed.items():
            setattr(self, name, final)

    def as_dict(self) -> dict[str, FlagValue]:
        """All flags with their present values, in the documented order."""
        return {name: getattr(self, name) for name in FLAGS}
