"""What the input may look like, and what becomes of each kind of it. Nothing is written before all of it is read."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import orjson
import pytest

from bc_images.bigcommerce.mapping import Record
from tests.support.commands import CommandResult
from tests.support.full_disk import no_file_longer_than
from tests.support.target import RestoreScenario, end, head, picture, row, singer, state

FIRST, SECOND = 101, 102

Records = list[Record]


def lines(records: Records, **more: Any) -> bytes:
    return singer(head(), *(row(record, **more) for record in records), state())


def test_an_empty_input_touches_nothing(scenario_v3: RestoreScenario) -> None:
    run = scenario_v3.restore(singer(head(), state()))
    assert (run.code, run.states, scenario_v3.sandbox.requests()) == (0, [state()["value"]], [])
    assert not scenario_v3.state_dir.exists()


class TestDamaged:
    """A damaged input ends with exit code 3, and the store is as it was, whatever came before the damage."""

    @pytest.mark.parametrize(
        ("damage", "words"),
        [
            (lambda good: good[:-20], "is truncated"),
            (lambda good: good + b"Traceback (most recent call last):\n", "Line 18 of the input is not valid JSON"),
            (lambda good: good + b'{"type": "RECORD"', "is truncated"),
            (lambda good: good + b"[1]\n", "is not a Singer message"),
            (lambda good: good + b"1\n", "is not a Singer message"),
            (lambda good: good + b'{"record": {}}\n', "has no known message type"),
            (lambda good: good + b'{"type": "RECORDS"}\n', "has no known message type ('RECORDS')"),
            (lambda good: good + b'{"type": ["RECORD"]}\n', "is not a Singer message"),
            (lambda good: good + b"\xff\xfe\n", "is not UTF-8"),
            (lambda good: good + singer(row({}, stream="other")), "a RECORD of other before its SCHEMA"),
            (
                lambda good: good + singer({"type": "RECORD", "stream": "product_images"}),
                "a RECORD without a record object",
            ),
            (lambda good: good + singer({"type": "RECORD", "record": {}}), "a RECORD of None before its SCHEMA"),
            (lambda good: good + singer({"type": "SCHEMA", "stream": "x"}), "a SCHEMA without stream, schema"),
            (lambda good: good + singer({"type": "STATE"}), "a STATE without a value"),
            (lambda good: good + singer(end(stream="other")), "an ACTIVATE_VERSION of other before its SCHEMA"),
            (
                lambda good: good + singer({"type": "ACTIVATE_VERSION", "stream": "product_images", "version": "1"}),
                "an ACTIVATE_VERSION without a version",
            ),
            (
                lambda good: good + singer({"type": "BATCH", "stream": "product_images", "encoding": {}}),
                "a BATCH message, which is not supported",
            ),
            (
                lambda good: good + singer(head("x", key_properties=["id"]), row({"a": 1}, stream="x")),
                "a RECORD of x without its key id",
            ),
        ],
    )
    def test_nothing_is_written(
        self, scenario_v3: RestoreScenario, damage: Callable[[bytes], bytes], words: str
    ) -> None:
        backup = lines(scenario_v3.records())
        scenario_v3.sandbox.delete_image(scenario_v3.images(FIRST)[0]["id"])
        scenario_v3.sandbox.clear_requests()
        run = scenario_v3.restore(damage(backup))
        assert run.code == 3
        assert words in run.err
        assert "Traceback" not in run.err or "Traceback" in words
        assert (run.out, scenario_v3.sandbox.requests()) == ("", [])


class TestStreams:
    """Our stream may come back from a warehouse under a longer name; others are passed over."""

    @pytest.mark.parametrize(
        "stream", ["product_images", "raw-product_images", "raw.product_images", "a.b-product_images"]
    )
    def test_our_own_by_any_of_its_names(self, scenario_v3: RestoreScenario, stream: str) -> None:
        before, records = scenario_v3.state(), scenario_v3.records()
        scenario_v3.sandbox.delete_image(scenario_v3.images(FIRST)[0]["id"])
        run = scenario_v3.restore(singer(head(stream), *(row(each, stream) for each in records)))
        assert (run.code, scenario_v3.state()) == (0, before)

    @pytest.mark.parametrize("stream", ["orders", "product_images_old", "my_product_images", "product_images.tags"])
    def test_others_are_skipped_counted_and_warned_of_once(
        self, scenario_v3: RestoreScenario, stream: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        foreign = [row({"id": number}, stream) for number in range(3)]
        run = scenario_v3.restore(singer(head(stream), *foreign) + scenario_v3.backup())
        assert run.code == 0
        assert run.summary["skipped_streams"] == {stream: 3}
        assert run.summary["summary"]["keep"] == 15
        assert f"stream {stream}" in run.err
        assert caplog.text.count(f"The stream {stream} is not product_images") == 1

    def test_a_stream_of_products_that_are_none_of_ours_is_skipped(self, scenario_v3: RestoreScenario) -> None:
        foreign = singer(head("products"), row({"id": "gid://1", "title": "Shoe"}, "products"))
        run = scenario_v3.restore(foreign + scenario_v3.backup())
        assert run.code == 0
        assert run.summary["skipped_streams"] == {"products": 1}


class TestForeign:
    """Rows as warehouses and files give them back."""

    @staticmethod
    def restored(scenario: RestoreScenario, change: Callable[[Records], Records]) -> CommandResult:
        before, records = scenario.state(), scenario.records()
        for image in scenario.images(FIRST)[:2]:
            scenario.sandbox.delete_image(image["id"])
        run = scenario.restore(lines(change(records)))
        assert run.code == 0, run.err
        assert scenario.state() == before
        return run

    def test_extra_columns_are_ignored(self, scenario_v3: RestoreScenario) -> None:
        extra = {"_sdc_received_at": "2026-01-02T03:04:05+00:00", "_sdc_sequence": 1, "_file": None, "price": 1.5}
        self.restored(scenario_v3, lambda records: [{**extra, **record} for record in records])

    def test_rows_in_any_order(self, scenario_v3: RestoreScenario) -> None:
        self.restored(scenario_v3, lambda records: random.Random(7).sample(records, len(records)))

    def test_no_store_hash_means_the_store_written_to(self, scenario_v3: RestoreScenario) -> None:
        def without(records: Records) -> Records:
            return [{name: value for name, value in record.items() if name != "store_hash"} for record in records]

        self.restored(scenario_v3, without)
        self.restored(scenario_v3, lambda records: [{**record, "store_hash": None} for record in records])

    def test_only_what_is_required(self, scenario_v3: RestoreScenario) -> None:
        needed = ("id", "product_id", "image_file", "is_thumbnail", "sort_order", "description", "file_sha256")
        self.restored(scenario_v3, lambda records: [{name: record[name] for name in needed} for record in records])

    def test_numbers_that_came_back_as_decimals(self, scenario_v3: RestoreScenario) -> None:
        numbers = ("id", "product_id", "sort_order", "file_size")
        self.restored(
            scenario_v3,
            lambda records: [{**record, **{name: float(record[name]) for name in numbers}} for record in records],
        )

    @pytest.mark.parametrize("moment", ["2026-01-02", "2026-01-02T03:04:05Z", "2026-01-02 03:04:05.000000+00:00"])
    def test_dates_in_any_form(self, scenario_v3: RestoreScenario, moment: str) -> None:
        dates = {"date_created": moment, "date_modified": moment}
        self.restored(scenario_v3, lambda records: [{**record, **dates} for record in records])

    def test_stream_maps_and_flattening_may_stand_between(self, scenario_v3: RestoreScenario) -> None:
        before, records = scenario_v3.state(), scenario_v3.records()
        scenario_v3.sandbox.delete_image(scenario_v3.images(FIRST)[0]["id"])
        renamed = [{**record, "place": record["sort_order"], "sort_order": 0} for record in records]
        schema = head("images")
        schema["schema"] = {
            **head()["schema"],
            "properties": {**head()["schema"]["properties"], "place": {"type": "integer"}},
        }
        maps = {"images": {"__alias__": "product_images", "sort_order": "place", "place": "__NULL__"}}
        data = singer(schema, *(row(each, "images") for each in renamed))
        run = scenario_v3.restore(data, stream_maps=maps, flattening_enabled=True, flattening_max_depth=1)
        assert (run.code, scenario_v3.state()) == (0, before), run.err

    def test_of_an_image_that_comes_twice_the_last_word_counts(self, scenario_v3: RestoreScenario) -> None:
        records = scenario_v3.records()
        stale = [{**record, "description": "stale", "sort_order": 9} for record in records]
        run = scenario_v3.restore(lines(stale + records))
        assert (run.code, run.actions) == (0, [])

    def test_of_two_scans_the_last_counts(self, scenario_v3: RestoreScenario) -> None:
        """A file that every night's backup is appended to: what was gone in the last one does not come back."""
        older = scenario_v3.records()
        scenario_v3.sandbox.delete_image(scenario_v3.images(FIRST)[0]["id"])
        before, newer = scenario_v3.state(), scenario_v3.records()
        data = singer(
            head(), *(row(each, version=1) for each in older), end(version=1),
            head(), *(row(each, version=2) for each in newer), end(version=2),
        )  # fmt: skip
        run = scenario_v3.restore(data)
        assert (run.code, run.actions, scenario_v3.state()) == (0, [], before)
        # without the mark of its end the second one replaces nothing
        cut = data[: data.rindex(b'{"type":"ACTIVATE_VERSION"')]
        assert scenario_v3.restore(cut).actions == [("create", "done")]


class TestDeletedRows:
    """A loader marks rows whose image has left the store: they are not put back."""

    @pytest.mark.parametrize("maps", [{}, {"stream_maps": {"raw-product_images": {"tiny_url": "__NULL__"}}}])
    def test_they_are_skipped_and_counted(self, scenario_v3: RestoreScenario, maps: dict[str, Any]) -> None:
        records = scenario_v3.records()
        for image in scenario_v3.images(FIRST)[:2]:
            scenario_v3.sandbox.delete_image(image["id"])
        stream = "raw-product_images"
        marked = [
            row({**each, "_sdc_deleted_at": "2026-01-02T00:00:00Z" if each["id"] == records[0]["id"] else None}, stream)
            for each in records
        ]
        run = scenario_v3.restore(singer(head(stream), *marked), **maps)
        assert (run.code, run.actions) == (0, [("create", "done")])
        assert run.summary["skipped_streams"] == {"raw-product_images (deleted rows)": 1}
        assert "stream raw-product_images (deleted rows)  1 record skipped" in run.err

    def test_before_their_schema_they_are_damage_as_any(self, scenario_v3: RestoreScenario) -> None:
        assert scenario_v3.restore(singer(row({"_sdc_deleted_at": "2026-01-02"}))).code == 3


class TestChosenProducts:
    """A product that is asked for by name, and of which the input knows nothing, is no success."""

    MISSING = "the input has no image of this product"

    @staticmethod
    def listed(product_id: int, count: int | None = 0) -> dict[str, Any]:
        return row({"store_hash": "sandbox", "id": product_id, "image_count": count}, "products")

    def missing(self, run: CommandResult) -> list[int]:
        return [each["product_id"] for each in run.rows if each.get("reason") == self.MISSING]

    @pytest.mark.parametrize("mode", [{}, {"dry_run": True}, {"mode": "mirror", "max_deletes": 9}])
    def test_without_an_image_in_the_input(self, scenario_v3: RestoreScenario, mode: dict[str, Any]) -> None:
        data = lines(scenario_v3.records())
        run = scenario_v3.restore(data, product_ids=[FIRST, 110, 999], **mode)
        assert (run.code, self.missing(run), run.states) == (1, [110, 999], [])
        assert f"rejected      product 110: {self.MISSING}" in run.err
        run = scenario_v3.restore(data, product_ids=[999], **mode)
        assert (run.code, self.missing(run)) == (1, [999])
        assert scenario_v3.restore(data, product_ids=[FIRST]).code == 0

    def test_that_the_input_lists_as_having_none(self, scenario_v3: RestoreScenario) -> None:
        for count, code in ((0, 0), (2, 1)):
            data = singer(head("products"), self.listed(999, count)) + lines(scenario_v3.records())
            assert scenario_v3.restore(data, product_ids=[FIRST, 999]).code == code

    def test_a_whole_input_speaks_for_it_in_a_mirror(self, scenario_v3: RestoreScenario) -> None:
        mirror = {"mode": "mirror", "max_deletes": 3, "product_ids": [FIRST]}
        records = [each for each in scenario_v3.records() if each["product_id"] != FIRST]
        data = singer(head(), *map(row, records), end())
        run = scenario_v3.restore(singer(head("products"), self.listed(SECOND, 3)) + data, **mirror)
        assert (run.code, self.missing(run), len(scenario_v3.images(FIRST))) == (1, [FIRST], 3)
        assert "mirror deleted nothing, because records were rejected" in run.err
        assert scenario_v3.restore(data, match_products_by="sku", **mirror).code == 1
        assert scenario_v3.restore(data).code == 0
        run = scenario_v3.restore(data, **mirror)
        assert (run.code, len(scenario_v3.images(FIRST))) == (0, 0)

    def test_whose_records_are_of_a_scan_gone_by(self, scenario_v3: RestoreScenario) -> None:
        older = scenario_v3.records()
        newer = [each for each in older if each["product_id"] != FIRST]
        data = singer(head(), *(row(each, version=1) for each in older), end(version=1),
                      *(row(each, version=2) for each in newer), end(version=2))  # fmt: skip
        run = scenario_v3.restore(data, product_ids=[FIRST, SECOND])
        assert (run.code, self.missing(run)) == (1, [FIRST])


class TestMirrorOfLessThanEverything:
    """What may lack records says nothing about what is not in it, even where it has its mark."""

    @pytest.mark.parametrize(
        "settings",
        [
            {"stream_maps": {"product_images": None}},
            {"stream_maps": {"product_images": {"__filter__": f"product_id != {FIRST}"}}},
            {"stream_maps": {"__else__": None}},
            {"flattening_enabled": True, "flattening_max_depth": 1},
        ],
    )
    @pytest.mark.parametrize("dry_run", [False, True])
    def test_stream_maps_and_flattening(
        self, scenario_v3: RestoreScenario, settings: dict[str, Any], *, dry_run: bool
    ) -> None:
        before = scenario_v3.state()
        settings = deepcopy(settings)  # the SDK takes parts out of it
        run = scenario_v3.restore(scenario_v3.backup(), mode="mirror", max_deletes=99, dry_run=dry_run, **settings)
        assert (run.code, scenario_v3.state(), run.states) == (1, before, [])
        assert "mirror deleted nothing, because stream_maps or flattening_enabled may have left out records" in run.err

    @pytest.mark.parametrize("data", [singer(head(), state())])
    @pytest.mark.parametrize("dry_run", [False, True])
    def test_no_record_and_no_mark(self, scenario_v3: RestoreScenario, data: bytes, *, dry_run: bool) -> None:
        before = scenario_v3.state()
        run = scenario_v3.restore(data, mode="mirror", max_deletes=99, dry_run=dry_run)
        assert (run.code, scenario_v3.state(), run.states) == (1, before, [])
        assert "mirror deleted nothing, because the input does not end with ACTIVATE_VERSION" in run.err


class TestUnfit:
    """A record that does not fit is listed with its precise reason; the others are restored, and the exit code is 1."""

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"id": None}, "id: None is not of type 'integer'"),
            ({"id": 0}, "id: 0 is less than the minimum of 1"),
            ({"id": 2**63}, "id is no number that the store can have"),
            ({"id": 1.5}, "id: 1.5 is not of type 'integer'"),
            ({"id": True}, "id: True is not of type 'integer'"),
            ({"is_thumbnail": "perhaps"}, "is_thumbnail: 'perhaps' is not of type 'boolean'"),
            ({"sort_order": 2**31}, "sort_order: 2147483648 is greater than the maximum of 2147483647"),
            ({"image_file": ""}, "image_file: '' should be non-empty"),
            ({"file_sha256": "../../etc/passwd"}, "file_sha256: '../../etc/passwd' does not match"),
            ({"id": "1.5"}, "id: '1.5' is not of type 'integer'"),
            ({"id": 2.0**60}, "id is no number that the store can have"),
            ({"sort_order": "1,000"}, "sort_order: '1,000' is not of type 'integer'"),
            (
                {"description": 5, "sort_order": "x"},
                "description: 5 is not of type 'string', 'null'; sort_order: 'x' is not",
            ),
        ],
    )
    def test_it_is_rejected(self, scenario_v3: RestoreScenario, change: Record, reason: str) -> None:
        records = scenario_v3.records()
        scenario_v3.sandbox.delete_image(scenario_v3.images(SECOND)[0]["id"])
        run = scenario_v3.restore(lines([{**records[0], **change}, *records[1:]]))
        assert run.code == 1
        assert run.actions == [("create", "done"), ("reject", "rejected")]
        rejected = next(each for each in run.rows if each["action"] == "reject")
        assert rejected["reason"].startswith("does not fit the schema: ")
        assert reason in rejected["reason"]
        assert rejected["record"] == {**records[0], **change}
        assert run.states == []
        assert "1 record was rejected or failed" in run.err

    def test_a_field_that_is_missing(self, scenario_v3: RestoreScenario) -> None:
        records = scenario_v3.records()
        del records[0]["sort_order"]
        run = scenario_v3.restore(lines(records))
        assert run.rows[0]["reason"] == (
            "does not fit the schema: 'sort_order' is a required property. "
            'To mend it, set stream_maps to {"product_images": {"sort_order": "0"}}'
        )

    def test_on_error_stop_writes_nothing(self, scenario_v3: RestoreScenario) -> None:
        records = scenario_v3.records()
        scenario_v3.sandbox.delete_image(scenario_v3.images(FIRST)[0]["id"])
        scenario_v3.sandbox.clear_requests()
        run = scenario_v3.restore(lines([*records[1:], {**records[0], "sort_order": "first"}]), on_error="stop")
        assert (run.code, scenario_v3.sandbox.requests()) == (1, [])
        assert "on_error is stop" in run.err


def test_a_store_that_is_not_ours_is_said_to_be_so(scenario_v3: RestoreScenario) -> None:
    records = [{**record, "store_hash": "other"} for record in scenario_v3.records()]
    run = scenario_v3.restore(lines(records))
    assert run.code == 1
    assert {each["reason"] for each in run.rows if each.get("action") == "reject"} == {
        "belongs to store other: set match_products_by to sku or id"
    }
    assert scenario_v3.writes() == []


def test_long_inputs_do_not_lose_their_order_on_disk(scenario_v3: RestoreScenario) -> None:
    """Twice the same image ids under several products, unordered: the last word of each counts."""
    records = scenario_v3.records()
    noise = [{**records[0], "id": 10_000 + number, "product_id": 900 + number % 7} for number in range(2000)]
    run = scenario_v3.restore(lines([*noise, *records, *noise]))
    assert run.summary["rejected"] == 2000
    assert {each["reason"] for each in run.rows if each.get("action") == "reject"} == {
        f"there is no product {900 + number} in the store" for number in range(7)
    }


@pytest.mark.parametrize("settings", [{}, {"flattening_enabled": True, "flattening_max_depth": 1}])
def test_the_sdks_metric_counts_every_record(
    scenario_v3: RestoreScenario, settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    data = singer(head("orders"), *[row({"id": 1}, "orders")] * 2) + lines(scenario_v3.records())
    assert scenario_v3.restore(data, **settings).code == 0
    points = [orjson.loads(each.split("METRIC: ")[1]) for each in caplog.messages if "METRIC" in each]
    counts = {each["tags"]["stream"]: each["value"] for each in points if each["metric"] == "record_count"}
    assert counts == {"product_images": 15, "orders": 2}


def test_an_input_that_does_not_fit_on_the_disk(scenario_v3: RestoreScenario) -> None:
    data = lines(scenario_v3.records() * 20)
    scenario_v3.sandbox.clear_requests()
    with no_file_longer_than(100_000):
        run = scenario_v3.restore(data, report=None)
    assert (run.code, scenario_v3.sandbox.requests()) == (3, [])
    assert "Cannot write the input to the temporary folder " in run.err
    assert "set TMPDIR" in run.err


def test_what_is_json_but_absurd_is_one_rejected_record(scenario_v3: RestoreScenario) -> None:
    data = (
        lines(scenario_v3.records()[:1]) + orjson.dumps(row({"id": {"a": []}, "product_id": picture(1).hex()})) + b"\n"
    )
    run = scenario_v3.restore(data)
    assert (run.code, run.summary["rejected"]) == (1, 1)
