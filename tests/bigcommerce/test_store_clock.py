"""The store's clock: whole seconds, some of them late, and still one time that does not run back."""

from __future__ import annotations

from email.utils import formatdate

import pytest

from bc_images.bigcommerce import store_clock
from bc_images.bigcommerce.store_clock import StoreClock

NOON = 1_800_000_000


class Monotonic:
    """Stands in for the module time."""

    def __init__(self) -> None:
        self.seconds = 50.0

    def monotonic(self) -> float:
        return self.seconds

    def time(self) -> float:
        return 12.0


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch) -> Monotonic:
    local = Monotonic()
    monkeypatch.setattr(store_clock, "time", local)
    return local


def test_it_is_this_machines_time_until_a_response_tells_another(local: Monotonic) -> None:
    clock = StoreClock()
    clock.update("yesterday")
    assert clock.now() == local.time()
    clock.update(formatdate(NOON, usegmt=True))
    local.seconds += 3
    assert clock.now() == NOON + 3


@pytest.mark.parametrize("late", [0, 1, 59])
def test_a_date_that_arrives_late_does_not_turn_it_back(local: Monotonic, late: int) -> None:
    """Otherwise what was sent less than a second ago would lie in the future, and a wait would never end."""
    clock = StoreClock()
    clock.update(formatdate(NOON, usegmt=True))
    local.seconds += 0.9
    clock.update(formatdate(NOON - late, usegmt=True))
    assert clock.now() == NOON + 0.9


@pytest.mark.parametrize("step", [5, -3600])
def test_a_store_clock_that_was_set_is_followed(local: Monotonic, step: int) -> None:
    clock = StoreClock()
    clock.update(formatdate(NOON, usegmt=True))
    local.seconds += 1
    clock.update(formatdate(NOON + step, usegmt=True))
    assert clock.now() == NOON + step
