"""The project as data: its folder, its modules and what each of them imports."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PACKAGES = ("bc_images", "bc_images_airbyte", "bigcommerce_sandbox", "tap_bc_images", "target_bc_images")
OURS = frozenset(PACKAGES)


@cache
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def modules() -> dict[str, ast.Module]:
    """Return the syntax tree of every module that is shipped, by dotted name."""
    found: dict[str, ast.Module] = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return found


def imports(name: str, nodes: Iterator[ast.AST], *, is_package: bool) -> set[str]:
    """Return the dotted names that these nodes import, relative ones resolved."""
    wanted: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            wanted.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                here = name.split(".")
                here = here[: len(here) - node.level + is_package]
                base = ".".join([*here, base] if base else here)
            # `from package import module` names a module as well as `from module import name` does
            named = {f"{base}.{alias.name}" for alias in node.names}
            wanted |= named
            if not all(map(_is_module, named)):
                wanted.add(base)
    return wanted


def _is_module(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").is_file()


def import_graph() -> dict[str, set[str]]:
    """Return what every module imports anywhere in it, inside functions and type-checking blocks included."""
    return {
        name: imports(name, ast.walk(tree), is_package=(ROOT / name.replace(".", "/")).is_dir())
        for name, tree in modules().items()
    }


def import_cycles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Return the groups of modules that import each other, directly or by way of others; each sorted."""
    reachable = {name: _reachable(graph, name) for name in graph}
    cycles = {tuple(sorted({other for other in reachable[name] if name in reachable[other]})) for name in graph}
    return sorted(map(list, cycles - {()}))


def _reachable(graph: Mapping[str, set[str]], start: str) -> set[str]:
    reached: set[str] = set()
    waiting = [start]
    while waiting:
        new = graph[waiting.pop()] - reached
        reached |= new
        waiting += new
    return reached
