"""Values that the store does not keep as they are in the backup: refused, or changed by the store itself."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bc_images.cli.retry import retry
from bc_images.cli.verify import verify
from bc_images.errors import RequestRejected
from bigcommerce_sandbox import SandboxServer
from target_bc_images.differences import OMITTED, Difference, KeptValue, Refusal, apply_known, replacements
from tests.support.commands import CommandResult, restored_handlers
from tests.support.target import RestoreScenario, picture

FIRST, SECOND = 101, 102
LONG = "x" * 300
TEXT = " a <b>&</b> c "

REWRITES = {"trim": "a <b>&</b> c", "escape": " a &lt;b&gt;&amp;&lt;/b&gt; c ", "cut": " a <", "strip": " a & c "}


def put(scenario: RestoreScenario, **fields: Any) -> tuple[bytes, dict[str, Any]]:
    """Give the first image of a product these fields; return the backup of it, and the image."""
    image = scenario.images(FIRST)[0]
    scenario.sandbox.set_image(image["id"], **fields)
    return scenario.backup(), scenario.images(FIRST)[0]


def damage(scenario: RestoreScenario, how: str, image: dict[str, Any]) -> None:
    if how == "create":
        scenario.sandbox.delete_image(image["id"])
    elif how == "replace":
        scenario.sandbox.set_image(
            image["id"], content=picture(99), filename="other.png", description="other", sort_order=5
        )
    else:
        scenario.sandbox.set_image(image["id"], description="other", sort_order=5)


def differing(run: CommandResult) -> list[dict[str, Any]]:
    return [{"field": each["field"], "sent": each["sent"], "kept": each["kept"]} for each in differences(run)]


def differences(run: CommandResult) -> list[dict[str, Any]]:
    return [each for line in run.rows for each in line.get("differences", [])]


def image_writes(scenario: RestoreScenario) -> list[str]:
    return [method for method, path in scenario.writes() if path.startswith("/stores")]


def command(scenario: RestoreScenario, what: Any, *arguments: str) -> Any:
    settings = scenario.folder / "config.json"
    settings.write_text(json.dumps(scenario.config))
    with restored_handlers():
        return CliRunner().invoke(what, [*arguments, "--config", str(settings)])


class Files(SimpleHTTPRequestHandler):
    """Serves a folder without a word."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(params=["multipart", "webdav", "url"])
def upload(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The settings of one way a picture can go; its file store is served where the store fetches it."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Files, directory=str(tmp_path / "files"))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield {"upload_method": request.param, "file_store_public_url": f"http://127.0.0.1:{server.server_port}"}
        server.shutdown()


class TestRefused:
    """It does not cost the picture, nor the other fields; the report names field, value sent and value kept."""

    @pytest.mark.parametrize("how", ["create", "replace", "update"])
    @pytest.mark.parametrize("errors", ["named", "nested", "unnamed"])
    def test_a_text_over_the_limit(self, scenario: RestoreScenario, how: str, errors: str) -> None:
        backup, image = put(scenario, description=LONG, sort_order=7)
        digests = [shape[3] for shape in scenario.state()[FIRST]]
        damage(scenario, how, image)
        scenario.sandbox.set_flags(description_max=255, field_errors=errors)
        run = scenario.restore(backup)
        assert run.code == 1, run.err
        assert sorted(shape[3] for shape in scenario.state()[FIRST]) == sorted(digests)
        (found,) = [each for each in scenario.images(FIRST) if each["sort_order"] == 7]
        is_cut = how == "create" and errors != "unnamed"  # an image without a text is given as much as the store takes
        assert found["description"] == (LONG[:255] if is_cut else "" if how == "create" else "other")
        assert differing(run) == [{"field": "description", "sent": LONG, "kept": found["description"]}]
        (difference,) = differences(run)
        assert "HTTP 4" in difference["error"]
        assert run.actions == [(how, "done")]
        assert "differs       product 101, image" in run.err
        assert "'], " not in run.err, "nested errors are text"
        scenario.sandbox.clear_requests()
        run = scenario.restore(backup)
        assert (run.code, image_writes(scenario)) == (1, [])
        assert differing(run) == [{"field": "description", "sent": LONG, "kept": found["description"]}]

    def test_by_every_way_a_picture_can_go(self, scenario_v3: RestoreScenario, upload: dict[str, str]) -> None:
        backup, image = put(scenario_v3, description=LONG)
        damage(scenario_v3, "create", image)
        scenario_v3.sandbox.set_flags(description_max=255)
        run = scenario_v3.restore(backup, **upload)
        assert (run.code, run.actions) == (1, [("create", "done")]), run.err
        assert len(scenario_v3.images(FIRST)) == 3

    def test_by_address(self, scenario: RestoreScenario) -> None:
        scenario.sandbox.set_flags(lingering_originals="on", lingering_renditions="on")
        put(scenario, description=LONG)
        backup = scenario.backup(files=False)
        scenario.sandbox.delete_image(scenario.images(FIRST)[0]["id"])
        scenario.sandbox.set_flags(description_max=255)
        run = scenario.restore(backup, file_store="")
        assert (run.code, run.actions) == (1, [("create", "done")])
        assert LONG[:255] in [image["description"] for image in scenario.images(FIRST)]

    @pytest.mark.parametrize("how", ["create", "replace", "update"])
    @pytest.mark.parametrize("errors", ["named", "unnamed"])
    def test_a_negative_order(self, sandbox: SandboxServer, tmp_path: Path, how: str, errors: str) -> None:
        scenario = RestoreScenario(sandbox, tmp_path, "v2")
        backup, image = put(scenario, sort_order=-3, description="text")
        damage(scenario, how, image)
        sandbox.set_flags(v2_negative_sort_order="refuse", field_errors=errors)
        run = scenario.restore(backup)
        assert (run.code, run.actions) == (1, [(how, "done")])
        assert differing(run) == [{"field": "sort_order", "sent": -3, "kept": 0}]
        assert ("text", 0) in [(each["description"], each["sort_order"]) for each in scenario.images(FIRST)]
        sandbox.clear_requests()
        assert (scenario.restore(backup).code, image_writes(scenario)) == (1, [])

    def test_both_at_once(self, sandbox: SandboxServer, tmp_path: Path) -> None:
        scenario = RestoreScenario(sandbox, tmp_path, "v2")
        backup, image = put(scenario, sort_order=-3, description=LONG)
        damage(scenario, "create", image)
        sandbox.set_flags(v2_negative_sort_order="refuse", description_max=255)
        run = scenario.restore(backup)
        assert (run.code, run.actions) == (1, [("create", "done")])
        assert sorted(each["field"] for each in differing(run)) == ["description", "sort_order"]

    def test_a_refused_picture_is_no_matter_of_its_fields(self, scenario_v3: RestoreScenario) -> None:
        backup = scenario_v3.backup()
        scenario_v3.sandbox.delete_image(scenario_v3.images(FIRST)[0]["id"])
        scenario_v3.sandbox.set_flags(max_file_bytes=10)
        run = scenario_v3.restore(backup)
        assert (run.code, run.actions, differences(run)) == (1, [("create", "failed")], [])
        assert "8 MB size limit" in run.failed["error"]

    def test_it_stops_where_it_is_to_stop(self, scenario: RestoreScenario) -> None:
        backup, image = put(scenario, description=LONG)
        damage(scenario, "create", image)
        scenario.sandbox.set_image(scenario.images(SECOND)[0]["id"], description="overwritten")
        scenario.sandbox.set_flags(description_max=255)
        run = scenario.restore(backup, on_error="stop", concurrency=1)
        assert (run.code, run.actions) == (1, [("create", "done"), ("update", "not reached")])

    def test_retry_tries_again_what_the_store_takes_by_now(self, scenario: RestoreScenario) -> None:
        backup, image = put(scenario, description=LONG)
        before = scenario.state()
        damage(scenario, "create", image)
        scenario.sandbox.set_flags(description_max=255)
        assert scenario.restore(backup).code == 1
        result = command(scenario, retry, str(scenario.report))
        assert result.exit_code == 1
        scenario.sandbox.set_flags(description_max=0)
        result = command(scenario, retry, str(scenario.report))
        assert result.exit_code == 0, result.output
        assert scenario.state() == before
        scenario.sandbox.clear_requests()
        assert (scenario.restore(backup).code, image_writes(scenario)) == (0, [])

    def test_a_mirror_still_deletes(self, scenario: RestoreScenario) -> None:
        backup, image = put(scenario, description=LONG)
        damage(scenario, "create", image)
        scenario.sandbox.add_image(SECOND, picture(1), "extra.png")
        scenario.sandbox.set_flags(description_max=255)
        run = scenario.restore(backup, mode="mirror", max_deletes=1)
        assert (run.code, run.actions) == (1, [("create", "done"), ("delete", "done")])

    def test_verify_names_it_and_a_dry_run_ends_as_the_run_would(self, scenario: RestoreScenario) -> None:
        backup, image = put(scenario, description=LONG)
        (scenario.folder / "backup.singer").write_bytes(backup)
        damage(scenario, "create", image)
        scenario.sandbox.set_flags(description_max=255)
        assert scenario.restore(backup).code == 1
        assert scenario.restore(backup, dry_run=True).code == 1
        result = command(scenario, verify, "--backup", str(scenario.folder / "backup.singer"))
        assert (result.exit_code, "1 difference (" in result.output) == (1, True)


class TestRewritten:
    """A store that trims, escapes, cuts or strips a text: the same value once more, then done and named."""

    @pytest.mark.parametrize("how", ["create", "replace", "update"])
    @pytest.mark.parametrize("rewrite", list(REWRITES))
    def test_at_most_two_writes(self, scenario: RestoreScenario, how: str, rewrite: str) -> None:
        backup, image = put(scenario, description=TEXT)
        damage(scenario, how, image)
        scenario.sandbox.set_flags(description_rewrite=rewrite, description_max=4 if rewrite == "cut" else 0)
        scenario.sandbox.clear_requests()
        run = scenario.restore(backup)
        assert (run.code, run.actions) == (1, [(how, "done")]), run.err
        assert len(image_writes(scenario)) == 2
        assert differing(run) == [{"field": "description", "sent": TEXT, "kept": REWRITES[rewrite]}]
        assert f"description: sent '{TEXT}', the store shows '{REWRITES[rewrite]}'" in run.err
        assert "1 restored but for values that the store does not take" in run.err
        scenario.sandbox.clear_requests()
        run = scenario.restore(backup)
        assert (run.code, image_writes(scenario)) == (1, [])
        assert differing(run) == [{"field": "description", "sent": TEXT, "kept": REWRITES[rewrite]}]

    def test_without_the_ledger_it_is_found_out_again(self, scenario: RestoreScenario) -> None:
        backup, image = put(scenario, description=TEXT)
        damage(scenario, "create", image)
        scenario.sandbox.set_flags(description_rewrite="trim")
        assert scenario.restore(backup).code == 1
        scenario.lose_ledger()
        scenario.sandbox.clear_requests()
        assert (scenario.restore(backup).code, image_writes(scenario)) == (1, ["PUT", "PUT"])
        assert len(scenario.images(FIRST)) == 3

    def test_what_somebody_else_writes_later_is_put_right(self, scenario: RestoreScenario) -> None:
        backup, image = put(scenario, description=TEXT)
        damage(scenario, "create", image)
        scenario.sandbox.set_flags(description_rewrite="trim")
        scenario.restore(backup)
        (made,) = [each for each in scenario.images(FIRST) if each["description"] == REWRITES["trim"]]
        scenario.sandbox.set_image(made["id"], description="somebody else's")
        scenario.sandbox.clear_requests()
        run = scenario.restore(backup)
        assert (run.code, image_writes(scenario)) == (1, ["PUT"])
        assert differing(run) == [{"field": "description", "sent": TEXT, "kept": REWRITES["trim"]}]

    def test_an_order_that_is_kept_as_another(self, sandbox: SandboxServer, tmp_path: Path) -> None:
        scenario = RestoreScenario(sandbox, tmp_path, "v2")
        backup, image = put(scenario, sort_order=-3)
        damage(scenario, "create", image)
        sandbox.set_flags(v2_negative_sort_order="zero")
        sandbox.clear_requests()
        run = scenario.restore(backup)
        assert (run.code, run.actions, len(image_writes(scenario))) == (1, [("create", "done")], 2)
        assert differing(run) == [{"field": "sort_order", "sent": -3, "kept": 0}]

    @pytest.mark.parametrize("shift", ["none", "shift"])
    def test_a_whole_store_of_them(self, scenario: RestoreScenario, shift: str) -> None:
        """Orders that the store moves need many writes, texts that it trims two."""
        for image in scenario.records(files=False):
            scenario.sandbox.set_image(image["id"], description=f" {image['id']} ")
        wanted, backup = scenario.state(), scenario.backup()
        for image in scenario.records(files=False):
            scenario.sandbox.delete_image(image["id"])
        scenario.sandbox.set_flags(description_rewrite="trim", sort_order_shift=shift)
        run = scenario.restore(backup)
        assert (run.code, run.actions) == (1, [("create", "done")] * 15)
        assert {each["field"] for each in differing(run)} == {"description"}
        assert scenario.state() == {
            product: sorted((*shape[:2], shape[2].strip(), shape[3]) for shape in shapes)
            for product, shapes in wanted.items()
        }
        scenario.sandbox.clear_requests()
        assert (scenario.restore(backup).code, image_writes(scenario)) == (1, [])


class TestAnsweredWithSomethingElse:
    """A success with an empty or another body: one look settles it."""

    @pytest.mark.parametrize("letter", ["e", "f"])
    @pytest.mark.parametrize("how", ["create", "replace", "update"])
    def test_it_was_done(self, scenario: RestoreScenario, letter: str, how: str) -> None:
        before, backup = scenario.state(), scenario.backup()
        damage(scenario, how, scenario.images(FIRST)[0])
        scenario.sandbox.faults(letter * 9, match="(POST|PUT) /stores")
        scenario.sandbox.clear_requests()
        run = scenario.restore(backup)
        assert (run.code, run.actions) == (0, [(how, "done")]), run.err
        assert len(image_writes(scenario)) - (how != "update" and scenario.config["api_version"] == "v2") * 3 <= 1
        assert scenario.state() == before

    @pytest.mark.parametrize("letter", ["E", "h"])
    @pytest.mark.parametrize("how", ["create", "replace", "update"])
    def test_it_was_not_done_once(self, scenario: RestoreScenario, letter: str, how: str) -> None:
        before, backup = scenario.state(), scenario.backup()
        damage(scenario, how, scenario.images(FIRST)[0])
        scenario.sandbox.faults(letter, match="(POST|PUT) /stores")
        run = scenario.restore(backup)
        assert (run.code, run.actions) == (0, [(how, "done")]), run.err
        assert scenario.state() == before

    @pytest.mark.parametrize("letter", ["E", "h", "n"])
    def test_it_is_never_done(self, scenario: RestoreScenario, letter: str) -> None:
        before, backup = scenario.state(), scenario.backup()
        damage(scenario, "create", scenario.images(FIRST)[0])
        scenario.sandbox.faults(letter * 99, match="POST /stores")
        scenario.sandbox.clear_requests()
        run = scenario.restore(backup)
        assert (run.code, run.actions) == (1, [("create", "failed")])
        assert "has answered 2 times that it was done, and does not show it" in run.failed["error"]
        assert image_writes(scenario).count("POST") == 2
        scenario.sandbox.faults("")
        assert scenario.restore(backup).code == 0
        assert scenario.state() == before


@pytest.mark.parametrize("letters", ["5", "7"])
def test_a_created_image_whose_fields_fail_later_is_created(scenario: RestoreScenario, letters: str) -> None:
    """The store takes the picture and refuses the fields without a name; their update then fails for good."""
    backup, image = put(scenario, description=LONG)
    damage(scenario, "create", image)
    scenario.sandbox.set_flags(description_max=255, field_errors="unnamed")
    scenario.sandbox.faults(letters * 99, match=r"PUT /stores/.*/images/\d+$")
    run = scenario.restore(backup, max_retries=0)
    assert run.code == 1
    assert [(each["action"], each["status"]) for each in run.rows if each.get("action") == "create"] == [
        ("create", "done")
    ]
    assert {each["field"] for each in differences(run)} >= {"description"}
    assert len(scenario.images(FIRST)) == 3


TRIMMED = KeptValue(" a", "a")


@pytest.mark.parametrize(
    ("fields", "image", "refusals", "kept_values", "written", "left"),
    [
        ({"sort_order": 1}, {"sort_order": 2}, {}, {}, {"sort_order": 1}, []),
        (
            {"description": " a"},
            {"description": "a"},
            {},
            {"description": TRIMMED},
            {},
            [Difference("description", " a", "a")],
        ),
        (
            {"description": " a"},
            {"description": "b"},
            {},
            {"description": TRIMMED},
            {"description": " a"},
            [],
        ),
        (
            {"description": " b"},
            {"description": "a"},
            {},
            {"description": TRIMMED},
            {"description": " b"},
            [],
        ),
        ({"description": " a"}, None, {}, {"description": TRIMMED}, {"description": " a"}, []),
        ({"description": "ab"}, None, {"description": Refusal("ab", "a", "no")}, {}, {"description": "a"}, []),
        ({"description": "ab"}, None, {"description": Refusal("ab", OMITTED, "no")}, {}, {}, []),
        (
            {"description": "ab"},
            {"description": None},
            {"description": Refusal("ab", OMITTED, "no")},
            {},
            {},
            [Difference("description", "ab", "", "no")],
        ),
        ({"sort_order": -1}, {"sort_order": 4}, {"sort_order": Refusal(-1, 0, "no")}, {}, {"sort_order": 0}, []),
        (
            {"sort_order": -1},
            {"sort_order": 0},
            {"sort_order": Refusal(-1, 0, "no")},
            {},
            {},
            [Difference("sort_order", -1, 0, "no")],
        ),
    ],
)
def test_apply_known(
    fields: dict[str, Any],
    image: dict[str, Any] | None,
    refusals: dict[str, Refusal],
    kept_values: dict[str, KeptValue],
    written: dict[str, Any],
    left: list[Difference],
) -> None:
    assert apply_known(fields, image, refusals, kept_values) == (written, tuple(left))


FIELDS = {"description": "abc", "sort_order": -1}


@pytest.mark.parametrize(
    ("fields", "status", "named", "max_length", "is_new", "wanted"),
    [
        (FIELDS, 422, {"description"}, 2, True, {"description": "ab"}),
        (FIELDS, 422, {"description"}, 2, False, {"description": OMITTED}),
        (FIELDS, 422, {"description"}, None, True, {"description": OMITTED}),
        (FIELDS, 422, {"description"}, 3, True, {"description": OMITTED}),
        (FIELDS, 400, {"sort_order"}, None, True, {"sort_order": 0}),
        (FIELDS, 400, {"sort_order", "description"}, None, False, {"sort_order": 0, "description": OMITTED}),
        (FIELDS, 400, set(), None, True, {}),
        ({"is_thumbnail": True}, 400, set(), None, True, {"is_thumbnail": OMITTED}),
        (FIELDS, 422, {"image_file", "description"}, None, True, None),
        (FIELDS, 422, {"is_thumbnail"}, None, True, None),
        (FIELDS, 409, {"description"}, None, True, None),
        (FIELDS, None, set(), None, True, None),
        ({}, 422, set(), None, True, None),
    ],
)
def test_replacements(
    fields: dict[str, Any],
    status: int | None,
    named: set[str],
    max_length: int | None,
    is_new: bool,
    wanted: dict[str, Any] | None,
) -> None:
    error = RequestRejected("no", status, fields=named, max_length=max_length)
    assert replacements(fields, error, is_new=is_new) == wanted
