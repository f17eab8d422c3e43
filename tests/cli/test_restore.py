"""``bc-images restore`` and ``bc-images undo``: a plan, a question, and the store as it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bigcommerce_sandbox import SandboxServer
from tests.support import terminal
from tests.support.commands import BIN, CommandResult, run
from tests.support.stores import looks, wreck, writes
from tests.support.tap import settings as tap_settings

Looks = Any
COMMAND = str(BIN / "bc-images")
FIRST = 101  # the first product


@pytest.fixture
def folder(sandbox: SandboxServer, tmp_path: Path) -> Path:
    """A folder with the settings of the sandbox, and one snapshot of it."""
    settings = tap_settings(sandbox.url, file_store="files", state_dir="state", pending_write_timeout=0)
    (tmp_path / "bc-images.toml").write_text(
        "\n".join(f"{name} = {json.dumps(value)}" for name, value in settings.items())
    )
    assert run("bc-images", "backup", cwd=tmp_path).code == 0
    return tmp_path


@pytest.fixture
def before(sandbox: SandboxServer, folder: Path) -> Looks:
    """What the store looked like; it is wrecked since."""
    seen = looks(sandbox)
    wreck(sandbox)
    assert looks(sandbox) != seen
    return seen


def bc(folder: Path, *arguments: str) -> CommandResult:
    return run("bc-images", *arguments, cwd=folder)


def ask(folder: Path, text: bytes, *arguments: str) -> CommandResult:
    return terminal.answer([COMMAND, *arguments], text, after=b"[y/N]", cwd=folder)


def newest(folder: Path) -> str:
    return max(path.name for path in (folder / "files/archives/store").glob("*.singer.gz"))


def test_restored_and_taken_back(folder: Path, sandbox: SandboxServer, before: Looks) -> None:
    wrecked = looks(sandbox)
    done = bc(folder, "restore", "--yes")
    assert done.code == 0, done.err
    assert looks(sandbox) == before
    assert bc(folder, "restore", "--dry-run").out.startswith("Nothing to do: the store is as the snapshot 2")

    done = bc(folder, "undo", "--yes")
    assert done.code == 0, done.err
    assert looks(sandbox) == wrecked
    again = bc(folder, "undo", "--yes")
    assert again.code == 2
    assert "nothing to take back" in again.last_line
    assert looks(sandbox) == wrecked

    restored, undone = bc(folder, "undo", "--list").lines
    assert "(taken back by undo-" in restored
    assert undone.endswith("(an undo)")
    assert bc(folder, "undo", undone.split()[0], "--yes").code == 0  # the undo is taken back, too
    assert looks(sandbox) == before
    assert "(taken back" not in bc(folder, "undo", "--list").lines[0]
    assert bc(folder, "undo", "--yes").code == 0
    assert looks(sandbox) == wrecked


def test_several_are_taken_back_the_newest_first(folder: Path, sandbox: SandboxServer) -> None:
    states = [looks(sandbox)]
    for seed in (1, 2):
        wreck(sandbox, seed)
        states += [looks(sandbox)]
        assert bc(folder, "restore", "--yes").code == 0
        assert looks(sandbox) == states[0]
    assert bc(folder, "undo", "--yes").code == 0
    assert looks(sandbox) == states[2]
    sandbox_before_first = states[1]
    assert bc(folder, "undo", "--yes").code == 0
    changed = {each[0] for each in (sandbox_before_first - states[0]) | (states[0] - sandbox_before_first)}
    now = looks(sandbox)
    assert {each: count for each, count in now.items() if each[0] in changed} == {
        each: count for each, count in sandbox_before_first.items() if each[0] in changed
    }


def test_the_plan_is_shown_in_80_columns_and_no_means_no(folder: Path, sandbox: SandboxServer, before: Looks) -> None:
    wrecked, known = looks(sandbox), len(writes(sandbox))
    for arguments in (["restore"], ["restore", "--mode", "create_only"]):
        for text in (b"n\n", b"\n", b"\x04"):
            done = ask(folder, text, *arguments)
            assert done.code in {1, 130}, done.err
            assert "create " in done.err
            assert "othing was written" in done.err
            assert "Traceback" not in done.err
            plan = done.err[done.err.index("Changes (") : done.err.index("Write to the store")]
            assert max(map(len, plan.splitlines())) <= 80
    assert looks(sandbox) == wrecked != before
    assert len(writes(sandbox)) == known
    assert not list(folder.glob("state/undo-*"))


def test_yes_means_yes(folder: Path, sandbox: SandboxServer, before: Looks) -> None:
    wrecked = looks(sandbox)
    done = ask(folder, b"y\n", "restore")
    assert done.code == 0, done.err
    assert looks(sandbox) == before
    done = ask(folder, b"y\n", "undo")
    assert done.code == 0, done.err
    assert looks(sandbox) == wrecked


@pytest.mark.parametrize("command", ["restore", "undo"])
def test_without_a_terminal_yes_is_needed(folder: Path, sandbox: SandboxServer, before: Looks, command: str) -> None:
    known = len(writes(sandbox))
    done = bc(folder, command)
    assert done.code == 2
    assert done.last_line.startswith(f"bc-images: {command} asks before it writes")
    assert len(writes(sandbox)) == known


def test_a_dry_run_writes_nothing(folder: Path, sandbox: SandboxServer, before: Looks) -> None:
    known = len(writes(sandbox))
    done = bc(folder, "restore", "--dry-run", "--yes")
    assert done.code == 0
    assert "planned" in done.err
    assert len(writes(sandbox)) == known
    assert not list(folder.glob("state/undo-*"))


@pytest.mark.parametrize("by", ["id", "sku", "id:"])
def test_only_some_products(folder: Path, sandbox: SandboxServer, before: Looks, by: str) -> None:
    products = {each["id"]: each["sku"] for each in sandbox.dump(files=False)["products"]}
    wrecked = looks(sandbox)
    chosen = min({each[0] for each in (before - wrecked)})
    name = {"id": str(chosen), "sku": products[chosen], "id:": f"id:{chosen}"}[by]
    assert bc(folder, "restore", "--yes", "--product", name).code == 0
    for product in products:
        expected = before if product == chosen else wrecked
        assert {k: n for k, n in looks(sandbox).items() if k[0] == product} == {
            k: n for k, n in expected.items() if k[0] == product
        }


def test_a_sku_that_is_the_id_of_another_product(sandbox: SandboxServer, folder: Path) -> None:
    product = sandbox.add_product(sku=str(FIRST))
    sandbox.add_image(product, _png(), "a.png")
    assert bc(folder, "backup").code == 0
    known = len(writes(sandbox))
    done = bc(folder, "restore", "--yes", "--product", str(FIRST))
    assert done.code == 2
    assert f"give id:{FIRST}" in done.last_line
    assert bc(folder, "restore", "--yes", "--product", f"sku:{FIRST}").code == 0
    assert len(writes(sandbox)) == known


def _png() -> bytes:
    from tests.support.target import picture

    return picture(3)


def test_mirror_needs_its_limit(folder: Path, sandbox: SandboxServer) -> None:
    before = looks(sandbox)
    sandbox.add_image(FIRST, _png(), "extra.png")
    assert bc(folder, "restore", "--yes").code == 0
    assert looks(sandbox) != before
    done = bc(folder, "restore", "--yes", "--mode", "mirror")
    assert (done.code, "max_deletes" in done.last_line) == (2, True)
    done = bc(folder, "restore", "--yes", "--mode", "mirror", "--max-deletes", "0")
    assert (done.code, "more than max_deletes 0" in done.last_line) == (2, True)
    done = ask(folder, b"y\n", "restore", "--mode", "mirror", "--max-deletes", "5")
    assert done.code == 0, done.err
    assert looks(sandbox) == before


def test_options_are_above_the_variables_of_the_target(
    folder: Path, sandbox: SandboxServer, before: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / ".env").write_text("TARGET_BC_IMAGES_MODE=create_only\n")
    assert bc(folder, "restore", "--yes", "--mode", "upsert").code == 0
    assert looks(sandbox) == before


def test_an_older_snapshot(folder: Path, sandbox: SandboxServer, before: Looks) -> None:
    old = newest(folder)
    assert bc(folder, "backup").code == 0
    assert newest(folder) != old
    assert "Nothing to do" in bc(folder, "restore", "latest", "--dry-run").out
    assert "planned" in bc(folder, "restore", "--at", old[:15] + "Z", "--dry-run").err
    assert bc(folder, "restore", old, "--yes").code == 0
    assert looks(sandbox) == before


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["2", "--at", "2025-01-31"], 2, "give one of them"),
        (["1999"], 3, "There is no snapshot with the id 1999"),
        (["--at", "1999-01-01"], 3, "No complete archive found"),
        (["--at", "yesterday"], 2, "yesterday"),
        (["--product", "unknown"], 2, "no product with the id or SKU unknown"),
        (["--mode", "all"], 2, "--mode"),
        (["--config", "none.toml"], 2, "none.toml cannot be read"),
    ],
)
def test_one_clear_line(
    folder: Path, sandbox: SandboxServer, before: Looks, arguments: list[str], code: int, words: str
) -> None:
    known = len(writes(sandbox))
    done = bc(folder, "restore", "--yes", *arguments)
    assert (done.code, words in done.last_line) == (code, True), done.err
    assert "Traceback" not in done.err
    assert len(writes(sandbox)) == known


def test_no_network(folder: Path, before: Looks) -> None:
    (folder / "away.toml").write_text('api_url = "http://127.0.0.1:9"')
    for command in ("restore", "undo"):
        (folder / "state").mkdir(exist_ok=True)
        done = bc(folder, command, "--yes", "--config", "bc-images.toml", "--config", "away.toml")
        assert done.code in {2, 3}
        assert "Traceback" not in done.err


@pytest.mark.parametrize("content", [b"{", b"[{}]", b"{}", b'[{"file": 1}]'])
def test_a_damaged_journal(folder: Path, content: bytes) -> None:
    (folder / "state").mkdir(exist_ok=True)
    (folder / "state/undone.json").write_bytes(content)
    done = bc(folder, "undo", "--yes")
    assert done.code in {2, 3}
    assert "Traceback" not in done.err
