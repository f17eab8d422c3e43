"""The pictures behind the rows: gone, changed, altered by a CDN; and that no restore doubles what it cannot compare."""

from __future__ import annotations

import io
import shutil
from collections import Counter
from typing import Any

import pytest
import requests
from click.testing import CliRunner
from PIL import Image

from bc_images.cli.verify import verify
from tests.support.target import RestoreScenario, end, head, picture, row, singer, state
from tests.support.verifier import Verifier

FIRST = 101
ALL = {"check_pictures": "all"}


def reads(scenario: RestoreScenario) -> list[str]:
    """The originals that were asked for."""
    return [each["path"] for each in scenario.sandbox.requests() if each["path"].startswith("/product_images/")]


def spoil(scenario: RestoreScenario, how: str) -> dict[str, Any]:
    """Do something to the picture of an image, and nothing to its row; return the image."""
    image = scenario.sandbox.dump()["images"][4]
    if how == "lost":
        scenario.sandbox.lose_file(image["id"])
    else:
        content = {
            "changed": picture(77),
            "truncated": picture(78, "JPEG")[:-20],
            "no picture": b"\0" * 500,
            "empty": b"",
        }
        scenario.sandbox.set_image(image["id"], content=content[how], image_file=image["image_file"])
    return image


FINDINGS = {
    "lost": ("!", "the picture is gone from the store (HTTP 404)"),
    "changed": ("*", "the picture is another one"),
    "truncated": ("*", "the picture is another one"),
    "no picture": ("!", "the store serves something that is not a picture"),
    "empty": ("!", "the store serves something that is not a picture"),
}


@pytest.mark.parametrize("how", FINDINGS)
def test_what_is_wrong_with_a_picture_is_found_and_put_right(verifier: Verifier, how: str) -> None:
    scenario = verifier.scenario
    image = spoil(scenario, how)
    before = scenario.sandbox.dump()["images"]
    assert verifier() == (0, ["0 differences (15 same)"]), "rows alone are compared unless pictures are asked for"
    code, lines = verifier("--pictures")
    assert code == 1
    sign, reason = FINDINGS[how]
    assert lines[0].startswith(f"{sign} ")
    assert f"{image['image_file']}  {reason}  (product {image['product_id']}, image {image['id']})" in lines[0]
    assert lines[1].startswith("1 difference (14 same, 1 ")
    assert scenario.sandbox.dump()["images"] == before

    backup = verifier.backup.read_bytes()
    assert scenario.restore(backup).actions == []
    planned = scenario.restore(backup, dry_run=True, **ALL)
    assert planned.actions == [("replace", "planned")]
    done = scenario.restore(backup, **ALL)
    assert (done.code, done.actions) == (0, [("replace", "done")])
    after = {each["id"]: each for each in scenario.sandbox.dump()["images"]}
    assert len(after) == 15
    assert after[image["id"]]["sha256"] == image["sha256"]
    assert verifier("--pictures") == (0, ["0 differences (15 same)"])
    scenario.sandbox.clear_requests()
    assert scenario.restore(backup, **ALL).actions == []
    assert scenario.writes() == []


@pytest.mark.parametrize("mode", ["mirror", "update_only", "create_only"])
def test_in_other_modes(scenario_v3: RestoreScenario, mode: str) -> None:
    backup = scenario_v3.backup()
    image = spoil(scenario_v3, "lost")
    done = scenario_v3.restore(backup, mode=mode, max_deletes=0, **ALL)
    assert (done.code, done.actions) == (0, [] if mode == "create_only" else [("replace", "done")])
    after = {each["id"]: each for each in scenario_v3.sandbox.dump()["images"]}
    assert after[image["id"]]["sha256"] == (None if mode == "create_only" else image["sha256"])


def test_fields_are_put_right_with_the_picture(scenario: RestoreScenario) -> None:
    backup = scenario.backup()
    image = spoil(scenario, "lost")
    scenario.sandbox.set_image(image["id"], description="overwritten")
    assert scenario.restore(backup, **ALL).actions == [("replace", "done")]
    (after,) = (each for each in scenario.sandbox.dump()["images"] if each["id"] == image["id"])
    assert (after["description"] or "", after["sha256"]) == (image["description"] or "", image["sha256"])


def test_a_picture_that_cannot_be_read_is_left_alone(verifier_v3: Verifier) -> None:
    scenario = verifier_v3.scenario
    image = scenario.sandbox.dump()["images"][4]
    scenario.sandbox.faults("5" * 50, f"GET /product_images/{image['image_file']}")
    code, lines = verifier_v3("--pictures", max_retries=0)
    assert code == 1
    assert f"image {image['id']})" in lines[0]
    assert f"{image['image_file']}  the picture cannot be read: HTTP 500" in lines[0]
    assert lines[0].startswith("! ")
    scenario.sandbox.clear_requests()
    ended = scenario.restore(verifier_v3.backup.read_bytes(), max_retries=0, **ALL)
    assert (ended.code, ended.actions) == (1, [("reject", "rejected")])
    assert scenario.writes() == []


def test_a_lost_picture_of_which_the_backup_has_none(scenario_v3: RestoreScenario) -> None:
    rows = scenario_v3.records(files=False)
    image = spoil(scenario_v3, "lost")
    ended = scenario_v3.restore(singer(head(), *map(row, rows), end(), state()), **ALL)
    assert (ended.code, ended.actions) == (1, [("reject", "rejected")])
    (line,) = (each for each in ended.rows if each.get("status") == "rejected")
    assert line["error"] == "the picture is gone from the store (HTTP 404), and the backup has no file of it"
    assert line["source_id"] == image["id"]


def test_the_file_store_may_have_what_the_backup_does_not_name(scenario_v3: RestoreScenario) -> None:
    rows = scenario_v3.records(files=False)
    scenario_v3.records()
    image = spoil(scenario_v3, "lost")
    done = scenario_v3.restore(singer(head(), *map(row, rows), end(), state()), **ALL)
    assert (done.code, done.actions) == (0, [("replace", "done")])
    assert {each["id"]: each["sha256"] for each in scenario_v3.sandbox.dump()["images"]}[image["id"]] == image["sha256"]


@pytest.mark.parametrize(("sample", "least", "most"), [("4", 4, 4), ("40%", 6, 6), ("1%", 1, 1), ("99", 15, 15)])
def test_a_sample(verifier_v3: Verifier, sample: str, least: int, most: int) -> None:
    verifier_v3.scenario.sandbox.clear_requests()
    assert verifier_v3("--pictures", sample) == (0, ["0 differences (15 same)"])
    assert least <= len(reads(verifier_v3.scenario)) <= most


@pytest.mark.parametrize("sample", ["0", "101%", "x", "0%", ""])
def test_a_sample_that_is_none(sample: str) -> None:
    result = CliRunner().invoke(verify, ["--backup", "x", f"--pictures={sample}"])
    assert result.exit_code == 2
    assert "is neither a number of files nor a percentage such as 5%" in result.output


def test_a_setting_of_the_target_counts_for_verify(verifier_v3: Verifier) -> None:
    spoil(verifier_v3.scenario, "lost")
    assert verifier_v3(check_pictures="all")[0] == 1


def test_nothing_is_read_unless_it_is_asked_for(scenario_v3: RestoreScenario) -> None:
    backup = scenario_v3.backup()
    scenario_v3.sandbox.clear_requests()
    scenario_v3.restore(backup)
    assert reads(scenario_v3) == []
    scenario_v3.restore(backup, check_pictures="sample")
    assert len(reads(scenario_v3)) == 1


# ---------------------------------------------------------------- what cannot be compared to the byte


def photo(seed: int, kind: str = "JPEG") -> bytes:
    """A picture that survives being encoded again, as photographs do."""
    out = io.BytesIO()
    image = Image.radial_gradient("L").resize((120, 90)).rotate(seed * 37)
    Image.merge("RGB", [image, image.rotate(90).resize((120, 90)), image.rotate(200)]).save(out, kind)
    return out.getvalue()


@pytest.fixture
def photos(scenario: RestoreScenario) -> RestoreScenario:
    """A store whose pictures are such ones."""
    for seed, image in enumerate(scenario.sandbox.dump(files=False)["images"]):
        kind = ("JPEG", "PNG", "WEBP")[seed % 3]
        scenario.sandbox.set_image(image["id"], content=photo(seed, kind), filename=f"photo-{seed}.{kind.lower()}")
    return scenario


def test_a_store_that_encodes_anew_is_not_written_to_again(photos: RestoreScenario) -> None:
    verifier = Verifier(photos)
    backup = verifier.backup.read_bytes()
    before = photos.sandbox.dump()["images"]
    for image in before[:3]:
        photos.sandbox.delete_image(image["id"])
    photos.sandbox.set_flags(recompress_uploads="on")
    assert photos.restore(backup).actions == [("create", "done")] * 3
    for _ in range(2):
        photos.sandbox.clear_requests()
        again = photos.restore(backup, **ALL)
        assert (again.code, again.actions) == (0, [])
        assert photos.writes() == []
    code, lines = verifier("--pictures")
    assert code == 0
    assert sum(line.startswith("= ") and "has other bytes" in line for line in lines) == 3
    assert lines[-1] == "Not compared byte for byte: 3 of the 15 that count as same; see their lines."
    # What is gone is found here, too.
    new = next(each for each in photos.sandbox.dump()["images"] if each["id"] not in {image["id"] for image in before})
    photos.sandbox.lose_file(new["id"])
    assert photos.restore(backup, **ALL).actions == [("replace", "done")]


def test_a_cdn_that_alters_pictures_since_the_backup(photos: RestoreScenario) -> None:
    verifier = Verifier(photos)
    backup = verifier.backup.read_bytes()
    photos.sandbox.set_flags(cdn="altered", dav_originals="off")
    photos.sandbox.clear_requests()
    code, lines = verifier("--pictures")
    assert code == 0
    assert lines[-1] == "Not compared byte for byte: 15 of the 15 that count as same; see their lines."
    assert photos.restore(backup, **ALL).actions == []
    assert photos.writes() == []
    photos.sandbox.set_flags(dav_originals="on")  # WebDAV shows the bytes themselves
    assert verifier("--pictures") == (0, ["0 differences (15 same)"])
    photos.sandbox.set_flags(cdn="altered_later")
    for image in photos.sandbox.dump()["images"]:
        requests.get(f"{photos.sandbox.url}/product_images/{image['image_file']}", timeout=10)
    assert verifier("--pictures", webdav_username="") == (0, ["0 differences (15 same)"])


@pytest.mark.parametrize("cdn", ["altered", "altered_later"])
@pytest.mark.parametrize("webdav", [True, False])
@pytest.mark.parametrize("damage", ["all deleted", "some deleted", "ids and names"])
def test_no_picture_twice_and_none_lost(photos: RestoreScenario, cdn: str, webdav: bool, damage: str) -> None:
    """Backup, restore, and a second restore without its ledger, on a store behind a CDN that alters pictures."""
    sandbox = photos.sandbox
    sandbox.set_flags(cdn=cdn, dav_originals="on" if webdav else "off")
    for image in sandbox.dump()["images"]:
        requests.get(f"{sandbox.url}/product_images/{image['image_file']}", timeout=10)
    records = photos.records()
    originals = {image["id"]: image["sha256"] for image in sandbox.dump()["images"]}
    assert all(
        (record["file_source"] == "original") == (record["file_sha256"] == originals[record["id"]])
        for record in records
    )
    backup = singer(head(), *map(row, records), end(), state())
    images = sandbox.dump()["images"]
    for number, image in enumerate(images):
        if damage == "all deleted" or (damage == "some deleted" and number % 2):
            sandbox.delete_image(image["id"])
        elif damage == "ids and names":
            content = sandbox.original(image["image_file"])
            assert content is not None
            sandbox.delete_image(image["id"])
            fields = {name: image[name] for name in ("is_thumbnail", "sort_order", "description")}
            sandbox.add_image(image["product_id"], content, f"other-{number}.{image['image_file'][-4:]}", **fields)
    assert photos.restore(backup).code == 0
    for _ in range(2):
        shutil.rmtree(photos.state_dir, ignore_errors=True)
        sandbox.clear_requests()
        again = photos.restore(backup)
        assert again.code == 0, again.err
        assert "create" not in dict(again.actions)
        counts = Counter(image["product_id"] for image in sandbox.dump()["images"])
        assert set(counts.values()) == {3}
        assert len(counts) == 5


# ---------------------------------------------------------------- records without a file


def test_records_without_a_file_are_named_before_they_are_written(
    scenario_v3: RestoreScenario, caplog: pytest.LogCaptureFixture
) -> None:
    """The store is asked to fetch their old addresses, which may be dead by then."""
    scenario_v3.sandbox.set_flags(lingering_originals="on", lingering_renditions="on")
    records = scenario_v3.records()
    without = [image["id"] for image in scenario_v3.images(FIRST)]
    for record in records:
        if record["id"] in without:
            record.update(file_sha256=None, file_size=None, file_type=None, file_source=None)
    shutil.rmtree(scenario_v3.folder / "files" / "refs")  # else the file store knows them by their paths
    for image in without:
        scenario_v3.sandbox.delete_image(image)
    ended = scenario_v3.restore(singer(head(), *map(row, records), end(), state()), dry_run=True)
    assert [each["reason"] for each in ended.rows if each.get("action") == "create"] == [
        "not in the store, and the backup has no file of it: the store is to fetch its old address"
    ] * 3
    said = [each.getMessage() for each in caplog.records if "backup has no file" in each.getMessage()]
    assert all(f"Product {FIRST}, image {image} (" in line for image, line in zip(without, said, strict=False))
    assert said[3] == (
        "The backup has no file of 3 images to write: the store is to fetch old addresses, which may be dead."
    )
