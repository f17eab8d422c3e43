"""Pictures: the tap with `file_store` against curl on the same connections; memory; and what a second run costs."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from urllib.parse import quote

from benchmarks.harness import Command, Failed, Figure, Run, median, once
from benchmarks.sandbox_store import CONCURRENCY, Counts, ReplayServer, replay_server

LATENCY = 20  # milliseconds a request
SIZE = 100_000  # bytes a picture


def figures(*, short: bool) -> list[Figure]:
    """Measure 3,000 pictures of 100 kB, and memory with larger ones and with more."""
    products, times = (100, 1) if short else (1000, 3)
    number = products * 3
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with replay_server(products, 3, f"--picture-bytes={SIZE}") as store:
            curl, first = _downloads(store, folder, times, number)
            second, plain, again = _again(store, folder, times)
        few, many = (10, 500) if short else (60, 4000)
        memory = [_by_size(folder, few), _by_number(folder, many, many * 3)]
    share, cost = curl / first, second / plain
    what = f"{number:,} pictures of {SIZE // 1000} kB at {LATENCY} ms"
    return [
        Figure(
            f"{what}, {CONCURRENCY} connections, whole process: speed of curl --parallel",
            f"{share:.2f} ({first:.2f} s)",
            f"curl {curl:.2f} s",
            "≥ 0.8",
            share >= 0.8,
        ),
        Figure("the same, second run: downloads", f"{again.pictures}", "", "0", again.pictures == 0),
        Figure(
            "the same, second run: time, of a run without files",
            f"{cost:.2f} ({second:.2f} s)",
            f"without files {plain:.2f} s",
            "≤ 1.2",
            cost <= 1.2,
        ),
        *memory,
    ]


def _downloads(store: ReplayServer, folder: Path, times: int, number: int) -> tuple[float, float]:
    """Return seconds of curl and of our first run; the files stay behind."""
    saved, kept = folder / "files", folder / "curl"
    first = store.tap(file_store=str(saved))
    once(first)  # the sandbox draws every picture now, and the tape has them
    curl = _curl(store, saved, kept)
    taken: dict[str, list[Run]] = {"curl": [], "ours": []}
    for _ in range(times):
        for name, command, made in (("curl", curl, kept), ("ours", first, saved)):
            shutil.rmtree(made, ignore_errors=True)
            run, counts = store.timed(command, LATENCY)
            found = [each.stat().st_size for each in made.rglob("*") if each.is_file() and each.stat().st_size]
            if counts.pictures != number or found != [SIZE] * number:
                raise Failed(f"{name} asked for {counts.pictures} pictures and has {len(found)}, not {number}")
            taken[name].append(run)
    return median(taken["curl"]).seconds, median(taken["ours"]).seconds


def _curl(store: ReplayServer, saved: Path, kept: Path) -> Command:
    """Return the command that downloads with curl what the tap has saved, by its refs."""
    refs = saved / "refs" / "sandbox"
    lines = []
    for number, ref in enumerate(sorted(path for path in refs.rglob("*") if path.is_file())):
        image_file = ref.relative_to(refs).as_posix().rsplit("=", 4)[0]
        lines.append(f'url = "{store.url}/product_images/{quote(image_file)}"\noutput = "{kept}/{number}"\n')
    config = saved.with_name("curl.config")
    config.write_text("".join(lines))
    flags = ["--silent", "--show-error", "--fail", "--parallel", "--parallel-max", str(CONCURRENCY), "--create-dirs"]
    return Command(["curl", *flags, "--config", config])


def _again(store: ReplayServer, folder: Path, times: int) -> tuple[float, float, Counts]:
    """Return seconds of a run that has all files already and of one without files, and what the former asked for."""
    with_files, without = [], []
    for _ in range(times + 2):
        run, counts = store.timed(store.tap(file_store=str(folder / "files")), LATENCY)
        with_files.append(run)
        without.append(store.timed(store.tap(), LATENCY)[0])
    return median(with_files).seconds, median(without).seconds, counts


def _by_size(folder: Path, products: int) -> Figure:
    """Compare small, large and very large pictures: what a connection has in its hands is bounded."""
    small, large, huge = (_peak(folder, products, size) for size in (100_000, 1_000_000, 5_000_000))
    growth = huge / large - 1
    return Figure(
        f"memory, {products * 3} pictures, 1 MB -> 5 MB each",
        f"{growth:+.1%} ({huge:.1f} MB)",
        f"1 MB: {large:.1f} MB, 100 kB: {small:.1f} MB",
        "< 5 %",
        growth < 0.05,
    )


def _by_number(folder: Path, few: int, many: int) -> Figure:
    """Compare two stores, both so large that the scan over them takes all the memory that it ever takes."""
    before, after = (_peak(folder, products, 5000) for products in (few, many))
    growth = after / before - 1
    return Figure(
        f"memory, pictures of 5 kB, {few * 3:,} -> {many * 3:,}",
        f"{growth:+.1%} ({after:.1f} MB)",
        f"{few * 3:,}: {before:.1f} MB",
        "< 5 %",
        growth < 0.05,
    )


def _peak(folder: Path, products: int, size: int) -> float:
    """Return the peak in megabytes of a first run over so many products with 3 pictures of so many bytes each."""
    saved = folder / "peak"
    with replay_server(products, 3, f"--picture-bytes={size}") as store:
        peak = once(store.tap(file_store=str(saved))).megabytes
    shutil.rmtree(saved)
    return peak
