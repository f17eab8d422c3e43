"""Random stores, random damages: what is restored is what was backed up, with no more writes than that takes."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bigcommerce_sandbox import SandboxServer
from tests.support.target import ImageState, RestoreScenario, picture

TEXTS = st.sampled_from(["", "front", "Größe “日本” 🧦", "a\nb", "<b>&amp;</b>", " "])
ORDERS = st.integers(-2, 4) | st.sampled_from([-(2**31), 2**31 - 5, 77])
NAMES = st.sampled_from(["front", "back", "main-image"])
COLOURS = st.integers(0, 5)


@dataclass(frozen=True)
class Image:
    """One image to be put into a store."""

    name: str
    colour: int
    sort_order: int
    description: str

    def add(self, sandbox: SandboxServer, product: int, *, is_thumbnail: bool = False) -> None:
        fields = {"sort_order": self.sort_order, "description": self.description, "is_thumbnail": is_thumbnail}
        sandbox.add_image(product, picture(self.colour), f"{self.name}.png", **fields)


@dataclass(frozen=True)
class Product:
    """Its images, and which of them is the thumbnail: none where the number is beyond the last."""

    images: list[Image]
    thumbnail: int

    def add(self, sandbox: SandboxServer) -> None:
        product = sandbox.add_product(sku="")
        for place, image in enumerate(self.images):
            image.add(sandbox, product, is_thumbnail=place == self.thumbnail)


@dataclass(frozen=True)
class Blow:
    """One thing that happens to the image at some place of the store: `kind` says what."""

    kind: str
    place: int
    image: Image

    def strike(self, scenario: RestoreScenario) -> None:
        images = scenario.sandbox.dump(files=False)["images"]
        if self.kind == "add":
            products = [each["id"] for each in scenario.sandbox.dump(files=False)["products"]]
            self.image.add(scenario.sandbox, products[self.place % len(products)], is_thumbnail=self.place % 3 == 0)
        elif images:
            STRIKES[self.kind](self, scenario, images[self.place % len(images)])


def delete(scenario: RestoreScenario, *images: dict[str, Any]) -> None:
    for image in images:
        scenario.sandbox.delete_image(image["id"])


def import_again(scenario: RestoreScenario, hit: dict[str, Any]) -> None:
    """As by hand: deleted, and uploaded from a copy."""
    content = scenario.sandbox.original(hit["image_file"]) or b""
    scenario.sandbox.delete_image(hit["id"])
    scenario.sandbox.add_image(hit["product_id"], content, hit["image_file"].rpartition("/")[2])


STRIKES: dict[str, Callable[[Blow, RestoreScenario, dict[str, Any]], None]] = {
    "delete": lambda _, scenario, hit: delete(scenario, hit),
    "empty": lambda _, scenario, hit: delete(scenario, *scenario.images(hit["product_id"])),
    "text": lambda blow, scenario, hit: scenario.sandbox.set_image(hit["id"], description=blow.image.description),
    "order": lambda blow, scenario, hit: scenario.sandbox.set_image(hit["id"], sort_order=blow.image.sort_order),
    "thumbnail": lambda blow, scenario, hit: scenario.sandbox.set_image(hit["id"], is_thumbnail=blow.place % 2 == 0),
    "picture": lambda blow, scenario, hit: scenario.sandbox.set_image(
        hit["id"], content=picture(blow.image.colour), filename=f"{blow.image.name}.png"
    ),
    "again": lambda _, scenario, hit: import_again(scenario, hit),
}


def images(
    names: st.SearchStrategy[str] = NAMES, colours: st.SearchStrategy[int] = COLOURS
) -> st.SearchStrategy[Image]:
    return st.builds(Image, names, colours, ORDERS, TEXTS)


PRODUCTS = st.lists(st.builds(Product, st.lists(images(), max_size=4), st.integers(0, 4)), min_size=1, max_size=3)
KINDS = ("delete", "delete", "empty", "text", "order", "thumbnail")


def blows(kinds: tuple[str, ...], drawn: st.SearchStrategy[Image]) -> st.SearchStrategy[list[Blow]]:
    return st.lists(st.builds(Blow, st.sampled_from(kinds), st.integers(0, 20), drawn), min_size=1, max_size=6)


STRANGE = {hashlib.sha256(picture(colour)).hexdigest() for colour in range(100, 106)}
STRANGERS = st.lists(st.tuples(st.integers(0, 5), images(st.just("stranger"), st.integers(100, 105))), max_size=3)


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with SandboxServer(products=0, images=0) as sandbox:
        yield sandbox


class Trip:
    """One backup, one disaster, one restore."""

    def __init__(
        self, sandbox: SandboxServer, api_version: str, shift: str, products: list[Product], folder: Path
    ) -> None:
        sandbox.reset()
        sandbox.set_flags(sort_order_shift="none")
        for product in products:
            product.add(sandbox)
        self.sandbox = sandbox
        self.shift = shift
        self.scenario = RestoreScenario(sandbox, folder, api_version)
        self.backup = self.scenario.backup()

    def end(self) -> dict[int, list[ImageState]]:
        """What there is now; a product's only image is its thumbnail, whatever is sent."""
        found = self.scenario.state()
        return {
            product: [(order, True, text, digest) for order, _, text, digest in shapes] if len(shapes) == 1 else shapes
            for product, shapes in found.items()
        }

    def restore(self, mode: str) -> None:
        """Restore; count the writes; restore once more."""
        self.sandbox.set_flags(sort_order_shift=self.shift)
        more = {"mode": mode, "max_deletes": 1000}
        planned = [action for action, _ in self.scenario.restore(self.backup, dry_run=True, **more).actions]
        self.sandbox.clear_requests()
        run = self.scenario.restore(self.backup, **more)
        assert run.code == 0, run.err
        writes = [path for _, path in self.scenario.writes() if path.startswith("/stores")]
        live = self.sandbox.dump(files=False)
        # Where no thumbnail is wanted, the store may choose one itself, which is to be undone.
        most = len(planned) + len(live["products"])
        if self.shift == "shift":
            most += 2 * len(live["images"])
        assert len(writes) <= most, (planned, writes)
        self.sandbox.clear_requests()
        again = self.scenario.restore(self.backup, **more)
        assert (again.code, again.actions, self.scenario.writes()) == (0, [], []), again.err


def mirror_trip(
    sandbox: SandboxServer, version: str, shift: str, products: list[Product], disaster: list[Blow]
) -> None:
    """Whatever happens to a store: a mirror brings back exactly what was backed up."""
    with tempfile.TemporaryDirectory() as folder:
        trip = Trip(sandbox, version, shift, products, Path(folder))
        wanted = trip.end()
        for blow in disaster:
            blow.strike(trip.scenario)
        trip.restore("mirror")
        assert trip.end() == wanted


def upsert_trip(
    sandbox: SandboxServer,
    version: str,
    shift: str,
    products: list[Product],
    disaster: list[Blow],
    strangers: list[tuple[int, Image]],
) -> None:
    """What was backed up comes back, and what the backup does not know stays as it is, but for the thumbnail."""
    with tempfile.TemporaryDirectory() as folder:
        trip = Trip(sandbox, version, shift, products, Path(folder))
        wanted = trip.scenario.state()
        for blow in disaster:
            blow.strike(trip.scenario)
        ids = [each["id"] for each in sandbox.dump(files=False)["products"]]
        for place, stranger in strangers:
            stranger.add(sandbox, ids[place % len(ids)])
        unknown = trip.scenario.state()
        trip.restore("upsert")
        after = trip.scenario.state()
        for product in ids:
            back = [shape for shape in after.get(product, []) if shape[3] not in STRANGE]
            stayed = [shape for shape in after.get(product, []) if shape[3] in STRANGE]
            had = [shape for shape in unknown.get(product, []) if shape[3] in STRANGE]
            wants = wanted.get(product, [])
            if any(is_thumbnail for _, is_thumbnail, *_ in wants):
                assert back == wants
                assert not any(is_thumbnail for _, is_thumbnail, *_ in stayed)
            assert without_thumbnail(back) == without_thumbnail(wants)
            assert without_thumbnail(stayed) == without_thumbnail(had)


def without_thumbnail(shapes: list[ImageState]) -> list[ImageState]:
    return sorted((order, False, text, digest) for order, _, text, digest in shapes)


QUICK = settings(
    deadline=None, derandomize=True, max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
LONG = settings(
    deadline=None, max_examples=250, print_blob=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
SHIFTS = pytest.mark.parametrize("shift", ["none", "shift"])
VERSIONS = pytest.mark.parametrize("version", ["v3", "v2"])

ANY = blows((*KINDS, "picture", "again", "add"), images())
# An image that got another picture and was then imported again is one that the backup does not know. So is one whose
# own picture is on another image since: that one is taken for it, and an upsert leaves the first as it is.
KNOWN = blows((*KINDS, "picture"), images(colours=st.integers(50, 55))) | blows((*KINDS, "again"), images())


@VERSIONS
@SHIFTS
@QUICK
@given(products=PRODUCTS, disaster=ANY)
def test_mirror(server: SandboxServer, version: str, shift: str, products: list[Product], disaster: list[Blow]) -> None:
    mirror_trip(server, version, shift, products, disaster)


@VERSIONS
@SHIFTS
@QUICK
@given(products=PRODUCTS, disaster=KNOWN, strangers=STRANGERS)
def test_upsert(
    server: SandboxServer,
    version: str,
    shift: str,
    products: list[Product],
    disaster: list[Blow],
    strangers: list[tuple[int, Image]],
) -> None:
    upsert_trip(server, version, shift, products, disaster, strangers)


@VERSIONS
def test_an_upsert_leaves_an_image_whose_picture_has_moved_to_another(
    server: SandboxServer, version: str, tmp_path: Path
) -> None:
    images = [Image("front", colour, 0, "") for colour in (0, 2)]
    trip = Trip(server, version, "none", [Product(images, 0)], tmp_path)
    (wanted,) = trip.scenario.state().values()
    first, second = server.dump(files=False)["images"]
    server.set_image(first["id"], content=picture(2), filename="front.png")
    server.set_image(second["id"], content=picture(1), filename="front.png")
    trip.restore("upsert")
    (after,) = trip.scenario.state().values()
    moved = hashlib.sha256(picture(1)).hexdigest()
    assert [shape for shape in after if shape[3] != moved] == wanted
    assert len(after) == len(wanted) + 1


@pytest.mark.slow
@VERSIONS
@SHIFTS
@LONG
@given(products=PRODUCTS, disaster=ANY)
def test_mirror_at_length(
    server: SandboxServer, version: str, shift: str, products: list[Product], disaster: list[Blow]
) -> None:
    mirror_trip(server, version, shift, products, disaster)


@pytest.mark.slow
@VERSIONS
@SHIFTS
@LONG
@given(products=PRODUCTS, disaster=KNOWN, strangers=STRANGERS)
def test_upsert_at_length(
    server: SandboxServer,
    version: str,
    shift: str,
    products: list[Product],
    disaster: list[Blow],
    strangers: list[tuple[int, Image]],
) -> None:
    upsert_trip(server, version, shift, products, disaster, strangers)
