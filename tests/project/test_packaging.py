"""What users install: the wheel, built from the source distribution, in an environment without any extra."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.support.project import PACKAGES, ROOT, pyproject

pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path = ROOT, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, cwd=cwd)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source distribution, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder)
    return folder


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a new environment with the wheel and its plain dependencies, at the locked versions."""
    folder = tmp_path_factory.mktemp("installed")
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    (folder / "versions.txt").write_text("\n".join(re.findall(r"^([a-z0-9].*?) \\$", lock, re.MULTILINE)))
    (wheel,) = built.glob("*.whl")
    run(sys.executable, "-m", "venv", folder / "venv")
    python = folder / "venv/bin/python"
    run(python, "-m", "pip", "install", "-qq", "--constraint", folder / "versions.txt", wheel, cwd=folder)
    return python.parent


def test_the_wheel_holds_all_that_is_needed_and_no_more(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for package in PACKAGES:
        sources = {str(path.relative_to(ROOT)) for path in (ROOT / package).rglob("*.py")}
        assert sources <= names
        assert f"{package}/py.typed" in names
    assert {"bc_images/schemas/product_images.json", "bc_images/schemas/products.json"} <= names
    assert "bc_images/cli/demo/warehouse.lock" in names
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    tops = {name.partition("/")[0] for name in names if ".dist-info" not in name}
    assert tops == set(PACKAGES)


def test_the_source_distribution_holds_no_tests_and_no_rubbish(built: Path) -> None:
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        tops = {name.split("/")[1] for name in opened.getnames() if "/" in name}
    wanted = {*PACKAGES, "schemas", "LICENSE", "README.md", "CHANGELOG.md", "pyproject.toml", "PKG-INFO", ".gitignore"}
    assert tops == wanted


def test_the_schemas_are_found(installed: Path) -> None:
    code = "from bc_images.schema import load, SCHEMAS_DIR; print(load('product_images')['title'], SCHEMAS_DIR)"
    done = run(installed / "python", "-c", code, cwd=installed)
    assert done.stdout.startswith("product_images ")
    assert "site-packages" in done.stdout


SCRIPTS: dict[str, str] = pyproject()["project"]["scripts"]
CONNECTORS = {name for name, place in SCRIPTS.items() if place.startswith("bc_images_airbyte.")}


@pytest.mark.parametrize("command", sorted(CONNECTORS))
def test_a_connector_without_its_extra_says_so_in_one_line(installed: Path, command: str) -> None:
    done = run(installed / command, "spec", cwd=installed, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "pip install 'bc-images[airbyte]'" in done.stderr


@pytest.mark.parametrize("command", sorted(set(SCRIPTS) - CONNECTORS))
def test_every_command_starts(installed: Path, command: str) -> None:
    assert pyproject()["project"]["version"] in run(installed / command, "--version", cwd=installed).stdout
    assert command in run(installed / command, "--help", cwd=installed).stdout


@pytest.mark.parametrize("command", ["demo", "sandbox"])
def test_a_missing_extra_is_one_line_that_names_it(installed: Path, command: str) -> None:
    done = run(installed / "bc-images", command, cwd=installed, check=False)
    assert done.returncode == 2
    assert re.fullmatch(
        rf"bc-images: {command} needs \w+, which is not installed. Run: pip install 'bc-images\[sandbox\]'\n",
        done.stderr,
    )


def test_the_types_of_the_package_are_seen(installed: Path) -> None:
    """py.typed is there and mypy agrees that it is a typed package."""
    code = "from bc_images.bigcommerce.mapping import comparable_stem\nreveal_type(comparable_stem)\n"
    (installed / "user.py").write_text(code)
    done = run(
        sys.executable, "-m", "mypy", "--python-executable", installed / "python", installed / "user.py", cwd=installed
    )
    assert 'Revealed type is "def (image_file: str) -> str"' in done.stdout.replace("builtins.str", "str")
