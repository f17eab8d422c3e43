"""Peak resident memory of the tap: constant in the size of the store."""

from __future__ import annotations

from benchmarks.harness import Figure, once
from benchmarks.sandbox_store import replay_server


def figures(*, short: bool) -> list[Figure]:
    """Measure V3 at two sizes and V2 at one, at 0 ms, straight from the sandbox: its speed does not matter here."""
    small, large = (1000, 5000) if short else (10_000, 100_000)
    peak = {products: _peak(products, "v3") for products in (small, large)}
    growth = peak[large] / peak[small] - 1
    v2 = _peak(small, "v2")
    return [
        Figure(
            f"memory, V3, {large:,} × 3",
            f"{peak[large]:.1f} MB",
            f"{small:,} × 3: {peak[small]:.1f} MB",
            "< 100 MB",
            peak[large] < 100,
        ),
        Figure(f"memory, V3, growth {small:,} × 3 -> {large:,} × 3", f"{growth:+.1%}", "", "< 5 %", growth < 0.05),
        Figure(f"memory, V2, {small:,} × 3", f"{v2:.1f} MB", "", "< 110 MB", v2 < 110),
    ]


def _peak(products: int, api_version: str) -> float:
    with replay_server(products, 3) as store:
        return once(store.tap(api_version)).megabytes
