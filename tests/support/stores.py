"""Stores for round trips: with odd values, wrecked behind the API's back, and compared by what a shopper sees."""

from __future__ import annotations

import random
from collections import Counter

from bigcommerce_sandbox import SandboxServer
from tests.support.api_client import picture

__all__ = ["EXTREMES", "TEXTS", "looks", "make_odd", "wreck", "writes"]

TEXTS: tuple[str | None, ...] = (
    None,
    "",
    " ",
    "null",
    "NULL",
    "\\N",
    "Größe ‰ 日本 🧦👩‍👩‍👧",
    "first\nsecond\r\nthird\ttab",
    'it\'s "quoted", `so`; DROP TABLE raw.product_images; --',
    "back\\slash \\n \\. {braces} %s $1 ${HOME}",
    "<b>&amp;</b>",
)
EXTREMES = (-(2**31), -1, 0, 0, 2**31 - 1)


def make_odd(store: SandboxServer) -> None:
    """Give the images of a store every odd text and place in turn."""
    for number, image in enumerate(store.dump(files=False)["images"]):
        store.set_image(
            image["id"],
            description=TEXTS[number % len(TEXTS)],
            sort_order=EXTREMES[number % len(EXTREMES)],
            date_modified=1_700_000_000 + number * 3601,
        )


def looks(store: SandboxServer) -> Counter[tuple[object, ...]]:
    """Return what a shopper sees of every image: ids, paths and dates are the store's own business."""
    return Counter(
        (each["product_id"], each["sort_order"], each["is_thumbnail"], each["description"] or "", each["sha256"])
        for each in store.dump()["images"]
    )


def wreck(store: SandboxServer, seed: int = 1) -> None:
    """Delete single images and whole galleries; overwrite texts, places, thumbnails and pictures."""
    dice = random.Random(seed)
    images = store.dump(files=False)["images"]
    products = sorted({each["product_id"] for each in images})
    emptied = set(dice.sample(products, max(1, len(products) // 6)))
    for number, image in enumerate(images):
        if image["product_id"] in emptied or dice.random() < 0.2:
            store.delete_image(image["id"])
        elif dice.random() < 0.2:
            store.set_image(image["id"], description=f"IMPORT ERROR {number}", sort_order=dice.randrange(99))
        elif dice.random() < 0.1:
            store.set_image(image["id"], is_thumbnail=True)
        elif dice.random() < 0.1:
            store.set_image(image["id"], content=picture(size=(30, 20 + number % 50)), filename="other.png")


def writes(store: SandboxServer) -> list[str]:
    """Return the requests so far that could have changed something."""
    return [f"{each['method']} {each['path']}" for each in store.requests() if each["method"] not in {"GET", "HEAD"}]
