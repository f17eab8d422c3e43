"""How images and products look in V2 and V3 answers.

Sources: v2-product-images.mdx and v2-products.mdx (examples), products_catalog.v3.yml (examples, product_Full).
A product has few columns of its own; its other documented fields carry the value of a product for which they
were never set.
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
    "type": lambda p: p.type,
    "sku": lambda p: p.sku,
    "description": lambda p: p.description,
    "weight": lambda p: p.weight,
    "width": lambda _: 0,
    "depth": lambda _: 0,
    "height": lambda _: 0,
    "price": lambda p: p.price,
    "cost_price": lambda _: 0,
    "retail_price": lambda _: 0,
    "sale_price": lambda _: 0,
    "map_price": lambda _: 0,
    "tax_class_id": lambda _: 0,
    "product_tax_code": lambda _: "",
    "calculated_price": lambda p: p.price,
    "categories": lambda p: [p.category_id],
    "brand_id": lambda p: p.brand_id,
    "option_set_id": lambda _: None,
    "option_set_display": lambda _: "right",
    "inventory_level": lambda p: p.inventory_level,
    "inventory_warning_level": lambda p: p.inventory_warning_level,
    "inventory_tracking": lambda _: "none",
    "reviews_rating_sum": lambda _: 0,
    "reviews_count": lambda _: 0,
    "total_sold": lambda p: p.total_sold,
    "fixed_cost_shipping_price": lambda _: 0,
    "is_free_shipping": lambda p: bool(p.is_free_shipping),
    "is_visible": lambda p: bool(p.is_visible),
    "is_featured": lambda p: bool(p.is_featured),
    "related_products": lambda _: [-1],
    "warranty": lambda _: "",
    "bin_picking_number": lambda _: "",
    "layout_file": lambda _: "product.html",
    "upc": lambda p: p.upc,
    "mpn": lambda p: p.mpn,
    "gtin": lambda _: "",
    "date_last_imported": lambda p: iso(p.date_last_imported) if p.date_last_imported else "",
    "search_keywords": lambda _: "",
    "availability": lambda p: p.availability,
    "availability_description": lambda _: "",
    "gift_wrapping_options_type": lambda _: "any",
    "gift_wrapping_options_list": lambda _: [],
    "sort_order": lambda _: 0,
    "condition": lambda p: p.condition,
    "is_condition_shown": lambda _: False,
    "order_quantity_minimum": lambda _: 0,
    "order_quantity_maximum": lambda _: 0,
    "page_title": lambda _: "",
    "meta_keywords": lambda _: [],
    "meta_description": lambda _: "",
    "date_created": lambda p: iso(p.date_created),
    "date_modified": lambda p: iso(p.date_modified),
    "view_count": lambda _: 0,
    "preorder_release_date": lambda _: None,
    "preorder_message": lambda _: "",
    "is_preorder_only": lambda _: False,
    "is_price_hidden": lambda _: False,
    "price_hidden_label": lambda _: "",
    "custom_url": lambda p: {"url": f"/product-{p.id}/", "is_customized": False},
    "base_variant_id": lambda p: p.id,
    "open_graph_type": lambda _: "product",
    "open_graph_title": lambda _: "",
    "open_graph_description": lambda _: "",
    "open_graph_use_meta_description": lambda _: True,
    "open_graph_use_product_name": lambda _: True,
    "open_graph_use_image": lambda _: True,
}


def v3_product(product: Product, fields: Iterable[str]) -> JsonObject:
    """The V3 product object with only these fields."""
    return {name: V3_PRODUCT[name](product) for name in fields}


def _decimal(value: float) -> str:
    return f"{value:.4f}"


def _link(url: str, path: str) -> dict[str, str]:
    return {"url": f"{url}/api/v2{path}.json", "resource": path}


def _sub(name: str) -> Callable[[Product, str], object]:
    return lambda p, url: _link(url, f"/products/{p.id}/{name}")


def _constant(value: object) -> Callable[[Product, str], object]:
    return lambda _p, _url: value


V2_PRODUCT: Final[dict[str, Callable[[Product, str], object]]] = {
    "id": lambda p, _: p.id,
    "keyword_filter": _constant(None),
    "name": lambda p, _: p.name,
    "type": lambda p, _: p.type,
    "sku": lambda p, _: p.sku,
    "description": lambda p, _: p.description,
    "search_keywords": _constant(None),
    "availability_description": _constant(""),
    "price": lambda p, _: _decimal(p.price),
    "cost_price": _constant("0.0000"),
    "retail_price": _constant("0.0000"),
    "sale_price": _constant("0.0000"),
    "calculated_price": lambda p, _: _decimal(p.price),
    "sort_order": _constant(0),
    "is_visible": lambda p, _: bool(p.is_visible),
    "is_featured": lambda p, _: bool(p.is_featured),
    "related_products": _constant("-1"),
    "inventory_level": lambda p, _: p.inventory_level,
    "inventory_warning_level": lambda p, _: p.inventory_warning_level,
    "warranty": _constant(None),
    "weight": lambda p, _: _decimal(p.weight),
    "width": _constant("0.0000"),
    "height": _constant("0.0000"),
    "depth": _constant("0.0000"),
    "fixed_cost_shipping_price": _constant("0.0000"),
    "is_free_shipping": lambda p, _: bool(p.is_free_shipping),
    "inventory_tracking": _constant("none"),
    "rating_total": _constant(0),
    "rating_count": _constant(0),
    "total_sold": lambda p, _: p.total_sold,
    "date_created": lambda p, _: rfc2822(p.date_created),
    "brand_id": lambda p, _: p.brand_id,
    "view_count": _constant(0),
    "page_title": _constant(""),
    "meta_keywords": _constant(None),
    "meta_description": _constant(None),
    "layout_file": _constant("product.html"),
    "is_price_hidden": _constant(False),
    "price_hidden_label": _constant(""),
    "categories": lambda p, _: [p.category_id],
    "date_modified": lambda p, _: rfc2822(p.date_modified),
    "condition": lambda p, _: p.condition,
    "is_condition_shown": _constant(False),
    "preorder_release_date": _constant(""),
    "is_preorder_only": _constant(False),
    "preorder_message": _constant(""),
    "order_quantity_minimum": _constant(0),
    "order_quantity_maximum": _constant(0),
    "open_graph_type": _constant("product"),
    "open_graph_title": _constant(""),
    "open_graph_description": _constant(None),
    "is_open_graph_thumbnail": _constant(True),
    "upc": lambda p, _: p.upc or None,
    "date_last_imported": lambda p, _: rfc2822(p.date_last_imported) if p.date_last_imported else "",
    "option_set_id": _constant(None),
    "tax_class_id": _constant(0),
    "option_set_display": _constant("right"),
    "bin_picking_number": _constant(""),
    "custom_url": lambda p, _: f"/product-{p.id}/",
    "availability": lambda p, _: p.availability,
    "brand": lambda p, url: _link(url, f"/brands/{p.brand_id}"),
    "images": _sub("images"),
    "discount_rules": _sub("discountrules"),
    "configurable_fields": _sub("configurablefields"),
    "custom_fields": _sub("customfields"),
    "videos": _sub("videos"),
    "skus": _sub("skus"),
    "rules": _sub("rules"),
    "option_set": _constant(None),
    "options": _sub("options"),
    "tax_class": lambda _, url: _link(url, "/taxclasses/0"),
}
V2_MANDATORY: Final = frozenset({"id", "name", "date_modified"})  # and primary_image, which is added apart
V2_SUMMARY: Final = frozenset(
    {
        "availability",
        "calculated_price",
        "inventory_tracking",
        "sku",
        "inventory_level",
        "inventory_warning_level",
        "is_visible",
        "is_featured",
    }
)


def v2_product(product: Product, primary: Image | None, url: str, fields: Iterable[str]) -> JsonObject:
    """The V2 product object with only these fields; ``primary_image`` is always there."""
    body: JsonObject = {name: V2_PRODUCT[name](product, url) for name in fields}
    body["primary_image"] = {}
    if primary is not None:
        where = renditions(url, primary)
        links = {f"{name}_url": where[name] for name in ("zoom", "thumbnail", "standard", "tiny")}
        body["primary_image"] = {"id": primary.id, **links}
    return body
