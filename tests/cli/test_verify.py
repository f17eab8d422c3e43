"""``bc-images verify``: what differs between a backup and the store, in one sign an image; and nothing is written."""

from __future__ import annotations

import gc
import gzip
import json
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from tests.support.target import RestoreScenario, end, head, picture, row, singer
from tests.support.verifier import Verifier

FIRST, SECOND, THIRD = 101, 102, 103


def wreck(scenario: RestoreScenario) -> list[str]:
    """Damage the store in every way; return the signs that tell of it."""
    sandbox = scenario.sandbox
    lost = scenario.images(FIRST)[1]
    sandbox.delete_image(lost["id"])
    one, two, _ = scenario.images(SECOND)
    sandbox.set_image(one["id"], description="overwritten", sort_order=7)
    sandbox.set_image(two["id"], content=picture(5), filename="else.png")
    sandbox.add_image(THIRD, picture(1), "extra.png")
    product = sandbox.add_product(sku="NEW")
    sandbox.add_image(product, picture(2), "unknown.png")

    def line(sign: str, image: dict[str, Any], details: str = "") -> str:
        text = f"{sign} {skus[image['product_id']]}  {image['image_file']}{details and '  ' + details}"
        return f"{text}  (product {image['product_id']}, image {image['id']})"

    skus = {each["id"]: each["sku"] for each in sandbox.dump(files=False)["products"]}
    text = (one["description"] or "").replace("\n", "\\n")  # one line, whatever stands in it
    changed = f"sort_order: 7 -> {one['sort_order']}, description: 'overwritten' -> '{text}'"
    return [
        line("-", lost),
        line("*", one, changed),
        line("*", two, "the picture is another one"),
        line("+", scenario.images(THIRD)[-1]),
        line("+", scenario.images(product)[0]),
    ]


def test_equal(verifier: Verifier) -> None:
    verifier.scenario.sandbox.clear_requests()
    assert verifier() == (0, ["0 differences (15 same)"])
    assert verifier.scenario.writes() == []
    assert sorted(each.name for each in verifier.scenario.folder.iterdir()) == ["backup.singer", "config.json", "files"]


def test_every_sign(verifier: Verifier) -> None:
    signs = wreck(verifier.scenario)
    verifier.scenario.sandbox.clear_requests()
    code, lines = verifier()
    assert code == 1
    assert lines == [*signs, "5 differences (12 same, 2 different, 1 missing, 2 extra)"]
    assert verifier.scenario.writes() == []


def test_after_a_restore_only_the_extra_ones_are_left(verifier: Verifier) -> None:
    wreck(verifier.scenario)
    backup = verifier.backup.read_bytes()
    assert verifier.scenario.restore(backup).code == 0
    code, lines = verifier()
    assert (code, lines[2]) == (1, "2 differences (15 same, 2 extra)")
    assert verifier.scenario.restore(backup, mode="mirror", max_deletes=2).code == 0
    assert verifier()[0] == 0


def test_what_is_the_same_is_listed_on_request(verifier_v3: Verifier) -> None:
    code, lines = verifier_v3("--all")
    assert (code, len(lines)) == (0, 16)
    assert all(re.match(r"= SKU-\S+  \S+  \(product 10\d, image \d+\)$", line) for line in lines[:15]), lines


def test_json(verifier_v3: Verifier) -> None:
    wreck(verifier_v3.scenario)
    code, lines = verifier_v3("--json")
    rows = [json.loads(line) for line in lines]
    assert code == 1
    assert [each["sign"] for each in rows[:-1]] == ["-", "*", "*", "+", "+"]
    assert rows[1]["fields"] == {"description": rows[1]["fields"]["description"], "sort_order": 0}
    assert rows[-1] == {"summary": {"same": 12, "different": 2, "missing": 1, "extra": 2, "unreadable": 0}}


def test_gzip(verifier_v3: Verifier) -> None:
    packed = verifier_v3.scenario.folder / "backup.singer.gz"
    packed.write_bytes(gzip.compress(verifier_v3.backup.read_bytes()))
    assert verifier_v3(backup=packed)[0] == 0


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "cannot be read"),
        (gzip.compress(b"x" * 10_000)[:-20], "cannot be read"),
        (b"\x1f\x8bnonsense", "cannot be read"),
        (b"nonsense\n", "damaged is not valid JSON: check the file, or give another backup."),
        (b'{"type": "RECORD', "is truncated"),
    ],
    ids=["empty", "gzip cut off", "no gzip", "no JSON", "JSON cut off"],
)
def test_a_damaged_backup(verifier_v3: Verifier, content: bytes, words: str) -> None:
    damaged = verifier_v3.scenario.folder / "damaged"
    if content:
        damaged.write_bytes(content)
    code, lines = verifier_v3(backup=damaged)
    assert code == 3
    assert words in lines[-1]


def test_an_unreadable_record(verifier_v3: Verifier) -> None:
    records = verifier_v3.scenario.records()
    records[0]["sort_order"] = "first"
    verifier_v3.backup.write_bytes(singer(head(), *map(row, records), end()))
    code, lines = verifier_v3()
    assert code == 1
    assert lines[0].startswith(f"! SKU-000000  {records[0]['image_file']}  does not fit the schema: sort_")


def test_a_product_that_is_gone(verifier_v3: Verifier) -> None:
    verifier_v3.scenario.sandbox.delete_product(SECOND)
    code, lines = verifier_v3()
    assert code == 1
    assert ["  there is no product 102 in the store  (" in line for line in lines[:3]] == [True] * 3
    assert lines[3] == "3 differences (12 same, 3 unreadable)"


def test_some_products_only(verifier_v3: Verifier) -> None:
    wreck(verifier_v3.scenario)
    assert verifier_v3(product_ids=[104]) == (0, ["0 differences (3 same)"])
    assert verifier_v3(product_ids=[FIRST])[1][-1] == "1 difference (2 same, 1 missing)"


class TestChosenProducts:
    """That nothing differs may be said only where something was compared."""

    def test_that_nobody_knows(self, verifier: Verifier) -> None:
        code, lines = verifier(product_ids=[FIRST, 999])
        assert code == 1
        assert lines == ["! product 999: there is no product 999 in the store", "1 difference (3 same, 1 unreadable)"]

    @pytest.mark.parametrize("more", [b"", singer(head("products"), row({"id": FIRST, "store_hash": "s"}, "products"))])
    def test_of_which_the_backup_may_lack_the_images(self, verifier_v3: Verifier, more: bytes) -> None:
        records = [each for each in verifier_v3.scenario.records() if each["product_id"] != SECOND]
        mark = [end()] if more else []
        verifier_v3.backup.write_bytes(more + singer(head(), *map(row, records), *mark))
        code, lines = verifier_v3(product_ids=[SECOND])
        assert (code, lines[0]) == (1, f"! product {SECOND}: the input has no image of this product")

    def test_that_are_known_to_be_empty(self, verifier_v3: Verifier) -> None:
        product = verifier_v3.scenario.sandbox.add_product(sku="EMPTY")
        assert verifier_v3(product_ids=[FIRST, product]) == (0, ["0 differences (3 same)"])  # by a whole backup
        listed = row({"id": product, "store_hash": "sandbox", "image_count": 0}, "products")
        verifier_v3.backup.write_bytes(singer(head("products"), listed, head()))
        assert verifier_v3(product_ids=[product]) == (0, ["0 differences (no images)"])
        verifier_v3.scenario.sandbox.add_image(product, picture(3), "extra.png")
        assert verifier_v3(product_ids=[product])[0] == 1


@pytest.mark.parametrize("content", [b"", singer(head()), singer(head("orders"), row({"id": 1}, "orders"))])
def test_a_backup_with_nothing_to_compare(verifier_v3: Verifier, content: bytes) -> None:
    verifier_v3.backup.write_bytes(content)
    code, lines = verifier_v3()
    assert (code, "contains no images and does not end with ACTIVATE_VERSION" in lines[-1]) == (3, True)


def test_a_backup_of_an_empty_store(verifier_v3: Verifier) -> None:
    verifier_v3.backup.write_bytes(singer(head(), end()))
    code, lines = verifier_v3()
    assert (code, lines[-1]) == (1, "15 differences (15 extra)")


def test_another_store_by_sku(verifier_v3: Verifier) -> None:
    records = [
        {**each, "store_hash": "other", "product_id": each["product_id"] + 1} for each in verifier_v3.scenario.records()
    ]
    verifier_v3.backup.write_bytes(singer(head(), *map(row, records), end()))
    assert verifier_v3()[0] == 1
    assert verifier_v3(match_products_by="sku") == (0, ["0 differences (15 same)"])


def test_it_compares_to_the_end_whatever_the_settings_say_of_errors(
    verifier_v3: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment says it too, and it is above the file of settings."""
    records = verifier_v3.scenario.records()
    records[0]["sort_order"] = "first"
    verifier_v3.backup.write_bytes(singer(head(), *map(row, records), end()))
    verifier_v3.scenario.sandbox.delete_product(SECOND)
    for name, value in (("ON_ERROR", "stop"), ("DRY_RUN", "false"), ("REPORT", str(verifier_v3.scenario.report))):
        monkeypatch.setenv(f"TARGET_BC_IMAGES_{name}", value)
    code, lines = verifier_v3(on_error="stop")
    assert (code, lines[-1]) == (1, "5 differences (11 same, 1 extra, 4 unreadable)")
    assert not verifier_v3.scenario.report.exists()


@pytest.mark.filterwarnings("error::ResourceWarning", "error::pytest.PytestUnraisableExceptionWarning")
def test_nothing_is_left_open_after_an_error(verifier_v3: Verifier) -> None:
    unfit = row({**verifier_v3.scenario.records()[0], "sort_order": "first"})
    verifier_v3.backup.write_bytes(singer(head(), unfit) + b"nonsense\n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()  # what other tests have left
    assert verifier_v3()[0] == 3
    gc.collect()


def test_the_settings_of_a_mirror_do_no_harm(verifier_v3: Verifier) -> None:
    wreck(verifier_v3.scenario)
    before = verifier_v3.scenario.state()
    assert verifier_v3(mode="mirror", max_deletes=100, report=str(verifier_v3.scenario.report))[0] == 1
    assert verifier_v3.scenario.state() == before
    assert not verifier_v3.scenario.report.exists()


def test_as_a_command(verifier_v3: Verifier) -> None:
    wreck(verifier_v3.scenario)
    config = verifier_v3.scenario.folder / "config.json"
    config.write_text(json.dumps(verifier_v3.scenario.config))
    command = [str(Path(sys.executable).parent / "bc-images"), "verify", "--config", str(config), "--backup"]
    ended = subprocess.run([*command, str(verifier_v3.backup)], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, len(ended.stdout.splitlines())) == (1, 6)
    assert "differences" not in ended.stderr
    ended = subprocess.run([*command, "nowhere"], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, "Traceback" in ended.stderr) == (3, False)
