"""meltano.yml and the plugin definitions say what the commands say of themselves."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.gen_docs import IDLE, MELTANO
from tests.support.project import ROOT, pyproject

PROJECT: dict[str, Any] = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))
PLUGINS = {plugin["name"]: plugin for kind in PROJECT["plugins"].values() for plugin in kind}
DEFINITIONS = {name: ROOT / "plugins" / kind / f"{name}.yml" for name, (kind, _) in MELTANO.items()}

JSON_TYPES = {
    "string": "string",
    "integer": "integer",
    "decimal": "number",
    "boolean": "boolean",
    "array": "array",
    "object": "object",
    "options": "string",
    "date_iso8601": "string",
}


def about(name: str) -> dict[str, Any]:
    command: list[Path | str] = [Path(sys.executable).parent / name, "--about", "--format", "json"]
    done = subprocess.run(command, capture_output=True, check=True)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


@pytest.mark.parametrize("name", DEFINITIONS)
def test_definitions_agree_with_about(name: str) -> None:
    document = about(name)
    properties = document["settings"]["properties"]
    for plugin in (PLUGINS[name], yaml.safe_load(DEFINITIONS[name].read_text(encoding="utf-8"))):
        assert [setting["name"] for setting in plugin["settings"]] == [each for each in properties if each not in IDLE]
        assert [document["settings"]["required"]] == plugin["settings_group_validation"]
        assert set(plugin["capabilities"]) == set(document.get("capabilities", ["about"]))
        for setting in plugin["settings"]:
            schema = properties[setting["name"]]
            types = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
            assert JSON_TYPES[setting["kind"]] in types
            assert setting.get("sensitive", False) == schema.get("secret", False)
            assert setting["description"] == schema["description"]
            assert setting["label"] == schema["title"]
            assert setting.get("value") == (
                schema.get("default") or None if schema.get("default") == "" else schema.get("default")
            )
            assert [each["value"] for each in setting.get("options", [])] == schema.get("enum", [])


@pytest.mark.parametrize("name", DEFINITIONS)
def test_definitions_have_the_form_of_the_hub(name: str) -> None:
    definition = yaml.safe_load(DEFINITIONS[name].read_text(encoding="utf-8"))
    assert definition["name"] == definition["executable"] == name
    assert definition["namespace"] == name.replace("-", "_")
    assert definition["pip_url"] == pyproject()["project"]["name"]
    assert {"label", "description", "variant", "capabilities", "settings"} <= definition.keys()


def test_every_setting_of_every_plugin_is_described() -> None:
    for name, plugin in PLUGINS.items():
        for setting in plugin.get("settings", []):
            assert setting["kind"] in JSON_TYPES, name
            assert setting["description"], name
            is_secret = any(word in setting["name"] for word in ("password", "token", "secret"))
            assert setting.get("sensitive", False) == is_secret, f"{name}: {setting['name']}"


def test_what_is_configured_is_a_setting() -> None:
    for name, plugin in PLUGINS.items():
        known = {setting["name"] for setting in PLUGINS[plugin.get("inherit_from", name)]["settings"]}
        assert plugin.get("config", {}).keys() <= known, name
    for environment in PROJECT["environments"]:
        for kind in environment.get("config", {}).get("plugins", {}).values():
            for plugin in kind:
                known = {setting["name"] for setting in PLUGINS[plugin["name"]]["settings"]}
                assert plugin["config"].keys() <= known, plugin["name"]


def test_the_project_has_the_jobs_that_the_documentation_speaks_of() -> None:
    jobs = {job["name"] for job in PROJECT["jobs"]}
    assert jobs >= {"warehouse", "backup", "restore-plan", "restore", "restore-from-warehouse", "verify", "drill"}
    assert {schedule["job"] for schedule in PROJECT["schedules"]} == {"warehouse", "backup", "drill"}
    assert PROJECT["default_environment"] == "sandbox"
    (prod,) = (each for each in PROJECT["environments"] if each["name"] == "prod")
    assert "config" not in prod, "every setting of prod comes from the environment"


def test_verify_asks_the_store_that_a_restore_writes_to() -> None:
    """Meltano reads a setting from the variables that begin with the name or the namespace of its plugin."""
    loader, utility = PLUGINS["target-bc-images"], PLUGINS["bc-images"]
    assert utility["namespace"] == loader["namespace"]
    assert {setting["name"] for setting in utility["settings"]} <= {setting["name"] for setting in loader["settings"]}
    for environment in PROJECT["environments"]:
        plugins = environment.get("config", {}).get("plugins", {})
        configured = {plugin["name"]: plugin["config"] for kind in plugins.values() for plugin in kind}
        assert configured.get("bc-images") == configured.get("target-bc-images"), environment["name"]
        assert configured.get("bc-images") == configured.get("tap-bc-images"), environment["name"]
