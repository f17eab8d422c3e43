"""What the actions of a plan say about themselves, and what the modes allow: stated once, used everywhere."""

from __future__ import annotations

import pytest

from target_bc_images.changes import ACTIONS, Action, Create, Keep, Mode, Reject, Replace
from tests.support.records import record


def test_the_table_of_actions() -> None:
    assert [(a.name, a.sign, a.status, a.writes, a.sends_bytes, a.loses_bytes) for a in ACTIONS] == [
        ("create", "-", "done", True, True, False),
        ("replace", "*", "done", True, True, True),
        ("update", "*", "done", True, False, False),
        ("delete", "+", "done", True, False, True),
        ("keep", "=", "kept", False, False, False),
        ("reject", "!", "rejected", False, False, False),
    ]


@pytest.mark.parametrize(
    ("mode", "creates", "updates", "deletes"),
    [
        (Mode.UPSERT, True, True, False),
        (Mode.CREATE_ONLY, True, False, False),
        (Mode.UPDATE_ONLY, False, True, False),
        (Mode.MIRROR, True, True, True),
    ],
)
def test_the_table_of_modes(mode: Mode, creates: bool, updates: bool, deletes: bool) -> None:
    assert (mode.creates, mode.updates, mode.deletes) == (creates, updates, deletes)


def test_actions_of_two_classes_are_never_equal() -> None:
    actions: list[Action] = [Create("", 1, record(1)), Create("", 1, record(1)), Keep("", 1, record(1))]
    assert actions[0] == actions[1]
    assert actions[0] != actions[2]


def test_converting_keeps_what_it_is_about() -> None:
    replace = Replace("other", 1, record(1), record(2), {"sort_order": 3}, is_sibling=True)
    reject = replace.convert(Reject, "no copy")
    assert reject == Reject("no copy", 1, record(1), record(2), {"sort_order": 3}, is_sibling=True)
    assert reject.key == replace.key
    assert not replace.convert(Reject, "no copy", {}).fields
