"""Everything about the sandbox that can be set: what is disputed about the real store, and sizes and delays.

A switch is settable at start, from a test, from the command line and by an admin route. ``docs/sandbox.md``
lists them all; a test compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

SwitchValue: TypeAlias = str | int


class BadSwitch(ValueError):
    """A switch name or value that does not exist; the text names what would be accepted."""


@dataclass(frozen=True, slots=True)
class Switch:
    """One setting: its default, and the accepted values (``choices``) or the accepted range of an integer."""

    default: SwitchValue
    choices: tuple[str, ...] = ()
    minimum: int = 0

    def parse(self, name: str, value: object) -> SwitchValue:
        """Return the value in its own type, or raise `BadSwitch`."""
        if self.choices:
            text = {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value
            if text not in self.choices:
                raise BadSwitch(f"switch {name}: {value!r} is not one of {', '.join(self.choices)}")
            return str(text)
        if isinstance(value, str) and value.lstrip("-").isdecimal() and len(value) < 16:
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or value < self.minimum:
            raise BadSwitch(f"switch {name}: {value!r} is not an integer of {self.minimum} or more")
        return value


ON_OFF: Final = ("off", "on")

SWITCHES: Final[dict[str, Switch]] = {
    # what the real store does is disputed or unknown
    "sort_order_shift": Switch("none", ("none", "shift")),
    "shift_bumps_date": Switch("off", ON_OFF),
    "v2_available": Switch("on", ("on", "off", "gone")),
    "v2_404_shape": Switch("array", ("array", "object")),
    "v2_multipart": Switch("off", ON_OFF),
    "v2_negative_sort_order": Switch("accept", ("accept", "refuse", "zero")),
    "v2_extra_fields": Switch("off", ON_OFF),
    "v3_empty_list": Switch("200", ("200", "204")),
    "v3_multipart_put": Switch("on", ON_OFF),
    "limit_over_max": Switch("413", ("413", "clamp")),
    "embedded_images_max": Switch(250, minimum=1),
    "image_write_bumps_product_date": Switch("off", ON_OFF),
    "thumbnail_after_delete": Switch("first", ("first", "none")),
    "single_image_false_thumbnail": Switch("forced", ("forced", "sticks")),
    "lingering_originals": Switch("off", ON_OFF),
    "lingering_renditions": Switch("off", ON_OFF),
    "recompress_uploads": Switch("off", ON_OFF),
    "cdn": Switch("off", ("off", "altered", "altered_later")),
    "cdn_marks": Switch("on", ON_OFF),
    "dav_originals": Switch("on", ON_OFF),
    "description_max": Switch(0),
    "description_rewrite": Switch("off", ("off", "trim", "escape", "cut", "strip")),
    "field_errors": Switch("named", ("named", "nested", "unnamed")),
    # limits that are known, lowered to make them cheap to reach
    "max_images": Switch(1000, minimum=1),
    "max_file_bytes": Switch(8 * 1024 * 1024, minimum=1),
    # quota and time
    "quota": Switch(1_000_000, minimum=1),
    "window_ms": Switch(30_000, minimum=1),
    "latency_ms": Switch(0),
    "slow_ms": Switch(1000),
    "late_ms": Switch(35_000),
    "fault_reset_ms": Switch(100),
    "fault_retry_after": Switch(1),
    "fetch_timeout_ms": Switch(10_000, minimum=1),
    # the seeded stock; read when the store is seeded, at start or by a reset
    "picture_bytes": Switch(0),
    "seed_without_images": Switch(0),
}

SMALLEST_PADDED_PICTURE: Final = 4096


class Switches:
    """The present values of all switches, each as an attribute; bad names and values raise `BadSwitch`."""

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
        for name, switch in SWITCHES.items():
            setattr(self, name, switch.default)
        self.set(values or {})

    def set(self, values: Mapping[str, object]) -> None:
        """Set several switches, or none of them when one is wrong."""
        parsed: dict[str, SwitchValue] = {}
        for name, value in values.items():
            if name not in SWITCHES:
                raise BadSwitch(f"there is no switch {name!r}; there are: {', '.join(SWITCHES)}")
            parsed[name] = SWITCHES[name].parse(name, value)
        padded = parsed.get("picture_bytes", 0)
        if isinstance(padded, int) and 0 < padded < SMALLEST_PADDED_PICTURE:
            raise BadSwitch(f"switch picture_bytes: a picture needs {SMALLEST_PADDED_PICTURE} bytes or more, or 0")
        for name, final in parsed.items():
            setattr(self, name, final)

    def as_dict(self) -> dict[str, SwitchValue]:
        """All switches with their present values, in the documented order."""
        return {name: getattr(self, name) for name in SWITCHES}
