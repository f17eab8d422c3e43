"""The V3 catalog as far as product images need it (products_catalog.v3.yml)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson
from starlette.datastructures import UploadFile

from bigcommerce_sandbox import media, serializers, uploads, v3_products
from bigcommerce_sandbox.api import Call, Route, Routes, integer, paging
from bigcommerce_sandbox.image_rules import INT_MAX, INT_MIN, Fields, Upload
from bigcommerce_sandbox.responses import NO_CONTENT, ApiError, Reply, json_reply
from bigcommerce_sandbox.v3_filters import bad, unknown
from bigcommerce_sandbox.v3_products import pagination

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bigcommerce_sandbox.flags import Flags
    from bigcommerce_sandbox.state import Image

IMAGE_FIELDS: Final = (
    "id",
    "product_id",
    "is_thumbnail",
    "sort_order",
    "description",
    "image_file",
    "url_zoom",
    "url_standard",
    "url_thumbnail",
    "url_tiny",
    "date_modified",
)
NO_FILE: Final = "image_url must be present if uploading by url"
TOO_LARGE: Final = "The maximum of 8 MB size limit for upload image is exceeded"


def _missing(what: str, number: int) -> ApiError:
    title = f"{what} was not found with an id of {number}"
    return ApiError(404, title, extra={"instance": ""})


def _product(call: Call) -> int:
    product_id = call.ids["product_id"]
    if not call.context.state.has_product(product_id):
        raise _missing("A product", product_id)
    return product_id


def _image(call: Call) -> Image:
    product_id = _product(call)
    image = call.context.state.image(call.ids["image_id"])
    if image is None or image.product_id != product_id:
        raise _missing("An image", call.ids["image_id"])
    return image


# ---------------------------------------------------------------- reading


async def list_products(call: Call) -> Reply:
    """A page of products."""
    data, meta = v3_products.page(call)
    return json_reply({"data": data, "meta": meta})


async def get_product(call: Call) -> Reply:
    """One product."""
    return json_reply({"data": v3_products.one(call, _product(call)), "meta": {}})


def _query(call: Call, *allowed: str) -> dict[str, str]:
    query = call.query()
    wrong = [name for name in query if name not in allowed]
    if wrong:
        raise unknown(wrong)
    return query


def _shape(call: Call, image: Image, query: Mapping[str, str]) -> serializers.JsonObject:
    body = serializers.v3_image(image, call.context.url)
    return {name: body[name] for name in v3_products.fields(query, IMAGE_FIELDS)}


async def list_images(call: Call) -> Reply:
    """A page of a product's images in id order; whether an empty one is 200 or 204 is a flag."""
    product_id = _product(call)
    query = _query(call, "page", "limit", "include_fields", "exclude_fields")
    page, limit = paging(query, call.context.flags, lambda name: bad(name, "must be an integer"))
    images = call.context.state.images_of(product_id, limit, (page - 1) * limit)
    if not images and call.context.flags.v3_empty_list == "204":
        return NO_CONTENT
    total = call.context.state.count_images(product_id)
    data = [_shape(call, image, query) for image in images]
    return json_reply({"data": data, "meta": pagination(query, total, len(data), page, limit)})


async def get_image(call: Call) -> Reply:
    """One image."""
    image = _image(call)
    return json_reply({"data": _shape(call, image, _query(call, "include_fields", "exclude_fields")), "meta": {}})


# ---------------------------------------------------------------- writing


async def _body(call: Call) -> dict[str, Any]:
    """The fields of a JSON or multipart body; a multipart file arrives as `UploadFile`."""
    kind = call.media_type
    if kind == "multipart/form-data":
        return {str(name): value for name, value in (await call.form(422)).items()}
    if kind != "application/json":
        raise ApiError(415, "Unsupported Media Type", plain=True)
    try:
        data = orjson.loads(await call.body())
    except orjson.JSONDecodeError as error:
        raise ApiError(422, "The request body is not valid JSON", {}) from error
    if not isinstance(data, dict):
        raise ApiError(422, "The request body must be an object", {})
    return data


def _thumbnail(value: object, *, text: bool) -> bool:
    if text:
        value = {"true": True, "1": True, "false": False, "0": False}.get(str(value).lower(), value)
    if not isinstance(value, bool):
        raise bad("is_thumbnail", "must be a boolean")
    return value


def _order(value: object, *, text: bool) -> int:
    if text and isinstance(value, str) and len(value) < 12 and value.removeprefix("-").isdecimal():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not INT_MIN <= value <= INT_MAX:
        raise bad("sort_order", f"must be an integer from {INT_MIN} to {INT_MAX}")
    return value


def _description(value: object, flags: Flags) -> str:
    if not isinstance(value, str):
        raise bad("description", "must be a string")
    longest = flags.description_max
    if longest and len(value) > longest and flags.description_rewrite != "cut":
        raise bad("description", f"must not be longer than {longest} characters")
    return value


def _is_integer(value: object, *, text: bool) -> bool:
    """Whether it is an integer of any size; JSON's largest ones arrive as floats."""
    if isinstance(value, str):
        return text and integer(value) is not None
    return not isinstance(value, bool) and isinstance(value, int | float) and value == value // 1


def _fields(call: Call, data: Mapping[str, Any], *, text: bool) -> Fields:
    """The writable fields besides the file; in multipart (``text``) they are written out."""
    fields: Fields = {}
    if "is_thumbnail" in data:
        fields["is_thumbnail"] = _thumbnail(data["is_thumbnail"], text=text)
    if "sort_order" in data:
        fields["sort_order"] = _order(data["sort_order"], text=text)
    if "description" in data:
        fields["description"] = _description(data["description"], call.context.flags)
    # the documented schema accepts these two; that they are then ignored is assumed
    if not _is_integer(data.get("product_id", 1), text=text):
        raise bad("product_id", "must be an integer")
    if not text and not isinstance(data.get("date_modified", ""), str):
        raise bad("date_modified", "must be a string")
    return fields


async def _upload(call: Call, data: Mapping[str, Any], *, multipart: bool, required: bool) -> Upload | None:
    """The file of a request: ``image_url`` in JSON, ``image_file`` in multipart."""
    name = "image_file" if multipart else "image_url"
    other = "image_url" if multipart else "image_file"
    value = data.get(name)
    if name not in data:
        if required or other in data:
            raise ApiError(422, NO_FILE)
        return None
    if multipart:
        if not isinstance(value, UploadFile):
            raise bad("image_file", "must be a file")
        return await _accept(call, value.filename or "image", await value.read())
    if not isinstance(value, str) or not uploads.is_url(value):
        raise bad("image_url", "must be a fully qualified URL")
    if len(value) > uploads.URL_MAX:
        raise bad("image_url", f"must not be longer than {uploads.URL_MAX} characters")
    try:
        file, content = await uploads.fetch(value, call.context.flags)
    except uploads.Unfetchable as error:
        title = f"The resource at '{value}' could not be downloaded and may be invalid"
        raise ApiError(400, title) from error
    except uploads.TooLarge as error:
        raise ApiError(422, TOO_LARGE, extra={"code": 10001}) from error
    return await _accept(call, file, content)


async def _accept(call: Call, name: str, content: bytes) -> Upload:
    try:
        return await uploads.accept(name, content, call.context.flags)
    except uploads.TooLarge as error:
        raise ApiError(422, TOO_LARGE, extra={"code": 10001}) from error
    except media.NotAPicture as error:
        raise ApiError(422, f"The file '{name}' could not be processed and may not be valid image") from error


async def create_image(call: Call) -> Reply:
    """200 (not 201) with the new image."""
    product_id, context = _product(call), call.context
    data, multipart = await _body(call), call.media_type == "multipart/form-data"
    fields = _fields(call, data, text=multipart)
    upload = await _upload(call, data, multipart=multipart, required=True)
    assert upload is not None  # noqa: S101  (required)
    with context.state.write(discard=call.discard):
        _product(call)
        if context.state.count_images(product_id) >= context.flags.max_images:
            raise ApiError(422, f"A product cannot have more than {context.flags.max_images} images", {})
        image = context.state.image(context.rules.create(product_id, upload, fields))
        assert image is not None  # noqa: S101  (just inserted)
    return json_reply({"data": _shape(call, image, {}), "meta": {}})


async def update_image(call: Call) -> Reply:
    """200; the id stays, also for a new file."""
    multipart = call.media_type == "multipart/form-data"
    _image(call)
    if multipart and call.method == "PUT" and call.context.flags.v3_multipart_put == "off":
        raise ApiError(415, "Unsupported Media Type", plain=True)
    if not multipart and call.method == "POST":
        raise ApiError(415, "Unsupported Media Type", plain=True)
    data = await _body(call)
    fields = _fields(call, data, text=multipart)
    upload = await _upload(call, data, multipart=multipart, required=False)
    with call.context.state.write(discard=call.discard):
        call.context.rules.update(_image(call), upload, fields)
        body = _shape(call, _image(call), {})
    return json_reply({"data": body, "meta": {}})


async def delete_image(call: Call) -> Reply:
    """204."""
    with call.context.state.write(discard=call.discard):
        call.context.rules.delete([_image(call)])
    return NO_CONTENT


ROUTES: Final = Routes(
    [
        Route("/catalog/products", {"GET": list_products}, frozenset({"POST", "PUT", "DELETE"})),
        Route("/catalog/products/{product_id}", {"GET": get_product}, frozenset({"PUT", "DELETE"})),
        Route("/catalog/products/{product_id}/images", {"GET": list_images, "POST": create_image}),
        Route(
            "/catalog/products/{product_id}/images/{image_id}",
            {"GET": get_image, "PUT": update_image, "POST": update_image, "DELETE": delete_image},
        ),
    ]
)
