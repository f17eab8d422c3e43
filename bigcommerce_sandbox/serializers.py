"""How images and products look in V2 and V3 answers.

Sources: v2-product-images.mdx and v2-products.mdx (examples), products_catalog.v3.yml (examples, product_Full).
A product has no more fields than a client of its images reads; its other documented fields are missing rather than
made up.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import orjson

from bigcommerce_sandbox.constants import STORE_HASH
from bigcommerce_sandbox.media import SIZES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bigcommerce_sandbox.state import Image, Product

JsonObject = dict[str, Any]


@lru_cache(maxsize=65536)
def iso(when: int) -> str:
    """Unix seconds as V3 writes dates: ``2018-09-13T15:57:07+00:00``."""
    return datetime.fromtimestamp(when, UTC).isoformat()


@lru_cache(maxsize=65536)
def rfc2822(when: int) -> str:
    """Unix seconds as V2 writes dates: ``Mon, 24 Sep 2012 01:14:30 +0000``."""
    return format_datetime(datetime.fromtimestamp(when, UTC))


def renditions(url: str, image: Image) -> dict[str, str]:
    """The four addresses, by size name (zoom, standard, thumbnail, tiny)."""
    base, _, ext = image.image_file.rpartition("/")[2].rpartition(".")
    head = f"{url}/s-{STORE_HASH}/products/{image.product_id}/images/{image.id}/{base}.{image.date_modified}."
    return {name: f"{head}{size}.{ext}?c=2" for name, size in SIZES.items()}


# ---------------------------------------------------------------- images


def v2_image(image: Image, url: str, *, links: bool = True, extra: bool = False) -> JsonObject:
    """The V2 image object; answers to writes come without links."""
    body: JsonObject = {"id": image.id, "product_id": image.product_id, "image_file": image.image_file}
    if links:
        where = renditions(url, image)
        for name in ("zoom", "thumbnail", "standard", "tiny"):
            body[f"{name}_url"] = where[name]
    body["is_thumbnail"] = bool(image.is_thumbnail)
    body["sort_order"] = image.sort_order
    body["description"] = image.description
    body["date_created"] = rfc2822(image.date_created)
    if extra:
        body["date_modified"] = rfc2822(image.date_modified)
        body["is_sample"] = False
    return body


def v3_image(image: Image, url: str) -> JsonObject:
    """The V3 image object, as all documented examples show it."""
    where = renditions(url, image)
    return {
        "id": image.id,
        "product_id": image.product_id,
        "is_thumbnail": bool(image.is_thumbnail),
        "sort_order": image.sort_order,
        "description": image.description or "",
        "image_file": image.image_file,
        "url_zoom": where["zoom"],
        "url_standard": where["standard"],
        "url_thumbnail": where["thumbnail"],
        "url_tiny": where["tiny"],
        "date_modified": iso(image.date_modified),
    }


def v3_image_json(row: tuple[Any, ...], url: str) -> bytes:
    """`v3_image` as JSON text, written out because a page of 250 products carries hundreds of them."""
    number, owner, path, thumbnail, order, description, _, modified = row
    base, _, ext = path[path.rfind("/") + 1 :].rpartition(".")
    head = f'"{url}/s-{STORE_HASH}/products/{owner}/images/{number}/{base}.{modified}.'
    tail = f'.{ext}?c=2"'
    text = orjson.dumps(description).decode() if description else '""'
    return (
        f'{{"id":{number},"product_id":{owner},"is_thumbnail":{"true" if thumbnail else "false"},'
        f'"sort_order":{order},"description":{text},"image_file":"{path}",'
        f'"url_zoom":{head}{SIZES["zoom"]}{tail},"url_standard":{head}{SIZES["standard"]}{tail},'
        f'"url_thumbnail":{head}{SIZES["thumbnail"]}{tail},"url_tiny":{head}{SIZES["tiny"]}{tail},'
        f'"date_modified":"{iso(modified)}"}}'
    ).encode()


# ---------------------------------------------------------------- products

V3_PRODUCT: Final[dict[str, Callable[[Product], object]]] = {
    "id": lambda p: p.id,
    "name": lambda p: p.name,
    "sku": lambda p: p.sku,
    "date_created": lambda p: iso(p.date_created),
    "date_modified": lambda p: iso(p.date_modified),
}


def v3_product(product: Product, fields: Iterable[str]) -> JsonObject:
    """The V3 product object with only these fields."""
    return {name: V3_PRODUCT[name](product) for name in fields}


V2_PRODUCT: Final[dict[str, Callable[[Product], object]]] = {
    "id": lambda p: p.id,
    "name": lambda p: p.name,
    "sku": lambda p: p.sku,
    "date_created": lambda p: rfc2822(p.date_created),
    "date_modified": lambda p: rfc2822(p.date_modified),
}
V2_MANDATORY: Final = frozenset({"id", "name", "date_modified"})  # and primary_image, which is added apart


def v2_product(product: Product, primary: Image | None, url: str, fields: Iterable[str]) -> JsonObject:
    """The V2 product object with only these fields; ``primary_image`` is always there."""
    body: JsonObject = {name: V2_PRODUCT[name](product) for name in fields}
    body["primary_image"] = {}
    if primary is not None:
        where = renditions(url, primary)
        links = {f"{name}_url": where[name] for name in ("zoom", "thumbnail", "standard", "tiny")}
        body["primary_image"] = {"id": primary.id, **links}
    return body
