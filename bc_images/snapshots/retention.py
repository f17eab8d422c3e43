"""Which snapshots a policy keeps, by the rules of restic's ``forget``. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from bc_images.snapshots.manifest import Manifest

__all__ = ["PERIODS", "Decision", "Policy", "decide", "parse_duration"]

PERIODS: Mapping[str, Callable[[datetime], object]] = {
    "last": lambda time: time,
    "hourly": lambda time: (time.date(), time.hour),
    "daily": lambda time: time.date(),
    "weekly": lambda time: time.isocalendar()[:2],
    "monthly": lambda time: (time.year, time.month),
    "yearly": lambda time: time.year,
}
"""What two snapshots of the same hour, day and so on have in common; all times are UTC."""

_DURATION = re.compile(r"(?:(\d{1,3})y)?(?:(\d{1,4})m)?(?:(\d{1,5})d)?(?:(\d{1,6})h)?")
_DAYS = (366, 31)  # of a year and a month: rather a day too many are kept


@dataclass(frozen=True, slots=True)
class Policy:
    """What is kept.

    Attributes:
        counts: for each of `PERIODS`, of how many of them the newest snapshot is kept; 0: none, -1: all.
        within: every snapshot that is at most so much older than the newest one.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    within: timedelta | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is said, so that everything would be forgotten."""
        return not any(self.counts.values()) and self.within is None


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a snapshot: kept for `reasons`; forgotten where there are none."""

    manifest: Manifest
    reasons: tuple[str, ...]


def parse_duration(text: str) -> timedelta:
    """Read a duration such as ``30d`` or ``1y6m`` (years, months, days and hours, in this order).

    Raises:
        ValueError: it is none.
    """
    match = _DURATION.fullmatch(text)
    if match is None or not text:
        raise ValueError(f"{text!r} is not a duration such as 30d, 12h or 1y6m.")
    years, months, days, hours = (int(number or 0) for number in match.groups())
    return timedelta(days=years * _DAYS[0] + months * _DAYS[1] + days, hours=hours)


def decide(policy: Policy, manifests: Sequence[Manifest]) -> list[Decision]:
    """Return a decision for every snapshot of one history, the oldest first.

    Beside what the policy says, these are kept: the newest complete snapshot; the newest that a drill has proved as a
    whole; every one whose time is not known. An incomplete snapshot counts for no period: it is kept where `within`
    says so, and as long as there is no complete one after it.
    """
    timed = [(_time(manifest), manifest) for manifest in manifests]
    newest_first = sorted(((time, m) for time, m in timed if time is not None), key=lambda pair: pair[0], reverse=True)
    complete = [(time, manifest) for time, manifest in newest_first if manifest.is_complete]
    reasons: dict[str, list[str]] = {manifest.file: [] for manifest in manifests}
    for manifest in (manifest for time, manifest in timed if time is None):
        reasons[manifest.file].append("its time is not known")
    for time, manifest in newest_first:
        if policy.within is not None and newest_first[0][0] - time <= policy.within:
            reasons[manifest.file].append("within")
        if not manifest.is_complete and (not complete or complete[0][0] < time):
            reasons[manifest.file].append("no complete one after it")
    for name, key_of in PERIODS.items():
        left, last = policy.counts.get(name, 0), None
        for position, (time, manifest) in enumerate(complete):
            # The oldest fills a period that is not full, so that the history is as long as it can be.
            if left and (key_of(time) != last or position == len(complete) - 1):
                reasons[manifest.file].append(name)
                last = key_of(time)
                left -= left > 0
    if complete:
        reasons[complete[0][1].file].append("newest complete")
    proved = next((manifest for _, manifest in complete if _is_proved(manifest)), None)
    if proved is not None:
        reasons[proved.file].append("last proved")
    return [Decision(manifest, tuple(reasons[manifest.file])) for manifest in manifests]


def _time(manifest: Manifest) -> datetime | None:
    try:
        return datetime.fromisoformat(manifest.time).astimezone(UTC) if manifest.time else None
    except ValueError:
        return None


def _is_proved(manifest: Manifest) -> bool:
    drill = manifest.last_drill
    return drill is not None and drill.get("proved") is True and drill.get("is_sample") is not True
