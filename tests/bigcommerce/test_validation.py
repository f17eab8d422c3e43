"""Answers that do not fit the API, or only just do: never guessed around, never ended early in silence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import pytest

from bc_images.bigcommerce import StoreClient, UrlSource, open_store
from bc_images.bigcommerce.retry import RetryPolicy
from bc_images.bigcommerce.transport import HttpClient
from bc_images.errors import BcImagesError, FatalError, NotFound, OutcomeUnknown, RequestRejected, UnexpectedResponse
from bigcommerce_sandbox import SandboxServer
from tests.support.scripted_server import Reply, Request, Server, says, serving, settings
from tests.support.store_client import Connection

Json: TypeAlias = Any
ONE = UrlSource("https://pictures.example/1.jpg")


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RetryPolicy, "backoff", lambda _policy, _attempt: 0.001)


def v3_image(image_id: int, product_id: int) -> Json:
    return {
        "id": image_id,
        "product_id": product_id,
        "is_thumbnail": image_id % 2 == 1,
        "sort_order": 0,
        "description": "",
        "image_file": f"a/001/x__{image_id:05}.jpg",
        "url_zoom": None,
        "date_modified": "2018-09-13T15:57:07+00:00",
    }


def v3_product(product_id: int, images: int = 2) -> Json:
    return {
        "id": product_id,
        "sku": f"SKU-{product_id}",
        "name": "x",
        "date_modified": "2018-09-13T15:57:07+00:00",
        "images": [v3_image(10 * product_id + number, product_id) for number in range(images)],
    }


def v2_image(image_id: int, product_id: int) -> Json:
    return {
        name: value for name, value in v3_image(image_id, product_id).items() if "_z" not in name and "date" not in name
    }


def v2_product(product_id: int) -> Json:
    return {
        "id": product_id,
        "sku": f"SKU-{product_id}",
        "name": "x",
        "date_modified": "Mon, 24 Sep 2012 01:14:30 +0000",
    }


def v3_page(rows: list[Json], total: int | None = None, per_page: int = 250) -> Json:
    numbers = {"total": len(rows) if total is None else total, "count": len(rows), "per_page": per_page}
    return {"data": rows, "meta": {"pagination": numbers}}


def catalog(products: list[Json], cap: int = 250) -> Callable[[Request], Json]:
    """Return how a right V3 store with these products answers a product list; `cap` cuts its pages, silently."""

    def answer(request: Request) -> Json:
        query = request.query
        after, before = int(query.get("id:greater", 0)), int(query.get("id:less", 2**62))
        wanted = {int(text) for text in query["id:in"].split(",")} if "id:in" in query else None
        skus = query["sku:in"].split(",") if "sku:in" in query else None
        found = [
            product
            for product in products
            if after < product["id"] < before
            and (wanted is None or product["id"] in wanted)
            and (skus is None or product["sku"] in skus)
        ]
        size = min(int(query.get("limit", 50)), cap)
        start = (int(query.get("page", 1)) - 1) * size
        return v3_page(found[start : start + size], len(found), size)

    return answer


def v3_store(
    products: list[Json], tamper: Callable[[Request, Json], Json | Reply]
) -> Iterator[tuple[Server, StoreClient]]:
    right = catalog(products)

    def handle(request: Request) -> Reply:
        said = tamper(request, right(request))
        return said if isinstance(said, Reply) else says(said)

    with serving(handle) as server:
        yield server, open_store(settings(server.url, api_version="v3", max_retries=1))


def scanned(store: StoreClient) -> list[int]:
    return [product.id for product in store.scan()]


def with_field(where: str, name: str, value: Json) -> Callable[[Request, Json], Json]:
    """Return what puts `value` into field `name` of the last product, its last image, or meta.pagination."""

    def tamper(_: Request, page: Json) -> Json:
        last = page["data"][-1]
        item = {"product": last, "image": last["images"][-1], "pagination": page["meta"]["pagination"]}[where]
        if value == "absent":
            del item[name]
        else:
            item[name] = value
        return page

    return tamper


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        (lambda *_: [], "data: is None"),
        (lambda *_: None, "the answer is null"),
        (lambda *_: {}, "data: is None"),
        (lambda *_: {"data": None, "meta": {}}, "data: is None"),
        (lambda *_: {"data": {"id": 1}, "meta": {}}, "data: is {'id': 1}"),
        (lambda *_: {"data": ["x"], "meta": {}}, "data: holds 'x'"),
        (lambda *_: Reply(204, b""), "data: is None"),
        (lambda _, page: {"data": page["data"]}, "no meta.pagination"),
        (lambda _, page: {"data": page["data"], "meta": []}, "no meta.pagination"),
        (with_field("pagination", "total", "3"), "total is '3'"),
        (with_field("pagination", "total", "absent"), "total is None"),
        (with_field("pagination", "total", -1), "total is -1"),
        (with_field("pagination", "per_page", None), "per_page is None"),
        (with_field("product", "id", "absent"), "id is None"),
        (with_field("product", "id", "3"), "id is '3'"),
        (with_field("product", "id", 1), "id 1 came after 2"),
        (with_field("product", "id", 2), "id 2 came after 2"),
        (with_field("product", "images", [v3_image(7, 3), v3_image(7, 3)]), "product 3, image 7: is listed twice"),
        (with_field("image", "id", "31"), "product 3, image '31': id is"),
        (with_field("image", "product_id", 2), "product 3, image 31: product_id is 2"),
    ],
)
@pytest.mark.parametrize("how", ["scan", "products"])
def test_v3_a_page_that_does_not_fit(tamper: Callable[[Request, Json], Json], said: str, how: str) -> None:
    for _, store in v3_store([v3_product(number) for number in (1, 2, 3)], tamper):
        with pytest.raises(UnexpectedResponse) as caught:
            list(store.scan() if how == "scan" else store.products([1, 2, 3]))
        assert said in str(caught.value)


def test_v3_images_come_in_id_order_whatever_the_stores_order() -> None:
    product = v3_product(1, 9)
    product["images"].sort(key=lambda image: -image["id"])
    for _, store in v3_store([product], lambda _, page: page):
        (read,) = store.scan()
        assert [image["id"] for image in read.images] == list(range(10, 19))


@pytest.mark.parametrize("cap", [1, 3, 10, 249])
def test_v3_a_store_that_cuts_its_pages_loses_nothing(cap: int) -> None:
    right = catalog([v3_product(number) for number in range(1, 41)], cap)
    with serving(lambda request: says(right(request))) as server:
        store = open_store(settings(server.url))
        assert scanned(store) == list(range(1, 41))
        assert [product.id for product in store.products(range(1, 35))] == list(range(1, 35))
        assert store.products_by_sku(["SKU-3", "SKU-40"]) == {"SKU-3": [3], "SKU-40": [40]}


def test_v3_a_short_page_is_not_the_last_where_the_total_says_more() -> None:
    """Some of a page's rows held back, as by a filter that works after the page was cut."""

    def tamper(request: Request, page: Json) -> Json:
        if "page" not in request.query:
            page["data"] = page["data"][:7]
        return page

    for _, store in v3_store([v3_product(number) for number in range(1, 41)], tamper):
        assert scanned(store) == list(range(1, 41))


def test_v3_a_full_page_is_not_the_last_where_its_total_is_too_low() -> None:
    """Both signs count: a total that lags behind must not end the walk."""

    def tamper(_: Request, page: Json) -> Json:
        page["meta"]["pagination"]["total"] = len(page["data"])
        return page

    for _, store in v3_store([v3_product(number, 0) for number in range(1, 301)], tamper):
        assert scanned(store) == list(range(1, 301))


def test_v3_an_empty_page_that_passes_is_read_again() -> None:
    def tamper(request: Request, page: Json) -> Json:
        return {**page, "data": []} if request.number < 3 else page

    for server, store in v3_store([v3_product(1)], tamper):
        assert scanned(store) == [1]
        assert len(server.requests) == 3


def test_v3_an_empty_page_of_many_products_is_no_end() -> None:
    for _, store in v3_store([v3_product(1)], lambda _, page: {**page, "data": []}):
        with pytest.raises(UnexpectedResponse, match="an empty page, of 1 products"):
            scanned(store)


def test_v3_a_filter_that_is_ignored_is_noticed() -> None:
    products = [v3_product(number, 0) for number in range(1, 1001)]
    first = v3_page(products[:250], 1000)
    for _, store in v3_store(products, lambda *_: first):  # always the first page: id:greater is ignored
        with pytest.raises(UnexpectedResponse, match="not in id order"):
            scanned(store)
        with pytest.raises(UnexpectedResponse, match="product 1 came although others were asked for"):
            list(store.products([5, 6]))


def test_v3_an_upper_bound_that_is_ignored_is_noticed() -> None:
    products = [v3_product(number, 0) for number in range(1, 1001)]
    right = catalog(products)

    def handle(request: Request) -> Reply:
        target = request.target.replace("id%3Aless", "ignored")
        return says(right(Request("GET", target, request.headers, b"", request.number)))

    with serving(handle) as server, pytest.raises(UnexpectedResponse, match=r"is not below \d+"):
        scanned(open_store(settings(server.url)))


def products_1(store: StoreClient) -> list[int]:
    return [product.id for product in store.products([1])]


@pytest.mark.parametrize("status", [400, 404, 405, 409, 410, 413, 422])
@pytest.mark.parametrize("version", ["v2", "v3"])
@pytest.mark.parametrize(
    "read", [scanned, products_1, lambda store: store.products_by_sku(["SKU"])], ids=["scan", "ids", "find"]
)
def test_a_refused_list_ends_the_run_and_not_one_record(
    status: int, version: str, read: Callable[[StoreClient], object]
) -> None:
    with serving(lambda _: says({"title": "no"}, status)) as server:
        store = open_store(settings(server.url, api_version=version))
        if version == "v2" and status == 404 and read is products_1:
            assert read(store) == []  # V2 knows a product by its images: there is no such product
            return
        with pytest.raises(UnexpectedResponse, match=f"HTTP {status}: no. The scan cannot be complete") as caught:
            read(store)
        assert caught.value.exit_code == 3


@pytest.mark.parametrize("version", ["v2", "v3"])
@pytest.mark.parametrize("sku", [5, ["A"], {"a": 1}], ids=str)
def test_a_product_whose_sku_is_no_text_may_be_the_one(version: str, sku: Json) -> None:
    """The store says that it has the SKU that was asked for; nobody can say whether to the letter."""
    with serving(
        lambda request: answer_by_sku(request, version, [{"id": 7, "sku": sku}, {"id": 8, "sku": "B"}])
    ) as server:
        found = open_store(settings(server.url, api_version=version)).products_by_sku(["5", "A", "B"])
        assert found == {"5": [7], "A": [], "B": [8]}
        assert found.invalid == {7: f"sku is {sku!r}, not text"}


def answer_by_sku(request: Request, version: str, rows: list[Json]) -> Reply:
    """Answer as a store where product 7 has the SKU 5, whatever it shows."""
    asked = request.query.get("sku:in", request.query.get("sku", "")).split(",")
    found = [row for row in rows if ("5" if row["id"] == 7 else row["sku"]) in asked]
    return says(found if version == "v2" else v3_page(found))


def test_v3_each_sku_is_asked_for_alone_where_one_is_no_text() -> None:
    rows = [{"id": 7, "sku": 5}, {"id": 8, "sku": "B"}]
    with serving(lambda request: answer_by_sku(request, "v3", rows)) as server:
        open_store(settings(server.url)).products_by_sku(["A", "B"])
        assert len(server.requests) == 1
        open_store(settings(server.url)).products_by_sku(["5", "B"])
        assert [request.query.get("sku") for request in server.requests[1:]] == [None, "5", "B"]


INVALID = [
    (with_field("product", "images", [None]), None, "it is None, not an object"),
    (with_field("image", "is_thumbnail", "absent"), 31, "is_thumbnail is missing"),
    (with_field("image", "image_file", ""), 31, "image_file is '', not a path"),
    (with_field("image", "id", None), None, "id is None, not a positive integer"),
    (with_field("image", "sort_order", 2**31), 31, "sort_order is 2147483648, not a 32-bit integer"),
]


@pytest.mark.parametrize(("tamper", "image_id", "problem"), INVALID)
@pytest.mark.parametrize("how", ["scan", "products"])
def test_v3_a_row_that_cannot_be_a_record_costs_itself(
    tamper: Callable[[Request, Json], Json], image_id: int | None, problem: str, how: str
) -> None:
    for _, store in v3_store([v3_product(number) for number in (1, 2, 3)], tamper):
        products = list(store.scan() if how == "scan" else store.products([1, 2, 3]))
        assert [product.id for product in products] == [1, 2, 3]
        assert [image["id"] for product in products for image in product.images][:4] == [10, 11, 20, 21]
        (image,) = [image for product in products for image in product.invalid]
        assert (image.product_id, image.id, image.problem) == (3, image_id, problem)


@pytest.mark.parametrize(
    ("images", "image_id", "problem"),
    [
        ([None, v2_image(8, 1)], None, "it is None, not an object"),
        ([{**v2_image(7, 1), "is_thumbnail": 1}, v2_image(8, 1)], 7, "is_thumbnail is 1, not true or false"),
    ],
)
def test_v2_a_row_that_cannot_be_a_record_costs_itself(images: Json, image_id: int | None, problem: str) -> None:
    for _, store in v2_store([v2_product(1)], lambda _: images):
        (product,) = store.scan()
        assert [image["id"] for image in product.images] == [8]
        assert [(image.id, image.problem) for image in product.invalid] == [(image_id, problem)]
        assert [image["id"] for image in store.images(1)] == [8]


def test_an_invalid_row_and_a_record_of_one_id_do_not_fit() -> None:
    images = [v2_image(7, 1), {**v2_image(7, 1), "is_thumbnail": 1}]
    for _, store in v2_store([v2_product(1)], lambda _: images):
        with pytest.raises(UnexpectedResponse, match="product 1, image 7: is listed twice"):
            scanned(store)


def test_v2_a_collection_with_an_invalid_row_is_never_deleted_whole() -> None:
    rows = [v2_image(7, 1), v2_image(8, 1), {**v2_image(9, 1), "sort_order": None}, None]
    for server, store in v2_store([v2_product(1)], lambda _: rows):
        store.delete_all(1, [7, 8])
        deleted = [
            request.path.rpartition("/products/1/")[2] for request in server.requests if request.method == "DELETE"
        ]
        assert sorted(deleted) == ["images/7", "images/8"]


@pytest.mark.parametrize("images", ["absent", None, {}, "x"])
@pytest.mark.parametrize("own", ["there", "gone", "no list"])
def test_v3_images_that_are_not_embedded_are_asked_for(images: Json, own: str) -> None:
    right = catalog([v3_product(1), v3_product(2), v3_product(3)])

    def handle(request: Request) -> Reply:
        if request.path.endswith("/products/3/images"):
            return {"there": says(v3_page([v3_image(30, 3)])), "gone": says({}, 404), "no list": says({"data": None})}[
                own
            ]
        if request.path.endswith("/products/3"):
            return says({}, 404)
        return says(with_field("product", "images", images)(request, right(request)))

    with serving(handle) as server:
        store = open_store(settings(server.url))
        if own == "no list":
            with pytest.raises(UnexpectedResponse, match="products/3/images: data: is None"):
                scanned(store)
            return
        assert scanned(store) == ([1, 2, 3] if own == "there" else [1, 2])


# V3: long lists


def long_product(request: Request, right: Callable[[Request], Json], images: Callable[[Request], Reply]) -> Reply:
    return images(request) if request.path.endswith("/images") else says(right(request))


def test_v3_a_long_list_that_is_not_found_is_believed_of_a_deleted_product_only() -> None:
    right, gone = catalog([v3_product(1), v3_product(2, 250), v3_product(3)]), False

    def handle(request: Request) -> Reply:
        if request.path.endswith("/2/images") or (request.path.endswith("/products/2") and gone):
            return says({"status": 404, "title": "no"}, 404)
        if request.path.endswith("/products/2"):
            return says({"data": {"id": 2}, "meta": {}})
        return says(right(request))

    with serving(handle) as server:
        store = open_store(settings(server.url))
        with pytest.raises(UnexpectedResponse, match="product 2: its images are not found although it exists"):
            scanned(store)
        gone = True
        assert scanned(store) == [1, 3]
        assert [product.id for product in store.products([1, 2, 3])] == [1, 3]


def test_v3_a_page_of_nothing_but_a_long_list_that_is_gone_is_no_end() -> None:
    """The list of products lags behind: it goes on telling of a product that is there no more."""
    right = catalog([v3_product(1, 250), v3_product(2), v3_product(3)], cap=1)

    def handle(request: Request) -> Reply:
        gone = request.path.endswith(("/1/images", "/products/1"))
        return says({"title": "no"}, 404) if gone else says(right(request))

    with serving(handle) as server:
        assert scanned(open_store(settings(server.url))) == [2, 3]


def test_v3_a_long_list_that_is_refused_ends_the_run() -> None:
    right = catalog([v3_product(1, 250)])
    with serving(lambda r: long_product(r, right, lambda _: says({}, 422))) as server:
        store = open_store(settings(server.url))
        with pytest.raises(UnexpectedResponse, match="HTTP 422"):
            scanned(store)
        with pytest.raises(RequestRejected):
            store.images(1)


@pytest.mark.parametrize("cap", [50, 100, 250])
def test_v3_a_long_list_in_cut_pages_is_complete(cap: int) -> None:
    images = v3_product(1, 251)["images"]

    def pages(request: Request) -> Reply:
        start = (int(request.query.get("page", 1)) - 1) * cap
        return says(v3_page(images[start : start + cap], 251, cap))

    right = catalog([v3_product(1, 250)])
    with serving(lambda r: long_product(r, right, pages)) as server:
        (product,) = open_store(settings(server.url)).scan()
    assert [image["id"] for image in product.images] == list(range(10, 261))


@pytest.mark.parametrize(
    ("answer", "said"),
    [({}, "data: is None"), ({"data": []}, "no meta.pagination"), ({"data": [5], "meta": {}}, "no meta.pagination")],
)
def test_v3_an_image_list_that_does_not_fit(answer: Json, said: str) -> None:
    with serving(lambda _: says(answer)) as server, pytest.raises(UnexpectedResponse, match=said):
        open_store(settings(server.url)).images(1)


# V3: what writes answer


def test_v3_an_answer_without_the_path_is_completed_by_reading() -> None:
    """The newest response schema of the spec leaves image_file out, and its 201 of a PUT has no body."""

    def handle(request: Request) -> Reply:
        image = v3_image(7, 1)
        if request.method != "GET":
            del image["image_file"]
        return Reply(201, b"") if request.query.get("empty") else says({"data": image, "meta": {}})

    with serving(handle) as server:
        store = open_store(settings(server.url))
        assert store.create(1, ONE, {})["image_file"] == "a/001/x__00007.jpg"
        assert store.update(1, 7, {"sort_order": 1})["image_file"] == "a/001/x__00007.jpg"
        assert [f"{r.method} {r.path[-9:]}" for r in server.requests] == [
            "POST /1/images",
            "GET /images/7",
            "PUT /images/7",
            "GET /images/7",
        ]


@pytest.mark.parametrize("status", [400, 404, 422])
def test_v3_a_create_that_cannot_be_read_back_is_of_unknown_outcome(status: int) -> None:
    """The image was made: to count as rejected, or as not found, would let the next run make another."""

    def handle(request: Request) -> Reply:
        return says({}, status) if request.method == "GET" else says({"data": {"id": 7}, "meta": {}})

    with serving(handle) as server, pytest.raises(OutcomeUnknown, match=f"image 7 was made .*HTTP {status}"):
        open_store(settings(server.url)).create(1, ONE, {})


@pytest.mark.parametrize("version", ["v2", "v3"])
def test_an_empty_answer_to_an_update_is_completed_by_reading(version: str) -> None:
    image = v2_image(7, 1) if version == "v2" else {"data": v3_image(7, 1), "meta": {}}
    with serving(lambda request: says(image) if request.method == "GET" else Reply(201, b"")) as server:
        store = open_store(settings(server.url, api_version=version))
        assert store.update(1, 7, {"sort_order": 1})["id"] == 7
        assert store.replace(1, 7, ONE, {})["id"] == 7


@pytest.mark.parametrize("version", ["v2", "v3"])
@pytest.mark.parametrize("answer", [None, [], {}, {"data": None}, {"data": {}}, {"data": {"id": "7"}}, {"id": None}])
def test_a_create_whose_answer_names_no_image_is_of_unknown_outcome(version: str, answer: Json) -> None:
    with serving(lambda _: says(answer)) as server:
        store = open_store(settings(server.url, api_version=version))
        with pytest.raises(OutcomeUnknown, match="names no image"):
            store.create(1, ONE, {})
        assert len(server.requests) == 1


@pytest.mark.parametrize("version", ["v2", "v3"])
def test_a_write_whose_answer_does_not_fit(version: str) -> None:
    image = {**v3_image(7, 1), "sort_order": "first"}
    with serving(lambda _: says(image if version == "v2" else {"data": image})) as server:
        store = open_store(settings(server.url, api_version=version))
        with pytest.raises(OutcomeUnknown, match="product 1, image 7: sort_order is 'first'") as caught:
            store.update(1, 7, {"sort_order": 1})
        assert caught.value.is_answered
        with pytest.raises(OutcomeUnknown, match="product 1, image 7: sort_order is 'first'"):
            store.replace(1, 7, UrlSource("https://a.example/a.png"), {})


@pytest.mark.parametrize("version", ["v2", "v3"])
@pytest.mark.parametrize("body", [b"[]", b"null", b'{"ok": true}', b'{"data": []}', b'"done"', b"<html>", b"{"])
def test_a_success_that_is_not_the_image(version: str, body: bytes) -> None:
    kind = {"Content-Type": "text/html" if body == b"<html>" else "application/json"}
    with serving(lambda request: Reply(200, body, kind)) as server:
        store = open_store(settings(server.url, api_version=version, max_retries=10))
        with pytest.raises(OutcomeUnknown) as created:
            store.create(1, UrlSource("https://a.example/a.png"), {})
        assert (created.value.is_answered, len(server.requests)) == (True, 1)
        if body != b"null":  # which V2 and V3 take for an empty one: they look at the image
            with pytest.raises(OutcomeUnknown) as updated:
                store.update(1, 7, {"sort_order": 1})
            assert updated.value.is_answered
            assert len(server.requests) <= 4


@pytest.mark.parametrize("version", ["v2", "v3"])
def test_an_answer_about_another_image(version: str) -> None:
    image = v2_image(8, 1) if version == "v2" else v3_image(8, 1)
    with serving(lambda _: says(image if version == "v2" else {"data": image})) as server:
        store = open_store(settings(server.url, api_version=version))
        with pytest.raises(OutcomeUnknown, match="describes image 8"):
            store.update(1, 7, {"sort_order": 1})


# V2


def v2_store(
    products: list[Json],
    images: Callable[[int], Json | Reply] = lambda product_id: [v2_image(1, product_id)],
    *,
    ends: bool = True,
) -> Iterator[tuple[Server, StoreClient]]:
    """A V2 store that answers with these product rows until its end, if it has one, and with these images."""

    def handle(request: Request) -> Reply:
        parts = request.path.split("/")
        if parts[-1] == "images":
            said = images(int(parts[-2]))
            return said if isinstance(said, Reply) else says(said)
        if ends and int(request.query.get("min_id", 0)) > products[-1]["id"]:
            return Reply(204, b"")
        return says(products)

    with serving(handle) as server:
        yield server, open_store(settings(server.url, api_version="v2", max_retries=1))


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ({}, "/v2/products: is {}"),
        (None, "/v2/products: the answer is null"),
        (["x"], "holds 'x'"),
        ([{}], "id is None"),
        ([{"id": "1"}], "id is '1'"),
        ([v2_product(2), v2_product(1)], "id 1 came after 2"),
        ([v2_product(1), v2_product(1)], "id 1 came after 1"),
        ([v2_product(number) for number in range(1, 251)], "not in id order"),  # min_id ignored: no end
    ],
)
def test_v2_a_product_page_that_does_not_fit(rows: Json, said: str) -> None:
    for _, store in v2_store(rows, ends=False):
        with pytest.raises(UnexpectedResponse) as caught:
            scanned(store)
        assert said in str(caught.value)


def test_v2_an_upper_bound_that_is_ignored_is_noticed() -> None:
    for _, store in v2_store([v2_product(1), v2_product(2)]):
        with pytest.raises(UnexpectedResponse, match="id 2 is not below 2"):
            list(store.scan(last=1))


@pytest.mark.parametrize(
    ("images", "said"),
    [
        ({}, "/v2/products/1/images: is {}"),
        (None, "/v2/products/1/images: the answer is null"),
        ([v2_image(7, 1), v2_image(7, 1)], "product 1, image 7: is listed twice"),
        ([v2_image(7, 2)], "product 1, image 7: product_id is 2"),
        ([v2_image(number, 1) for number in range(1, 251)], "page 2 is the same as page 1"),
        (says({}, 405), "HTTP 405"),
        (says({}, 404), "product 1: its images are not found although it exists"),
    ],
)
def test_v2_images_that_do_not_fit(images: Json, said: str) -> None:
    for _, store in v2_store([v2_product(1)], lambda _: images):
        with pytest.raises(UnexpectedResponse) as caught:
            scanned(store)
        assert said in str(caught.value)


def test_v2_only_what_is_needed_is_asked_for() -> None:
    for server, store in v2_store([v2_product(5)]):
        assert scanned(store) == [5]
        queries = sorted((request.query for request in server.requests), key=lambda query: query.get("min_id", ""))
        assert queries == [
            {"limit": "250"},
            {"min_id": "1", "limit": "250", "include": "sku,name,date_modified"},
            {"min_id": "6", "limit": "250", "include": "sku,name,date_modified"},
        ]


@pytest.mark.parametrize("cap", [1, 7, 50, 249])
def test_v2_a_store_that_cuts_its_product_pages_loses_nothing(cap: int) -> None:
    def handle(request: Request) -> Reply:
        if request.path.endswith("/images"):
            return Reply(204, b"")
        page = [v2_product(number) for number in range(int(request.query["min_id"]), 61)][:cap]
        return says(page) if page else Reply(204, b"")

    with serving(handle) as server:
        assert scanned(open_store(settings(server.url, api_version="v2"))) == list(range(1, 61))


# Counts


@pytest.mark.parametrize("answer", [[], None, {}, {"count": "5"}, {"count": -1}, {"count": None}])
def test_counts_that_do_not_fit(answer: Json) -> None:
    with serving(lambda _: says(answer)) as server:
        store = open_store(settings(server.url, api_version="v2"))
        for ask in (store.count_images, store.count_products):
            with pytest.raises(UnexpectedResponse):
                ask()


@pytest.mark.parametrize(
    "reply",
    [*(says({}, status) for status in (401, 403, 404, 410, 500, 501, 503)), Reply(301), says([]), says({"count": "x"})],
)
def test_v3_without_v2_has_no_count(reply: Reply) -> None:
    with serving(lambda _: reply) as server:
        assert open_store(settings(server.url)).count_images() is None
        assert len(server.requests) == 1


def test_v3_a_count_that_was_stopped_is_no_missing_count() -> None:
    store = open_store(settings("http://127.0.0.1:1"))
    store.close()
    with pytest.raises(FatalError):
        store.count_images()


@pytest.mark.parametrize("available", ["off", "gone"])
def test_v2_that_is_gone_is_no_empty_store(available: str) -> None:
    with SandboxServer(products=3, images=1, flags={"v2_available": available}) as sandbox:
        v3, v2 = Connection(sandbox, "v3"), Connection(sandbox, "v2")
        assert v3.store.count_images() is None
        assert v3.store.count_products() == 3
        for ask in (lambda: scanned(v2.store), v2.store.count_products, v2.store.count_images):
            with pytest.raises(BcImagesError, match="HTTP 4"):
                ask()


def test_opening_a_store_sends_nothing() -> None:
    with serving(lambda _: says({})) as server:
        given = settings(server.url)
        assert open_store(given, HttpClient(given)).settings is given
        assert not server.requests


def test_not_found_is_kept_for_what_one_record_is_about() -> None:
    with serving(lambda _: says({}, 404)) as server:
        for version in ("v2", "v3"):
            with pytest.raises(NotFound):
                open_store(settings(server.url, api_version=version)).images(1)
