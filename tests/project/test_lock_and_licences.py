"""What we install is pinned and hashed, comes from no particular registry, and is free to use."""

from __future__ import annotations

import re
from importlib import metadata
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.project import ROOT, pyproject

ALL = "requirements.lock"
DEMO = "requirements-demo.lock"
LOCKS = [ALL, DEMO, "bc_images/cli/demo/warehouse.lock"]
RUNTIME_EXTRAS = {"sandbox", "s3", "airbyte"}

COPYLEFT = re.compile(
    r"\b[AL]?GPL|\bGNU\b|\bMPL|Mozilla|\bSSPL|\bEUPL|\bEPL|Eclipse|\bCDDL|\bOSL|Elastic|\bBUSL", re.IGNORECASE
)
TOLERATED = {
    "certifi": "MPL-2.0 binds its own files only: Mozilla's list of certificate authorities, used as it is",
    "orjson": "MPL-2.0 binds single files of its build only; the rest is Apache-2.0 or MIT; used as it is",
}


def locked(lock: str) -> dict[str, str]:
    """Return the blocks of a lock file by name; several versions of one package are joined."""
    lines = [line for line in (ROOT / lock).read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    blocks: dict[str, str] = {}
    for block in re.split(r"\n(?=\S)", "\n".join(lines)):
        name = canonicalize_name(re.split(r"[=\[ ]", block, maxsplit=1)[0])
        blocks[name] = blocks.get(name, "") + block
    return blocks


def pins(block: str) -> list[str]:
    """Return the versions and the hashes of a block."""
    found: list[str] = re.findall(r"==[^\s;]+|sha256:\w+", block.replace("python_full_version ==", ""))
    return found


def runtime(extras: set[str]) -> set[str]:
    """Return every distribution that our runtime needs, extras included, as installed here."""
    seen: dict[str, set[str]] = {}
    todo = [("bc-images", extras)]
    while todo:
        name, wanted = todo.pop()
        new = (wanted | {""}) - seen.setdefault(canonicalize_name(name), set())
        seen[canonicalize_name(name)] |= new
        todo += [
            (requirement.name, set(requirement.extras))
            for requirement in map(Requirement, (metadata.requires(name) or []) if new else [])
            if not requirement.marker or any(requirement.marker.evaluate({"extra": extra}) for extra in new)
        ]
    return set(seen) - {"bc-images"}


def licence(name: str) -> str:
    """Return what a distribution says of its licence: the expression, else all that its metadata tells."""
    fields: dict[str, Any] = dict(metadata.metadata(name).json)
    if "license_expression" in fields:
        return str(fields["license_expression"])
    classifiers = [line for line in fields.get("classifier", []) if line.startswith("License ::")]
    return "; ".join([fields.get("license", "").partition("\n")[0], *classifiers]).strip("; ")


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert "://" not in text
    assert "index-url" not in text
    assert "find-links" not in text
    assert not re.search(r"^-e|^\.|@ ", text, re.MULTILINE), "every entry comes from a registry by name and version"


@pytest.mark.parametrize("lock", LOCKS)
def test_every_entry_of_a_lock_is_exact_and_hashed(lock: str) -> None:
    for name, block in locked(lock).items():
        assert re.match(r"[a-z0-9][a-z0-9._-]*(\[[a-z0-9,-]+\])?==\S+", block), name
        assert "--hash=sha256:" in block, name


@pytest.mark.parametrize(
    ("lock", "extras"), [(ALL, [*sorted(RUNTIME_EXTRAS), "build", "test", "dev"]), (DEMO, ["sandbox", "build"])]
)
def test_a_lock_holds_all_that_pyproject_asks_for(lock: str, extras: list[str]) -> None:
    project = pyproject()["project"]
    blocks = locked(lock)
    asked = project["dependencies"] + [line for extra in extras for line in project["optional-dependencies"][extra]]
    for requirement in map(Requirement, asked):
        if requirement.name == "bc-images":
            continue
        pinned = re.findall(r"==([^\s;\\]+)", blocks[canonicalize_name(requirement.name)])
        assert pinned, requirement
        assert all(requirement.specifier.contains(one, prereleases=True) for one in pinned), (requirement, pinned)


def test_the_demo_runs_on_what_is_tested() -> None:
    everything = locked(ALL)
    for name, block in locked(DEMO).items():
        assert set(pins(block)) <= set(pins(everything[name]))


def test_every_dependency_has_a_lower_bound() -> None:
    project = pyproject()["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    for requirement in map(Requirement, [line for lines in lists for line in lines]):
        bounds = {part.operator for part in requirement.specifier}
        assert requirement.name == "bc-images" or ">=" in bounds, requirement


@pytest.mark.parametrize("name", sorted(runtime(RUNTIME_EXTRAS)))
def test_no_copyleft_at_runtime(name: str) -> None:
    text = licence(name)
    assert text, f"{name} does not say under which licence it comes"
    if name in TOLERATED:
        assert COPYLEFT.search(text), f"{name} needs no exception any more: take it out of TOLERATED"
        return
    assert not COPYLEFT.search(text), text


def test_the_licence_judge_can_say_no() -> None:
    for text in ("GPL-3.0-or-later", "LGPL-3.0", "AGPLv3", "License :: OSI Approved :: GNU General Public", "MPL-2.0"):
        assert COPYLEFT.search(text), text
    for text in ("Apache-2.0", "MIT License", "BSD-3-Clause", "PSF-2.0", "MIT OR AFL-2.1"):
        assert not COPYLEFT.search(text), text


def test_ours_is_apache() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert pyproject()["project"]["license"] == "Apache-2.0"
    assert "Apache License\n                           Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
