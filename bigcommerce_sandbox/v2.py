"""The V2 API: product images complete, products as far as a connector reads them, time and store.

Sources: v2-product-images.mdx, product-images.v2.yml, v2-products.mdx, v2-conventions-2017.md.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from bigcommerce_sandbox import serializers, v2_bodies, v2_products
from bigcommerce_sandbox.api import Call, Route, Routes, paging
from bigcommerce_sandbox.constants import STORE_HASH
from bigcommerce_sandbox.responses import NO_CONTENT, ApiError, Reply, json_reply

if TYPE_CHECKING:
    from bigcommerce_sandbox.state import Image


def missing() -> ApiError:
    """The 404 of a product or image that does not exist."""
    return ApiError(404, "The requested resource was not found.")


# ---------------------------------------------------------------- reading


def _page(call: Call) -> tuple[int, int]:
    query = call.query()
    for name in query:
        if name not in ("page", "limit"):
            raise ApiError(400, f"The field '{name}' is not supported by this resource.")
    return paging(query, call.context.flags, lambda name: v2_bodies.invalid(name, "It must be an integer."))


def _product(call: Call) -> int:
    product_id = call.ids["product_id"]
    if not call.context.state.has_product(product_id):
        raise missing()
    return product_id


def _image(call: Call) -> Image:
    image = call.context.state.image(call.ids["image_id"])
    if image is None or image.product_id != call.ids["product_id"]:
        raise missing()
    return image


def _shape(call: Call, image: Image, *, links: bool) -> serializers.JsonObject:
    return serializers.v2_image(image, call.context.url, links=links, extra=call.context.flags.v2_extra_fields == "on")


async def list_images(call: Call) -> Reply:
    """A page in id order; 204 when it is empty."""
    product_id = _product(call)
    page, limit = _page(call)
    images = call.context.state.images_of(product_id, limit, (page - 1) * limit)
    if not images:
        return NO_CONTENT
    return json_reply([_shape(call, image, links=True) for image in images])


async def get_image(call: Call) -> Reply:
    """One image."""
    return json_reply(_shape(call, _image(call), links=True))


async def count_store_images(call: Call) -> Reply:
    """The count over the whole store."""
    return json_reply({"count": call.context.state.count_images()})


async def count_product_images(call: Call) -> Reply:
    """The count of one product (seen in clients only)."""
    return json_reply({"count": call.context.state.count_images(_product(call))})


# ---------------------------------------------------------------- writing


async def create_image(call: Call) -> Reply:
    """201 with Location; the answer has no addresses of renditions."""
    product_id, context = _product(call), call.context
    data = await v2_bodies.read(call)
    fields = v2_bodies.fields(call, data, text=call.media_type != "application/json")
    if "image_file" not in data:
        raise ApiError(400, "The required field 'image_file' was not supplied.")
    upload = await v2_bodies.upload(call, data["image_file"])
    with context.state.write(discard=call.discard):
        _product(call)
        if context.state.count_images(product_id) >= context.flags.max_images:
            raise ApiError(403, f"A product cannot have more than {context.flags.max_images} images.")
        image = context.state.image(context.rules.create(product_id, upload, fields))
        assert image is not None  # noqa: S101  (just inserted)
        where = f"{context.url}/stores/{STORE_HASH}/v2/products/{product_id}/images/{image.id}"
        body = _shape(call, image, links=False)
    return json_reply(body, 201, (b"location", where.encode()))


async def update_image(call: Call) -> Reply:
    """200, with the same id even for a new file."""
    _image(call)
    data = await v2_bodies.read(call)
    fields = v2_bodies.fields(call, data, text=call.media_type != "application/json")
    upload = await v2_bodies.upload(call, data["image_file"]) if "image_file" in data else None
    with call.context.state.write(discard=call.discard):
        call.context.rules.update(_image(call), upload, fields)
        body = _shape(call, _image(call), links=False)
    return json_reply(body)


async def delete_image(call: Call) -> Reply:
    """204."""
    with call.context.state.write(discard=call.discard):
        call.context.rules.delete([_image(call)])
    return NO_CONTENT


async def delete_images(call: Call) -> Reply:
    """204; deletes the page that a list with the same parameters would show."""
    product_id = _product(call)
    page, limit = _page(call)
    with call.context.state.write(discard=call.discard):
        call.context.rules.delete(call.context.state.images_of(product_id, limit, (page - 1) * limit))
    return NO_CONTENT


# ---------------------------------------------------------------- the rest


async def list_products(call: Call) -> Reply:
    """A page of products in id order; 204 when it is empty."""
    products = v2_products.page(call)
    return json_reply(products) if products else NO_CONTENT


async def get_product(call: Call) -> Reply:
    """One product."""
    return json_reply(v2_products.one(call, _product(call)))


async def count_products(call: Call) -> Reply:
    """The count of products that the filters let through."""
    return json_reply({"count": v2_products.count(call)})


async def get_time(_: Call) -> Reply:
    """The store's clock in unix seconds."""
    return json_reply({"time": int(time.time())})


async def get_store(call: Call) -> Reply:
    """A few fields of the store object."""
    store = {
        "id": STORE_HASH,
        "domain": call.context.url.partition("//")[2],
        "secure_url": call.context.url,
        "name": "Sandbox",
    }
    return json_reply(store)


WRITES: Final = frozenset({"POST", "PUT", "DELETE"})
ROUTES: Final = Routes(
    [
        Route("/time", {"GET": get_time}),
        Route("/store", {"GET": get_store}),
        Route("/products", {"GET": list_products}, WRITES),
        Route("/products/count", {"GET": count_products}),
        Route("/products/images", {}, frozenset({"GET"})),
        Route("/products/{product_id}", {"GET": get_product}, frozenset({"PUT", "DELETE"})),
        Route("/products/images/count", {"GET": count_store_images}),
        Route("/products/{product_id}/images/count", {"GET": count_product_images}),
        Route(
            "/products/{product_id}/images",
            {"GET": list_images, "POST": create_image, "DELETE": delete_images},
        ),
        Route(
            "/products/{product_id}/images/{image_id}",
            {"GET": get_image, "PUT": update_image, "DELETE": delete_image},
        ),
    ]
)
