"""``docs/sandbox.md`` and the code say the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from starlette.routing import Mount, Route

import bigcommerce_sandbox
from bigcommerce_sandbox import constants, serializers, v2, v2_products, v3, v3_filters
from bigcommerce_sandbox.admin import Admin
from bigcommerce_sandbox.api import Routes
from bigcommerce_sandbox.control import Control
from bigcommerce_sandbox.dav import FOLDERS
from bigcommerce_sandbox.faults import FAULT_CODES
from bigcommerce_sandbox.flags import FLAGS, Flags

TEXT = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text()


def section(title: str) -> str:
    """The text under a heading, up to the next heading of its level or above."""
    found = re.search(rf"^(#+) {re.escape(title)}\n(.*?)(?=^#{{1,2}} |^### |\Z)", TEXT, re.MULTILINE | re.DOTALL)
    assert found is not None, f"no section {title}"
    if found[1] == "##":
        found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)
        assert found is not None
        return found[1]
    return found[2]


def rows(title: str) -> list[list[str]]:
    """The rows of all tables of a section, without their heads."""
    found = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in section(title).splitlines()
        if line.startswith("|")
    ]
    heads = [index for index, row in enumerate(found) if set(row[0]) == {"-"}]
    return [row for index, row in enumerate(found) if index not in heads and index + 1 not in heads]


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@pytest.mark.parametrize(
    ("title", "routes"),
    [("V2, under `/stores/sandbox/v2`", v2.ROUTES), ("V3, under `/stores/sandbox/v3`", v3.ROUTES)],
)
def test_routes(title: str, routes: Routes) -> None:
    documented = [code(row[0])[0] for row in rows(title)]
    assert sorted(documented) == sorted(
        f"{method} {route.pattern}" for route in routes.all for method in route.handlers
    )


def test_every_behaviour_has_a_mark() -> None:
    marks = {"documented", "observed", "assumed"}
    count = 0
    for title in ("V2, under `/stores/sandbox/v2`", "V3, under `/stores/sandbox/v3`", "Files and WebDAV"):
        assert {row[1] for row in rows(title)} <= marks
    for title in ("Requests and answers", "Products", "Images", "Stored files and renditions", "Rate limits"):
        assert {row[0] for row in rows(title)} <= marks
        count += len(rows(title))
    assert count > 40


def test_flags() -> None:
    documented = {code(row[0])[0]: (code(row[1])[0], code(row[2])) for row in rows("Flags")}
    assert documented == {name: (str(item.default), list(item.choices)) for name, item in FLAGS.items()}
    assert set(Flags.__annotations__) == set(FLAGS)


def test_flags_named_in_the_text_exist() -> None:
    assert set(re.findall(r"[Ff]lags? `(\w+)`", TEXT)) <= set(FLAGS)


def test_faults() -> None:
    assert {code(row[0])[0]: row[1] for row in rows("Faults")} == FAULT_CODES


def test_admin_routes_and_methods() -> None:
    documented = {code(row[0])[0] for row in rows("Looking and damaging")}
    (mount,) = Admin("").application().routes
    assert isinstance(mount, Mount)
    existing = set()
    for route in mount.routes:
        assert isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}:
            existing.add(f"{method} {mount.path}{route.path}".replace(":int", ""))
    assert documented == existing
    methods = {
        name for row in rows("Looking and damaging") for text in code(row[1]) for name in re.findall(r"^\w+", text)
    }
    public = {name for name in vars(Control) if not name.startswith("_")}
    assert methods | {"original", "late_requests"} == public


@pytest.mark.parametrize(
    ("start", "existing"),
    [
        ("V2 `/products`:", {*v2_products.FILTERS, *v2_products.CONTROLS}),
        ("V3 `/catalog/products`:", {*v3_filters.FILTERS, *v3_filters.CONTROLS}),
        ("V3 includes:", {"images"}),
        ("V2 product fields:", {*serializers.V2_PRODUCT, "primary_image"}),
        ("V3 product fields:", set(serializers.V3_PRODUCT)),
    ],
)
def test_filters_includes_and_fields(start: str, existing: set[str]) -> None:
    (paragraph,) = (text for text in section("Filters").split("\n\n") if text.strip().startswith(start))
    assert set(code(paragraph.partition(":")[2])) == existing


def test_names() -> None:
    for name in ("STORE_HASH", "TOKEN", "READ_ONLY_TOKEN", "UNSCOPED_TOKEN", "DAV_USERNAME", "DAV_PASSWORD"):
        assert f"`{getattr(constants, name)}`" in section("Start")
        assert getattr(bigcommerce_sandbox, name) == getattr(constants, name)
    for folder in FOLDERS:
        assert f"`{folder}`" in section("Files and WebDAV")


def test_the_sandbox_shares_no_code_with_the_client() -> None:
    package = Path(bigcommerce_sandbox.__file__).parent
    for path in package.glob("*.py"):
        for module in re.findall(
            r"^\s*(?:from|import) +((?:bc_images|tap_|target_)[\w.]*)", path.read_text(), re.MULTILINE
        ):
            assert module.startswith("bigcommerce_sandbox"), f"{path.name} imports {module}"
        assert len(path.read_text().splitlines()) <= 330, f"{path.name} is long"
