"""The contract of a `StoreClient`: every class in `CLIENTS` passes it, over real HTTP against the sandbox.

In this order: reading (counts, full scans, products by id and SKU), writing (create, replace, update, delete), faults
(what is retried, what has an unknown outcome, what ends the run), and the run as a whole (token, close, quota).
A client of another API version joins by its entry in `CLIENTS`. Where versions differ, `Capabilities` says so.
"""

from __future__ import annotations

import itertools
import math
import random
import threading
import time
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
import requests
from requests.auth import HTTPDigestAuth

from bc_images.bigcommerce import CLIENTS, FileSource, ImageSource, UrlSource, WebDavSource, open_store
from bc_images.bigcommerce.retry import RetryPolicy
from bc_images.errors import (
    AuthError,
    FatalError,
    NotFound,
    OutcomeUnknown,
    RequestRejected,
    StoreUnreachable,
    UnexpectedResponse,
)
from bigcommerce_sandbox import DAV_PASSWORD, DAV_USERNAME, READ_ONLY_TOKEN, SandboxServer
from tests.support.store_client import PICTURE, Connection, plain


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxServer]:
    with SandboxServer(products=0, images=0) as server:
        yield server


@pytest.fixture(params=sorted(CLIENTS))
def connection(
    request: pytest.FixtureRequest, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Connection]:
    monkeypatch.setattr(RetryPolicy, "backoff", lambda _policy, _attempt: 0.001)
    opened = Connection(sandbox, request.param)
    opened.renew(7, 3)
    yield opened
    opened.store.close()


def from_file(name: str = "pixel.png") -> FileSource:
    return FileSource(name, lambda: BytesIO(PICTURE))


# Reading


def test_counts(connection: Connection) -> None:
    connection.renew(12, 4, seed_without_images=3)
    assert connection.store.count_products() == 12
    assert connection.store.count_images() == len(connection.images()) > 0


def test_a_scan_yields_the_store(connection: Connection) -> None:
    connection.renew(30, 4, seed_without_images=4)
    scanned = list(connection.store.scan())
    dump = connection.sandbox.dump(files=False)
    assert [product.id for product in scanned] == [product["id"] for product in dump["products"]]
    assert [(product.sku, product.name) for product in scanned] == [(p["sku"], p["name"]) for p in dump["products"]]
    assert [product.date_modified for product in scanned] == [product["date_modified"] for product in dump["products"]]
    images = [image for product in scanned for image in product.images]
    assert [plain(image) for image in images] == [plain(image) for image in dump["images"]]
    skus = {product["id"]: product["sku"] for product in dump["products"]}
    date = "date_modified" if connection.store.capabilities.reports_date_modified else "date_created"
    for image, original in zip(images, dump["images"], strict=True):
        assert image["store_hash"] == "sandbox"
        assert image["product_sku"] == skus[image["product_id"]]
        assert image[date] == original[date]
    assert requests.get(images[0]["zoom_url"], timeout=10).status_code == 200


@pytest.mark.parametrize("products", [0, 1, 249, 250, 251, 500, 501, 1300])
def test_every_size_is_scanned_in_few_requests(connection: Connection, products: int) -> None:
    connection.renew(products, 1)
    assert [product.id for product in connection.store.scan()] == connection.product_ids()
    pages = math.ceil(products / 250)
    bound = pages + connection.client.settings.concurrency + 1 if connection.version == "v3" else products + pages + 2
    assert len(connection.lines()) <= bound


def test_products_without_an_image_end_nothing(connection: Connection) -> None:
    """Two full pages and more in a row have none; then comes one that has some."""
    connection.renew(600)
    last = connection.sandbox.add_product(sku="LAST", name="last")
    connection.sandbox.add_image(last, PICTURE, "only.png")
    scanned = list(connection.store.scan())
    assert len(scanned) == 601
    assert [(product.sku, len(product.images)) for product in scanned if product.images] == [("LAST", 1)]


def test_products_by_position(connection: Connection) -> None:
    connection.renew(3)
    store = connection.store
    assert [store.product_id_at(position) for position in range(4)] == [*connection.product_ids(), None]


@pytest.mark.parametrize("images", [249, 250, 251, 500, 501, 1000])
def test_long_image_lists_are_complete(connection: Connection, images: int) -> None:
    connection.renew(3, 1)
    product_id = connection.product_ids()[1]
    for number in range(images - 1):
        connection.sandbox.add_image(product_id, PICTURE, f"{number}.png", sort_order=-number)
    expected = [plain(image) for image in connection.images(product_id)]
    assert len(expected) == images
    scanned = {product.id: product.images for product in connection.store.scan()}
    (read,) = connection.store.products([product_id])
    for found in (scanned[product_id], read.images, connection.store.images(product_id)):
        assert [plain(image) for image in found] == expected
    assert sum(map(len, scanned.values())) == images + 2


def test_a_scan_has_bounds_and_continues_where_another_ended(connection: Connection) -> None:
    connection.renew(520, 1)
    ids = connection.product_ids()
    assert [p.id for p in connection.store.scan(first=ids[100], last=ids[400])] == ids[100:401]
    assert [p.id for p in connection.store.scan(first=ids[259] + 1)] == ids[260:]
    assert [p.id for p in connection.store.scan(last=ids[0])] == ids[:1]
    assert [p.id for p in connection.store.scan(first=ids[-1] + 1)] == []
    assert [p.id for p in connection.store.scan(first=ids[3], last=ids[3])] == ids[3:4]
    assert [p.id for p in connection.store.scan(first=ids[4], last=ids[3])] == []


@pytest.mark.parametrize("seed", range(6))
def test_what_exists_throughout_is_scanned_once_while_others_change_the_store(
    connection: Connection, seed: int
) -> None:
    connection.renew(700 if connection.version == "v3" else 60, 1)
    dice, lock = random.Random(seed), threading.Lock()
    always = set(connection.product_ids())
    ever = set(always)

    def meddle(_method: str, _path: str) -> None:
        with lock:
            for _ in range(dice.randint(0, 3)):
                ids = connection.product_ids()
                if dice.random() < 0.6 and ids:
                    gone = dice.choice(ids)
                    always.discard(gone)
                    connection.sandbox.delete_product(gone)
                else:
                    ever.add(connection.sandbox.add_product(name="new"))

    connection.client.before = meddle
    scanned = [product.id for product in connection.store.scan()]
    assert all(earlier < later for earlier, later in itertools.pairwise(scanned))
    assert always <= set(scanned) <= ever


def test_images_are_complete_while_others_delete_some(connection: Connection) -> None:
    connection.renew(1)
    (product_id,) = connection.product_ids()
    for number in range(600):
        connection.sandbox.add_image(product_id, PICTURE, f"{number}.png")
    images = [image["id"] for image in connection.images(product_id)]
    victims, lock = iter(images[:5]), threading.Lock()

    def meddle(_method: str, path: str) -> None:
        with lock:
            if path.endswith("/images") and (victim := next(victims, None)):
                connection.sandbox.delete_image(victim)

    connection.client.before = meddle
    (product,) = connection.store.scan()
    assert [image["id"] for image in product.images] == images[5:]


def test_a_product_deleted_meanwhile_is_left_out(connection: Connection) -> None:
    connection.renew(5, 2)
    victim = connection.product_ids()[2]
    for number in range(250):  # so many that V3 reads them on their own
        connection.sandbox.add_image(victim, PICTURE, f"{number}.png")

    def meddle(_method: str, path: str) -> None:
        if path.endswith(f"/{victim}/images") and victim in connection.product_ids():
            connection.sandbox.delete_product(victim)

    connection.client.before = meddle
    assert [product.id for product in connection.store.scan()] == [i for i in connection.product_ids() if i != victim]
    assert victim not in connection.product_ids()


@pytest.mark.parametrize("shape", ["array", "object"])
def test_a_product_that_does_not_exist(connection: Connection, shape: str) -> None:
    connection.sandbox.set_flags(v2_404_shape=shape)
    with pytest.raises(NotFound):
        connection.store.images(999_999)
    assert list(connection.store.products([999_999])) == []


@pytest.mark.parametrize("empty", ["200", "204"])
def test_an_empty_image_list(connection: Connection, empty: str) -> None:
    connection.renew(2, v3_empty_list=empty)
    assert connection.store.images(connection.product_ids()[0]) == []
    assert [product.images for product in connection.store.scan()] == [[], []]


def test_products_by_id(connection: Connection) -> None:
    connection.renew(520, 1)
    ids = connection.product_ids()
    wanted = [ids[500], 1, ids[3], ids[3], ids[250], 10**9, *ids[10:300]]
    read = list(connection.store.products(wanted))
    assert [product.id for product in read] == sorted({*wanted} - {1, 10**9})
    assert all(len(product.images) == 1 for product in read)
    assert list(connection.store.products([])) == []


def test_products_by_id_are_read_250_at_once(connection: Connection) -> None:
    connection.renew(751, 1)
    ids = connection.product_ids()
    connection.lines()
    assert len(list(connection.store.products(ids))) == 751
    assert len(connection.lines()) == (4 if connection.version == "v3" else 751)


ODD_SKUS = [
    "a,b",
    "a,b,c",
    'quo"te',
    "it's",
    "größe-日本-🧦",
    "with space",
    "with\u00a0another\u2003space",
    "50%&more=1+1#?",
    "semi;colon",
    "a/b\\c",
    "null",
    "0",
]


def test_find_by_sku(connection: Connection) -> None:
    connection.renew(3)
    made = {sku: connection.sandbox.add_product(sku=sku, name=sku) for sku in ODD_SKUS}
    found = connection.store.products_by_sku(
        [*ODD_SKUS, "SKU-000001", "sku-000001", 'QUO"TE', "a", "b", "", "missing", "x\ny", "\ud800"]
    )
    assert found == {
        **{sku: [product_id] for sku, product_id in made.items()},
        "SKU-000001": [connection.product_ids()[1]],
        **{sku: [] for sku in ("sku-000001", 'QUO"TE', "a", "b", "", "missing", "x\ny", "\ud800")},
    }


def test_find_many_long_skus(connection: Connection) -> None:
    connection.renew(0)
    made = {
        sku: connection.sandbox.add_product(sku=sku) for sku in (f"{number:03}-{'ä' * 200}" for number in range(60))
    }
    assert connection.store.products_by_sku(made) == {sku: [product_id] for sku, product_id in made.items()}
    assert connection.store.products_by_sku([]) == {}


def test_find_a_sku_that_two_products_carry(connection: Connection) -> None:
    both = [connection.sandbox.add_product(sku="TWICE"), connection.sandbox.add_product(sku="TWICE")]
    assert connection.store.products_by_sku(["TWICE"]) == {"TWICE": both}


# Writing


def dav_import(connection: Connection, name: str) -> WebDavSource:
    answer = requests.put(
        f"{connection.sandbox.url}/dav/product_images/import/{name}",
        data=PICTURE,
        auth=HTTPDigestAuth(DAV_USERNAME, DAV_PASSWORD),
        timeout=10,
    )
    assert answer.status_code in {201, 204}
    return WebDavSource(name)


def sources(connection: Connection) -> dict[str, ImageSource]:
    """One source of each kind that the version takes."""
    found: dict[str, ImageSource] = {
        "url": UrlSource(connection.url_of(connection.images()[0])),
        "import": dav_import(connection, "from import.png"),
    }
    return found | ({"file": from_file()} if connection.store.capabilities.accepts_image_bytes else {})


@pytest.mark.parametrize("kind", ["url", "import", "file"])
def test_create(connection: Connection, kind: str) -> None:
    if kind == "file" and not connection.store.capabilities.accepts_image_bytes:
        with pytest.raises(TypeError, match="WebDAV"):
            connection.store.create(connection.product_ids()[0], from_file(), {})
        return
    product_id = connection.product_ids()[0]
    fields = {"is_thumbnail": True, "sort_order": -7, "description": 'größe "x" 🧦'}
    created = connection.store.create(product_id, sources(connection)[kind], fields)
    live = connection.images(product_id)[-1]
    assert plain(created) == plain(live)
    assert {name: live[name] for name in fields} == fields
    assert created["store_hash"] == "sandbox"
    assert created["product_id"] == product_id
    if kind != "url":
        assert connection.sandbox.original(live["image_file"]) == PICTURE


@pytest.mark.parametrize("kind", ["url", "import", "file"])
def test_replace_keeps_the_id(connection: Connection, kind: str) -> None:
    if kind == "file" and not connection.store.capabilities.accepts_image_bytes:
        with pytest.raises(TypeError, match="WebDAV"):
            connection.store.replace(connection.product_ids()[0], 1, from_file(), {})
        return
    before = connection.images()[4]
    source = sources(connection)[kind]
    replaced = connection.store.replace(before["product_id"], before["id"], source, {"description": None})
    live = next(image for image in connection.images() if image["id"] == before["id"])
    assert plain(replaced) == plain(live)
    assert live["image_file"] != before["image_file"]
    assert live["description"] == ""
    assert live["sort_order"] == before["sort_order"]


@pytest.mark.parametrize(
    "fields",
    [
        {"description": "new"},
        {"description": None},
        {"description": ""},
        {"sort_order": 2**31 - 1},
        {"is_thumbnail": True},
        {"is_thumbnail": True, "sort_order": 0, "description": "all"},
    ],
)
def test_update(connection: Connection, fields: dict[str, Any]) -> None:
    before = connection.images()[5]
    updated = connection.store.update(before["product_id"], before["id"], fields)
    live = next(image for image in connection.images() if image["id"] == before["id"])
    assert plain(updated) == plain(live) == plain({**before, **fields})


def test_delete(connection: Connection) -> None:
    victim, *rest = connection.images()
    for _ in range(2):  # the second finds nothing, which is no error
        connection.store.delete(victim["product_id"], victim["id"])
        assert [image["id"] for image in connection.images()] == [image["id"] for image in rest]
    connection.store.delete(999_999, 1)


@pytest.mark.parametrize("images", [0, 1, 3, 251, 520])
def test_delete_all(connection: Connection, images: int) -> None:
    connection.renew(2, 1)
    product_id, other = connection.product_ids()
    for number in range(images - 1):
        connection.sandbox.add_image(product_id, PICTURE, f"{number}.png")
    if not images:
        connection.sandbox.delete_image(connection.images(product_id)[0]["id"])
    ids = [image["id"] for image in connection.images(product_id)]
    connection.lines()
    connection.store.delete_all(product_id, ids)
    assert connection.images(product_id) == []
    assert len(connection.images(other)) == 1
    if connection.version == "v2":
        assert len(connection.lines()) == 2 * math.ceil(images / 250) + 1
    connection.store.delete_all(product_id, ids)
    connection.store.delete_all(999_999, ids)


@pytest.mark.parametrize("doomed", [1, 2])
def test_delete_all_spares_what_has_come_in_meanwhile(connection: Connection, doomed: int) -> None:
    connection.renew(1, 3)
    ids = [image["id"] for image in connection.images()]
    connection.store.delete_all(connection.product_ids()[0], ids[:doomed])
    assert [image["id"] for image in connection.images()] == ids[doomed:]


def test_delete_all_is_not_put_off_by_a_store_that_agrees_and_deletes_none(connection: Connection) -> None:
    connection.renew(1, 3)
    ids = [image["id"] for image in connection.images()]
    connection.sandbox.faults("n", match="DELETE .*/images$")
    connection.store.delete_all(connection.product_ids()[0], ids)
    assert connection.images() == []


def test_one_image(connection: Connection) -> None:
    image = connection.images()[0]
    assert plain(connection.store.image(image["product_id"], image["id"])) == plain(image)
    with pytest.raises(NotFound):
        connection.store.image(image["product_id"], 999_999)


def test_writes_to_what_does_not_exist(connection: Connection) -> None:
    product_id = connection.product_ids()[0]
    for missing in (product_id, 999_999):
        with pytest.raises(NotFound):
            connection.store.update(missing, 999_999, {"description": "x"})
    with pytest.raises(NotFound):
        connection.store.create(999_999, UrlSource(connection.url_of(connection.images()[0])), {})


def test_a_picture_that_cannot_be_fetched_is_rejected_in_the_stores_words(connection: Connection) -> None:
    address = f"{connection.sandbox.url}/product_images/nothing.jpg?signature=hunter2"
    with pytest.raises(RequestRejected, match=r"HTTP 4\d\d: \w") as caught:
        connection.store.create(connection.product_ids()[0], UrlSource(address), {})
    assert caught.value.status in {400, 422}
    assert "hunter2" not in str(caught.value)


# Faults

READ_FAULTS = "qQr5bWudtzw l".replace(" ", "")
WRITE_NEVER_DONE = "qQr"
WRITE_UNKNOWN = {"5": False, "b": False, "u": False, "W": False, "d": False, "w": True, "l": True, "t": True}
"""Each fault after which nobody can know, and whether the work was done."""


@pytest.mark.parametrize("fault", READ_FAULTS)
def test_a_scan_survives_every_fault_of_a_read(connection: Connection, fault: str) -> None:
    connection.renew(300 if connection.version == "v3" else 12, 2, fault_retry_after=0, fault_reset_ms=20, slow_ms=50)
    expected = [plain(image) for image in connection.images()]
    connection.sandbox.faults(f".{fault}.{fault}{fault}..{fault}")
    assert [plain(image) for product in connection.store.scan() for image in product.images] == expected


@pytest.mark.parametrize("fault", WRITE_NEVER_DONE)
def test_a_create_that_was_put_off_is_sent_again(connection: Connection, fault: str) -> None:
    connection.sandbox.set_flags(fault_retry_after=0, fault_reset_ms=20)
    product_id = connection.product_ids()[0]
    connection.sandbox.faults(fault * 3, match="^POST /stores")
    connection.store.create(product_id, UrlSource(connection.url_of(connection.images()[0])), {})
    assert len(connection.images(product_id)) == 4


@pytest.mark.parametrize("fault", WRITE_UNKNOWN)
def test_a_create_of_unknown_outcome_is_said_to_be_one(connection: Connection, fault: str) -> None:
    product_id = connection.product_ids()[0]
    connection.sandbox.faults(fault, match="^POST /stores")
    with pytest.raises(OutcomeUnknown, match=f"^POST .*/{product_id}/images"):
        connection.store.create(product_id, UrlSource(connection.url_of(connection.images()[0])), {})
    assert len(connection.images(product_id)) == 3 + WRITE_UNKNOWN[fault]


@pytest.mark.parametrize("fault", [*WRITE_UNKNOWN, *WRITE_NEVER_DONE])
def test_other_writes_are_repeated(connection: Connection, fault: str) -> None:
    connection.sandbox.set_flags(fault_retry_after=0, fault_reset_ms=20)
    first, second, third = connection.images()[:3]
    product_id = first["product_id"]
    connection.sandbox.faults(fault * 2, match="^PUT /stores")
    connection.store.update(product_id, first["id"], {"description": "again"})
    connection.sandbox.faults(fault * 2, match="^(PUT|POST) /stores")
    connection.store.replace(
        product_id,
        second["id"],
        sources(connection)["file" if connection.store.capabilities.accepts_image_bytes else "url"],
        {},
    )
    connection.sandbox.faults(fault * 2, match="^DELETE")
    connection.store.delete(product_id, third["id"])
    live = {image["id"]: image for image in connection.images(product_id)}
    assert live.keys() == {first["id"], second["id"]}
    assert live[first["id"]]["description"] == "again"
    assert live[second["id"]]["image_file"] != second["image_file"]


@pytest.mark.parametrize(("fault", "kind"), [("s", FatalError), ("7", StoreUnreachable), ("h", UnexpectedResponse)])
def test_some_faults_end_the_run(connection: Connection, fault: str, kind: type[FatalError]) -> None:
    connection.renew(600 if connection.version == "v3" else 12, 1)
    connection.sandbox.faults(f"..{fault}")
    with pytest.raises(kind):
        list(connection.store.scan())


def test_a_store_that_never_recovers_ends_the_run_and_loses_nothing_before(connection: Connection) -> None:
    connection.renew(2600 if connection.version == "v3" else 40, 1)
    ids = connection.product_ids()
    connection.sandbox.faults("." * 6 + "5" * 5000)
    seen: list[int] = []

    def read() -> None:
        seen.extend(product.id for product in connection.store.scan())

    with pytest.raises(StoreUnreachable, match="HTTP 500"):
        read()
    assert seen == ids[: len(seen)]
    assert len(seen) < len(ids)


# The run as a whole


def test_a_wrong_token_and_a_missing_scope(connection: Connection) -> None:
    store = open_store(connection.new_client(access_token="wrong").settings)
    with pytest.raises(AuthError, match=r"HTTP 401.*access_token"):
        list(store.scan())
    reader = open_store(connection.new_client(access_token=READ_ONLY_TOKEN).settings)
    assert len(list(reader.scan())) == 7
    with pytest.raises(AuthError, match=r"HTTP 403.*scope \(store_v2_products\)"):
        reader.delete(connection.images()[0]["product_id"], connection.images()[0]["id"])


def test_closing_wakes_a_scan_that_waits_for_the_quota(connection: Connection) -> None:
    connection.renew(600, 1, quota=3, window_ms=300_000)
    errors: list[BaseException] = []

    def read() -> None:
        try:
            list(connection.store.scan())
        except FatalError as error:
            errors.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    while len(connection.sandbox.requests()) < 2:
        time.sleep(0.001)
    connection.store.close()
    reader.join(60)
    assert not reader.is_alive()
    assert len(errors) == 1


@pytest.mark.parametrize("reserve", [0.0, 0.5])
def test_a_sole_user_provokes_no_429(connection: Connection, reserve: float) -> None:
    client = connection.new_client(rate_limit_reserve=reserve)
    store = open_store(client.settings, client)
    connection.renew(1500 if connection.version == "v3" else 40, 1, quota=10, window_ms=150)
    assert len(list(store.scan())) in {40, 1500}
    assert 429 not in {request["status"] for request in connection.sandbox.requests()}


def test_other_apps_eating_the_quota_are_survived(connection: Connection) -> None:
    connection.renew(1500 if connection.version == "v3" else 40, 1, quota=8, window_ms=100)
    expected = connection.product_ids()
    dice = random.Random(0)

    def eat(_method: str, _path: str) -> None:
        connection.sandbox.consume_quota(dice.randint(0, 6))

    connection.client.before = eat
    assert [product.id for product in connection.store.scan()] == expected
