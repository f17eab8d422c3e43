"""The tree of errors: what its docstring draws is what there is."""

from __future__ import annotations

import re

import pytest

from bc_images import errors

CLASSES = [getattr(errors, name) for name in errors.__all__]


def _drawn() -> dict[str, tuple[str, int | None]]:
    """Return the parent and the exit code that the drawing gives each class."""
    found: dict[str, tuple[str, int | None]] = {}
    parents: dict[int, str] = {}
    assert errors.__doc__
    for line in errors.__doc__.splitlines():
        if match := re.match(r"([ │]*[├└]── )?(\w+)(?: +exit (\d))?", line[4:]):
            branch, name, code = match.groups()
            if name not in errors.__all__:
                continue
            depth = len(branch or "") // 4
            parents[depth] = name
            found[name] = (parents[depth - 1] if depth else "Exception", int(code) if code else None)
    return found


def test_the_drawing_is_complete_and_true() -> None:
    drawn = _drawn()
    assert {name: parent for name, (parent, _) in drawn.items()} == {
        cls.__name__: cls.__bases__[0].__name__ for cls in CLASSES
    }
    for name, (_, code) in drawn.items():
        if code is not None:
            assert getattr(errors, name).exit_code == code


def test_exported_names_are_sorted_and_complete() -> None:
    defined = {
        name for name, value in vars(errors).items() if isinstance(value, type) and value.__module__ == errors.__name__
    }
    assert sorted(errors.__all__) == errors.__all__
    assert set(errors.__all__) == defined


@pytest.mark.parametrize("cls", CLASSES)
def test_exit_codes_are_those_documented(cls: type[errors.BcImagesError]) -> None:
    assert cls.exit_code in {1, 2, 3}
    assert (cls.exit_code == 2) == (cls is errors.SettingsError)
    if issubclass(cls, errors.FatalError):
        assert cls.exit_code == 3


def test_a_rejection_keeps_its_status() -> None:
    assert errors.NotFound("gone", 404).status == 404
    assert errors.RequestRejected("too large").status is None
    assert str(errors.NotFound("gone", 404)) == "gone"
