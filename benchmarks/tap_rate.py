"""How many images a second the tap writes when the store costs no time: against the baseline and a plain RESTStream."""

from __future__ import annotations

from benchmarks.harness import Failed, Figure, digest, median, rounds
from benchmarks.sandbox_store import replay_server

BASELINE, OURS, PLAIN = "baseline_v3", "ours", "plain RESTStream tap"


def figures(*, short: bool) -> list[Figure]:
    """Measure 200,000 images (20,000 for short) at 0 ms."""
    products, images, times = (4000, 5, 1) if short else (40_000, 5, 3)
    number = products * images
    with replay_server(products, images) as store:
        commands = {BASELINE: store.peer("baseline_v3"), OURS: store.tap(), PLAIN: store.peer("plain_tap")}
        if digest(commands[BASELINE]) != digest(commands[OURS]):
            raise Failed("the baseline does not write the messages that the tap writes")
        if digest(commands[PLAIN], ["id"]) != digest(commands[OURS], ["id"]):
            raise Failed("the plain tap does not bring the same images")
        store.rewind()
        runs = rounds(commands, times)
        if store.counts().misses:
            raise Failed("some requests were not on the tape")
    rate = {name: number / median(of).seconds for name, of in runs.items()}
    what = f"tap, {number:,} images at 0 ms, whole process"
    of_baseline, of_plain = rate[OURS] / rate[BASELINE], rate[OURS] / rate[PLAIN]
    return [
        Figure(
            f"{what}: of the {BASELINE}",
            f"{of_baseline:.2f} ({rate[OURS]:,.0f} images/s)",
            f"{BASELINE} {rate[BASELINE]:,.0f}",
            "≥ 0.5",
            of_baseline >= 0.5,
        ),
        Figure(
            f"{what}: of a {PLAIN}",
            f"{of_plain:.1f} × ({rate[OURS]:,.0f} images/s)",
            f"{PLAIN} {rate[PLAIN]:,.0f}",
            "≥ 3.5 ×",
            of_plain >= 3.5,
        ),
    ]
