"""Which snapshots a policy keeps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bc_images.snapshots.manifest import Manifest
from bc_images.snapshots.retention import PERIODS, Policy, decide, parse_duration

START = datetime(2025, 1, 1, 2, tzinfo=UTC)


def snapshot(time: datetime | None, *, is_complete: bool = True, **more: Any) -> Manifest:
    name = time.strftime("%Y%m%dT%H%M%SZ") if time else "copied-by-hand"
    return Manifest(
        file=f"{name}{'' if is_complete else '.incomplete'}.singer.gz",
        file_size=1,
        id="0" * 64,
        time=time.isoformat() if time else None,
        store_hashes=[],
        products=0,
        images=0,
        records=0,
        pictures=0,
        picture_bytes=0,
        is_complete=is_complete,
        **more,
    )


def nights(number: int) -> list[Manifest]:
    return [snapshot(START + timedelta(days=day)) for day in range(number)]


def kept(policy: Policy, manifests: list[Manifest]) -> list[str]:
    """The days that are kept, as ``MMDD``."""
    return [each.manifest.file[4:8] for each in decide(policy, manifests) if each.reasons]


def test_the_last_ones() -> None:
    assert kept(Policy({"last": 3}), nights(10)) == ["0108", "0109", "0110"]


def test_a_day_keeps_its_newest() -> None:
    hours = [snapshot(START + timedelta(hours=6 * number)) for number in range(12)]  # 4 a day, 3 days
    decisions = decide(Policy({"daily": 2}), hours)
    assert [each.manifest.file[4:11] for each in decisions if each.reasons] == ["0102T20", "0103T20"]


def test_weeks_months_and_years_are_those_of_the_calendar() -> None:
    year = nights(400)
    assert kept(Policy({"monthly": 3}), year) == ["1231", "0131", "0204"]
    assert kept(Policy({"yearly": 2}), year) == ["1231", "0204"]
    assert kept(Policy({"weekly": 3}), year) == ["0125", "0201", "0204"]


def test_the_oldest_fills_what_is_not_full() -> None:
    assert kept(Policy({"yearly": 5}), nights(400)) == ["0101", "1231", "0204"]


def test_unlimited_keeps_every_period() -> None:
    assert kept(Policy({"daily": -1}), nights(40)) == [m.file[4:8] for m in nights(40)]


def test_within_counts_from_the_newest() -> None:
    assert kept(Policy(within=timedelta(days=2)), nights(10)) == ["0108", "0109", "0110"]


def test_the_last_proved_and_the_newest_complete_stay() -> None:
    manifests = nights(10)
    manifests[2] = snapshot(START + timedelta(days=2), last_drill={"proved": True, "is_sample": False})
    manifests[4] = snapshot(START + timedelta(days=4), last_drill={"proved": True, "is_sample": True})
    manifests[5] = snapshot(START + timedelta(days=5), last_drill={"proved": False})
    assert kept(Policy({"last": 1}), manifests) == ["0103", "0110"]


def test_an_incomplete_one_stays_until_a_complete_one_follows() -> None:
    cut_short = snapshot(START + timedelta(days=5), is_complete=False)
    assert kept(Policy({"last": 1}), [*nights(3), cut_short]) == ["0103", "0106"]
    assert kept(Policy({"last": 1}), [*nights(3), cut_short, snapshot(START + timedelta(days=6))]) == ["0107"]
    assert kept(Policy({"last": 1}), [cut_short]) == ["0106"]


def test_what_has_no_time_stays() -> None:
    decisions = decide(Policy({"last": 1}), [snapshot(None), *nights(2)])
    assert [bool(each.reasons) for each in decisions] == [True, False, True]


@given(
    hours=st.lists(st.integers(0, 24 * 1000), unique=True, max_size=40),
    counts=st.dictionaries(st.sampled_from(list(PERIODS)), st.integers(-1, 6)),
    proved=st.sets(st.integers(0, 39)),
)
def test_what_always_holds(hours: list[int], counts: dict[str, int], proved: set[int]) -> None:
    """Nothing is lost that a rule names, and a policy that keeps more forgets no more."""
    drilled = {"proved": True, "is_sample": False}
    manifests = [
        snapshot(START + timedelta(hours=hour), last_drill=drilled if number in proved else None)
        for number, hour in enumerate(sorted(hours))
    ]
    decisions = decide(Policy(counts), manifests)
    assert [each.manifest for each in decisions] == manifests
    names = {each.manifest.file for each in decisions if each.reasons}
    if manifests:
        assert manifests[-1].file in names
        last_proved = [m.file for m in manifests if m.last_drill]
        assert not last_proved or last_proved[-1] in names
        for period, count in counts.items():
            distinct = {PERIODS[period](datetime.fromisoformat(m.time or "")) for m in manifests}
            in_kept = {PERIODS[period](datetime.fromisoformat(m.time or "")) for m in manifests if m.file in names}
            assert len(in_kept) >= (len(distinct) if count < 0 else min(count, len(distinct)))
    more = decide(Policy({**counts, "last": 5}), manifests)
    assert names <= {each.manifest.file for each in more if each.reasons} or counts.get("last", 0) not in range(6)


@pytest.mark.parametrize(
    ("text", "days"), [("30d", 30), ("1y", 366), ("2m3d", 65), ("48h", 2), ("1y6m", 366 + 186), ("0d", 0)]
)
def test_durations(text: str, days: int) -> None:
    assert parse_duration(text) == timedelta(days=days)


@pytest.mark.parametrize("text", ["", "30", "d", "3w", "-1d", "1d1y", "1.5d", " 1d"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(text)
