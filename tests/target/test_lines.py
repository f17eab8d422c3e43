"""One image as one line: sign, SKU, file, ``field: old -> new``; and what was not done, kind by kind."""

from __future__ import annotations

import pytest

from bc_images.redaction import keep_secret
from bc_images.text import printable, shortened
from target_bc_images.changes import Action, Create, Delete, Keep, Reject, Replace, Update
from target_bc_images.differences import Difference
from target_bc_images.lines import Problems, change_line, difference_text
from tests.support.records import record
from tests.support.target import RestoreScenario, picture

WANTED = record(11, "front", description="Front", sort_order=0)
LIVE = record(11, "front", description="old", sort_order=7)
UPDATE = Update("differs", 1, WANTED, LIVE, {"sort_order": 0, "description": "Front"})
FILE = "a/001/front__10011.jpg"


@pytest.mark.parametrize(
    ("action", "line"),
    [
        (Create("not in the store", 1, WANTED), f"- SKU-1  {FILE}  create"),
        (Delete("not in the backup", 1, None, LIVE), f"+ SKU-1  {FILE}  delete"),
        (Keep("nothing differs", 1, WANTED, LIVE), f"= SKU-1  {FILE}"),
        (UPDATE, f"* SKU-1  {FILE}  sort_order: 7 -> 0, description: 'old' -> 'Front'"),
        (
            Replace("the picture is another one", 1, WANTED, LIVE, {"is_thumbnail": True}),
            f"* SKU-1  {FILE}  the picture is another one, is_thumbnail: false -> true",
        ),
        (Reject("there is no\nproduct 1", 1, WANTED), f"! SKU-1  {FILE}  there is no product 1"),
        (
            Keep("", 1, WANTED, LIVE, {}, (Difference("description", " a", "a"),)),
            f"= SKU-1  {FILE}  description: sent ' a', the store shows 'a'",
        ),
    ],
)
def test_change_line(action: Action, line: str) -> None:
    assert change_line(action, verb=True) == f"{line}  (product 1, image 11)"


def test_without_an_image_or_a_sku() -> None:
    assert change_line(Reject("it is not there", 7)) == "! product 7: it is not there"
    assert change_line(Create("", 1, {**WANTED, "product_sku": None})).startswith("- product 1  a/001/")


@pytest.mark.parametrize("width", [80, 60, 40])
def test_a_line_fits_a_terminal(width: int) -> None:
    long = "A long text that somebody has written over what was there before. " * 3
    wanted = {**WANTED, "product_sku": "SKU-" + "9" * 40, "description": long, "image_file": f"a/1/{'x' * 90}.jpg"}
    fields = {"sort_order": 0, "is_thumbnail": True, "description": long}
    assert len(change_line(Update("", 1, wanted, LIVE, fields), width=width)) <= width
    assert len(change_line(Reject(long, 1), width=width)) <= width
    line = change_line(UPDATE, width=80)
    assert line == "* SKU-1  front__10011.jpg  sort_order: 7 -> 0, description: 'old' -> 'Front'"


def test_nothing_steers_a_terminal() -> None:
    hostile = "a\x1b[31m\r\n\u202eb\ud800"
    keep_secret("hush-hush-token")
    wanted = {
        **WANTED,
        "product_sku": hostile,
        "image_file": f"{hostile}.jpg",
        "description": f"{hostile}hush-hush-token",
    }
    line = change_line(Update("", 1, wanted, LIVE, {"description": wanted["description"]}))
    assert line.isprintable()
    assert "hush" not in line
    assert r"a\x1b[31m\r\n\u202eb\ud800" in line
    assert difference_text(Difference("description", hostile, "\x07", "no")).isprintable()


@pytest.mark.parametrize(
    ("text", "printed"),
    [("Größe 日本", "Größe 日本"), ("a\tb", r"a\tb"), ("\x7f\x9b", r"\x7f\x9b"), ("\u2028", r"\u2028")],
)
def test_printable(text: str, printed: str) -> None:
    assert printable(text) == printed


def test_shortened() -> None:
    assert shortened("abcdef", 6) == "abcdef"
    assert shortened("abcdefgh", 6) == "ab…fgh"


class TestProblems:
    def test_kinds(self) -> None:
        problems = Problems()
        for product in range(100, 350):
            problems.add("rejected", product, None, f"there is no product {product} in the store")
        problems.add("failed", 1, 2, "HTTP 422: description: 'a' is too long")
        problems.add("failed", 1, 3, "HTTP 422: description: 'b' is too long")
        problems.add("failed", 1, 4, "https://a.example/b.jpg is gone")
        assert problems.lines() == [
            "rejected      product 100: there is no product 100 in the store (and 249 more like this)",
            "failed        product 1, image 2: HTTP 422: description: 'a' is too long (and 1 more like this)",
            "failed        product 1, image 4: https://a.example/b.jpg is gone",
        ]

    def test_no_more_than_ten(self) -> None:
        problems = Problems()
        for number in range(12):
            for _ in range(number + 1):
                problems.add("failed", 1, 2, "reason " + "x" * number)
        assert len(problems.lines()) == 11
        assert problems.lines()[-1] == "... and 23 more"


def test_a_plan_and_a_result_list_the_first_twenty(scenario_v3: RestoreScenario) -> None:
    scenario_v3.sandbox.reset(products=10, images=3)
    backup = scenario_v3.backup()
    for image in scenario_v3.records(files=False)[:22]:
        scenario_v3.sandbox.delete_image(image["id"])
    scenario_v3.sandbox.set_image(scenario_v3.images(110)[0]["id"], description="overwritten")
    lines = scenario_v3.restore(backup, dry_run=True, report=None).err.splitlines()
    assert lines[0] == "Changes (- missing from the store, * different, + extra in the store):"
    assert all(line.startswith("- SKU-") and "  create  (product 10" in line for line in lines[1:21])
    assert lines[21] == "and 3 more: set report"
    done = scenario_v3.restore(backup).err.splitlines()
    assert done[:21] == lines[:21]
    assert done[21] == f"and 3 more: see {scenario_v3.report}"


def test_a_mirror_lists_what_it_deletes(scenario_v3: RestoreScenario) -> None:
    backup = scenario_v3.backup()
    scenario_v3.sandbox.add_image(101, picture(1), "extra.png")
    run = scenario_v3.restore(backup, mode="mirror", max_deletes=1, dry_run=True)
    assert "+ SKU-000000  " in run.err
    assert "/extra__" in run.err
    assert ".png  delete  (product 101, image " in run.err
