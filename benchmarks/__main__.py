"""``python -m benchmarks [--short] [--write] [PART ...]``: measure, and print a table in Markdown for each part."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from importlib import import_module

from benchmarks.harness import ROOT, Failed, Figure, machine, table

PAGE = ROOT / "docs/performance.md"
PARTS = (
    "tap_v3",
    "tap_v2",
    "tap_rate",
    "tap_memory",
    "full_scan",
    "quota",
    "files",
    "target",
    "restore",
    "meltano",
    "sandbox_rate",
)


def main() -> int:
    """Run the parts that are named, or all; return 1 if a figure is not what it must be."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure against baselines and peers.")
    parser.add_argument("--short", action="store_true", help="small sizes, one run each: tries the benchmarks out")
    parser.add_argument("--write", action="store_true", help=f"put the tables into {PAGE.relative_to(ROOT)}")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; without any, all of them")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    if arguments.short and arguments.write:
        parser.error("--short tells nothing that is worth writing down")
    met = [_measured(part, short=arguments.short, write=arguments.write) for part in arguments.parts or PARTS]
    return 0 if all(met) else 1


def _measured(part: str, *, short: bool, write: bool) -> bool:
    footnote = f"{datetime.now(UTC):%Y-%m-%d}, {machine()}"
    try:
        figures: list[Figure] = import_module(f"benchmarks.{part}").figures(short=short)
    except Failed as error:
        print(f"{part}: {error}", file=sys.stderr)
        return False
    text = f"{table(figures)}\n\n{footnote}"
    print(f"## {part}\n\n{text}\n", flush=True)
    if write:
        _write(part, text)
    return all(each.met for each in figures)


def _write(part: str, text: str) -> None:
    page = PAGE.read_text(encoding="utf-8")
    begin, end = f"<!-- {part}: made by python -m benchmarks --write {part} -->", f"<!-- end of {part} -->"
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise SystemExit(f"{PAGE.name} has no place for {part}: it wants the two lines\n{begin}\n{end}")
    PAGE.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
