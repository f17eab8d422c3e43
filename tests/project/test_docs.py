"""The documentation says what the code does: what a program can compare, this compares."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from bc_images import errors
from bc_images.cli import main
from scripts.gen_docs import PARTS, present, settings
from tap_bc_images.tap import TapBCImages
from target_bc_images.target import TargetBCImages
from tests.support.project import PACKAGES, ROOT, pyproject

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize(("file", "name"), PARTS, ids=[" ".join(part) for part in PARTS])
def test_what_is_made_from_the_code_is_up_to_date(file: str, name: str) -> None:
    assert present(file, name) == PARTS[file, name](), "run: make docs"


@pytest.mark.parametrize("plugin", [TapBCImages, TargetBCImages])
def test_the_table_holds_every_setting_of_both_plugins(plugin: type[TapBCImages | TargetBCImages]) -> None:
    of = {"both", "tap" if plugin is TapBCImages else "target"}
    written = {name for name, whose, _ in settings() if whose in of}
    ours = set(plugin.config_jsonschema["properties"]) - _sdk_settings()
    assert written == ours
    table = present("README.md", "settings") or ""
    for name in ours:
        assert f"| `{name}`" in table


def _sdk_settings() -> set[str]:
    """Names of the settings that the SDK adds to every plugin."""
    return {
        "add_record_metadata",
        "batch_config",
        "batch_size_rows",
        "batch_wait_limit_seconds",
        "default_target_schema",
        "emit_activate_version_messages",
        "faker_config",
        "flattening_enabled",
        "flattening_max_depth",
        "flattening_max_key_length",
        "flattening_separator",
        "load_method",
        "process_activate_version_messages",
        "stream_map_config",
        "stream_maps",
        "validate_records",
    }


def test_every_exit_code_is_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Exit codes")[2].partition("\n## ")[0]
    written = {int(code) for row in re.findall(r"^\| ([\d, ]+) \|", text, re.MULTILINE) for code in row.split(",")}
    raised = {getattr(errors, name).exit_code for name in errors.__all__}
    assert written == raised | {0, 130, 141, 143}


@pytest.mark.parametrize("name", sorted(main.COMMANDS))
def test_every_command_is_documented(name: str) -> None:
    command = main.cli.get_command(click.Context(main.cli), name)
    assert command is not None
    assert command.name == name
    assert command.get_short_help_str(200) == main.COMMANDS[name].help, "the table in cli.py says it in the same words"
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.opts[0]} has no help"
    assert f"### bc-images {name}\n" in (ROOT / "docs/commands.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        found = path.parent / file if file else path
        assert found.exists(), f"{link} in {path.name} leads nowhere"
        if anchor:
            titles = re.findall(r"^#+ (.+)$", found.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}, link


def test_pages_that_code_and_examples_name_are_there() -> None:
    folders = (*PACKAGES, "benchmarks", "examples", "plugins", "schemas", "tests")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    named = set()
    for path in (ROOT / "meltano.yml", ROOT / "Makefile", ROOT / ".ci" / "run", *files):
        if "__pycache__" not in path.parts:
            text = path.read_bytes().decode(errors="ignore")  # a few test data are no text
            named |= {(page, path.relative_to(ROOT)) for page in re.findall(r"\bdocs/[\w-]+\.md\b", text)}
    assert {"docs/pipelines.md", "docs/sandbox.md"} <= {page for page, _ in named}
    assert [f"{page} in {path}" for page, path in sorted(named) if not (ROOT / page).exists()] == []


def test_the_changelog_keeps_its_form() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    titles = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert titles[0] == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", title) for title in titles[1:])
    kinds = set(re.findall(r"^### (.+)$", text, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_make_help_names_every_target() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    (phony,) = re.findall(r"^\.PHONY: (.+)$", text, re.MULTILINE)
    assert set(phony.split()) == set(re.findall(r"^([a-z][a-z-]*):.*  ## ", text, re.MULTILINE))


class TestMeltano:
    project: dict[str, Any] = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))

    def plugins(self, kind: str) -> dict[str, dict[str, Any]]:
        return {plugin["name"]: plugin for plugin in self.project["plugins"][kind]}

    @pytest.mark.parametrize(
        ("kind", "name", "plugin"),
        [("extractors", "tap-bc-images", TapBCImages), ("loaders", "target-bc-images", TargetBCImages)],
    )
    def test_our_capabilities_are_those_of_the_code(
        self, kind: str, name: str, plugin: type[TapBCImages | TargetBCImages]
    ) -> None:
        assert set(self.plugins(kind)[name]["capabilities"]) == {each.value for each in plugin.capabilities}

    def test_commands_exist(self) -> None:
        scripts = pyproject()["project"]["scripts"]
        for kind in ("extractors", "loaders", "utilities"):
            for plugin in self.plugins(kind).values():
                if plugin.get("pip_url", "").startswith("-e ."):
                    assert plugin["executable"] in scripts

    def test_jobs_name_plugins_that_exist(self) -> None:
        known = {*self.plugins("extractors"), *self.plugins("loaders")}
        for name, plugin in self.plugins("utilities").items():
            known |= {f"{name}:{command}" for command in plugin["commands"]}
        for job in self.project["jobs"]:
            for task in job["tasks"]:
                assert set(task.split()) <= known, job
        jobs = {job["name"] for job in self.project["jobs"]}
        assert {schedule["job"] for schedule in self.project["schedules"]} <= jobs

    def test_secrets_stand_in_no_environment_but_the_sandbox(self) -> None:
        for environment in self.project["environments"]:
            if environment["name"] != "sandbox":
                assert "token" not in str(environment)


def test_every_test_of_the_attacks_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs/reliability.md").read_text(encoding="utf-8")))
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")]
    there = {name for text in sources for name in re.findall(r"def (test_\w+)\(", text)}
    assert named
    assert not named - there
