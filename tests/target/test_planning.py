"""The plan as a table of cases: what is wanted, what is live, what is known, what is decided."""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from bc_images import schema
from bc_images.bigcommerce.mapping import Record, diff
from target_bc_images import planning
from target_bc_images.changes import Mode
from target_bc_images.context import LedgerEntry, PlanContext
from target_bc_images.matching import needs_digest
from target_bc_images.planning import MAX_IMAGES, NO_FILE, ProductPlan, plan
from tests.support.records import STORE, record

A, B = "a" * 64, "b" * 64


def decided(
    desired: list[Record], existing: list[Record], **context: Any
) -> list[tuple[str, int | None, int | None, Record]]:
    """Plan product 1 and return (action, wanted id, live id, fields) of every action."""
    planned = plan(1, desired, existing, PlanContext(STORE, **context))
    return [
        (a.name, a.desired["id"] if a.desired else None, a.existing["id"] if a.existing else None, dict(a.fields))
        for a in planned.actions
    ]


def planned_before(existing: list[Record], desired: list[Record] | None = None) -> ProductPlan:
    """Return the plan of a run that begins with these images, of which it is to leave all as they are."""
    return plan(1, desired or [], existing, PlanContext(STORE))


def test_an_equal_image_is_kept() -> None:
    assert decided([record(1)], [record(1)]) == [("keep", 1, 1, {})]


def test_null_and_empty_description_are_equal() -> None:
    assert decided([record(1, description=None)], [record(1, description="")]) == [("keep", 1, 1, {})]


@pytest.mark.parametrize(
    ("fields", "sent"),
    [
        ({"description": "front"}, {"description": "front"}),
        ({"sort_order": -7}, {"sort_order": -7}),
        ({"is_thumbnail": True}, {"is_thumbnail": True}),
        ({"sort_order": 5, "description": "x"}, {"sort_order": 5, "description": "x"}),
    ],
)
def test_only_what_differs_is_sent(fields: Record, sent: Record) -> None:
    assert decided([record(1, **fields)], [record(1)]) == [("update", 1, 1, sent)]


def test_a_description_can_be_emptied() -> None:
    assert decided([record(1)], [record(1, description="x")]) == [("update", 1, 1, {"description": ""})]


def test_a_lost_image_is_created_with_all_writable_fields() -> None:
    assert decided([record(1, description="d")], []) == [
        ("create", 1, None, {"is_thumbnail": False, "sort_order": 1, "description": "d"})
    ]


@pytest.fixture
def one_more_writable(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A field that the schema marks writable, in addition to those of today."""
    changed = copy.deepcopy(schema.load("product_images"))
    changed["properties"]["zoom_url"]["x-writable"] = True
    monkeypatch.setattr(schema, "load", lambda _stream: changed)
    schema.writable_fields.cache_clear()
    yield "zoom_url"
    schema.writable_fields.cache_clear()


def test_what_the_schema_marks_writable_is_created_updated_and_compared(one_more_writable: str) -> None:
    new = {one_more_writable: "https://new.example"}
    assert diff({**record(1), **new}, record(1)) == new
    assert decided([{**record(1), **new}], [record(1)]) == [("update", 1, 1, new)]
    ((kind, _, _, fields),) = decided([{**record(1), **new}], [])
    assert (kind, fields) == ("create", {"is_thumbnail": False, "sort_order": 1, "description": ""} | new)


def test_ids_of_another_store_never_match() -> None:
    foreign = record(1, store_hash="other")
    assert decided([foreign], [record(1, "unlike")])[0][0] == "create"


def test_the_ledger_finds_what_a_restore_has_created() -> None:
    known = {(STORE, 1): LedgerEntry(9, record(1)["image_file"], "z/999/else__99999.jpg")}
    existing = record(9, image_file="z/999/else__99999.jpg", sort_order=1)
    assert decided([record(1)], [existing], entries=known) == [("keep", 1, 9, {})]


def test_the_ledger_does_not_vouch_for_another_file_of_the_source() -> None:
    known = {(STORE, 1): LedgerEntry(9, "a/001/older__11111.jpg", "z/999/else__99999.jpg")}
    existing = record(9, image_file="z/999/else__99999.jpg", sort_order=1)
    assert decided([record(1)], [existing], entries=known)[0][:3] == ("replace", 1, 9)


def test_a_name_finds_what_somebody_else_has_imported_again() -> None:
    again = record(7, "front", sort_order=1)
    again["image_file"] = "q/555/front__10001__22222.jpg"
    assert decided([record(1, "front")], [again]) == [("keep", 1, 7, {})]


def test_of_several_equal_names_the_one_with_fewest_differences_is_taken() -> None:
    existing = [record(5, "front", sort_order=9), record(6, "front", sort_order=1)]
    assert decided([record(1, "front")], existing)[0] == ("keep", 1, 6, {})


def test_a_live_image_is_claimed_once() -> None:
    desired = [record(1, "front"), record(2, "front")]
    assert [d[0] for d in decided(desired, [record(9, "front")])] == ["update", "create"]


@pytest.mark.parametrize("name", ["größe-maß", "日本", "x" * 240, "Main Image (1)", "a_b.c"])
def test_a_name_is_found_whatever_its_way_into_the_store_has_made_of_it(name: str) -> None:
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.")[:200] or "image"
    existing = record(9, sort_order=1, image_file=f"q/555/{plain}__12345__54321.jpg")
    assert decided([record(1, name)], [existing]) == [("keep", 1, 9, {})]


def test_of_many_equal_names_those_that_agree_go_together_first() -> None:
    """A restore that was cut short had created the second of three: it must not be taken for the first."""
    desired = [record(1, "front"), record(2, "front"), record(3, "front")]
    assert [d[:3] for d in decided(desired, [record(9, "front", sort_order=2)])] == [
        ("create", 1, None),
        ("keep", 2, 9),
        ("create", 3, None),
    ]


def test_known_unlike_content_does_not_match_by_name() -> None:
    desired = [record(1, "front", file_sha256=A)]
    existing = record(9, "front")
    assert decided(desired, [existing], digests={existing["image_file"]: B})[0][:2] == ("create", 1)


def test_known_equal_content_wins_over_order() -> None:
    existing = [record(8, "front", sort_order=1), record(9, "front", sort_order=1)]
    digests = {existing[0]["image_file"]: B, existing[1]["image_file"]: A}
    assert decided([record(1, "front", file_sha256=A)], existing, digests=digests)[0] == ("keep", 1, 9, {})


def test_a_file_sent_by_its_digest_is_found_by_it() -> None:
    existing = record(9, sort_order=1, image_file=f"q/555/{A}__12345.jpg")
    assert decided([record(1, "front", file_sha256=A)], [existing])[0] == ("keep", 1, 9, {})


def test_another_picture_under_the_same_id_is_replaced() -> None:
    existing = record(1, image_file="k/777/else__33333.jpg")
    assert decided([record(1, description="d")], [existing])[0] == ("replace", 1, 1, {"description": "d"})


def test_the_same_name_with_other_content_under_the_same_id_is_replaced() -> None:
    existing = record(1, image_file="k/777/picture-1__33333.jpg")
    assert decided([record(1, file_sha256=A)], [existing], digests={existing["image_file"]: B})[0][0] == "replace"
    assert decided([record(1, file_sha256=A)], [existing], digests={existing["image_file"]: A})[0][0] == "keep"


def test_a_rendition_that_stood_in_for_a_lost_original_replaces_nothing() -> None:
    existing = record(1, image_file="k/777/picture-1__33333.jpg")
    context = {"digests": {existing["image_file"]: B}}
    assert decided([record(1, file_sha256=A, file_source="zoom")], [existing], **context)[0][0] == "keep"
    assert decided([record(1, file_sha256=A, file_source="original")], [existing], **context)[0][0] == "replace"
    assert decided([record(2, "picture-1", file_sha256=A, file_source="zoom")], [existing], **context)[0][:3] == (
        "update",
        2,
        1,
    )


def test_the_old_thumbnail_needs_no_write() -> None:
    desired = [record(1), record(2, is_thumbnail=True)]
    existing = [record(1, is_thumbnail=True), record(2)]
    assert decided(desired, existing) == [("keep", 1, 1, {}), ("update", 2, 2, {"is_thumbnail": True})]


def test_a_product_gets_one_thumbnail_even_if_two_records_claim_it() -> None:
    desired = [record(1, is_thumbnail=True), record(2, is_thumbnail=True)]
    created = decided(desired, [])
    assert [fields["is_thumbnail"] for *_, fields in created] == [True, False]


def test_without_a_wanted_thumbnail_the_live_one_is_cleared() -> None:
    desired, existing = [record(1), record(2)], [record(1, is_thumbnail=True), record(2)]
    assert decided(desired, existing)[0] == ("update", 1, 1, {"is_thumbnail": False})


def test_the_only_image_of_a_product_is_its_thumbnail_whatever_is_sent() -> None:
    assert decided([record(1)], [record(1, is_thumbnail=True)]) == [("keep", 1, 1, {})]
    assert decided([record(1)], [record(1, is_thumbnail=True, description="x")])[0][3] == {"description": ""}


def test_create_only_changes_nothing() -> None:
    existing = [record(1, description="x")]
    assert [d[0] for d in decided([record(1), record(2)], existing, mode=Mode.CREATE_ONLY)] == ["keep", "create"]


def test_update_only_creates_nothing() -> None:
    existing = [record(1, description="x")]
    assert [d[0] for d in decided([record(1), record(2)], existing, mode=Mode.UPDATE_ONLY)] == ["update", "keep"]


def test_only_mirror_deletes() -> None:
    existing = [record(1), record(2)]
    assert decided([record(1)], existing) == [("keep", 1, 1, {})]
    assert decided([record(1)], existing, mode=Mode.MIRROR) == [("keep", 1, 1, {}), ("delete", None, 2, {})]


def test_the_limit_of_the_store_is_kept() -> None:
    desired = [record(number) for number in range(1, MAX_IMAGES + 3)]
    kinds = [d[0] for d in decided(desired, [record(5000)])]
    assert kinds.count("create") == MAX_IMAGES - 1
    assert kinds.count("reject") == 3


def test_planning_again_puts_moved_siblings_back() -> None:
    sibling = record(5, sort_order=3)
    first = plan(1, [record(1)], [sibling], PlanContext(STORE))
    assert [a.name for a in first.actions] == ["create"]
    created = record(9, sort_order=1, image_file="b/222/picture-1__20202.jpg")
    known = {(STORE, 1): LedgerEntry(9, record(1)["image_file"], created["image_file"])}
    moved = [created, record(5, sort_order=4)]
    again = plan(1, [record(1)], moved, PlanContext(STORE, entries=known), first)
    assert [(a.name, a.fields) for a in again.actions if a.writes] == [("update", {"sort_order": 3})]


def test_planning_again_finds_nothing_when_the_store_took_everything() -> None:
    known = {(STORE, 1): LedgerEntry(9, record(1)["image_file"], "b/222/picture-1__20202.jpg")}
    existing = [record(9, sort_order=1, image_file="b/222/picture-1__20202.jpg"), record(5)]
    again = plan(1, [record(1)], existing, PlanContext(STORE, entries=known), planned_before([record(5)], [record(1)]))
    assert not again.writes


def test_what_somebody_writes_into_a_sibling_meanwhile_is_not_ours_to_undo() -> None:
    moved = record(5, sort_order=6, description="new")
    first = planned_before([record(1), record(5)], [record(1)])
    again = plan(1, [record(1)], [record(1), moved], PlanContext(STORE), first)
    assert [(a.name, a.fields) for a in again.writes] == [("update", {"sort_order": 5})]


def test_a_sibling_that_lost_the_thumbnail_to_the_backup_does_not_get_it_back() -> None:
    before = planned_before([record(1), record(5, is_thumbnail=True)], [record(1)])
    existing = [record(1, is_thumbnail=True), record(5)]
    assert not plan(1, [record(1, is_thumbnail=True)], existing, PlanContext(STORE), before).writes
    desired, existing = [record(1)], [record(1, is_thumbnail=True), record(5)]
    again = plan(1, desired, existing, PlanContext(STORE), before)
    assert [(a.key[1], a.fields) for a in again.writes] == [
        (1, {"is_thumbnail": False}),
        (5, {"is_thumbnail": True}),
    ]


def test_a_deleted_sibling_is_not_ours_to_bring_back() -> None:
    first = planned_before([record(1), record(5)], [record(1)])
    assert not plan(1, [record(1)], [record(1)], PlanContext(STORE), first).writes


def test_siblings_are_known_as_they_were_before_a_run_that_was_cut_short() -> None:
    context = PlanContext(STORE, previous_fields={5: {"sort_order": 5, "is_thumbnail": False}})
    first = plan(1, [record(1)], [record(1), record(5, sort_order=7)], context)
    assert [(a.key[1], a.fields) for a in first.writes] == [(5, {"sort_order": 5})]


def test_create_only_puts_back_even_what_the_backup_knows() -> None:
    first = plan(1, [record(1), record(2)], [record(2)], PlanContext(STORE, mode=Mode.CREATE_ONLY))
    known = {(STORE, 1): LedgerEntry(9, record(1)["image_file"], "b/222/picture-1__20202.jpg")}
    existing = [record(2, sort_order=3), record(9, sort_order=1, image_file="b/222/picture-1__20202.jpg")]
    context = PlanContext(STORE, mode=Mode.CREATE_ONLY, entries=known)
    again = plan(1, first.desired, existing, context, first)
    assert [(a.key[1], a.fields) for a in again.writes] == [(2, {"sort_order": 2})]


def test_create_only_takes_the_thumbnail_from_nobody() -> None:
    desired, existing = [record(1, is_thumbnail=True)], [record(2, is_thumbnail=True)]
    (create,) = plan(1, desired, existing, PlanContext(STORE, Mode.CREATE_ONLY)).writes
    assert create.fields["is_thumbnail"] is False
    (create,) = plan(1, desired, [record(2)], PlanContext(STORE, Mode.CREATE_ONLY)).writes
    assert create.fields["is_thumbnail"] is True


def test_of_equal_names_those_that_were_created_first_are_found_first() -> None:
    """Whatever the order of the input: they are created by their places in the gallery."""
    desired = [record(2, "front", sort_order=7), record(1, "front", sort_order=7)]
    existing = [record(8, "front", sort_order=7), record(9, "front", sort_order=7)]
    assert [d[:3] for d in decided(desired, existing)] == [("keep", 2, 9), ("keep", 1, 8)]


class TestInputThatLacksNeighbours:
    """A retry, or hand-picked records: images without a record in the input may be others than they seem."""

    def test_an_older_image_is_no_copy(self) -> None:
        existing = [record(1, "front")]
        assert decided([record(2, "front")], existing, input_is_partial=True)[0][:2] == ("create", 2)
        assert decided([record(2, "front")], existing)[0][:3] == ("update", 2, 1)

    def test_a_newer_one_may_be(self) -> None:
        assert decided([record(2, "front", sort_order=3)], [record(3, "front")], input_is_partial=True) == [
            ("keep", 2, 3, {})
        ]

    def test_ids_of_two_stores_cannot_be_compared(self) -> None:
        desired = [record(8, "front", store_hash="other", sort_order=2)]
        assert decided(desired, [record(2, "front")], input_is_partial=True) == [("keep", 8, 2, {})]


class TestImagesOfOtherSources:
    """What the ledger has as another source's is taken by an equal picture alone, of an input that speaks for all."""

    desired = record(2, "front", store_hash="other", file_sha256=A, sort_order=9)
    existing = record(9, "front")

    def test_not_by_name_alone(self) -> None:
        assert decided([self.desired], [self.existing], owner_of={9: ("other", 1)})[0][0] == "create"
        assert decided([self.desired], [self.existing], owner_of={9: ("other", 2)})[0][0] == "keep"

    def test_by_an_equal_picture(self) -> None:
        context = {"owner_of": {9: ("other", 1)}, "digests": {self.existing["image_file"]: A}}
        assert decided([self.desired], [self.existing], **context)[0][:3] == ("keep", 2, 9)
        assert decided([self.desired], [self.existing], **context, input_is_partial=True)[0][0] == "create"


class TestUnreadable:
    """The present picture cannot be read, and only its bytes could tell whether it is the wanted one."""

    existing = record(1, image_file="k/777/picture-1__33333.jpg")
    context: ClassVar = {"unreadable": {existing["image_file"]}}

    def test_nobody_says_that_it_is_the_same(self) -> None:
        ((action, _, _, fields),) = decided(
            [record(1, file_sha256=A, description="x")], [self.existing], **self.context
        )
        assert (action, fields) == ("reject", {})

    def test_another_name_is_another_picture(self) -> None:
        assert decided([record(1, "else", file_sha256=A)], [self.existing], **self.context)[0][0] == "replace"

    def test_path_and_ledger_need_no_look(self) -> None:
        desired = record(1, file_sha256=A)
        known = {(STORE, 1): LedgerEntry(1, desired["image_file"], self.existing["image_file"])}
        assert decided([desired], [self.existing], **self.context, entries=known) == [("keep", 1, 1, {})]

    def test_a_rendition_could_not_be_compared_anyway(self) -> None:
        assert decided([record(1, file_sha256=A, file_source="zoom")], [self.existing], **self.context)[0][0] == "keep"


class TestMeanwhile:
    """What has come in since the first plan is left alone when planning again."""

    def test_it_is_not_deleted(self) -> None:
        context = PlanContext(STORE, Mode.MIRROR)
        first = plan(1, [record(1)], [record(1), record(2)], context)
        again = plan(1, [record(1)], [record(1), record(2), record(3)], context, first)
        assert [(a.name, a.key[1]) for a in again.writes] == [("delete", 2)]

    def test_it_is_not_taken_for_what_was_lost(self) -> None:
        first = plan(1, [record(1, "front")], [], PlanContext(STORE))
        again = plan(1, [record(1, "front")], [record(2, "front")], PlanContext(STORE), first)
        assert [(a.name, a.existing) for a in again.writes] == [("create", None)]

    def test_it_counts_for_the_limit(self) -> None:
        first = plan(1, [record(1)], [], PlanContext(STORE))
        existing = [record(number) for number in range(2, MAX_IMAGES + 2)]
        assert [a.name for a in plan(1, [record(1)], existing, PlanContext(STORE), first).actions] == ["reject"]

    def test_deletes_can_be_left_for_later(self) -> None:
        context = PlanContext(STORE, Mode.MIRROR, deletes=False)
        assert not plan(1, [record(1)], [record(1), record(2)], context).writes


class TestRefusals:
    """What must not be written is a rejection with its reason, now and whenever planning is done again."""

    def test_what_cannot_be_sent(self) -> None:
        context = PlanContext(STORE, rejections={(STORE, 1): "no bytes"})
        actions = plan(1, [record(1), record(2)], [], context).actions
        assert [(a.name, a.reason) for a in actions] == [
            ("reject", "no bytes"),
            ("create", f"not in the store, and {NO_FILE}"),
        ]

    @pytest.mark.parametrize("mode", [Mode.UPSERT, Mode.MIRROR])
    def test_a_picture_without_a_copy_is_not_lost(self, mode: Mode) -> None:
        existing = [record(1, image_file="k/777/else__33333.jpg"), record(2)]
        desired = [record(1)]
        free = [a.name for a in plan(1, desired, existing, PlanContext(STORE, mode)).actions]
        assert free == ["replace", "delete"][: 1 + (mode is Mode.MIRROR)]
        nothing = plan(1, desired, existing, PlanContext(STORE, mode, backed_up=frozenset())).actions
        assert {a.name for a in nothing} == {"reject"}
        assert all("would lose the present picture" in a.reason for a in nothing)
        backed_up = plan(1, desired, existing, PlanContext(STORE, mode, backed_up={existing[0]["image_file"]})).actions
        assert [a.name for a in backed_up] == ["replace", "reject"][: 1 + (mode is Mode.MIRROR)]

    def test_an_update_loses_nothing(self) -> None:
        context = PlanContext(STORE, backed_up=frozenset())
        assert plan(1, [record(1)], [record(1, description="x")], context).actions[0].name == "update"

    def test_a_refused_create_takes_no_place(self) -> None:
        desired = [record(number) for number in range(1, MAX_IMAGES + 2)]
        actions = plan(1, desired, [], PlanContext(STORE, rejections={(STORE, 1): "no"})).actions
        assert [a.name for a in actions].count("create") == MAX_IMAGES


class TestInDoubt:
    """Which live pictures are worth a download before planning."""

    def test_none_where_path_or_ledger_decide(self) -> None:
        known = {(STORE, 2): LedgerEntry(9, record(2)["image_file"], record(9)["image_file"])}
        desired = [record(1, file_sha256=A), record(2, file_sha256=A)]
        assert needs_digest(desired, [record(1), record(9)], PlanContext(STORE, entries=known)) == []

    def test_a_new_path_under_an_old_id(self) -> None:
        existing = record(1, image_file="k/777/picture-1__33333.jpg")
        assert needs_digest([record(1, file_sha256=A)], [existing], PlanContext(STORE)) == [existing]

    def test_all_candidates_by_name(self) -> None:
        existing = [record(8, "front"), record(9, "front"), record(10, "back")]
        desired = [record(1, "front", file_sha256=A)]
        assert {image["id"] for image in needs_digest(desired, existing, PlanContext(STORE))} == {8, 9}

    def test_none_without_a_wanted_digest(self) -> None:
        assert needs_digest([record(1, "front")], [record(9, "front")], PlanContext(STORE)) == []

    def test_none_that_is_known(self) -> None:
        existing = record(9, "front")
        context = PlanContext(STORE, digests={existing["image_file"]: A})
        assert needs_digest([record(1, "front", file_sha256=A)], [existing], context) == []


def test_the_short_way_for_what_is_as_it_should_be_plans_as_the_long_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every combination of two records with live images that are the same, differ, lack one or have one more."""
    variants: list[Record] = [{}, {"is_thumbnail": True}, {"description": ""}, {"image_file": "other/1.jpg"}]
    lists = [
        [record(n, **fields) for n, fields in enumerate(chosen, 1)]
        for count in range(3)
        for chosen in itertools.product(variants, repeat=count)
    ]
    cases = [
        (desired, existing, PlanContext(STORE, mode, deletes=deletes))
        for desired, existing, mode, deletes in itertools.product(lists, lists, Mode, (True, False))
    ]
    short = [plan(1, *case) for case in cases]
    assert {len(planned.desired) for planned in short if not planned.writes} == {0, 1, 2}
    monkeypatch.setattr(planning, "_all_kept", lambda *_: None)
    assert short == [plan(1, *case) for case in cases]
