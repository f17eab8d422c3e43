"""Input that is packed, in another encoding, nested without end, or cut off: read, or refused in one clear line."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner

from bc_images.cli.retry import retry
from bc_images.errors import BcImagesError
from bigcommerce_sandbox import SandboxServer
from tests.support import commands
from tests.support.commands import restored_handlers
from tests.support.target import RestoreScenario, end, head, row, singer, state
from tests.support.verifier import Verifier

FIRST, SECOND = 101, 102
NOTHING = "nothing was written to the store"

PACKED: list[Callable[[bytes], bytes]] = [
    gzip.compress,
    lambda data: b"\xef\xbb\xbf" + data,
    lambda data: gzip.compress(b"\xef\xbb\xbf" + data),
    lambda data: gzip.compress(data[:500]) + gzip.compress(data[500:]),
]
UNREADABLE: list[tuple[Callable[[bytes], bytes], str]] = [
    (lambda data: data.decode().encode("utf-16"), "UTF-16"),
    (lambda data: data.decode().encode("utf-16-le"), "UTF-16"),
    (lambda data: data.decode().encode("utf-32"), "UTF-32"),
    (lambda data: gzip.compress(data)[:-3], "its end is missing"),
    (lambda data: b"BZh91AY&SY" + data, "bzip2"),
]


def nested(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


def config_of(scenario: RestoreScenario) -> Path:
    path = scenario.folder / "config.json"
    path.write_text(json.dumps(scenario.config))
    return path


class TestPacked:
    @pytest.mark.parametrize("pack", PACKED)
    @pytest.mark.parametrize("way", ["stdin", "--input"])
    def test_the_target_reads_it(self, scenario_v3: RestoreScenario, pack: Callable[[bytes], bytes], way: str) -> None:
        before, data = scenario_v3.state(), pack(scenario_v3.backup())
        scenario_v3.sandbox.delete_image(scenario_v3.images(FIRST)[0]["id"])
        config = config_of(scenario_v3)
        path = scenario_v3.folder / "backup.singer"  # whatever its name says
        path.write_bytes(data)
        more: list[str] = [] if way == "stdin" else ["--input", str(path)]
        stdin = data if way == "stdin" else b""
        ended = commands.run("target-bc-images", "--config", config, *more, stdin=stdin, cwd=scenario_v3.folder)
        assert (ended.code, scenario_v3.state()) == (0, before), ended.err

    @pytest.mark.parametrize("pack", PACKED)
    def test_verify_and_check_read_it(self, scenario_v3: RestoreScenario, pack: Callable[[bytes], bytes]) -> None:
        verifier = Verifier(scenario_v3)
        verifier.backup.write_bytes(pack(verifier.backup.read_bytes()))
        assert verifier()[0] == 0
        ended = commands.run("bc-images", "check", f"--file-store={scenario_v3.config['file_store']}", verifier.backup)
        assert (ended.code, "0 missing" in ended.out) == (0, True)

    @pytest.mark.parametrize("pack", PACKED)
    def test_an_archive_is_made_of_it_and_given_back(
        self, scenario_v3: RestoreScenario, pack: Callable[[bytes], bytes]
    ) -> None:
        data = scenario_v3.backup()
        config = scenario_v3.folder / "archive.json"
        config.write_text(json.dumps({"file_store": scenario_v3.config["file_store"]}))
        assert commands.run("target-singer-archive", "--config", config, stdin=pack(data)).code == 0
        back = commands.run("tap-singer-archive", "--config", config)
        assert back.out.encode().splitlines() == [line for line in data.splitlines() if b'"STATE"' not in line]


class TestUnreadable:
    @pytest.mark.parametrize(("spoil", "reason"), UNREADABLE)
    def test_the_target_says_what_it_is(
        self, scenario_v3: RestoreScenario, spoil: Callable[[bytes], bytes], reason: str
    ) -> None:
        run = scenario_v3.restore(spoil(scenario_v3.backup()))
        assert (run.code, run.out, scenario_v3.writes()) == (3, "", [])
        assert reason in run.err
        assert NOTHING in run.err
        assert len(run.err.splitlines()) == 1

    @pytest.mark.parametrize(("spoil", "reason"), UNREADABLE)
    def test_verify_and_check_name_the_file(
        self, scenario_v3: RestoreScenario, spoil: Callable[[bytes], bytes], reason: str
    ) -> None:
        verifier = Verifier(scenario_v3)
        verifier.backup.write_bytes(spoil(verifier.backup.read_bytes()))
        code, (line,) = verifier()
        ended = commands.run("bc-images", "check", f"--file-store={scenario_v3.config['file_store']}", verifier.backup)
        for exit_code, said in ((code, line), (ended.code, ended.err)):
            assert exit_code == 3
            assert str(verifier.backup) in said
            assert reason in said
            assert "written" not in said

    def test_verify_names_line_and_file_of_every_fault(self, scenario_v3: RestoreScenario) -> None:
        verifier = Verifier(scenario_v3)
        verifier.backup.write_bytes(singer(head(), row({}, "orders")))
        code, (line,) = verifier()
        assert (code, line.startswith(f"Line 2 of {verifier.backup} is a RECORD of orders before its SCHEMA")) == (
            3,
            True,
        )

    def test_verify_names_the_streams_where_none_is_ours(self, scenario_v3: RestoreScenario) -> None:
        verifier = Verifier(scenario_v3)
        verifier.backup.write_bytes(singer(head("pictures"), row({"id": 1}, "pictures"), end("pictures")))
        code, (line,) = verifier()
        assert code == 3
        assert '{"pictures": {"__alias__": "product_images"}}' in line

    @pytest.mark.parametrize("kind", ["two streams", "aliased"])
    def test_verify_never_says_that_it_differs(self, scenario_v3: RestoreScenario, kind: str) -> None:
        verifier = Verifier(scenario_v3)
        second = "raw-product_images" if kind == "two streams" else "pictures"
        first = head() if kind == "two streams" else head("other")
        verifier.backup.write_bytes(singer(first, head(second), row({"id": 1}, second)))
        assert verifier()[0] == 3


class TestNesting:
    """Never a RecursionError: the line is named."""

    DEEP = 300

    def messages(self, levels: int) -> dict[str, bytes]:
        deep = nested(levels)
        record = orjson.dumps(row({"id": 1, "product_id": FIRST, "image_file": "a.png", "is_thumbnail": True,
                                   "sort_order": 0}))  # fmt: skip
        return {
            "record": record[:-1].replace(b'"sort_order":0', b'"sort_order":0,"x":' + deep) + b"}",
            "rejected record": b'{"type":"RECORD","stream":"product_images","record":{"x":' + deep + b"}}",
            "value": b'{"type":"RECORD","stream":"product_images","record":{"id":' + deep + b"}}",
            "record of another stream": b'{"type":"RECORD","stream":"x","record":{"id":1,"x":' + deep + b"}}",
            "schema": b'{"type":"SCHEMA","stream":"y","schema":{"properties":{"x":' + deep + b"}}}",
            "state": b'{"type":"STATE","value":{"x":' + deep + b"}}",
            "type": b'{"type":' + deep + b"}",
            "stream": b'{"type":"RECORD","record":{},"stream":' + deep + b"}",
            "version": b'{"type":"ACTIVATE_VERSION","stream":"product_images","version":' + deep + b"}",
        }

    @pytest.mark.parametrize("settings", [{}, {"stream_maps": {"product_images": {"tiny_url": "__NULL__"}}}])
    @pytest.mark.parametrize("levels", [150, DEEP, 1000, 100_000])
    def test_it_is_refused_with_the_number_of_its_line(
        self, scenario_v3: RestoreScenario, levels: int, settings: dict[str, Any]
    ) -> None:
        before = singer(head(), head("x"))
        scenario_v3.restore(singer(head()))
        for what, message in self.messages(levels).items():
            run = scenario_v3.restore(before + message + b"\n", **json.loads(json.dumps(settings)))
            if run.code != 3:  # not so deep that anything breaks: then it is a record like any other
                assert what in {"record", "rejected record", "value", "record of another stream"}, what
                assert levels < self.DEEP or "another" in what
                continue
            assert "Line 3 of the input" in run.err, what
            assert len(run.err.splitlines()[-1]) < 500
        assert levels < self.DEEP or scenario_v3.writes() == []

    @pytest.mark.parametrize("levels", [DEEP, 100_000])
    def test_other_commands(self, scenario_v3: RestoreScenario, levels: int) -> None:
        verifier, config = Verifier(scenario_v3), scenario_v3.folder / "archive.json"
        config.write_text(json.dumps({"file_store": scenario_v3.config["file_store"]}))
        for what, message in self.messages(levels).items():
            data = singer(head(), head("x")) + message + b"\n"
            verifier.backup.write_bytes(data)
            code, lines = verifier()
            assert code == 3, what
            assert len(lines[-1]) < 500
            archived = commands.run("target-singer-archive", "--config", config, stdin=data)
            checked = commands.run(
                "bc-images", "check", f"--file-store={scenario_v3.config['file_store']}", verifier.backup
            )
            for ended in (archived, checked):
                assert ended.code in {0, 1, 3}
                assert "bug" not in ended.err
                assert len(ended.err.splitlines()) <= 2


class TestNumbers:
    """Ids of 2^63 and more: a record like any other that does not fit."""

    @pytest.mark.parametrize("number", [2**63, 2**64 - 1, 2**64, 2**70, -(2**63), -(2**64), 10**400])
    @pytest.mark.parametrize("column", ["id", "product_id", "sort_order", "file_size", "version"])
    def test_they_cost_their_record(self, scenario_v3: RestoreScenario, number: int, column: str) -> None:
        records = scenario_v3.records()
        scenario_v3.sandbox.delete_image(scenario_v3.images(SECOND)[0]["id"])
        odd = json.dumps(row({**records[0], "id": 77, column: number})).encode() + b"\n"
        run = scenario_v3.restore(singer(head()) + odd + singer(*map(row, records)))
        assert "bug" not in run.err
        assert len(scenario_v3.images(SECOND)) == 3
        assert run.summary["rejected"] == (column in {"id", "product_id", "sort_order"})

    def test_in_a_list_of_products_and_in_settings(self, scenario_v3: RestoreScenario) -> None:
        listed = [row({"id": number, "image_count": number, "sku": "x"}, "products") for number in (2**63, 2**64 - 1)]
        data = singer(head("products"), *listed, head(), *map(row, scenario_v3.records()), end())
        assert scenario_v3.restore(data).code == 0
        run = scenario_v3.restore(data, product_ids=[2**63, FIRST])
        assert (run.code, f"product {2**63}: the input has no image of this product" in run.err) == (1, True)
        assert scenario_v3.restore(data, mode="mirror", max_deletes=0).code in {0, 2}

    def test_in_a_report(self, scenario_v3: RestoreScenario) -> None:
        record = {**scenario_v3.records()[0], "id": 2**63}
        line = {"action": "create", "status": "failed", "product_id": FIRST, "source_id": 2**63, "target_id": 2**63}
        done = {**line, "status": "done", "source_id": 2**64 - 1}
        scenario_v3.report.write_bytes(singer({**line, "record": record}, done, {"summary": {}}))
        with restored_handlers():
            result = CliRunner().invoke(retry, [str(scenario_v3.report), "--config", str(config_of(scenario_v3))])
        assert isinstance(result.exception, BcImagesError), result.exception
        assert result.exception.exit_code == 1


class TestCharactersAndNumbers:
    """What JSON may say and no other JSON may repeat: it costs a character, or at most its own record."""

    def edited(self, scenario: RestoreScenario, column: str, old: bytes, new: bytes) -> bytes:
        """Return a backup in which the value of a column in the first record is something else."""
        data = scenario.backup()
        lines = data.splitlines(keepends=True)
        assert lines[1].count(b'"%b":%b' % (column.encode(), old)) == 1
        lines[1] = lines[1].replace(b'"%b":%b' % (column.encode(), old), b'"%b":%b' % (column.encode(), new))
        return b"".join(lines)

    @pytest.mark.parametrize("character", [rb"\ud83d", b"\xed\xa0\xbd"])
    def test_half_of_a_surrogate_pair(
        self, scenario_v3: RestoreScenario, character: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        image = scenario_v3.images(FIRST)[0]["id"]
        scenario_v3.sandbox.set_image(image, description="cat")
        data = self.edited(scenario_v3, "description", b'"cat"', b'"cat %b"' % character)
        assert scenario_v3.restore(data).code == 0
        assert scenario_v3.images(FIRST)[0]["description"] == "cat \ufffd"
        assert (
            f"Line 2 of the input: record, id {image}, description: a broken character, read as U+FFFD." in caplog.text
        )
        verifier = Verifier(scenario_v3)
        verifier.backup.write_bytes(data)
        assert verifier()[0] == 0
        ended = commands.run("bc-images", "check", f"--file-store={scenario_v3.config['file_store']}", verifier.backup)
        assert (ended.code, "a broken character, read as U+FFFD" in ended.err) == (0, True)

    @pytest.mark.parametrize("number", [b"1e999", b"-Infinity", b"9" * 400])
    def test_a_number_beyond_all_measure(self, scenario_v3: RestoreScenario, number: bytes) -> None:
        before, good = scenario_v3.state(), scenario_v3.backup()
        data = self.edited(scenario_v3, "sort_order", b"0", number)
        for image in scenario_v3.images(FIRST):
            scenario_v3.sandbox.delete_image(image["id"])
        run = scenario_v3.restore(data)
        assert (run.code, run.summary["rejected"], len(scenario_v3.images(FIRST))) == (1, 1, 2)
        assert 'set stream_maps to {"product_images": {"sort_order": "0 if sort_order == ' in run.rows[0]["reason"]
        assert '1e999 else sort_order"}' in run.rows[0]["reason"]
        unused = good.replace(b'"record":{', b'"record":{"weight":%b,' % number)
        run = scenario_v3.restore(unused)
        assert (run.code, run.summary["rejected"], scenario_v3.state()) == (0, 0, before)


class TestUndo:
    """An undo that a crash has cut off: everything before the cut counts."""

    def undo(self, scenario: RestoreScenario) -> tuple[dict[int, Any], bytes, Path]:
        """Overwrite the store by a restore; return how it was before, and what takes the restore back."""
        changed = [{**each, "description": "overwritten"} for each in scenario.records()]
        before = scenario.state()
        assert scenario.restore(singer(head(), *map(row, changed))).code == 0
        (path,) = scenario.state_dir.glob("undo-*.singer")
        return before, path.read_bytes(), path

    @pytest.mark.parametrize("cut", [1, 2, 30])
    @pytest.mark.parametrize("way", ["stdin", "file"])
    def test_half_a_last_line(
        self, scenario_v3: RestoreScenario, cut: int, way: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        before, undo, path = self.undo(scenario_v3)
        lines = undo.splitlines()
        assert b"ACTIVATE_VERSION" in lines.pop()
        whole = b"\n".join(lines) + b"\n"
        if way == "stdin":
            assert scenario_v3.restore(whole + b'{"type":"ACTIVATE_VERSION","stream"'[:-cut]).code == 0
            assert "is truncated: everything before it counts" in caplog.text
        else:
            path.write_bytes(whole + b'{"type":"ACTIVATE_VERSION","stream"'[:-cut])
            ended = commands.run("target-bc-images", "--config", config_of(scenario_v3), "--input", path)
            assert ended.code == 0, ended.err
            assert "everything before it counts" in ended.err
        assert scenario_v3.state() == before

    def test_a_mirror_deletes_nothing_on_it(self, scenario_v3: RestoreScenario) -> None:
        before, undo, _ = self.undo(scenario_v3)
        cut = undo[: undo.rindex(b'"ACTIVATE_VERSION"')]
        run = scenario_v3.restore(cut, mode="mirror", max_deletes=99)
        assert (run.code, scenario_v3.state()) == (1, before)
        assert "mirror deleted nothing" in run.err

    def test_a_mirror_takes_back_what_was_done(self, tmp_path: Path) -> None:
        """Killed while the undo of the second batch was written: the products in it were not touched yet."""
        with SandboxServer(products=252, images=2) as sandbox:
            scenario = RestoreScenario(sandbox, tmp_path)
            records = scenario.records()
            first, last = records[0], records[-1]
            sandbox.delete_image(first["id"])
            before = scenario.state()
            wanted = [{**each, "description": "new"} if each is last else each for each in records]
            assert scenario.restore(singer(head(), *map(row, wanted))).code == 0
            (path,) = scenario.state_dir.glob("undo-*.singer")
            lines = path.read_bytes().splitlines(keepends=True)
            marks = [number for number, line in enumerate(lines) if b"ACTIVATE_VERSION" in line]
            assert len(marks) == 2
            assert len(lines) == marks[1] + 1 == marks[0] + 5  # a product, its two images, the mark
            sandbox.set_image(last["id"], description=last["description"])  # as if the second batch had not been begun
            for number, length in ((2, -9), (3, -9), (2, 0)):  # within its first image, its second, or before both
                number += marks[0]  # noqa: PLW2901
                created = max(each["id"] for each in scenario.images(first["product_id"]))
                assert len(scenario.state()[first["product_id"]]) == 2
                cut = b"".join(lines[:number]) + lines[number][:length]
                run = scenario.restore(cut, mode="mirror", max_deletes=1)
                assert (run.code, scenario.state()) == (0, before), run.err
                assert created not in [each["id"] for each in scenario.images(first["product_id"])]
                assert scenario.restore(singer(head(), row(first))).code == 0  # done once more, for the next cut

    def test_check_and_verify_read_it_too(self, scenario_v3: RestoreScenario) -> None:
        before, undo, path = self.undo(scenario_v3)
        path.write_bytes(undo[: undo.rindex(b'"ACTIVATE_VERSION"')])
        assert scenario_v3.restore(path.read_bytes()).code == 0
        assert scenario_v3.state() == before
        assert Verifier(scenario_v3)(backup=path)[0] == 0
        ended = commands.run("bc-images", "check", f"--file-store={scenario_v3.config['file_store']}", path)
        assert ended.code in {0, 1}
        assert "everything before it counts" in ended.err

    def test_any_other_file_is_damaged(self, scenario_v3: RestoreScenario) -> None:
        run = scenario_v3.restore(scenario_v3.backup()[:-20])
        assert (run.code, "is truncated" in run.err) == (3, True)


def test_standard_input_that_is_closed(scenario_v3: RestoreScenario) -> None:
    command = Path(sys.executable).parent / "target-bc-images"
    ended = subprocess.run(
        ["sh", "-c", f"exec {command} --config {config_of(scenario_v3)} <&-"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, "The input is empty" in ended.stderr.splitlines()[-1]) == (3, True)


def test_a_state_after_nothing_understood_stays(scenario_v3: RestoreScenario) -> None:
    run = scenario_v3.restore(singer(head("x"), row({"id": 1}, "x"), state()))
    assert (run.code, run.states) == (1, [])
