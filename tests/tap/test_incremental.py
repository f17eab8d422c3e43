"""A table that INCREMENTAL runs keep up to date is the table of a fresh full run, but for what was deleted."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from bc_images.bigcommerce import FileSource, StoreClient
from bigcommerce_sandbox import SandboxServer
from bigcommerce_sandbox.flags import FLAGS
from tap_bc_images import streams
from tests.support.store_client import PICTURE, Connection
from tests.support.tap import catalog_of, settings, sync

Table = dict[int, dict[str, Any]]
Image = dict[str, Any]
Edit = tuple[str, int, int]
"""What is done, to the image at which place of the store, and a number that the edit makes something of."""

FILE = FileSource("new.png", lambda: io.BytesIO(PICTURE))


def create(store: StoreClient, image: Image, number: int) -> None:
    fields = {"sort_order": number, "is_thumbnail": number % 3 == 0, "description": f"new {number}"}
    store.create(image["product_id"], FILE, fields)


EDITS: dict[str, Callable[[StoreClient, Image, int], object]] = {
    "thumbnail": lambda store, image, number: store.update(
        image["product_id"], image["id"], {"is_thumbnail": number % 4 != 0}
    ),
    "order": lambda store, image, number: store.update(image["product_id"], image["id"], {"sort_order": number}),
    "text": lambda store, image, number: store.update(image["product_id"], image["id"], {"description": f"{number}"}),
    "create": create,
    "replace": lambda store, image, number: store.replace(
        image["product_id"], image["id"], FILE, {"sort_order": number} if number % 2 else {}
    ),
}


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with SandboxServer(products=0) as sandbox:
        yield sandbox


def load(sandbox: SandboxServer, table: Table, state: Any) -> Any:
    """Run the tap as INCREMENTAL, upsert what it emits into `table`, and return its last state."""
    config = settings(sandbox.url)
    output = sync(config, catalog=catalog_of(config, "product_images", replication_method="INCREMENTAL"), state=state)
    table.update({record["id"]: record for record in output.records()})
    return output.states[-1]


def apply(sandbox: SandboxServer, edits: list[Edit]) -> None:
    connection = Connection(sandbox, "v3")
    for kind, place, number in edits:
        images = connection.images()
        if not images:
            break
        image = images[place % len(images)]
        if kind == "delete":
            connection.store.delete(image["product_id"], image["id"])
        else:
            EDITS[kind](connection.store, image, number)
    connection.store.close()


def rounds(*kinds: str) -> st.SearchStrategy[list[list[Edit]]]:
    edit = st.tuples(st.sampled_from(kinds), st.integers(0, 30), st.integers(0, 6))
    return st.lists(st.lists(edit, min_size=1, max_size=3), min_size=1, max_size=3)


def check(sandbox: SandboxServer, edits: list[list[Edit]], flags: dict[str, str]) -> None:
    sandbox.set_flags(**{name: flag.default for name, flag in FLAGS.items()} | flags)
    sandbox.reset(products=4, images=3, seed=1)
    table: Table = {}
    state = load(sandbox, table, None)
    for each in edits:
        apply(sandbox, each)
        state = load(sandbox, table, state)
        fresh = {record["id"]: record for record in sync(settings(sandbox.url)).records()}
        assert {number: table[number] for number in fresh} == fresh


SHIFTS = st.fixed_dictionaries(
    {"sort_order_shift": st.sampled_from(["none", "shift"]), "shift_bumps_date": st.sampled_from(["off", "on"])}
)
QUICK = hypothesis_settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture(autouse=True)
def _no_margin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no image come again for the sole reason that it changed within the last minutes."""
    monkeypatch.setattr(streams, "_CLOCK_MARGIN", timedelta(0))


@QUICK
@given(edits=rounds(*EDITS), flags=SHIFTS)
def test_incremental_runs_give_the_table_of_a_full_run(
    server: SandboxServer, edits: list[list[Edit]], flags: dict[str, str]
) -> None:
    check(server, edits, flags)


@QUICK
@given(edits=rounds("delete", "thumbnail", "create"))
def test_a_store_that_dates_its_products_shows_what_a_deletion_did_to_siblings(
    server: SandboxServer, edits: list[list[Edit]]
) -> None:
    """The image that follows a deleted thumbnail keeps its date; the product does not."""
    check(server, edits, {"image_write_bumps_product_date": "on"})


@pytest.mark.parametrize("shift", ["none", "shift"])
def test_one_thumbnail_in_the_table(server: SandboxServer, shift: str) -> None:
    """The sibling that loses the thumbnail, or its place, keeps its date and comes nevertheless."""
    server.set_flags(sort_order_shift=shift, shift_bumps_date="off")
    server.reset(products=3, images=3, seed=1)
    table: Table = {}
    state = load(server, table, None)
    connection = Connection(server, "v3")
    first, second, _ = connection.images(connection.product_ids()[1])
    loser, winner = (first, second) if first["is_thumbnail"] else (second, first)
    connection.store.update(winner["product_id"], winner["id"], {"is_thumbnail": True})
    load(server, table, state)
    thumbnails = [
        row["id"] for row in table.values() if row["product_id"] == loser["product_id"] and row["is_thumbnail"]
    ]
    assert thumbnails == [winner["id"]]
