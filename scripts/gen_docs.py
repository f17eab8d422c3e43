"""The parts of the documentation that are made from the code: ``make docs`` writes them, a test compares them.

Each stands between two comments that name it, such as ``<!-- settings: made by make docs -->`` and
``<!-- end of settings -->`` (in YAML ``# settings: made by make docs`` and ``# end of settings``).
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from copy import deepcopy
from functools import partial
from inspect import cleandoc
from typing import Any

import click
import yaml
from singer_sdk.plugin_base import PluginBase

from bc_images import errors
from bc_images import settings as shared
from bc_images.cli.main import cli
from bc_images.schema import load
from bc_images.singer.archive import extractor, loader
from bc_images.singer.archive.settings import EXTRACTOR, LOADER
from bc_images_airbyte import destination, source
from tap_bc_images import settings as tap
from tap_bc_images.tap import TapBCImages
from target_bc_images import settings as target
from target_bc_images.target import TargetBCImages
from tests.support.project import PACKAGES, ROOT, modules

__all__ = ["IDLE", "MELTANO", "PARTS", "main", "present", "settings"]

WIDTH = 100  # columns of the help texts


def settings() -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield every setting of ours: its name, the plugin (tap, target or both), and its JSON Schema."""
    for of, properties in (("both", shared.PROPERTIES), ("tap", tap.PROPERTIES), ("target", target.PROPERTIES)):
        for name, schema in properties.items():
            yield name, of, schema


def _default(name: str, schema: Mapping[str, Any], required: Collection[str]) -> str:
    if name in required:
        return "**required**"
    value = schema.get("default")
    if value in (None, ""):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _values(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("format") == "date-time":
        return "date-time"
    kind = schema["type"] if isinstance(schema["type"], str) else " or ".join(schema["type"])
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    below = "below " if "exclusiveMaximum" in schema else ""
    above = "above " if "exclusiveMinimum" in schema else ""
    if low is not None and high is not None:
        return f"{kind}, {above}{low} to {below}{high}"
    return kind if low is None else f"{kind}, {above or 'from '}{low}"


def _settings_table(listed: Iterable[tuple[str, str, Mapping[str, Any]]], required: Collection[str]) -> str:
    rows = ["| setting | of | values | default | |", "|---|---|---|---|---|"]
    for name, of, schema in listed:
        secret = " *(secret)*" if schema.get("secret") else ""
        text = schema["description"].replace("|", "\\|")
        default = _default(name, schema, required)
        rows.append(f"| `{name}`{secret} | {of} | {_values(schema)} | {default} | {text} |")
    return "\n".join(rows)


def settings_table() -> str:
    return _settings_table(settings(), shared.REQUIRED)


def archive_settings_table() -> str:
    listed = [
        (name, "both" if name in EXTRACTOR.keys() & LOADER.keys() else "tap" if name in EXTRACTOR else "target", schema)
        for name, schema in {**EXTRACTOR, **LOADER}.items()
    ]
    return _settings_table(listed, {"file_store"})


def error_list() -> str:
    tree = cleandoc(errors.__doc__ or "").split("::\n", 1)[1]
    tree = textwrap.dedent(re.split(r"\n(?=\S)", tree, maxsplit=1)[0]).strip("\n")
    rows = ["```text", tree, "```", "", "| error | exit code | when |", "|---|---|---|"]
    for name in errors.__all__:
        kind: type[errors.BcImagesError] = getattr(errors, name)
        meaning = " ".join(cleandoc(kind.__doc__ or "").split("\n\n")[0].split())
        rows.append(f"| `{name}` | {kind.exit_code} | {meaning} |")
    return "\n".join(rows)


def command_help(commands: Mapping[str, click.Command]) -> str:
    """Return the help of each command and of the commands in it, as a terminal of fixed width shows it."""
    helps = [entry for name, command in commands.items() for entry in _helps(name, command)]
    return "\n\n".join(f"### {path}\n\n```text\n{text}\n```" for path, text in helps)


def _helps(name: str, command: click.Command, parent: click.Context | None = None) -> Iterator[tuple[str, str]]:
    context = click.Context(command, parent=parent, info_name=name, terminal_width=WIDTH, max_content_width=WIDTH)
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for subcommand in command.list_commands(context):
            inner = command.get_command(context, subcommand)
            assert inner is not None
            yield from _helps(subcommand, inner, context)


def record_table(stream: str) -> str:
    rows = ["| field | type | written by a restore | from | |", "|---|---|---|---|---|"]
    for name, field in load(stream)["properties"].items():
        kinds = [field["type"]] if isinstance(field["type"], str) else field["type"]
        kind = ", ".join(field.get("format", each) if each == "string" else each for each in kinds)
        written = "yes" if field.get("x-writable") else ""
        rows.append(f"| `{name}` | {kind} | {written} | {field.get('x-source', '')} | {field['description']} |")
    return "\n".join(rows)


IDLE = frozenset({"add_record_metadata", "batch_size_rows", "faker_config", "load_method"})
"""Settings that the SDK lists for every plugin and that do nothing in ours."""


def with_the_sdk(plugin: type[PluginBase]) -> Mapping[str, Mapping[str, Any]]:
    """Return the settings of a plugin with those that the SDK adds, as ``--about`` lists them."""
    schema = deepcopy(plugin.config_jsonschema)
    plugin.append_builtin_config(schema)
    return {name: setting for name, setting in schema["properties"].items() if name not in IDLE}


def meltano_settings(properties: Mapping[str, Mapping[str, Any]], indent: int = 4) -> str:
    """Return settings as meltano.yml and Meltano Hub take them."""
    listed = [_meltano_setting(name, schema) for name, schema in properties.items()]
    text = yaml.safe_dump(listed, sort_keys=False, allow_unicode=True, width=110)
    return textwrap.indent(text.rstrip("\n"), " " * indent)


def _meltano_setting(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    setting: dict[str, Any] = {"name": name}
    kinds = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    if "enum" in schema:
        setting |= {"kind": "options", "options": [{"label": each, "value": each} for each in schema["enum"]]}
    elif schema.get("format") == "date-time":
        setting["kind"] = "date_iso8601"
    else:
        setting["kind"] = {"number": "decimal"}.get(kinds[0], kinds[0])
    if schema.get("secret"):
        setting["sensitive"] = True
    if schema.get("default") not in {None, ""}:
        setting["value"] = schema["default"]
    return {**setting, "label": schema["title"], "description": schema["description"]}


MELTANO: dict[str, tuple[str, Mapping[str, Mapping[str, Any]]]] = {
    "tap-bc-images": ("extractors", with_the_sdk(TapBCImages)),
    "tap-singer-archive": ("extractors", EXTRACTOR),
    "target-bc-images": ("loaders", with_the_sdk(TargetBCImages)),
    "target-singer-archive": ("loaders", LOADER),
}
"""Our plugins for Meltano: of which type each is, and its settings."""

ARCHIVE = {extractor.PROG: extractor.cli, loader.PROG: loader.cli}
AIRBYTE = {source.PROG: source.cli, destination.PROG: destination.cli}


def module_map() -> str:
    """Return a list of all modules, each with the first line of its docstring."""
    sections = []
    docstrings = {name: cleandoc(ast.get_docstring(tree) or "").partition("\n")[0] for name, tree in modules().items()}
    for package in PACKAGES:
        names = sorted(name for name in docstrings if name.split(".")[0] == package)
        lines = [f"- `{name}`: {docstrings[name].replace('``', '`')}" for name in names]
        sections.append("\n".join([f"### {package}", "", *lines]))
    return "\n\n".join(sections)


PARTS: dict[tuple[str, str], Callable[[], str]] = {
    ("CONTRIBUTING.md", "modules"): module_map,
    ("README.md", "settings"): settings_table,
    ("docs/errors.md", "errors"): error_list,
    ("docs/commands.md", "commands"): partial(command_help, {"bc-images": cli}),
    ("docs/commands.md", "commands of the archive"): partial(command_help, ARCHIVE),
    ("docs/commands.md", "settings of the archive"): archive_settings_table,
    ("docs/commands.md", "commands for Airbyte"): partial(command_help, AIRBYTE),
    ("docs/record.md", "product_images"): partial(record_table, "product_images"),
    ("docs/record.md", "products"): partial(record_table, "products"),
    **{
        ("meltano.yml", f"settings of {name}"): partial(meltano_settings, properties)
        for name, (_, properties) in MELTANO.items()
    },
    **{
        (f"plugins/{kind}/{name}.yml", f"settings of {name}"): partial(meltano_settings, properties, 0)
        for name, (kind, properties) in MELTANO.items()
    },
}


def _between(name: str) -> re.Pattern[str]:
    return re.compile(
        rf"((?:<!--|#) {name}: made by make docs(?: -->)?\n)(.*?)( *(?:<!--|#) end of {name}\b)", re.DOTALL
    )


def present(file: str, name: str) -> str | None:
    """Return a part as the document has it now; None where there is no such part."""
    match = _between(name).search((ROOT / file).read_text(encoding="utf-8"))
    return match and match[2].rstrip("\n")


def main() -> None:
    """Write every part into its document."""
    for (file, name), make in PARTS.items():
        path = ROOT / file
        old = path.read_text(encoding="utf-8")
        match = _between(name).search(old)
        assert match, f"{file} has no comments that name {name}"
        path.write_text(f"{old[: match.end(1)]}{make()}\n{old[match.start(3) :]}", encoding="utf-8")


if __name__ == "__main__":
    main()
