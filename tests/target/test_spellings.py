"""Records and streams as warehouses and files spell them: whatever has one meaning is restored."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from bc_images import schema
from bc_images.bigcommerce.mapping import Record
from bc_images.normalize import deleted, stream_kind
from target_bc_images.records import RecordValidator
from tests.support.commands import CommandResult
from tests.support.target import RestoreScenario, end, head, row, singer, state

FIRST, SECOND = 101, 102
COLUMNS = tuple(schema.load("product_images")["properties"])

Records = list[Record]


def damage(scenario: RestoreScenario) -> None:
    """Lose an image, change the text of another, move the thumbnail."""
    one, two, three = (image["id"] for image in scenario.images(FIRST))
    scenario.sandbox.delete_image(one)
    scenario.sandbox.set_image(two, description="overwritten", sort_order=9)
    scenario.sandbox.set_image(three, is_thumbnail=True)


def restored(
    scenario: RestoreScenario, change: Callable[[Record], Record], stream: str = "product_images", **settings: Any
) -> CommandResult:
    """Damage the store and restore it from records that were changed; make sure that it is as it was."""
    before, records = scenario.state(), scenario.records()
    damage(scenario)
    columns = {"type": "object", "properties": {name: {} for name in change(records[0])}}
    data = singer(head(stream) | {"schema": columns}, *(row(change(each), stream) for each in records), state())
    run = scenario.restore(data, **settings)
    assert run.code == 0, run.err
    assert scenario.state() == before
    assert run.states == [state()["value"]]
    return run


def spelled(**spellings: Callable[[Any], Any]) -> Callable[[Record], Record]:
    return lambda record: {name: spellings.get(name, lambda value: value)(value) for name, value in record.items()}


NUMBERS = [
    float, str, lambda value: f" {value} ", lambda value: f"{value}.0", lambda value: f"{value:.10f}",
    lambda value: f"+{value}", lambda value: f"00{value}", lambda value: f"{Decimal(value):E}",
]  # fmt: skip


@pytest.mark.parametrize("spelling", NUMBERS)
def test_numbers(scenario_v3: RestoreScenario, spelling: Callable[[int], Any]) -> None:
    restored(scenario_v3, spelled(id=spelling, product_id=spelling, sort_order=spelling, file_size=spelling))


BOOLEANS = [(1, 0), (1.0, 0.0), ("1", "0"), ("1.0", "0.0"), ("true", "false"), ("True", "False"), ("t", "f"),
            ("TRUE ", " FALSE"), ("yes", "no"), ("Y", "N"), ("on", "off")]  # fmt: skip


@pytest.mark.parametrize("spelling", BOOLEANS)
def test_booleans(scenario_v3: RestoreScenario, spelling: tuple[Any, Any]) -> None:
    restored(scenario_v3, spelled(is_thumbnail=lambda value: spelling[not value]))


@pytest.mark.parametrize("null", ["", "NULL", "None", "NaN", "\\N", " "])
def test_null_that_is_written_out(scenario_v3: RestoreScenario, null: str, caplog: pytest.LogCaptureFixture) -> None:
    """The records name no file, no store and no date; the pictures are found by their path."""
    names = {name for name in COLUMNS if name.startswith(("file_", "date_"))} | {"store_hash", "tiny_url"}
    restored(scenario_v3, lambda record: record | dict.fromkeys(names, null))
    assert "counts as null" not in caplog.text


def test_a_digest_in_upper_case(scenario_v3: RestoreScenario) -> None:
    restored(scenario_v3, spelled(file_sha256=str.upper))


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("file_size", "12 kB"), ("file_size", -1), ("file_size", 1.5), ("file_size", [1]),
        ("file_type", 5), ("date_created", 1_700_000_000), ("date_modified", {"seconds": 1}), ("date_modified", False),
        ("zoom_url", 0), ("standard_url", []), ("thumbnail_url", False), ("tiny_url", 1.5), ("product_sku", 12),
    ],
)  # fmt: skip
def test_what_a_restore_does_not_use_costs_no_record(
    scenario_v3: RestoreScenario, column: str, value: Any, caplog: pytest.LogCaptureFixture
) -> None:
    restored(scenario_v3, lambda record: {**record, column: value})
    (warning,) = [each for each in caplog.messages if "counts as null" in each]
    assert f"product_images: {column} of image 11 of product 101 is invalid" in warning


def test_a_number_for_a_sku_is_refused_where_products_are_matched_by_it(scenario_v3: RestoreScenario) -> None:
    records = [{**record, "product_sku": 12} for record in scenario_v3.records()]
    run = scenario_v3.restore(singer(head(), *map(row, records)), match_products_by="sku")
    assert (run.code, run.summary["rejected"]) == (1, 15)
    assert "product_sku: 12 is not of type 'string', 'null'" in run.rows[0]["reason"]


@pytest.mark.parametrize(
    "value", ["NaT", "nan", "NaN", "None", "NULL", "", " ", "\\N", "0000-00-00 00:00:00", 0, False]
)
def test_no_time_of_deletion(scenario_v3: RestoreScenario, value: Any) -> None:
    restored(scenario_v3, lambda record: {**record, "_sdc_deleted_at": value})


def test_times_of_deletion() -> None:
    assert all(map(deleted, ["2026-01-02", "2026-01-02T03:04:05Z", "02-JAN-26", 1_700_000_000, True, "1"]))
    assert not any(map(deleted, [None, "NaT", "<NA>", float("nan"), Decimal("NaN"), -(2**63), "0", "false", 0.0]))


class TestRefused:
    """What has more than one meaning is refused; the column is named, and a stream map that mends it works."""

    @pytest.mark.parametrize(
        ("column", "value"),
        [
            ("is_thumbnail", "perhaps"), ("is_thumbnail", 2), ("is_thumbnail", None), ("is_thumbnail", "it's \"so\""),
            ("sort_order", "first"), ("sort_order", None), ("sort_order", "1,000"), ("sort_order", 2**31),
            ("description", 5), ("description", {"en": "x" * 500}), ("file_sha256", "x" * 5000), ("file_source", "web"),
            ("id", None), ("id", "image-1"), ("id", 2**63), ("id", 2.0**60), ("product_id", "1e30"), ("image_file", ""),
        ],
    )  # fmt: skip
    def test_the_map_in_the_message_mends_it(self, scenario_v3: RestoreScenario, column: str, value: Any) -> None:
        records = scenario_v3.records()
        data = singer(head(), row({**records[0], column: value}), *map(row, records[1:]))
        run = scenario_v3.restore(data)
        assert (run.code, run.summary["rejected"]) == (1, 1)
        reason = run.rows[0]["reason"]
        assert column in reason
        assert len(reason) < 600
        maps = json.loads(reason.partition("set stream_maps to ")[2])
        assert scenario_v3.restore(data, stream_maps=maps, dry_run=True).summary["rejected"] == 0

    @pytest.mark.parametrize("column", ["sort_order", "is_thumbnail"])
    def test_a_column_that_is_missing(self, scenario_v3: RestoreScenario, column: str) -> None:
        data = singer(head(), *(row({k: v for k, v in each.items() if k != column}) for each in scenario_v3.records()))
        reason = scenario_v3.restore(data).rows[0]["reason"]
        maps = json.loads(reason.partition("set stream_maps to ")[2])
        assert scenario_v3.restore(data, stream_maps=maps, dry_run=True).summary["rejected"] == 0


STREAMS = [
    "PRODUCT_IMAGES", "RAW-PRODUCT_IMAGES", "raw.Product_Images", "main-product_images_v", "product_images_view",
    "PUBLIC-PRODUCT_IMAGES_CURRENT", "v_product_images", '"RAW"."PRODUCT_IMAGES"',
]  # fmt: skip


class TestNames:
    """Streams and columns under the names that databases give them."""

    @pytest.mark.parametrize("stream", STREAMS)
    def test_upper_case_everywhere(self, scenario_v3: RestoreScenario, stream: str) -> None:
        restored(scenario_v3, lambda record: {name.upper(): value for name, value in record.items()}, stream)

    @pytest.mark.parametrize("declared", [True, False])
    def test_optional_columns_alone(self, scenario_v3: RestoreScenario, *, declared: bool) -> None:
        """The required ones are as they should be, so that the record is valid: and would lose its file."""
        required = set(schema.load("product_images")["required"])
        records = [{n if n in required else n.upper(): v for n, v in each.items()} for each in scenario_v3.records()]
        assert "FILE_SHA256" in records[0]
        schema_ = {"type": "object", "properties": {name: {} for name in records[0]} if declared else {}}
        before = scenario_v3.state()
        damage(scenario_v3)
        run = scenario_v3.restore(singer(head() | {"schema": schema_}, *map(row, records)))
        assert (run.code, scenario_v3.state()) == (0, before), run.err

    def test_a_byte_order_mark_before_the_first_column(self, scenario_v3: RestoreScenario) -> None:
        restored(
            scenario_v3, lambda record: {f"\ufeff{name}" if name == "id" else name: v for name, v in record.items()}
        )

    def test_rows_that_are_marked_as_deleted_in_upper_case(self, scenario_v3: RestoreScenario) -> None:
        scenario_v3.sandbox.delete_image(scenario_v3.images(FIRST)[0]["id"])
        before, records = scenario_v3.state(), scenario_v3.records()
        gone = {**records[0], "id": 5, "_SDC_DELETED_AT": "2026-01-02"}
        run = scenario_v3.restore(singer(head(), *map(row, [gone, *records])))
        assert (run.code, run.summary["skipped_streams"]) == (0, {"product_images (deleted rows)": 1})
        assert scenario_v3.state() == before

    @pytest.mark.parametrize("declared", [True, False])
    def test_two_columns_of_one_name(self, scenario_v3: RestoreScenario, *, declared: bool) -> None:
        records = [{**each, "Sort_Order": 7} for each in scenario_v3.records()]
        schema_ = {"type": "object", "properties": {name: {} for name in records[0]} if declared else {}}
        data = singer(head() | {"schema": schema_}, *map(row, records))
        run = scenario_v3.restore(data)
        assert (run.code, run.summary["rejected"], scenario_v3.writes()) == (1, 15, [])
        assert "'sort_order' and 'Sort_Order' mean the same column" in run.rows[0]["reason"]
        maps = json.loads(run.rows[0]["reason"].partition("set stream_maps to ")[2])
        assert scenario_v3.restore(data, stream_maps=maps).code == 0

    def test_two_columns_that_are_not_used_may_have_one_name(self, scenario_v3: RestoreScenario) -> None:
        restored(scenario_v3, lambda record: {**record, "TINY_URL": "x"})

    def test_two_streams_of_one_name(self, scenario_v3: RestoreScenario) -> None:
        records = scenario_v3.records()
        damage(scenario_v3)
        scenario_v3.sandbox.clear_requests()
        view = "raw-product_images_view"
        data = singer(head(), *map(row, records), head(view), *(row(each, view) for each in records), state())
        run = scenario_v3.restore(data)
        assert (run.code, run.states, scenario_v3.sandbox.requests()) == (1, [], [])
        assert f"The streams product_images and {view} both mean product_images" in run.err
        maps = json.loads(run.err.partition("set stream_maps to ")[2].strip().rstrip("."))
        assert maps == {view: None}
        run = scenario_v3.restore(data, stream_maps=maps)
        assert (run.code, run.actions.count(("create", "done"))) == (0, 1), run.err

    def test_which_names_mean_what(self) -> None:
        assert {stream_kind(name) for name in STREAMS} == {"product_images"}
        assert stream_kind("SHOP-PRODUCTS") == "products"
        foreign = ["orders", "product_images_old", "my_product_images", "product_images.tags", "products_images", ""]
        assert {stream_kind(name) for name in foreign} == {None}


class TestNothingUnderstood:
    """Records come, and none is ours: that is no success, and no STATE is passed on."""

    @pytest.mark.parametrize("stream", ["pictures", "PICTURES", "product_images_2024", "raw-images"])
    @pytest.mark.parametrize("products", [False, True])
    def test_an_alias(self, scenario_v3: RestoreScenario, stream: str, *, products: bool) -> None:
        records = scenario_v3.records()
        before = scenario_v3.state()
        damage(scenario_v3)
        listed = singer(head("products"), row({"id": FIRST, "image_count": 3}, "products")) if products else b""
        data = listed + singer(head(stream), *(row(each, stream) for each in records), end(stream), state())
        run = scenario_v3.restore(data)
        assert (run.code, run.states, scenario_v3.writes()) == (1, [], [])
        assert f'set stream_maps to {{"{stream}": {{"__alias__": "product_images"}}}}' in run.err
        run = scenario_v3.restore(data, stream_maps={stream: {"__alias__": "product_images"}})
        assert (run.code, scenario_v3.state()) == (0, before), run.err

    def test_a_mirror_deletes_nothing(self, scenario_v3: RestoreScenario) -> None:
        before = scenario_v3.state()
        listed = singer(head("products"), row({"id": FIRST, "image_count": 3}, "products"), end("products"))
        run = scenario_v3.restore(
            listed + singer(head("x"), row({"id": 1}, "x"), end("x")), mode="mirror", max_deletes=99
        )
        assert (run.code, scenario_v3.state()) == (1, before)

    def test_many_streams_are_not_all_named(self, scenario_v3: RestoreScenario) -> None:
        data = singer(*(head(f"table_{number}") for number in range(300)), state())
        run = scenario_v3.restore(data)
        assert run.code == 1
        assert "table_9 and 290 more" in run.err

    def test_no_stream_at_all(self, scenario_v3: RestoreScenario) -> None:
        run = scenario_v3.restore(singer(state()))
        assert (run.code, run.states) == (1, [])
        assert "The input contains no streams" in run.err

    @pytest.mark.parametrize("data", [b"", b"\n\n", b"\xef\xbb\xbf"])
    @pytest.mark.parametrize("mode", [{}, {"dry_run": True}, {"mode": "mirror", "max_deletes": 9}])
    def test_an_empty_input_is_damaged(self, scenario_v3: RestoreScenario, data: bytes, mode: dict[str, Any]) -> None:
        run = scenario_v3.restore(data, **mode)
        assert (run.code, run.states, scenario_v3.sandbox.requests()) == (3, [], [])
        assert "The input is empty: nothing was restored." in run.err

    def test_no_change_since_the_last_run_is_a_success(self, scenario_v3: RestoreScenario) -> None:
        run = scenario_v3.restore(singer(head("products"), head(), state()))
        assert (run.code, run.states) == (0, [state()["value"]])


def test_stream_maps_may_stand_before_any_spelling(scenario_v3: RestoreScenario) -> None:
    """The SDK's own way would end the run for a date that is none, and for a record without a key."""
    keys = {"key_properties": ["store_hash", "id"]}
    before = scenario_v3.state()
    records = [
        {name: value for name, value in each.items() if name != "store_hash"}
        | {"id": str(each["id"]), "is_thumbnail": int(each["is_thumbnail"]), "date_created": "yesterday", "x": "1"}
        for each in scenario_v3.records()
    ]
    damage(scenario_v3)
    data = singer(head() | keys, *map(row, records), state())
    for settings in ({"stream_maps": {"product_images": {"x": "__NULL__"}}},
                     {"flattening_enabled": True, "flattening_max_depth": 1}):  # fmt: skip
        run = scenario_v3.restore(data, **settings)
        assert (run.code, scenario_v3.state(), run.states) == (0, before, [state()["value"]]), run.err


# There and back again


def test_through_sqlite(scenario_v3: RestoreScenario) -> None:
    """Booleans are integers there, and everything may be text."""
    for kinds in ({"integer": "INTEGER", "boolean": "INTEGER"}, {"integer": "REAL", "boolean": "TEXT"}, {}):
        before, records = scenario_v3.state(), scenario_v3.records()
        with sqlite3.connect(":memory:") as database:
            database.row_factory = sqlite3.Row
            types = {name: field["type"] for name, field in schema.load("product_images")["properties"].items()}
            columns = ", ".join(f"{name} {kinds.get(str(types[name]), 'TEXT')}" for name in COLUMNS)
            database.execute(f"CREATE TABLE product_images ({columns})")
            values = [[record[name] for name in COLUMNS] for record in records]
            database.executemany(f"INSERT INTO product_images VALUES ({', '.join('?' * len(COLUMNS))})", values)
            rows = [dict(each) for each in database.execute("SELECT * FROM product_images ORDER BY random()")]
        assert rows[0]["is_thumbnail"] not in {True, False} or type(rows[0]["is_thumbnail"]) is int
        damage(scenario_v3)
        run = scenario_v3.restore(singer(head() | {"schema": {"properties": {}}}, *map(row, rows)))
        assert (run.code, scenario_v3.state()) == (0, before), run.err


@pytest.mark.parametrize("dialect", ["excel", "excel-tab", "unix"])
def test_through_csv(scenario_v3: RestoreScenario, dialect: str) -> None:
    """Everything is text there, null is empty, and a spreadsheet puts a byte order mark before it."""
    before, records = scenario_v3.state(), scenario_v3.records()
    out = io.StringIO()
    out.write("\ufeff")
    writer = csv.DictWriter(out, COLUMNS, dialect=dialect)
    writer.writeheader()
    writer.writerows(records)
    rows = list(csv.DictReader(io.StringIO(out.getvalue()), dialect=dialect))
    assert next(iter(rows[0])).startswith("\ufeff")
    assert {type(value) for value in rows[0].values()} == {str}
    damage(scenario_v3)
    run = scenario_v3.restore(singer(head() | {"schema": {"properties": {}}}, *map(row, rows)))
    assert (run.code, scenario_v3.state()) == (0, before), run.err


def test_clean_records_are_not_looked_at_twice() -> None:
    """What the tap writes passes as it is: the very object."""
    record = dict.fromkeys(COLUMNS) | {"store_hash": "abc", "id": 1, "product_id": 2, "image_file": "a/b.png"}
    record |= {"is_thumbnail": True, "sort_order": 0}
    judge = RecordValidator("product_images", "product_images", schema.load("product_images")["properties"], skus=False)
    assert judge.validate(record) is record
