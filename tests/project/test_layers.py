"""Imports point downward only: the layers, checked by reading every import statement.

A layer may import the layers listed before it and itself, never one listed after it.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys

import pytest

from tests.support.project import OURS, import_cycles, import_graph, modules, pyproject

LAYERS = [
    "bc_images.errors",
    "bc_images.redaction",
    "bc_images.text",
    "bc_images.regular_files",
    "bc_images.private_files",
    "bc_images.json_repair",
    "bc_images.decompression",
    "bc_images.jsonl",
    "bc_images.durable",
    "bc_images.tempfiles",
    "bc_images.concurrency",
    "bc_images.schema",
    "bc_images.normalize",
    "bc_images.settings",
    "bc_images.config",
    "bc_images.logs",
    "bc_images.progress",
    "bc_images.cli.exit",
    "bc_images.bigcommerce",
    "bc_images.files",
    "bc_images.snapshots",
    "bc_images.singer",
    "tap_bc_images",
    "target_bc_images",
    "bc_images_airbyte",
]
SIBLINGS = {"tap_bc_images", "target_bc_images"}
"""They do not import each other."""

SDK_USERS = SIBLINGS | {"bc_images.singer"}
"""The only layers that import singer_sdk."""

SANDBOX = "bigcommerce_sandbox"
"""Independent: it shares no code with the client that it tests."""

COMMANDS = {"bc_images.cli"}
"""They may use every layer; no layer may use them."""

WITHOUT_CYCLES = [
    "bc_images.bigcommerce",
    "bc_images.files",
    "bc_images.snapshots",
    "bc_images.singer",
    "bc_images_airbyte",
    "bigcommerce_sandbox",
]
"""Packages whose modules do not import each other in a cycle, type-checking blocks included."""

EXTRA_IMPORTS = {
    "a2wsgi": "a2wsgi",
    "adlfs": "adlfs",
    "airbyte-protocol-models-dataclasses": "airbyte_protocol_dataclasses",
    "gcsfs": "gcsfs",
    "httptools": "httptools",
    "python-multipart": "python_multipart",
    "s3fs": "s3fs",
    "starlette": "starlette",
    "uvicorn": "uvicorn",
    "uvloop": "uvloop",
    "wsgidav": "wsgidav",
}
"""What users install by an extra: the distribution, and the name that it is imported by."""

GRAPH = import_graph()


def layer(name: str) -> str:
    """Return which layer a dotted name of ours belongs to; empty for the bare package."""
    for known in sorted([*LAYERS, SANDBOX, *COMMANDS], key=len, reverse=True):
        if name == known or name.startswith(f"{known}."):
            return known
    return ""


def ours(name: str) -> bool:
    return name.partition(".")[0] in OURS


def test_every_module_has_its_layer() -> None:
    missing = {name for name in GRAPH if not layer(name) and name != "bc_images"}
    assert not missing, "name the layer of these modules in LAYERS"
    assert {layer(name) for name in GRAPH} >= {"bc_images.errors", "bc_images.bigcommerce", "bc_images.files", SANDBOX}


@pytest.mark.parametrize("module", sorted(GRAPH))
def test_imports_point_downward(module: str) -> None:
    here = layer(module)
    if here in COMMANDS:
        return
    allowed = {SANDBOX} if here == SANDBOX else set(LAYERS[: LAYERS.index(here) + 1] if here else ())
    if here in SIBLINGS:
        allowed -= SIBLINGS - {here}
    wrong = {name for name in GRAPH[module] if ours(name) and layer(name) and layer(name) not in allowed}
    assert not wrong, f"{module} is in {here or 'bc_images'}, below or beside what it imports"


@pytest.mark.parametrize("package", WITHOUT_CYCLES)
def test_no_import_cycles(package: str) -> None:
    inside = {name for name in GRAPH if name == package or name.startswith(f"{package}.")}
    assert inside
    assert import_cycles({name: GRAPH[name] & inside for name in inside}) == []


def test_an_import_cycle_is_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a", "e"}, "e": set[str](), "f": {"f"}}
    assert import_cycles(graph) == [["a", "b", "c"], ["f"]]


def test_only_singer_tap_and_target_import_the_sdk() -> None:
    users = {layer(module) for module, names in GRAPH.items() if any(n.split(".")[0] == "singer_sdk" for n in names)}
    assert users <= SDK_USERS


def test_only_commands_name_the_sandbox() -> None:
    """A module name in a string would be the back way in."""
    for module, tree in modules().items():
        if layer(module) in {SANDBOX, *COMMANDS}:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not re.fullmatch(r"bigcommerce_sandbox[\w.:]*|bc_images\.cli[\w.:]*", node.value), module


def test_extras_are_imported_by_those_who_need_them_only() -> None:
    """The sandbox and the demo stand on their extra; an import anywhere else would make it a requirement."""
    extras = set(EXTRA_IMPORTS.values())
    users = {layer(module) for module, names in GRAPH.items() if {n.split(".")[0] for n in names} & extras}
    assert users <= {SANDBOX, "bc_images.cli", "bc_images_airbyte"}


def test_the_list_of_extras_is_complete() -> None:
    named: set[str] = set()
    for extra, requirements in pyproject()["project"]["optional-dependencies"].items():
        if extra not in {"build", "dev", "test"}:
            named.update(re.split(r"[^A-Za-z0-9-]", requirement)[0] for requirement in requirements)
    assert named == set(EXTRA_IMPORTS)


LOADED = """
import json, sys
from importlib.metadata import entry_points
(command,) = entry_points(group="console_scripts", name=sys.argv[1])
sys.argv = [sys.argv[1], *sys.argv[2:]]
try:
    command.load()()
except SystemExit:
    pass
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("command", "unwanted"),
    [
        (["tap-bc-images", "--about"], {"target_bc_images"}),
        (["target-bc-images", "--about"], {"tap_bc_images"}),
        (["bc-images", "--help"], {"tap_bc_images", "target_bc_images", "singer_sdk", "sqlalchemy", "requests"}),
        (["bc-images", "verify", "--help"], {"singer_sdk", "jsonschema", "fsspec"}),
        (["bc-images", "retry", "--help"], {"singer_sdk", "jsonschema", "fsspec"}),
        (["bc-images", "check", "--help"], {"singer_sdk", "jsonschema", "fsspec", "requests"}),
        (["bc-images", "unlock", "--help"], {"singer_sdk", "jsonschema", "fsspec", "requests"}),
        (["tap-singer-archive", "--version"], {"singer_sdk", "jsonschema", "fsspec", "requests"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_starts_without_any_extra(command: list[str], unwanted: set[str]) -> None:
    done = subprocess.run([sys.executable, "-c", LOADED, *command], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stderr.splitlines()[-1]))
    assert not loaded & (set(EXTRA_IMPORTS.values()) | unwanted)
